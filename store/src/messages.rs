//! What became of the messages that came over HTTP: a row from the door on, settled with the commit of the message.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use odograph_domain::{
    envelope::Source,
    id::{DeadLetterId, DeviceId, IdOrRef, MessageId, TenantId, VehicleId},
    intake::NewDeadLetter,
    outcome::{MessageOutcome, Tally},
    time::ReceivedAt,
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    error::{Result, StoreError},
    resolve::Wanted,
    session::Caller,
    tenant::{TenantStore, from_json, named, to_json},
    writes::source_name,
};

/// A message at the door that reads as a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Arrival {
    pub message: MessageId,
    /// As the sender wrote it; empty where only the device says which vehicle it is of.
    pub vehicle_given: String,
    pub device_given: Option<String>,
    pub batch_id: String,
    pub source: Source,
    pub received_at: ReceivedAt,
    pub resubmission_of: Option<DeadLetterId>,
}

/// What a message at the door is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admitted {
    Vehicle(VehicleId),
    /// Whatever vehicle the device was in at the time of each sample.
    Device(DeviceId),
}

impl Admitted {
    pub fn vehicle(self) -> Option<VehicleId> {
        match self {
            Self::Vehicle(vehicle) => Some(vehicle),
            Self::Device(_) => None,
        }
    }

