//! Compaction: the journal rows of a time become blocks, one a subject and device, each sample with all it came with.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use odograph_domain::{batch::RawSample, id::VehicleId, time::EventTime};
use sqlx::PgConnection;
use uuid::Uuid;

use super::block::{open_block, seal_block};
use crate::{
    crypto::{SubjectKey, existing_keys},
    error::{Result, StoreError},
    session::Caller,
};

/// Samples a block holds at most: what is read for one trip should not open a year.
pub(crate) const LARGEST: usize = 20_000;

struct Journal {
    subject_kind: String,
    subject_id: Uuid,
    key_id: Uuid,
    payload: Vec<u8>,
    device_id: Option<Uuid>,
}

/// Whose data a block holds, and which device recorded it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Origin {
    pub(super) kind: String,
    pub(super) subject: Uuid,
    pub(super) device: Option<Uuid>,
}

/// Compacts the journal rows that lie wholly before an instant; tells how many there were.
pub(crate) async fn compact(
    conn: &mut PgConnection,
    caller: &Caller<'_>,
    vehicle: VehicleId,
    up_to: EventTime,
) -> Result<u64> {
    let rows = sqlx::query_as!(
        Journal,
        "DELETE FROM raw_journal WHERE tenant_id = $1 AND vehicle_id = $2 AND max_ts < $3
         RETURNING subject_kind, subject_id, key_id, payload, device_id",
        caller.tenant.uuid(),
        vehicle.uuid(),
        up_to.utc(),
    )
    .fetch_all(&mut *conn)
    .await?;
    let compacted = rows.len() as u64;
    let mut ids: Vec<Uuid> = rows.iter().map(|row| row.key_id).collect();
    ids.sort_unstable();
    ids.dedup();
    let keys = existing_keys(conn, caller.master, caller.tenant, &ids).await?;
    let mut samples: BTreeMap<(Origin, Uuid), Vec<RawSample>> = BTreeMap::new();
    for row in rows {
        // Without a key it is erased: nothing is left to keep.
        if let Some(Some(key)) = keys.get(&row.key_id) {
            let opened = open_block(key, &row.payload)?;
            let origin = Origin {
                kind: row.subject_kind,
                subject: row.subject_id,
                device: row.device_id,
            };
            samples.entry((origin, row.key_id)).or_default().extend(opened);
        }
    }
    for ((origin, key_id), mut samples) in samples {
        samples.sort_by_key(|raw| (raw.sample.ts, raw.device_rank));
        let key = keys
            .get(&key_id)
            .cloned()
            .flatten()
            .ok_or_else(|| StoreError::corrupt("a key that was just there"))?;
        let key = SubjectKey { id: key_id, key };
        for chunk in samples.chunks(LARGEST) {
            insert(conn, caller, vehicle, &origin, &key, chunk).await?;
        }
    }
    Ok(compacted)
}

pub(super) async fn insert(
    conn: &mut PgConnection,
    caller: &Caller<'_>,
    vehicle: VehicleId,
    origin: &Origin,
    key: &SubjectKey,
    samples: &[RawSample],
) -> Result<()> {
    let samples: Vec<&RawSample> = samples.iter().collect();
    let (header, block) = seal_block(vehicle, key, &samples)?;
    sqlx::query!(
        "INSERT INTO raw_block (tenant_id, vehicle_id, id, subject_kind, subject_id, key_id, min_ts, max_ts, samples, payload,
                                created_at, device_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        caller.tenant.uuid(),
        vehicle.uuid(),
        caller.ids.uuid(),
        origin.kind,
        origin.subject,
        key.id,
        at(header.min_ts_ms)?,
        at(header.max_ts_ms)?,
        header.samples as i32,
        block,
        caller.now,
        origin.device,
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub(crate) fn at(ms: i64) -> Result<DateTime<Utc>> {
    DateTime::from_timestamp_millis(ms).ok_or_else(|| StoreError::corrupt("a time beyond all years"))
}
