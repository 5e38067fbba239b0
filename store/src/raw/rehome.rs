//! Raw data that belongs elsewhere by what is known now: under another vehicle, since its device had been put into that, or
//! under another subject, since somebody else drove. It lands where it would have, had it come after all was filed.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use odograph_domain::{
    batch::{Impact, RawSample},
    correction::{Cause, Why},
    device::PairedDevice,
    envelope::Source,
    id::{DeviceId, DriverId, MessageId, VehicleId},
    intake::{DirtyWindow, NewDeadLetter, Subject, VehicleContext},
    outcome::SampleRejection,
    sample::DataClass,
    time::{ReceivedAt, Window},
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    compact::{LARGEST, Origin},
    impact::{ImpactRow, context as impact_context, insert_impact},
    row,
};
use crate::{
    contexts::{contexts, drivers_left},
    crypto::{SubjectKey, SubjectRef, existing_keys, subject_keys},
    dead_letters::insert_dead_letters,
    dirty,
    error::{Result, StoreError},
    pairings::paired_devices,
    session::Caller,
};

/// What raw data turned out to be of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Home {
    Vehicle(VehicleId, Subject),
    /// Its device was in no vehicle.
    Nowhere,
}

/// Puts the raw data of a vehicle's window where it belongs. What other vehicles get is dirty then; what belongs to none
/// becomes dead letters. Returns how many rows were taken apart.
pub(crate) async fn rehome(
    conn: &mut PgConnection,
    caller: &Caller<'_>,
    context: &VehicleContext,
    window: Window,
) -> Result<u64> {
    let mut known = Known::of(conn, caller, context, window).await?;
    let mut moved = 0;
    for id in rows_within(conn, caller, context.vehicle, window).await? {
        moved += u64::from(known.rehome_row(conn, caller, id, window).await?);
    }
    known.rehome_impacts(conn, caller, window).await?;
    known.tell(conn, caller).await?;
    Ok(moved)
}

async fn rows_within(
    conn: &mut PgConnection,
    caller: &Caller<'_>,
    vehicle: VehicleId,
    window: Window,
) -> Result<Vec<Uuid>> {
    let ids = sqlx::query_scalar!(
        r#"SELECT id AS "id!" FROM raw_journal WHERE tenant_id = $1 AND vehicle_id = $2 AND min_ts <= $4 AND max_ts >= $3
           UNION ALL SELECT id FROM raw_block WHERE tenant_id = $1 AND vehicle_id = $2 AND min_ts <= $4 AND max_ts >= $3
           UNION ALL SELECT id FROM lake_block
           WHERE tenant_id = $1 AND vehicle_id = $2 AND min_ts <= $4 AND max_ts >= $3 AND dropped_at IS NOT NULL"#,
        caller.tenant.uuid(),
        vehicle.uuid(),
        window.from.utc(),
        window.to.utc(),
    )
    .fetch_all(conn)
    .await?;
    Ok(ids)
}

/// What is known of the vehicles and devices concerned, and what was moved so far.
struct Known {
    here: VehicleId,
    contexts: BTreeMap<VehicleId, VehicleContext>,
    devices: BTreeMap<Uuid, PairedDevice>,
    /// Drivers that samples name and that were asked for, and since when those who have left have.
    asked: BTreeSet<DriverId>,
    left: BTreeMap<DriverId, DateTime<Utc>>,
    /// The span of what each other vehicle got.
    gave: BTreeMap<VehicleId, Window>,
}

