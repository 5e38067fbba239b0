//! `raw/`: the encrypted blocks as they are, many in a container, in addition to the database and then in its place.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use odograph_domain::id::TenantId;
use sha2::{Digest, Sha256};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    LakeStore,
    container::{Entry, Packing},
    folder,
};
use crate::{
    error::{Result, StoreError},
    raw::at,
    session::now,
};

/// Blocks taken at a time: what they hold is in memory until it is stored.
const AT_ONCE: i64 = 500;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RawSynced {
    pub files: u64,
    pub blocks: u64,
    pub samples: u64,
    pub bytes: u64,
}

/// A container that is stored but that nothing points to yet. Dropped without [`RawPut::commit`], it is announced and no more,
/// and is deleted in time.
#[derive(Debug)]
pub struct RawPut {
    lake: LakeStore,
    tenant: TenantId,
    file: Stored,
}

/// A container in the lake.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) id: Uuid,
    pub(super) bytes: i64,
    pub(super) sha256: [u8; 32],
    pub(super) entries: Vec<Entry>,
}

struct BlockRow {
    id: Uuid,
    vehicle_id: Uuid,
    subject_kind: String,
    subject_id: Uuid,
    key_id: Uuid,
    device_id: Option<Uuid>,
    min_ts: DateTime<Utc>,
    max_ts: DateTime<Utc>,
    samples: i32,
    payload: Vec<u8>,
}

impl BlockRow {
    fn entry(&self) -> Entry {
        Entry {
            block: self.id,
            vehicle: self.vehicle_id,
            subject_kind: self.subject_kind.clone(),
            subject: self.subject_id,
            key: self.key_id,
            device: self.device_id,
            min_ts_ms: self.min_ts.timestamp_millis(),
            max_ts_ms: self.max_ts.timestamp_millis(),
            samples: self.samples.unsigned_abs(),
            at: 0,
            bytes: 0,
        }
    }
}

