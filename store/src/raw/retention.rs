//! Raw data whose time is over, and the holds that keep what they name all the same.

use chrono::{DateTime, Utc};
use odograph_domain::id::{IdOrRef, TenantId, VehicleId};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    error::{Result, StoreError},
    operator::OperatorStore,
    vehicles::lock_vehicle,
};

/// Raw data of a vehicle's time that is kept beyond its time, for a claim or a court.
#[derive(Debug, Clone, PartialEq)]
pub struct Hold {
    pub id: Uuid,
    pub vehicle: VehicleId,
    pub from: DateTime<Utc>,
    /// Inclusive.
    pub to: DateTime<Utc>,
    pub reason: String,
    pub placed_by: String,
    pub placed_at: DateTime<Utc>,
    pub released_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct NewHold {
    pub vehicle: IdOrRef<VehicleId>,
    pub from: DateTime<Utc>,
    /// Inclusive.
    pub to: DateTime<Utc>,
    pub reason: String,
    pub placed_by: String,
}

/// What went of one tenant's raw data.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Dropped {
    pub blocks: u64,
    /// Held, or not in the lake yet: they stay.
    pub kept: u64,
}

/// Blocks dropped in one transaction: nobody waits long for it.
const CHUNK: i64 = 500;

impl OperatorStore {
    pub async fn place_hold(&self, tenant: TenantId, new: NewHold) -> Result<Hold> {
        if new.to < new.from {
            return Err(StoreError::Invalid {
                kind: "hold",
                detail: format!("it ends at {}, before it begins at {}", new.to, new.from),
            });
        }
        let mut tx = self.begin().await?;
        let vehicle = lock_vehicle(&mut tx, tenant, &new.vehicle).await?;
        let hold = Hold {
            id: self.new_id(),
            vehicle,
            from: new.from,
            to: new.to,
            reason: new.reason,
            placed_by: new.placed_by,
            placed_at: self.now(),
            released_at: None,
        };
        sqlx::query!(
            "INSERT INTO raw_hold (tenant_id, id, vehicle_id, from_ts, to_ts, reason, placed_by, placed_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            tenant.uuid(),
            hold.id,
            vehicle.uuid(),
            hold.from,
            hold.to,
            hold.reason,
            hold.placed_by,
            hold.placed_at,
        )
        .execute(&mut *tx)
        .await?;
        self.audit(&mut tx, tenant, "place", "hold", hold.id).await?;
        tx.commit().await?;
        Ok(hold)
    }