impl Known {
    async fn of(
        conn: &mut PgConnection,
        caller: &Caller<'_>,
        context: &VehicleContext,
        window: Window,
    ) -> Result<Self> {
        let ids = sqlx::query_scalar!(
            r#"SELECT device_id AS "device_id!" FROM raw_journal
               WHERE tenant_id = $1 AND vehicle_id = $2 AND min_ts <= $4 AND max_ts >= $3 AND device_id IS NOT NULL
               UNION SELECT device_id FROM raw_block
               WHERE tenant_id = $1 AND vehicle_id = $2 AND min_ts <= $4 AND max_ts >= $3 AND device_id IS NOT NULL
               UNION SELECT device_id FROM lake_block
               WHERE tenant_id = $1 AND vehicle_id = $2 AND min_ts <= $4 AND max_ts >= $3 AND device_id IS NOT NULL
                 AND dropped_at IS NOT NULL
               UNION SELECT device_id FROM raw_impact
               WHERE tenant_id = $1 AND vehicle_id = $2 AND trigger_ts BETWEEN $3 AND $4 AND device_id IS NOT NULL"#,
            caller.tenant.uuid(),
            context.vehicle.uuid(),
            window.from.utc(),
            window.to.utc(),
        )
        .fetch_all(&mut *conn)
        .await?;
        let tenants = vec![caller.tenant.uuid(); ids.len()];
        let names: Vec<Option<Uuid>> = ids.iter().copied().map(Some).collect();
        let devices = paired_devices(conn, &tenants, &names, &vec![None; ids.len()]).await?;
        let devices: BTreeMap<Uuid, PairedDevice> = devices.into_iter().flatten().map(|d| (d.id.uuid(), d)).collect();
        let vehicles: BTreeSet<VehicleId> = devices
            .values()
            .flat_map(|device| device.pairings.iter().map(|pairing| pairing.vehicle))
            .filter(|vehicle| *vehicle != context.vehicle)
            .collect();
        let wanted: Vec<_> = vehicles.into_iter().map(|vehicle| (caller.tenant, vehicle)).collect();
        let mut known = Self {
            here: context.vehicle,
            contexts: BTreeMap::from([(context.vehicle, context.clone())]),
            devices,
            asked: BTreeSet::new(),
            left: BTreeMap::new(),
            gave: BTreeMap::new(),
        };
        for other in contexts(conn, &wanted).await? {
            known.contexts.insert(other.vehicle, other);
        }
        Ok(known)
    }

    /// Where something a device recorded at an instant belongs, and the device's rank there.
    fn home(&self, device: Option<Uuid>, named: Option<DriverId>, at: DateTime<Utc>) -> (Home, Option<u8>) {
        let device = device
            .and_then(|id| self.devices.get(&id))
            .filter(|d| !d.pairings.is_empty());
        let (vehicle, rank) = match device.map(|device| device.at(at)) {
            None => (self.here, None),
            Some(Some(pairing)) => (pairing.vehicle, Some(pairing.rank)),
            Some(None) => return (Home::Nowhere, None),
        };
        let driver = self.contexts.get(&vehicle).and_then(|context| {
            let here = |driver: &DriverId| self.left.get(driver).is_none_or(|left| at < *left);
            named.filter(here).or_else(|| context.driver_at(at))
        });
        let subject = driver.map_or(Subject::Vehicle(vehicle), Subject::Driver);
        (Home::Vehicle(vehicle, subject), rank)
    }

    fn allowed(&self, home: Home, at: DateTime<Utc>) -> bool {
        match home {
            Home::Vehicle(vehicle, _) => self
                .contexts
                .get(&vehicle)
                .is_some_and(|context| context.behaviour_allowed(at)),
            Home::Nowhere => false,
        }
    }

    /// Where a sample belongs, and what of it may be kept there. Of one that belongs nowhere nothing is known that would allow
    /// behaviour to be kept.
    fn settle(&self, device: Option<Uuid>, mut raw: RawSample) -> (Home, RawSample) {
        let at = raw.sample.ts.utc();
        let (home, rank) = self.home(device, raw.driver, at);
        raw.device_rank = rank.unwrap_or(raw.device_rank);
        if !self.allowed(home, at) {
            raw.sample.retain(|class| class == DataClass::Mileage);
        }
        (home, raw)
    }

    /// Which of the drivers named by samples have left, beside those that contexts name.
    async fn learn_left(&mut self, conn: &mut PgConnection, caller: &Caller<'_>, samples: &[RawSample]) -> Result<()> {
        let named: BTreeSet<DriverId> = samples.iter().filter_map(|raw| raw.driver).collect();
        let unasked: Vec<DriverId> = named.difference(&self.asked).copied().collect();
        if !unasked.is_empty() {
            self.left.extend(drivers_left(conn, caller.tenant, &unasked).await?);
            self.asked.extend(unasked);
        }
        Ok(())
    }

