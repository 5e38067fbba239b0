//! Compaction of `raw/`: the small containers of a day become one, without the blocks that are no more.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use odograph_domain::id::TenantId;
use uuid::Uuid;

use super::{
    LakeStore,
    container::{Entry, Packing},
    raw::{Stored, settle},
};
use crate::{
    error::{Result, StoreError},
    session::now,
};

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RawCompacted {
    /// Containers that went, and that took their place.
    pub before: u64,
    pub after: u64,
    pub blocks: u64,
    pub bytes: u64,
}

/// Small containers that a day may have while more come.
const MANY: i32 = 8;

struct FileRow {
    id: Uuid,
    path: String,
    bytes: i64,
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
    file_id: Uuid,
    at_byte: i64,
    bytes: i32,
}

impl LakeStore {
    /// Days of tenants whose containers want compaction: those that hold something dead, and those of several small ones; of a
    /// day that is still going on, only once there are many.
    pub async fn scattered_days(&self) -> Result<Vec<(TenantId, NaiveDate)>> {
        let mut tx = self.begin().await?;
        let now = now(self.store.clock());
        // What a destroyed key encrypted is dead: nobody can read it any more.
        sqlx::query!(
            "WITH gone AS (
                 DELETE FROM lake_block b USING subject_key k
                 WHERE k.destroyed_at IS NOT NULL AND b.tenant_id = k.tenant_id AND b.key_id = k.id
                 RETURNING b.tenant_id, b.file_id
             )
             UPDATE lake_file f SET dead = f.dead + g.blocks
             FROM (SELECT tenant_id, file_id, count(*)::int AS blocks FROM gone GROUP BY tenant_id, file_id) AS g
             WHERE f.tenant_id = g.tenant_id AND f.id = g.file_id"
        )
        .execute(&mut *tx)
        .await?;
        let rows = sqlx::query!(
            r#"SELECT tenant_id AS "tenant_id!", day AS "day!" FROM lake_file
               WHERE data_set = 'raw' AND state = 'live'
               GROUP BY tenant_id, day
               HAVING sum(dead) > 0
                   OR count(*) FILTER (WHERE bytes < $1) >= CASE WHEN day < $2::date - 1 THEN 2 ELSE $3 END
               ORDER BY day, tenant_id"#,
            self.small(),
            now.date_naive(),
            MANY,
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(rows.into_iter().map(|row| (row.tenant_id.into(), row.day)).collect())
    }

    /// Below this a container is small.
    fn small(&self) -> i64 {
        i64::try_from(self.lake.file_bytes / 2).unwrap_or(i64::MAX)
    }

    /// Puts what lives of a day's small and partly dead containers into new ones of good size. The old ones stay for a while,
    /// for those who read them just now.
    pub async fn compact_day(&self, tenant: TenantId, day: NaiveDate) -> Result<RawCompacted> {
        let mut compacted = RawCompacted::default();
        loop {
            let files = self.to_merge(tenant, day).await?;
            let more = self.compact_files(tenant, day, &files).await?;
            compacted.before += more.before;
            compacted.after += more.after;
            compacted.blocks += more.blocks;
            compacted.bytes += more.bytes;
            // A large one that holds something dead is written anew by itself, and others may follow.
            if more.before == 0 {
                return Ok(compacted);
            }
        }
    }

    /// As many as make one of full size.
    async fn to_merge(&self, tenant: TenantId, day: NaiveDate) -> Result<Vec<FileRow>> {
        let mut tx = self.begin().await?;
        let mut rows = sqlx::query_as!(
            FileRow,
            "SELECT id, path, bytes FROM lake_file
             WHERE tenant_id = $1 AND day = $2 AND data_set = 'raw' AND state = 'live' AND (dead > 0 OR bytes < $3)
             ORDER BY (dead > 0) DESC, bytes",
            tenant.uuid(),
            day,
            self.small(),
        )
        .fetch_all(&mut *tx)
        .await?;
        let dead = sqlx::query_scalar!(
            r#"SELECT count(*) AS "dead!" FROM lake_file
               WHERE tenant_id = $1 AND day = $2 AND data_set = 'raw' AND state = 'live' AND dead > 0"#,
            tenant.uuid(),
            day,
        )
        .fetch_one(&mut *tx)
        .await?;
        tx.commit().await?;
        let mut room = i64::try_from(self.lake.file_bytes).unwrap_or(i64::MAX);
        let fits = rows
            .iter()
            .take_while(|file| {
                room -= file.bytes;
                room > 0
            })
            .count();
        rows.truncate(fits.max(1));
        // A small one alone is as good as it gets.
        if rows.len() < 2 && dead == 0 {
            rows.clear();
        }
        Ok(rows)
    }