impl LakeStore {
    /// Tenants that have blocks which are not in the lake.
    pub async fn tenants_with_new_blocks(&self) -> Result<Vec<TenantId>> {
        let mut tx = self.begin().await?;
        let tenants = sqlx::query_scalar!(
            r#"SELECT id AS "id!" FROM tenant t
               WHERE EXISTS (SELECT FROM raw_block b WHERE b.tenant_id = t.id AND NOT b.in_lake) ORDER BY id"#
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(tenants.into_iter().map(Into::into).collect())
    }

    /// Stores the blocks of a tenant that are not in the lake yet, the earliest first and some at a time: a container for each
    /// day. They count as stored once each is committed. Empty where there are none.
    pub async fn put_blocks(&self, tenant: TenantId) -> Result<Vec<RawPut>> {
        let mut tx = self.begin().await?;
        let rows = sqlx::query_as!(
            BlockRow,
            "SELECT id, vehicle_id, subject_kind, subject_id, key_id, device_id, min_ts, max_ts, samples, payload
             FROM raw_block WHERE tenant_id = $1 AND NOT in_lake ORDER BY min_ts LIMIT $2",
            tenant.uuid(),
            AT_ONCE,
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        let mut days: BTreeMap<NaiveDate, Vec<BlockRow>> = BTreeMap::new();
        for row in rows {
            days.entry(row.min_ts.date_naive()).or_default().push(row);
        }
        let mut put = Vec::new();
        for (day, mut rows) in days {
            rows.sort_by_key(|row| (row.vehicle_id, row.min_ts, row.id));
            let mut packing = Packing::new(tenant);
            for row in rows {
                packing.push(row.entry(), &row.payload);
            }
            put.push(RawPut {
                lake: self.clone(),
                tenant,
                file: self.store_container(tenant, day, packing).await?,
            });
        }
        Ok(put)
    }

    /// Announces a container, then stores it: if nobody comes to say that it counts, it is known what to delete.
    pub(super) async fn store_container(&self, tenant: TenantId, day: NaiveDate, packing: Packing) -> Result<Stored> {
        let id = self.store.ids().uuid();
        let path = format!("{}/{id}.odrc", folder("raw", tenant, day));
        let (content, entries) = packing.finish()?;
        let bytes = content.len() as i64;
        let sha256 = Sha256::digest(&content).into();
        let mut tx = self.begin().await?;
        sqlx::query!(
            "INSERT INTO lake_file (tenant_id, id, data_set, day, path, state, bytes, items, samples, changed_at)
             VALUES ($1, $2, 'raw', $3, $4, 'writing', $5, $6, $7, $8)",
            tenant.uuid(),
            id,
            day,
            path,
            bytes,
            i32::try_from(entries.len()).map_err(StoreError::corrupt)?,
            entries.iter().map(|entry| i64::from(entry.samples)).sum::<i64>(),
            now(self.store.clock()),
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        self.lake.put(&path, content).await?;
        Ok(Stored {
            id,
            bytes,
            sha256,
            entries,
        })
    }
}

impl RawPut {
    /// Says where the blocks lie from now on. Those that are no more, or that somebody else has stored in the meantime, are dead
    /// weight in the container.
    pub async fn commit(self) -> Result<RawSynced> {
        let Self { lake, tenant, file } = self;
        let mut tx = lake.begin().await?;
        let ids: Vec<Uuid> = file.entries.iter().map(|entry| entry.block).collect();
        let taken = sqlx::query_scalar!(
            "UPDATE raw_block SET in_lake = true WHERE tenant_id = $1 AND id = ANY ($2) AND vehicle_id = ANY ($3) AND NOT in_lake
             RETURNING id",
            tenant.uuid(),
            &ids,
            &vehicles(&file.entries),
        )
        .fetch_all(&mut *tx)
        .await?;
        let live: Vec<&Entry> = file
            .entries
            .iter()
            .filter(|entry| taken.contains(&entry.block))
            .collect();
        settle(&mut tx, tenant, &file, live.len(), now(lake.store.clock())).await?;
        insert_blocks(&mut tx, tenant, file.id, &live).await?;
        tx.commit().await?;
        Ok(RawSynced {
            files: 1,
            blocks: live.len() as u64,
            samples: live.iter().map(|entry| u64::from(entry.samples)).sum(),
            bytes: file.bytes.unsigned_abs(),
        })
    }
}

fn vehicles(entries: &[Entry]) -> Vec<Uuid> {
    let mut vehicles: Vec<Uuid> = entries.iter().map(|entry| entry.vehicle).collect();
    vehicles.sort_unstable();
    vehicles.dedup();
    vehicles
}

/// An announced container counts, or is of no use.
pub(super) async fn settle(
    conn: &mut PgConnection,
    tenant: TenantId,
    file: &Stored,
    live: usize,
    now: DateTime<Utc>,
) -> Result<()> {
    let settled = sqlx::query!(
        "UPDATE lake_file SET state = CASE WHEN $3::int = 0 THEN 'gone' ELSE 'live' END, sha256 = $4, dead = items - $3,
             changed_at = $5
         WHERE tenant_id = $1 AND id = $2 AND state = 'writing'",
        tenant.uuid(),
        file.id,
        live as i32,
        &file.sha256[..],
        now,
    )
    .execute(conn)
    .await?;
    match settled.rows_affected() {
        1 => Ok(()),
        // It took so long that the announcement was taken for one of a process that died.
        _ => Err(StoreError::Lake(
            "a container was cleared away before it counted".to_owned(),
        )),
    }
}

async fn insert_blocks(conn: &mut PgConnection, tenant: TenantId, file: Uuid, entries: &[&Entry]) -> Result<()> {
    let (mut ids, mut vehicles, mut kinds, mut subjects, mut keys) = (vec![], vec![], vec![], vec![], vec![]);
    let (mut devices, mut from, mut to, mut samples, mut places, mut lengths) =
        (vec![], vec![], vec![], vec![], vec![], vec![]);
    for entry in entries {
        ids.push(entry.block);
        vehicles.push(entry.vehicle);
        kinds.push(entry.subject_kind.as_str());
        subjects.push(entry.subject);
        keys.push(entry.key);
        devices.push(entry.device);
        from.push(at(entry.min_ts_ms)?);
        to.push(at(entry.max_ts_ms)?);
        samples.push(i32::try_from(entry.samples).map_err(StoreError::corrupt)?);
        places.push(i64::try_from(entry.at).map_err(StoreError::corrupt)?);
        lengths.push(i32::try_from(entry.bytes).map_err(StoreError::corrupt)?);
    }
    sqlx::query!(
        "INSERT INTO lake_block (tenant_id, file_id, id, vehicle_id, subject_kind, subject_id, key_id, device_id, min_ts, max_ts,
                                 samples, at_byte, bytes)
         SELECT $1::uuid, $2::uuid, n.* FROM unnest($3::uuid[], $4::uuid[], $5::text[], $6::uuid[], $7::uuid[], $8::uuid[],
             $9::timestamptz[], $10::timestamptz[], $11::int[], $12::bigint[], $13::int[]) AS n",
        tenant.uuid(),
        file,
        &ids,
        &vehicles,
        &kinds as &[&str],
        &subjects,
        &keys,
        &devices as &[Option<Uuid>],
        &from,
        &to,
        &samples,
        &places,
        &lengths,
    )
    .execute(conn)
    .await?;
    Ok(())
}