    async fn rehome_row(
        &mut self,
        conn: &mut PgConnection,
        caller: &Caller<'_>,
        id: Uuid,
        window: Window,
    ) -> Result<bool> {
        let Some(row) = row::open(conn, caller, self.here, id).await? else {
            return Ok(false);
        };
        self.learn_left(conn, caller, &row.samples).await?;
        let stays = Home::Vehicle(self.here, subject_of(&row.origin)?);
        let mut parts: BTreeMap<Home, Vec<RawSample>> = BTreeMap::new();
        let mut same = true;
        for raw in row.samples {
            if !window.contains(raw.sample.ts) {
                parts.entry(stays).or_default().push(raw);
                continue;
            }
            let (home, now) = self.settle(row.origin.device, raw.clone());
            same &= home == stays && now == raw;
            parts.entry(home).or_default().push(now);
        }
        if same {
            return Ok(false);
        }
        row::delete(conn, caller, self.here, id).await?;
        for (home, samples) in parts {
            match home {
                Home::Vehicle(vehicle, subject) if home == stays => {
                    let origin = origin_of(caller, subject, row.origin.device);
                    row::put(conn, caller, vehicle, &origin, &row.key, &samples).await?;
                }
                Home::Vehicle(vehicle, subject) => {
                    let key = key_for(conn, caller, subject).await?;
                    let origin = origin_of(caller, subject, row.origin.device);
                    row::put(conn, caller, vehicle, &origin, &key, &samples).await?;
                    self.note(vehicle, &samples);
                }
                Home::Nowhere => bury(conn, caller, self.here, &row.origin, &samples).await?,
            }
        }
        Ok(true)
    }

    /// The driver an impact's batch named, as far as that can be told from whose key it lies under: one who has nothing else to
    /// do with the vehicle.
    fn named_in(&self, subject: Subject) -> Option<DriverId> {
        let Subject::Driver(driver) = subject else { return None };
        let context = self.contexts.get(&self.here)?;
        let main = context.covers.iter().any(|cover| cover.main_driver == Some(driver));
        let assigned = context.assignments.iter().any(|assigned| assigned.driver == driver);
        (!main && !assigned).then_some(driver)
    }

    async fn rehome_impacts(&mut self, conn: &mut PgConnection, caller: &Caller<'_>, window: Window) -> Result<()> {
        let rows = sqlx::query!(
            "SELECT id, message_id, subject_kind, subject_id, key_id, trigger_ts, sealed, received_at, device_id FROM raw_impact
             WHERE tenant_id = $1 AND vehicle_id = $2 AND trigger_ts BETWEEN $3 AND $4 ORDER BY id",
            caller.tenant.uuid(),
            self.here.uuid(),
            window.from.utc(),
            window.to.utc(),
        )
        .fetch_all(&mut *conn)
        .await?;
        for row in rows {
            let origin = Origin {
                kind: row.subject_kind,
                subject: row.subject_id,
                device: row.device_id,
            };
            let stays = subject_of(&origin)?;
            let (home, _) = self.home(row.device_id, self.named_in(stays), row.trigger_ts);
            // Of an impact of no vehicle there is no batch to send again: it stays where it is.
            if home == Home::Vehicle(self.here, stays) || home == Home::Nowhere {
                continue;
            }
            let keys = existing_keys(conn, caller.master, caller.tenant, &[row.key_id]).await?;
            let Some(key) = keys.get(&row.key_id).cloned().flatten() else {
                continue;
            };
            if let (Home::Vehicle(vehicle, subject), true) = (home, self.allowed(home, row.trigger_ts)) {
                let plain = key.open(&impact_context(row.id), &row.sealed)?;
                let impact: Impact = serde_json::from_slice(&plain).map_err(StoreError::corrupt)?;
                let to = ImpactRow {
                    vehicle: vehicle.uuid(),
                    message: row.message_id,
                    device: row.device_id,
                    received_at: row.received_at,
                };
                let key = key_for(conn, caller, subject).await?;
                let subject = SubjectRef::new(caller.tenant, subject);
                insert_impact(conn, caller.ids, &to, subject, &key, &impact).await?;
            }
            sqlx::query!(
                "DELETE FROM raw_impact WHERE tenant_id = $1 AND vehicle_id = $2 AND id = $3",
                caller.tenant.uuid(),
                self.here.uuid(),
                row.id,
            )
            .execute(&mut *conn)
            .await?;
        }
        Ok(())
    }

    fn note(&mut self, vehicle: VehicleId, samples: &[RawSample]) {
        let times = samples.iter().map(|raw| raw.sample.ts);
        if let (true, Some(from), Some(to)) = (vehicle != self.here, times.clone().min(), times.max()) {
            let span = Window { from, to };
            let gave = self.gave.get(&vehicle).map_or(span, |known| known.union(span));
            self.gave.insert(vehicle, gave);
        }
    }

