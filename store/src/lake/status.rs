//! How much lies in the lake, and how far it is behind the database.

use odograph_domain::id::TenantId;

use super::LakeStore;
use crate::error::Result;

/// Of one tenant.
#[derive(Debug, Clone, PartialEq)]
pub struct LakeStatus {
    pub tenant: TenantId,
    pub trip_files: i64,
    pub trip_bytes: i64,
    pub trips: i64,
    pub metres: f64,
    /// Days of trips that are not in the lake as they are in the database.
    pub days_behind: i64,
    pub raw_files: i64,
    pub raw_bytes: i64,
    pub blocks: i64,
    pub block_samples: i64,
    /// Blocks of the lake that the database has let go of.
    pub dropped_blocks: i64,
    /// Blocks of the database that are not in the lake.
    pub blocks_behind: i64,
    /// Objects announced or to be deleted.
    pub unsettled: i64,
}

impl LakeStore {
    /// Of every tenant, in the order they were made.
    pub async fn status(&self) -> Result<Vec<LakeStatus>> {
        let mut tx = self.begin().await?;
        let rows = sqlx::query!(
            r#"SELECT t.id,
                      coalesce(f.trip_files, 0) AS "trip_files!", coalesce(f.trip_bytes, 0) AS "trip_bytes!",
                      coalesce(f.trips, 0) AS "trips!", coalesce(f.metres, 0) AS "metres!",
                      coalesce(f.raw_files, 0) AS "raw_files!", coalesce(f.raw_bytes, 0) AS "raw_bytes!",
                      coalesce(f.unsettled, 0) AS "unsettled!",
                      (SELECT count(DISTINCT day) FROM lake_trip_change c WHERE c.tenant_id = t.id) AS "days_behind!",
                      b.blocks AS "blocks!", b.samples AS "samples!", b.dropped AS "dropped!",
                      (SELECT count(*) FROM raw_block r WHERE r.tenant_id = t.id AND NOT r.in_lake) AS "blocks_behind!"
               FROM tenant t
               LEFT JOIN LATERAL (
                   SELECT count(*) FILTER (WHERE data_set = 'trips') AS trip_files,
                          sum(bytes) FILTER (WHERE data_set = 'trips')::bigint AS trip_bytes,
                          sum(items) FILTER (WHERE data_set = 'trips') AS trips,
                          sum(metres) AS metres,
                          count(*) FILTER (WHERE data_set = 'raw' AND state = 'live') AS raw_files,
                          sum(bytes) FILTER (WHERE data_set = 'raw' AND state = 'live')::bigint AS raw_bytes,
                          count(*) FILTER (WHERE state <> 'live') AS unsettled
                   FROM lake_file WHERE tenant_id = t.id
               ) AS f ON true
               CROSS JOIN LATERAL (
                   SELECT count(*) AS blocks, coalesce(sum(samples), 0) AS samples,
                          count(*) FILTER (WHERE dropped_at IS NOT NULL) AS dropped
                   FROM lake_block WHERE tenant_id = t.id
               ) AS b
               ORDER BY t.created_at, t.id"#
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        let status = rows.into_iter().map(|row| LakeStatus {
            tenant: row.id.into(),
            trip_files: row.trip_files,
            trip_bytes: row.trip_bytes,
            trips: row.trips,
            metres: row.metres,
            days_behind: row.days_behind,
            raw_files: row.raw_files,
            raw_bytes: row.raw_bytes,
            blocks: row.blocks,
            block_samples: row.samples,
            dropped_blocks: row.dropped,
            blocks_behind: row.blocks_behind,
            unsettled: row.unsettled,
        });
        Ok(status.collect())
    }
}
