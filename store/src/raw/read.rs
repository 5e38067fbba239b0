//! Raw samples of a vehicle by time, from the journal and the blocks alike.

use std::collections::HashMap;

use odograph_domain::{
    batch::RawSample,
    id::{TenantId, VehicleId},
    time::{EventTime, Window},
};
use sqlx::PgConnection;
use uuid::Uuid;

use super::block::open_block;
use crate::{
    crypto::{Key, MasterKey, existing_keys},
    error::Result,
};

struct Sealed {
    key_id: Uuid,
    payload: Vec<u8>,
}

/// The samples within a window by time and device rank. What was erased is not there any more.
pub(crate) async fn raw_between(
    conn: &mut PgConnection,
    master: &MasterKey,
    tenant: TenantId,
    vehicle: VehicleId,
    window: Window,
) -> Result<Vec<RawSample>> {
    let rows = sqlx::query_as!(
        Sealed,
        r#"SELECT key_id AS "key_id!", payload AS "payload!" FROM (
               SELECT key_id, payload FROM raw_journal
               WHERE tenant_id = $1 AND vehicle_id = $2 AND min_ts <= $4 AND max_ts >= $3
               UNION ALL
               SELECT key_id, payload FROM raw_block
               WHERE tenant_id = $1 AND vehicle_id = $2 AND min_ts <= $4 AND max_ts >= $3
           ) AS r"#,
        tenant.uuid(),
        vehicle.uuid(),
        window.from.utc(),
        window.to.utc(),
    )
    .fetch_all(&mut *conn)
    .await?;
    let keys = keys_of(conn, master, tenant, &rows).await?;
    let mut samples = vec![];
    for row in &rows {
        if let Some(Some(key)) = keys.get(&row.key_id) {
            let opened = open_block(key, &row.payload)?;
            samples.extend(opened.into_iter().filter(|raw| window.contains(raw.sample.ts)));
        }
    }
    samples.sort_by_key(|raw| (raw.sample.ts, raw.device_rank));
    Ok(samples)
}

async fn keys_of(
    conn: &mut PgConnection,
    master: &MasterKey,
    tenant: TenantId,
    rows: &[Sealed],
) -> Result<HashMap<Uuid, Option<Key>>> {
    let mut ids: Vec<Uuid> = rows.iter().map(|row| row.key_id).collect();
    ids.sort_unstable();
    ids.dedup();
    existing_keys(conn, master, tenant, &ids).await
}

/// The time of the first sample after an instant.
pub(crate) async fn first_after(
    conn: &mut PgConnection,
    master: &MasterKey,
    tenant: TenantId,
    vehicle: VehicleId,
    at: EventTime,
) -> Result<Option<EventTime>> {
    let whole = sqlx::query_scalar!(
        "SELECT least((SELECT min(min_ts) FROM raw_journal WHERE tenant_id = $1 AND vehicle_id = $2 AND min_ts > $3),
                      (SELECT min(min_ts) FROM raw_block WHERE tenant_id = $1 AND vehicle_id = $2 AND min_ts > $3))",
        tenant.uuid(),
        vehicle.uuid(),
        at.utc(),
    )
    .fetch_one(&mut *conn)
    .await?;
    let mut after = whole.map(EventTime::new);
    // Those that lie across it tell only from within.
    let across = sqlx::query_as!(
        Sealed,
        r#"SELECT key_id AS "key_id!", payload AS "payload!" FROM (
               SELECT key_id, payload FROM raw_journal
               WHERE tenant_id = $1 AND vehicle_id = $2 AND min_ts <= $3 AND max_ts > $3
               UNION ALL
               SELECT key_id, payload FROM raw_block
               WHERE tenant_id = $1 AND vehicle_id = $2 AND min_ts <= $3 AND max_ts > $3
           ) AS r"#,
        tenant.uuid(),
        vehicle.uuid(),
        at.utc(),
    )
    .fetch_all(&mut *conn)
    .await?;
    let keys = keys_of(conn, master, tenant, &across).await?;
    for row in &across {
        let Some(Some(key)) = keys.get(&row.key_id) else {
            continue;
        };
        let opened = open_block(key, &row.payload)?;
        let first = opened.iter().map(|raw| raw.sample.ts).filter(|ts| *ts > at).min();
        after = after.into_iter().chain(first).min();
    }
    Ok(after)
}
