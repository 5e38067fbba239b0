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

/// The times of the last sample before an instant and of the first after it.
pub(crate) async fn raw_extent(
    conn: &mut PgConnection,
    master: &MasterKey,
    tenant: TenantId,
    vehicle: VehicleId,
    at: EventTime,
) -> Result<(Option<EventTime>, Option<EventTime>)> {
    let whole = sqlx::query!(
        "SELECT max(max_ts) FILTER (WHERE max_ts < $3) AS before, min(min_ts) FILTER (WHERE min_ts > $3) AS after
         FROM (SELECT min_ts, max_ts FROM raw_journal WHERE tenant_id = $1 AND vehicle_id = $2
               UNION ALL SELECT min_ts, max_ts FROM raw_block WHERE tenant_id = $1 AND vehicle_id = $2) AS r",
        tenant.uuid(),
        vehicle.uuid(),
        at.utc(),
    )
    .fetch_one(&mut *conn)
    .await?;
    let mut before = whole.before.map(EventTime::new);
    let mut after = whole.after.map(EventTime::new);
    // Those that lie across it tell only from within.
    let across = sqlx::query_as!(
        Sealed,
        r#"SELECT key_id AS "key_id!", payload AS "payload!" FROM (
               SELECT key_id, payload FROM raw_journal
               WHERE tenant_id = $1 AND vehicle_id = $2 AND min_ts <= $3 AND max_ts >= $3
               UNION ALL
               SELECT key_id, payload FROM raw_block
               WHERE tenant_id = $1 AND vehicle_id = $2 AND min_ts <= $3 AND max_ts >= $3
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
        for raw in open_block(key, &row.payload)? {
            let ts = raw.sample.ts;
            if ts < at {
                before = before.max(Some(ts));
            } else if ts > at {
                after = Some(after.map_or(ts, |known| known.min(ts)));
            }
        }
    }
    Ok((before, after))
}