    pub fn device(self) -> Option<DeviceId> {
        match self {
            Self::Vehicle(_) => None,
            Self::Device(device) => Some(device),
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct MessageRow {
    pub id: MessageId,
    pub vehicle: Option<VehicleId>,
    pub batch_id: Option<String>,
    pub resubmission_of: Option<DeadLetterId>,
    pub received_at: DateTime<Utc>,
    /// `None` while it waits in the queue.
    pub settled: Option<Settlement>,
    /// What of it could not be used.
    pub dead_letters: Vec<DeadLetterId>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Settlement {
    pub outcome: MessageOutcome,
    pub tally: Tally,
    pub at: DateTime<Utc>,
}

/// How a message ended, to be written with what it amounted to.
#[derive(Debug, Clone, PartialEq)]
pub struct Settled {
    pub tenant: TenantId,
    pub message: MessageId,
    pub outcome: MessageOutcome,
    pub tally: Tally,
}

impl Settled {
    /// Each message once: one whose parts are of several vehicles ends as all of them together.
    pub fn by_message(parts: Vec<Self>) -> Vec<Self> {
        let mut whole: Vec<Self> = Vec::with_capacity(parts.len());
        for part in parts {
            match whole.last_mut() {
                Some(last) if last.message == part.message && last.tenant == part.tenant => {
                    last.outcome = last.outcome.with(part.outcome);
                    last.tally.merge(&part.tally);
                }
                _ => whole.push(part),
            }
        }
        whole
    }
}

impl TenantStore {
    /// Finds the vehicle (or, of those that name none, the device) of each arrival and notes those it is there of as on their
    /// way; the others are left out. Call it before the queue gets them: a worker may be quicker than whoever publishes.
    pub async fn admit(&self, arrivals: &[Arrival]) -> Result<HashMap<MessageId, Admitted>> {
        let (by_device, by_vehicle): (Vec<&Arrival>, Vec<&Arrival>) = arrivals
            .iter()
            .partition(|arrival| arrival.vehicle_given.is_empty() && arrival.device_given.is_some());
        let mut tx = self.begin().await?;
        // The queue answers for the message, so this need not wait for the disk: what a crash loses is that it waits.
        sqlx::query!("SET LOCAL synchronous_commit TO off")
            .execute(&mut *tx)
            .await?;
        let mut admitted = HashMap::with_capacity(arrivals.len());
        if !by_vehicle.is_empty() {
            let named = parsed(self.tenant_id(), &by_vehicle, |arrival| arrival.vehicle_given.clone());
            let wanted = Wanted::of::<VehicleId>(&named);
            for (message, vehicle) in note_by_vehicle(&mut tx, self.tenant_id(), &by_vehicle, &wanted).await? {
                admitted.insert(message, Admitted::Vehicle(vehicle));
            }
        }
        if !by_device.is_empty() {
            let given = |arrival: &Arrival| arrival.device_given.clone().unwrap_or_default();
            let named = parsed(self.tenant_id(), &by_device, given);
            let wanted = Wanted::of::<DeviceId>(&named);
            for (message, device) in note_by_device(&mut tx, self.tenant_id(), &by_device, &wanted).await? {
                admitted.insert(message, Admitted::Device(device));
            }
        }
        tx.commit().await?;
        Ok(admitted)
    }

    pub async fn message(&self, message: MessageId) -> Result<MessageRow> {
        let tenant = self.tenant_id().uuid();
        let mut tx = self.begin().await?;
        let row = sqlx::query!(
            "SELECT vehicle_id, batch_id, resubmission_of, received_at, outcome, tally, settled_at FROM message
             WHERE tenant_id = $1 AND id = $2",
            tenant,
            message.uuid(),
        )
        .fetch_optional(&mut *tx)
        .await?
        .ok_or(StoreError::NotFound { kind: "message" })?;
        let letters = sqlx::query_scalar!(
            "SELECT id FROM dead_letter WHERE tenant_id = $1 AND message_id = $2 ORDER BY id",
            tenant,
            message.uuid(),
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        let settled = match (row.outcome, row.tally, row.settled_at) {
            (Some(outcome), Some(tally), Some(at)) => Some(Settlement {
                outcome: named(&outcome, MessageOutcome::parse)?,
                tally: from_json(tally, "a message's tally")?,
                at,
            }),
            _ => None,
        };
        Ok(MessageRow {
            id: message,
            vehicle: row.vehicle_id.map(Into::into),
            batch_id: row.batch_id,
            resubmission_of: row.resubmission_of.map(Into::into),
            received_at: row.received_at,
            settled,
            dead_letters: letters.into_iter().map(Into::into).collect(),
        })
    }
}

/// What arrivals name, as far as that can be an id or a reference.
fn parsed<T: From<Uuid>>(
    tenant: TenantId,
    arrivals: &[&Arrival],
    given: impl Fn(&Arrival) -> String,
) -> Vec<(TenantId, Option<IdOrRef<T>>)> {
    let parse = |arrival: &&Arrival| (tenant, given(arrival).parse().ok());
    arrivals.iter().map(parse).collect()
}

/// Arrivals as columns.
struct Columns<'a> {
    messages: Vec<Uuid>,
    batches: Vec<&'a str>,
    sources: Vec<&'static str>,
    origins: Vec<Option<Uuid>>,
    received: Vec<DateTime<Utc>>,
}

impl<'a> Columns<'a> {
    fn of(arrivals: &[&'a Arrival]) -> Self {
        let each = || arrivals.iter().copied();
        Self {
            messages: each().map(|arrival| arrival.message.uuid()).collect(),
            batches: each().map(|arrival| arrival.batch_id.as_str()).collect(),
            sources: each().map(|arrival| source_name(arrival.source)).collect(),
            origins: each()
                .map(|arrival| arrival.resubmission_of.map(DeadLetterId::uuid))
                .collect(),
            received: each().map(|arrival| arrival.received_at.utc()).collect(),
        }
    }
}

async fn note_by_vehicle(
    conn: &mut PgConnection,
    tenant: TenantId,
    arrivals: &[&Arrival],
    wanted: &Wanted<'_>,
) -> Result<Vec<(MessageId, VehicleId)>> {
    let columns = Columns::of(arrivals);
    let rows = sqlx::query!(
        r#"INSERT INTO message (tenant_id, id, vehicle_id, batch_id, source, resubmission_of, received_at)
           SELECT $1, g.message_id, v.id, g.batch_id, g.source, g.resubmission_of, g.received_at
           FROM unnest($2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::uuid[], $8::timestamptz[])
               AS g (message_id, vehicle_id, external_ref, batch_id, source, resubmission_of, received_at)
           JOIN vehicle v ON v.tenant_id = $1 AND (v.id = g.vehicle_id OR v.external_ref = g.external_ref)
           -- A dead letter whose second sending broke off is sent again as the same message.
           ON CONFLICT (tenant_id, id) DO UPDATE SET received_at = excluded.received_at
           RETURNING id, vehicle_id AS "vehicle_id!""#,
        tenant.uuid(),
        &columns.messages,
        &wanted.ids as &[Option<Uuid>],
        &wanted.references as &[Option<&str>],
        &columns.batches as &[&str],
        &columns.sources as &[&str],
        &columns.origins as &[Option<Uuid>],
        &columns.received,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.id.into(), row.vehicle_id.into()))
        .collect())
}

async fn note_by_device(
    conn: &mut PgConnection,
    tenant: TenantId,
    arrivals: &[&Arrival],
    wanted: &Wanted<'_>,
) -> Result<Vec<(MessageId, DeviceId)>> {
    let columns = Columns::of(arrivals);
    let rows = sqlx::query!(
        r#"WITH g AS (
               SELECT g.*, d.id AS device_id
               FROM unnest($2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::uuid[], $8::timestamptz[])
                   AS g (message_id, given_id, external_ref, batch_id, source, resubmission_of, received_at)
               JOIN device d ON d.tenant_id = $1 AND (d.id = g.given_id OR d.external_ref = g.external_ref)
           ), noted AS (
               INSERT INTO message (tenant_id, id, batch_id, source, resubmission_of, received_at)
               SELECT $1, message_id, batch_id, source, resubmission_of, received_at FROM g
               ON CONFLICT (tenant_id, id) DO UPDATE SET received_at = excluded.received_at
           )
           SELECT message_id AS "message_id!", device_id FROM g"#,
        tenant.uuid(),
        &columns.messages,
        &wanted.ids as &[Option<Uuid>],
        &wanted.references as &[Option<&str>],
        &columns.batches as &[&str],
        &columns.sources as &[&str],
        &columns.origins as &[Option<Uuid>],
        &columns.received,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.message_id.into(), row.device_id.into()))
        .collect())
}