    /// Others that got something have it in their ledgers, and have it derived.
    async fn tell(&self, conn: &mut PgConnection, caller: &Caller<'_>) -> Result<()> {
        if self.gave.is_empty() {
            return Ok(());
        }
        let mut windows = Vec::new();
        for (&vehicle, &window) in &self.gave {
            let id = caller.ids.uuid();
            // Not locked: whoever derives that vehicle just now may be waiting for this one.
            sqlx::query!(
                "INSERT INTO vehicle_state (tenant_id, vehicle_id) VALUES ($1, $2) ON CONFLICT DO NOTHING",
                caller.tenant.uuid(),
                vehicle.uuid(),
            )
            .execute(&mut *conn)
            .await?;
            sqlx::query!(
                "INSERT INTO batch_ledger (tenant_id, vehicle_id, batch_id, message_id, content_hash, source, samples, min_ts,
                                           max_ts, received_at)
                 VALUES ($1, $2, $3, $4, $5, 'resubmission', 0, $6, $7, $8)",
                caller.tenant.uuid(),
                vehicle.uuid(),
                format!("moved-{id}"),
                id,
                Sha256::digest(id.as_bytes()).to_vec(),
                window.from.utc(),
                window.to.utc(),
                caller.now,
            )
            .execute(&mut *conn)
            .await?;
            windows.push(DirtyWindow {
                tenant: caller.tenant,
                vehicle,
                window,
                due_at: caller.now,
                at_once: true,
                cause: Cause::of(Why::DeviceChanged),
                open_s: None,
            });
        }
        dirty::insert(conn, caller.ids, &windows).await
    }
}

fn subject_of(origin: &Origin) -> Result<Subject> {
    match origin.kind.as_str() {
        "driver" => Ok(Subject::Driver(origin.subject.into())),
        "vehicle" => Ok(Subject::Vehicle(origin.subject.into())),
        other => Err(StoreError::corrupt(format_args!("raw data of a {other}"))),
    }
}

fn origin_of(caller: &Caller<'_>, subject: Subject, device: Option<Uuid>) -> Origin {
    let subject = SubjectRef::new(caller.tenant, subject);
    Origin {
        kind: subject.kind.to_owned(),
        subject: subject.id,
        device,
    }
}

async fn key_for(conn: &mut PgConnection, caller: &Caller<'_>, subject: Subject) -> Result<SubjectKey> {
    let subject = SubjectRef::new(caller.tenant, subject);
    let mut keys = subject_keys(conn, caller.master, caller.ids, caller.now, &BTreeSet::from([subject])).await?;
    keys.remove(&subject)
        .ok_or_else(|| StoreError::Crypto("a subject has no key".into()))
}

/// Samples of no vehicle are kept, under the key they had, as a batch that can be sent again once it is known where the device
/// was.
async fn bury(
    conn: &mut PgConnection,
    caller: &Caller<'_>,
    vehicle: VehicleId,
    origin: &Origin,
    samples: &[RawSample],
) -> Result<()> {
    let subject = subject_of(origin)?;
    let known = SubjectRef::new(caller.tenant, subject);
    let keys = subject_keys(conn, caller.master, caller.ids, caller.now, &BTreeSet::from([known])).await?;
    let message: MessageId = caller.id();
    let letters: Vec<NewDeadLetter> = samples
        .chunks(LARGEST)
        .map(|chunk| {
            let batch_id = format!("unpaired-{}", caller.ids.uuid());
            let batch = json!({ "schema": 1, "batch_id": batch_id, "device": origin.device.map(DeviceId::from_uuid),
                "samples": chunk.iter().map(told).collect::<Vec<_>>() });
            NewDeadLetter {
                tenant: caller.tenant,
                client: caller.actor,
                message,
                source: Source::Resubmission,
                vehicle: Some(vehicle),
                vehicle_given: String::new(),
                subject,
                batch_id: Some(batch_id),
                reason: SampleRejection::DeviceUnpaired.as_str().to_owned(),
                detail: "its device was in no vehicle then, as was filed after it had come".to_owned(),
                samples: u32::try_from(chunk.len()).unwrap_or(u32::MAX),
                payload: batch.to_string().into_bytes(),
                received_at: ReceivedAt::new(caller.now),
                resubmission_of: None,
            }
        })
        .collect();
    insert_dead_letters(conn, caller.ids, &keys, &letters).await
}

/// A sample as a batch has it, with the driver it named.
fn told(raw: &RawSample) -> Value {
    let mut sample = json!(raw.sample);
    if let (Some(driver), Some(fields)) = (raw.driver, sample.as_object_mut()) {
        fields.insert("driver".to_owned(), json!(driver));
    }
    sample
}