    async fn compact_files(&self, tenant: TenantId, day: NaiveDate, files: &[FileRow]) -> Result<RawCompacted> {
        let ids: Vec<Uuid> = files.iter().map(|file| file.id).collect();
        if ids.is_empty() {
            return Ok(RawCompacted::default());
        }
        let blocks = self.blocks_of(tenant, &ids).await?;
        let stored = if blocks.is_empty() {
            None
        } else {
            let packing = self.pack(tenant, files, &blocks).await?;
            Some(self.store_container(tenant, day, packing).await?)
        };
        let from: BTreeMap<Uuid, Uuid> = blocks.iter().map(|block| (block.id, block.file_id)).collect();
        let moved = self.move_blocks(tenant, &ids, stored.as_ref(), &from).await?;
        Ok(RawCompacted {
            before: ids.len() as u64,
            after: u64::from(stored.is_some()),
            blocks: moved,
            bytes: stored.map_or(0, |stored| stored.bytes.unsigned_abs()),
        })
    }

    async fn blocks_of(&self, tenant: TenantId, files: &[Uuid]) -> Result<Vec<BlockRow>> {
        let mut tx = self.begin().await?;
        let rows = sqlx::query_as!(
            BlockRow,
            "SELECT id, vehicle_id, subject_kind, subject_id, key_id, device_id, min_ts, max_ts, samples, file_id, at_byte, bytes
             FROM lake_block WHERE tenant_id = $1 AND file_id = ANY ($2) ORDER BY vehicle_id, min_ts, id",
            tenant.uuid(),
            files,
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(rows)
    }

    async fn pack(&self, tenant: TenantId, files: &[FileRow], blocks: &[BlockRow]) -> Result<Packing> {
        let mut contents = BTreeMap::new();
        for file in files {
            let missing = || StoreError::Lake(format!("{} is not there", file.path));
            contents.insert(file.id, self.lake.get(&file.path).await?.ok_or_else(missing)?);
        }
        let mut packing = Packing::new(tenant);
        for block in blocks {
            let at = usize::try_from(block.at_byte).map_err(StoreError::corrupt)?;
            let length = usize::try_from(block.bytes).map_err(StoreError::corrupt)?;
            let bytes = contents
                .get(&block.file_id)
                .and_then(|content| content.get(at..at + length))
                .ok_or_else(|| StoreError::corrupt("a block that lies outside of its container"))?;
            packing.push(block.entry(), bytes);
        }
        Ok(packing)
    }

    /// In one transaction the blocks lie in the new container, and the old ones are of no use.
    async fn move_blocks(
        &self,
        tenant: TenantId,
        old: &[Uuid],
        stored: Option<&Stored>,
        from: &BTreeMap<Uuid, Uuid>,
    ) -> Result<u64> {
        let mut tx = self.begin().await?;
        let at = now(self.store.clock());
        let mut moved = 0;
        if let Some(stored) = stored {
            let (mut ids, mut files, mut places) = (vec![], vec![], vec![]);
            for entry in &stored.entries {
                ids.push(entry.block);
                files.push(from.get(&entry.block).copied().unwrap_or_default());
                places.push(i64::try_from(entry.at).map_err(StoreError::corrupt)?);
            }
            moved = sqlx::query!(
                "UPDATE lake_block b SET file_id = $2, at_byte = n.at_byte
                 FROM unnest($3::uuid[], $4::uuid[], $5::bigint[]) AS n (id, file_id, at_byte)
                 WHERE b.tenant_id = $1 AND b.id = n.id AND b.file_id = n.file_id",
                tenant.uuid(),
                stored.id,
                &ids,
                &files,
                &places,
            )
            .execute(&mut *tx)
            .await?
            .rows_affected();
            settle(&mut tx, tenant, stored, moved as usize, at).await?;
        }
        sqlx::query!(
            "UPDATE lake_file f SET state = 'gone', changed_at = $3
             WHERE f.tenant_id = $1 AND f.id = ANY ($2) AND f.state = 'live'
               AND NOT EXISTS (SELECT FROM lake_block b WHERE b.tenant_id = f.tenant_id AND b.file_id = f.id)",
            tenant.uuid(),
            old,
            at,
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(moved)
    }
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