/// Settles messages that wait. What is not there came another way than through the door, and nobody asks for it.
pub(crate) async fn settle(conn: &mut PgConnection, now: DateTime<Utc>, settled: &[Settled]) -> Result<()> {
    if settled.is_empty() {
        return Ok(());
    }
    let tenants: Vec<Uuid> = settled.iter().map(|one| one.tenant.uuid()).collect();
    let messages: Vec<Uuid> = settled.iter().map(|one| one.message.uuid()).collect();
    let outcomes: Vec<&str> = settled.iter().map(|one| one.outcome.as_str()).collect();
    let tallies = settled
        .iter()
        .map(|one| to_json(&one.tally))
        .collect::<Result<Vec<_>>>()?;
    sqlx::query!(
        "UPDATE message m SET outcome = n.outcome, tally = n.tally, settled_at = $1
         FROM unnest($2::uuid[], $3::uuid[], $4::text[], $5::jsonb[]) AS n (tenant_id, id, outcome, tally)
         WHERE m.tenant_id = n.tenant_id AND m.id = n.id AND m.outcome IS NULL",
        now,
        &tenants,
        &messages,
        &outcomes as &[&str],
        &tallies,
    )
    .execute(conn)
    .await?;
    Ok(())
}

impl Caller<'_> {
    /// Notes messages that were turned away at the door.
    pub(crate) async fn turn_away(&self, conn: &mut PgConnection, letter: &NewDeadLetter, tally: &Tally) -> Result<()> {
        // Of what came another way nobody has the message's id.
        if letter.source != Source::Http {
            return Ok(());
        }
        sqlx::query!(
            "INSERT INTO message (tenant_id, id, vehicle_id, batch_id, source, received_at, outcome, tally, settled_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (tenant_id, id) DO NOTHING",
            self.tenant.uuid(),
            letter.message.uuid(),
            letter.vehicle.map(VehicleId::uuid),
            letter.batch_id.as_deref().map(|id| id.replace('\0', "\u{fffd}")),
            source_name(letter.source),
            letter.received_at.utc(),
            MessageOutcome::Rejected.as_str(),
            to_json(tally)?,
            self.now,
        )
        .execute(conn)
        .await?;
        Ok(())
    }
}
