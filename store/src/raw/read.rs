//! Raw samples of a vehicle by time, from the journal, the blocks and, of what the database has let go of, the lake.

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
    error::{Result, StoreError},
    lake::Lake,
};

/// Where a tenant's raw data is read from beside the database, and with what.
#[derive(Clone, Copy)]
pub(crate) struct RawSource<'a> {
    pub(crate) tenant: TenantId,
    pub(crate) master: &'a MasterKey,
    pub(crate) lake: Option<&'a Lake>,
}

/// A block, or where in the lake it lies.
pub(super) struct Sealed {
    pub(super) key_id: Uuid,
    pub(super) payload: Option<Vec<u8>>,
    pub(super) path: Option<String>,
    pub(super) at_byte: Option<i64>,
    pub(super) bytes: Option<i32>,
}

/// The samples within a window by time and device rank. What was erased is not there any more.
pub(crate) async fn raw_between(
    conn: &mut PgConnection,
    source: RawSource<'_>,
    vehicle: VehicleId,
    window: Window,
) -> Result<Vec<RawSample>> {
    let rows = sqlx::query_as!(
        Sealed,
        r#"SELECT key_id AS "key_id!", payload, path, at_byte, bytes FROM (
               SELECT key_id, payload, NULL::text AS path, NULL::bigint AS at_byte, NULL::int AS bytes FROM raw_journal
               WHERE tenant_id = $1 AND vehicle_id = $2 AND min_ts <= $4 AND max_ts >= $3
               UNION ALL
               SELECT key_id, payload, NULL, NULL, NULL FROM raw_block
               WHERE tenant_id = $1 AND vehicle_id = $2 AND min_ts <= $4 AND max_ts >= $3
               UNION ALL
               SELECT b.key_id, NULL, f.path, b.at_byte, b.bytes
               FROM lake_block b JOIN lake_file f ON f.tenant_id = b.tenant_id AND f.id = b.file_id
               WHERE b.tenant_id = $1 AND b.vehicle_id = $2 AND b.min_ts <= $4 AND b.max_ts >= $3
                 AND b.dropped_at IS NOT NULL
           ) AS r"#,
        source.tenant.uuid(),
        vehicle.uuid(),
        window.from.utc(),
        window.to.utc(),
    )
    .fetch_all(&mut *conn)
    .await?;
    let mut samples = vec![];
    for opened in open_all(conn, source, rows).await? {
        samples.extend(opened.into_iter().filter(|raw| window.contains(raw.sample.ts)));
    }
    samples.sort_by_key(|raw| (raw.sample.ts, raw.device_rank));
    Ok(samples)
}

/// Opens blocks wherever they lie; those whose key is destroyed are erased and left out, and not even fetched.
async fn open_all(conn: &mut PgConnection, source: RawSource<'_>, rows: Vec<Sealed>) -> Result<Vec<Vec<RawSample>>> {
    let keys = keys_of(conn, source, &rows).await?;
    let living: Vec<(&Key, Sealed)> = rows
        .into_iter()
        .filter_map(|row| Some((keys.get(&row.key_id)?.as_ref()?, row)))
        .collect();
    let (keys, rows): (Vec<_>, Vec<_>) = living.into_iter().unzip();
    let blocks = fetch(source, rows).await?;
    keys.into_iter()
        .zip(blocks)
        .map(|(key, block)| open_block(key, &block))
        .collect()
}

/// The blocks themselves, in the rows' order.
pub(super) async fn fetch(source: RawSource<'_>, rows: Vec<Sealed>) -> Result<Vec<Vec<u8>>> {
    let mut wanted = vec![];
    for row in &rows {
        if let (Some(path), Some(at), Some(bytes)) = (&row.path, row.at_byte, row.bytes) {
            wanted.push((path.clone(), (at.unsigned_abs(), u64::from(bytes.unsigned_abs()))));
        }
    }
    let mut parts = match (source.lake, wanted.is_empty()) {
        (_, true) => vec![],
        (Some(lake), false) => lake.parts(&wanted).await?,
        (None, false) => {
            let told = "raw data of this time lies in the lake only, and none is configured (lake.url)";
            return Err(StoreError::Lake(told.to_owned()));
        }
    }
    .into_iter();
    rows.into_iter()
        .map(|row| {
            row.payload
                .or_else(|| parts.next().map(Vec::from))
                .ok_or_else(|| StoreError::corrupt("a block that lies nowhere"))
        })
        .collect()
}

async fn keys_of(
    conn: &mut PgConnection,
    source: RawSource<'_>,
    rows: &[Sealed],
) -> Result<HashMap<Uuid, Option<Key>>> {
    let mut ids: Vec<Uuid> = rows.iter().map(|row| row.key_id).collect();
    ids.sort_unstable();
    ids.dedup();
    existing_keys(conn, source.master, source.tenant, &ids).await
}

/// The time of the first sample after an instant.
pub(crate) async fn first_after(
    conn: &mut PgConnection,
    source: RawSource<'_>,
    vehicle: VehicleId,
    at: EventTime,
) -> Result<Option<EventTime>> {
    let whole = sqlx::query_scalar!(
        "SELECT least((SELECT min(min_ts) FROM raw_journal WHERE tenant_id = $1 AND vehicle_id = $2 AND min_ts > $3),
                      (SELECT min(min_ts) FROM raw_block WHERE tenant_id = $1 AND vehicle_id = $2 AND min_ts > $3),
                      (SELECT min(min_ts) FROM lake_block
                       WHERE tenant_id = $1 AND vehicle_id = $2 AND min_ts > $3 AND dropped_at IS NOT NULL))",
        source.tenant.uuid(),
        vehicle.uuid(),
        at.utc(),
    )
    .fetch_one(&mut *conn)
    .await?;
    let mut after = whole.map(EventTime::new);
    // Those that lie across it tell only from within.
    let across = sqlx::query_as!(
        Sealed,
        r#"SELECT key_id AS "key_id!", payload, path, at_byte, bytes FROM (
               SELECT key_id, payload, NULL::text AS path, NULL::bigint AS at_byte, NULL::int AS bytes FROM raw_journal
               WHERE tenant_id = $1 AND vehicle_id = $2 AND min_ts <= $3 AND max_ts > $3
               UNION ALL
               SELECT key_id, payload, NULL, NULL, NULL FROM raw_block
               WHERE tenant_id = $1 AND vehicle_id = $2 AND min_ts <= $3 AND max_ts > $3
               UNION ALL
               SELECT b.key_id, NULL, f.path, b.at_byte, b.bytes
               FROM lake_block b JOIN lake_file f ON f.tenant_id = b.tenant_id AND f.id = b.file_id
               WHERE b.tenant_id = $1 AND b.vehicle_id = $2 AND b.min_ts <= $3 AND b.max_ts > $3
                 AND b.dropped_at IS NOT NULL
           ) AS r"#,
        source.tenant.uuid(),
        vehicle.uuid(),
        at.utc(),
    )
    .fetch_all(&mut *conn)
    .await?;
    for opened in open_all(conn, source, across).await? {
        let first = opened.iter().map(|raw| raw.sample.ts).filter(|ts| *ts > at).min();
        after = after.into_iter().chain(first).min();
    }
    Ok(after)
}
