//! What a micro-batch amounts to, written set by set.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use odograph_domain::{
    batch::RawSample,
    envelope::Source,
    id::{DeviceId, TenantId, VehicleId},
    intake::{DirtyWindow, NewBatch, NewDeadLetter, VehicleState},
    outcome::Tally,
    time::{EventTime, ReceivedAt},
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    crypto::{SubjectKey, SubjectRef, subject_keys},
    dead_letters::insert_dead_letters,
    dirty::put_dirty,
    error::{Result, StoreError},
    import_runs::count_imports,
    messages::{Settled, settle},
    outcomes::count,
    raw::{ImpactRow, LARGEST, at, insert_impact, seal_block},
    session::{Caller, now},
    store::Store,
    tenant::to_json,
};

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Writes {
    /// New ones only, which have been entered into the ledger.
    pub batches: Vec<NewBatch>,
    pub states: Vec<(TenantId, VehicleState)>,
    /// Merged with each other and with what is there.
    pub dirty: Vec<DirtyWindow>,
    pub dead_letters: Vec<NewDeadLetter>,
    /// One a message.
    pub outcomes: Vec<(TenantId, Tally)>,
    /// For each message of an import: the import's run and how its samples ended.
    pub imports: Vec<(TenantId, Uuid, Tally)>,
    /// Messages that somebody may ask about.
    pub settled: Vec<Settled>,
}

pub(crate) type Keys = HashMap<SubjectRef, SubjectKey>;

pub(crate) async fn write(conn: &mut PgConnection, store: &Store, shard: i32, writes: &Writes) -> Result<()> {
    let keys = keys(conn, store, writes).await?;
    insert_journal(conn, store, &keys, &writes.batches).await?;
    insert_impacts(conn, store, &keys, &writes.batches).await?;
    update_states(conn, &writes.states).await?;
    put_dirty(conn, store.ids(), &writes.dirty).await?;
    insert_dead_letters(conn, store.ids(), &keys, &writes.dead_letters).await?;
    count_imports(conn, shard, &writes.imports).await?;
    settle(conn, now(store.clock()), &writes.settled).await?;
    count(conn, now(store.clock()).date_naive(), shard, &writes.outcomes).await
}

async fn keys(conn: &mut PgConnection, store: &Store, writes: &Writes) -> Result<Keys> {
    let mut subjects = BTreeSet::new();
    for batch in &writes.batches {
        let samples = batch.samples.iter().map(|(subject, _)| *subject);
        let impacts = batch.impacts.iter().map(|(subject, _)| *subject);
        subjects.extend(
            samples
                .chain(impacts)
                .map(|subject| SubjectRef::new(batch.key.tenant, subject)),
        );
    }
    subjects.extend(
        writes
            .dead_letters
            .iter()
            .map(|letter| SubjectRef::new(letter.tenant, letter.subject)),
    );
    subject_keys(conn, store.master(), store.ids(), now(store.clock()), &subjects).await
}

pub(crate) fn key_of(keys: &Keys, subject: SubjectRef) -> Result<&SubjectKey> {
    keys.get(&subject)
        .ok_or_else(|| StoreError::Crypto("a subject has no key".into()))
}

pub(crate) fn source_name(source: Source) -> &'static str {
    match source {
        Source::Http => "http",
        Source::Amqp => "amqp",
        Source::Mqtt => "mqtt",
        Source::Import => "import",
        Source::Resubmission => "resubmission",
    }
}

/// What of a journal row is the same for all its samples.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Origin {
    vehicle: VehicleId,
    subject: SubjectRef,
    device: Option<DeviceId>,
}