    /// Those in force, or all there ever were, the latest first.
    pub async fn holds(&self, tenant: TenantId, released: bool) -> Result<Vec<Hold>> {
        let mut tx = self.begin().await?;
        let rows = sqlx::query!(
            "SELECT id, vehicle_id, from_ts, to_ts, reason, placed_by, placed_at, released_at FROM raw_hold
             WHERE tenant_id = $1 AND ($2 OR released_at IS NULL) ORDER BY placed_at DESC, id",
            tenant.uuid(),
            released,
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        let holds = rows.into_iter().map(|row| Hold {
            id: row.id,
            vehicle: row.vehicle_id.into(),
            from: row.from_ts,
            to: row.to_ts,
            reason: row.reason,
            placed_by: row.placed_by,
            placed_at: row.placed_at,
            released_at: row.released_at,
        });
        Ok(holds.collect())
    }

    /// What it kept goes with the next run, if its time is over.
    pub async fn release_hold(&self, tenant: TenantId, hold: Uuid) -> Result<()> {
        let mut tx = self.begin().await?;
        let released = sqlx::query!(
            "UPDATE raw_hold SET released_at = $3 WHERE tenant_id = $1 AND id = $2 AND released_at IS NULL",
            tenant.uuid(),
            hold,
            self.now(),
        )
        .execute(&mut *tx)
        .await?;
        if released.rows_affected() == 0 {
            return Err(StoreError::NotFound { kind: "hold in force" });
        }
        self.audit(&mut tx, tenant, "release", "hold", hold).await?;
        Ok(tx.commit().await?)
    }

    /// Lets go of a tenant's blocks that lie wholly before a time, but for those that a hold names. `keep_in_lake`: only those
    /// that are in the lake, where they are still read from.
    ///
    /// Without a lake they are gone for good: trips that start before the last of a vehicle's can be derived no more, and stay as
    /// they are from then on.
    pub async fn drop_raw(&self, tenant: TenantId, before: DateTime<Utc>, keep_in_lake: bool) -> Result<Dropped> {
        let kept_in = if keep_in_lake {
            Some(self.containers_there(tenant, before).await?)
        } else {
            None
        };
        let mut dropped = Dropped::default();
        loop {
            let mut tx = self.begin().await?;
            let blocks = drop_chunk(&mut tx, tenant, (before, self.now()), kept_in.as_deref()).await?;
            tx.commit().await?;
            dropped.blocks += blocks;
            if blocks < CHUNK.unsigned_abs() {
                break;
            }
        }
        dropped.kept = self.due_blocks(tenant, before).await?;
        Ok(dropped)
    }

    /// The containers of blocks that are due, as far as they lie in the lake that is configured: it may be another than the one
    /// they were brought to, or somebody may have cleared it.
    async fn containers_there(&self, tenant: TenantId, before: DateTime<Utc>) -> Result<Vec<Uuid>> {
        let Some(lake) = self.lake() else {
            return Ok(Vec::new());
        };
        let mut tx = self.begin().await?;
        let files = sqlx::query!(
            "SELECT id, path, bytes FROM lake_file f
             WHERE tenant_id = $1 AND data_set = 'raw' AND state = 'live'
               AND EXISTS (SELECT FROM lake_block b WHERE b.tenant_id = f.tenant_id AND b.file_id = f.id AND b.max_ts < $2
                                                      AND b.dropped_at IS NULL)",
            tenant.uuid(),
            before,
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        let mut there = Vec::new();
        for file in files {
            if lake.holds(&file.path, file.bytes.unsigned_abs()).await? {
                there.push(file.id);
            }
        }
        Ok(there)
    }

    async fn due_blocks(&self, tenant: TenantId, before: DateTime<Utc>) -> Result<u64> {
        let mut tx = self.begin().await?;
        let kept = sqlx::query_scalar!(
            r#"SELECT count(*) AS "kept!" FROM raw_block WHERE tenant_id = $1 AND max_ts < $2"#,
            tenant.uuid(),
            before,
        )
        .fetch_one(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(kept.unsigned_abs())
    }
}

/// `kept_in`: the containers that a block must lie in to go; `None` where it goes for good. One whose key is destroyed is of no use
/// to anybody.
async fn drop_chunk(
    conn: &mut PgConnection,
    tenant: TenantId,
    (before, now): (DateTime<Utc>, DateTime<Utc>),
    kept_in: Option<&[Uuid]>,
) -> Result<u64> {
    let due = sqlx::query!(
        "SELECT b.vehicle_id, b.id FROM raw_block b
         WHERE b.tenant_id = $1 AND b.max_ts < $2
           AND ($3::uuid[] IS NULL
                OR EXISTS (SELECT FROM lake_block l WHERE l.tenant_id = b.tenant_id AND l.vehicle_id = b.vehicle_id
                                                      AND l.id = b.id AND l.file_id = ANY ($3))
                OR EXISTS (SELECT FROM subject_key k WHERE k.tenant_id = b.tenant_id AND k.id = b.key_id
                                                       AND k.destroyed_at IS NOT NULL))
           AND NOT EXISTS (SELECT FROM raw_hold h
                           WHERE h.tenant_id = b.tenant_id AND h.vehicle_id = b.vehicle_id AND h.released_at IS NULL
                             AND h.from_ts <= b.max_ts AND h.to_ts >= b.min_ts)
         ORDER BY b.max_ts LIMIT $4",
        tenant.uuid(),
        before,
        kept_in,
        CHUNK,
    )
    .fetch_all(&mut *conn)
    .await?;
    let (vehicles, ids): (Vec<Uuid>, Vec<Uuid>) = due.iter().map(|row| (row.vehicle_id, row.id)).unzip();
    // Who derives or moves data holds the state and must find all of it or none: such a vehicle is there for the next run. Who
    // places a hold locks the vehicle.
    let free = sqlx::query_scalar!(
        "SELECT s.vehicle_id FROM vehicle_state s JOIN vehicle v ON v.tenant_id = s.tenant_id AND v.id = s.vehicle_id
         WHERE s.tenant_id = $1 AND s.vehicle_id = ANY ($2)
         FOR NO KEY UPDATE OF s, v SKIP LOCKED",
        tenant.uuid(),
        &vehicles,
    )
    .fetch_all(&mut *conn)
    .await?;
    // Holds are asked for once more: one may have been placed before the lock was had.
    let gone = sqlx::query!(
        "DELETE FROM raw_block b
         WHERE b.tenant_id = $1 AND b.vehicle_id = ANY ($2) AND b.id = ANY ($3)
           AND NOT EXISTS (SELECT FROM raw_hold h
                           WHERE h.tenant_id = b.tenant_id AND h.vehicle_id = b.vehicle_id AND h.released_at IS NULL
                             AND h.from_ts <= b.max_ts AND h.to_ts >= b.min_ts)
         RETURNING b.vehicle_id, b.id, b.max_ts",
        tenant.uuid(),
        &free,
        &ids,
    )
    .fetch_all(&mut *conn)
    .await?;
    let (vehicles, ids): (Vec<Uuid>, Vec<Uuid>) = gone.iter().map(|row| (row.vehicle_id, row.id)).unzip();
    sqlx::query!(
        "UPDATE lake_block b SET dropped_at = $4 FROM unnest($2::uuid[], $3::uuid[]) AS n (vehicle_id, id)
         WHERE b.tenant_id = $1 AND b.vehicle_id = n.vehicle_id AND b.id = n.id",
        tenant.uuid(),
        &vehicles,
        &ids,
        now,
    )
    .execute(&mut *conn)
    .await?;
    if kept_in.is_none() {
        let ends: Vec<DateTime<Utc>> = gone.iter().map(|row| row.max_ts).collect();
        sqlx::query!(
            "INSERT INTO raw_horizon (tenant_id, vehicle_id, before)
             SELECT $1::uuid, n.vehicle_id, max(n.max_ts) + interval '1 millisecond'
             FROM unnest($2::uuid[], $3::timestamptz[]) AS n (vehicle_id, max_ts) GROUP BY n.vehicle_id
             ON CONFLICT (tenant_id, vehicle_id) DO UPDATE SET before = greatest(raw_horizon.before, excluded.before)",
            tenant.uuid(),
            &vehicles,
            &ends,
        )
        .execute(conn)
        .await?;
    }
    Ok(gone.len() as u64)
}

/// Before this the vehicle lacks raw data that is gone for good.
pub(crate) async fn horizon(
    conn: &mut PgConnection,
    tenant: TenantId,
    vehicle: VehicleId,
) -> Result<Option<DateTime<Utc>>> {
    let before = sqlx::query_scalar!(
        "SELECT before FROM raw_horizon WHERE tenant_id = $1 AND vehicle_id = $2",
        tenant.uuid(),
        vehicle.uuid(),
    )
    .fetch_optional(conn)
    .await?;
    Ok(before)
}