/// What came of one vehicle, of one subject and device, shares a row: fewer to write, and better compressed.
async fn insert_journal(conn: &mut PgConnection, store: &Store, keys: &Keys, batches: &[NewBatch]) -> Result<()> {
    let mut rows: BTreeMap<Origin, Vec<&RawSample>> = BTreeMap::new();
    for batch in batches {
        for (subject, samples) in batch.samples.iter().filter(|(_, samples)| !samples.is_empty()) {
            let origin = Origin {
                vehicle: batch.key.vehicle,
                subject: SubjectRef::new(batch.key.tenant, *subject),
                device: batch.device,
            };
            rows.entry(origin).or_default().extend(samples);
        }
    }
    let (mut tenants, mut vehicles, mut ids) = (vec![], vec![], vec![]);
    let (mut kinds, mut subjects, mut key_ids, mut devices) = (vec![], vec![], vec![], vec![]);
    let (mut from, mut to, mut counts, mut payloads) = (vec![], vec![], vec![], vec![]);
    for (origin, mut samples) in rows {
        samples.sort_by_key(|raw| (raw.sample.ts, raw.device_rank));
        let Origin {
            vehicle,
            subject,
            device,
        } = origin;
        let key = key_of(keys, subject)?;
        for chunk in samples.chunks(LARGEST) {
            let (header, payload) = seal_block(vehicle, key, chunk)?;
            tenants.push(subject.tenant.uuid());
            vehicles.push(vehicle.uuid());
            ids.push(store.ids().uuid());
            kinds.push(subject.kind);
            subjects.push(subject.id);
            key_ids.push(key.id);
            devices.push(device.map(DeviceId::uuid));
            from.push(at(header.min_ts_ms)?);
            to.push(at(header.max_ts_ms)?);
            counts.push(i32::try_from(header.samples).unwrap_or(i32::MAX));
            payloads.push(payload);
        }
    }
    sqlx::query!(
        "INSERT INTO raw_journal (tenant_id, vehicle_id, id, subject_kind, subject_id, key_id, min_ts, max_ts, samples, payload,
                                  device_id)
         SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::uuid[], $6::uuid[], $7::timestamptz[],
                              $8::timestamptz[], $9::int[], $10::bytea[], $11::uuid[])",
        &tenants,
        &vehicles,
        &ids,
        &kinds as &[&str],
        &subjects,
        &key_ids,
        &from,
        &to,
        &counts,
        &payloads,
        &devices as &[Option<Uuid>],
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn insert_impacts(conn: &mut PgConnection, store: &Store, keys: &Keys, batches: &[NewBatch]) -> Result<()> {
    for batch in batches {
        for (subject, impact) in &batch.impacts {
            let subject = SubjectRef::new(batch.key.tenant, *subject);
            let key = key_of(keys, subject)?;
            let row = ImpactRow {
                vehicle: batch.key.vehicle.uuid(),
                message: batch.message.uuid(),
                device: batch.device.map(DeviceId::uuid),
                received_at: batch.received_at.utc(),
            };
            insert_impact(conn, store.ids(), &row, subject, key, impact).await?;
        }
    }
    Ok(())
}

async fn update_states(conn: &mut PgConnection, states: &[(TenantId, VehicleState)]) -> Result<()> {
    // The last one of a vehicle holds.
    let last: BTreeMap<VehicleId, (TenantId, &VehicleState)> = states
        .iter()
        .map(|(tenant, state)| (state.vehicle, (*tenant, state)))
        .collect();
    let (mut tenants, mut vehicles) = (vec![], vec![]);
    let (mut watermarks, mut received, mut detectors) = (vec![], vec![], vec![]);
    for (vehicle, (tenant, state)) in last {
        tenants.push(tenant.uuid());
        vehicles.push(vehicle.uuid());
        watermarks.push(state.watermark.map(EventTime::utc));
        received.push(state.last_received_at.map(ReceivedAt::utc));
        detectors.push(to_json(&state.detectors)?);
    }
    sqlx::query!(
        "UPDATE vehicle_state s SET watermark = n.watermark, last_received_at = n.last_received_at, detectors = n.detectors
         FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::timestamptz[], $5::jsonb[])
             AS n (tenant_id, vehicle_id, watermark, last_received_at, detectors)
         WHERE s.tenant_id = n.tenant_id AND s.vehicle_id = n.vehicle_id",
        &tenants,
        &vehicles,
        &watermarks as &[Option<chrono::DateTime<chrono::Utc>>],
        &received as &[Option<chrono::DateTime<chrono::Utc>>],
        &detectors,
    )
    .execute(conn)
    .await?;
    Ok(())
}

impl Caller<'_> {
    /// Writes what the api refused at the door: dead letter and counts, in one go.
    pub(crate) async fn refuse(&self, conn: &mut PgConnection, letter: &NewDeadLetter, tally: &Tally) -> Result<()> {
        let subject = SubjectRef::new(self.tenant, letter.subject);
        let keys = subject_keys(conn, self.master, self.ids, self.now, &BTreeSet::from([subject])).await?;
        insert_dead_letters(conn, self.ids, &keys, std::slice::from_ref(letter)).await?;
        count(
            conn,
            self.now.date_naive(),
            crate::outcomes::DOOR,
            &[(self.tenant, tally.clone())],
        )
        .await
    }
}
