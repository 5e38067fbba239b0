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
    /// Without a lake they are gone for good: trips that start before the time can be derived no more, and stay as they are from
    /// then on. That is said a run before anything goes, so that nobody derives from half of what there was.
    pub async fn drop_raw(&self, tenant: TenantId, before: DateTime<Utc>, keep_in_lake: bool) -> Result<Dropped> {
        let before = if keep_in_lake {
            before
        } else {
            match self.advance_horizon(tenant, before).await? {
                Some(said) => said.min(before),
                None => return Ok(Dropped::default()),
            }
        };
        let mut dropped = Dropped::default();
        loop {
            let mut tx = self.begin().await?;
            let blocks = drop_chunk(&mut tx, tenant, (before, self.now()), keep_in_lake).await?;
            tx.commit().await?;
            dropped.blocks += blocks;
            if blocks < CHUNK.unsigned_abs() {
                break;
            }
        }
        dropped.kept = self.due_blocks(tenant, before).await?;
        Ok(dropped)
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

    /// Says that what lies before a time goes; returns what was said before.
    async fn advance_horizon(&self, tenant: TenantId, before: DateTime<Utc>) -> Result<Option<DateTime<Utc>>> {
        let mut tx = self.begin().await?;
        let said = horizon(&mut tx, tenant).await?;
        sqlx::query!(
            "INSERT INTO raw_horizon (tenant_id, before) VALUES ($1, $2)
             ON CONFLICT (tenant_id) DO UPDATE SET before = greatest(raw_horizon.before, excluded.before)",
            tenant.uuid(),
            before,
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(said)
    }
}

async fn drop_chunk(
    conn: &mut PgConnection,
    tenant: TenantId,
    (before, now): (DateTime<Utc>, DateTime<Utc>),
    keep_in_lake: bool,
) -> Result<u64> {
    let gone = sqlx::query!(
        "DELETE FROM raw_block d USING (
             SELECT b.vehicle_id, b.id FROM raw_block b
             WHERE b.tenant_id = $1 AND b.max_ts < $2 AND (b.in_lake OR NOT $3)
               AND NOT EXISTS (SELECT FROM raw_hold h
                               WHERE h.tenant_id = b.tenant_id AND h.vehicle_id = b.vehicle_id AND h.released_at IS NULL
                                 AND h.from_ts <= b.max_ts AND h.to_ts >= b.min_ts)
             ORDER BY b.max_ts LIMIT $4
             -- Who derives or moves a block just now is left alone; it is there for the next run.
             FOR UPDATE SKIP LOCKED
         ) AS due
         WHERE d.tenant_id = $1 AND d.vehicle_id = due.vehicle_id AND d.id = due.id
         RETURNING d.vehicle_id, d.id",
        tenant.uuid(),
        before,
        keep_in_lake,
        CHUNK,
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
    .execute(conn)
    .await?;
    Ok(gone.len() as u64)
}

/// Before this there is no raw data of the tenant any more.
pub(crate) async fn horizon(conn: &mut PgConnection, tenant: TenantId) -> Result<Option<DateTime<Utc>>> {
    let before = sqlx::query_scalar!("SELECT before FROM raw_horizon WHERE tenant_id = $1", tenant.uuid())
        .fetch_optional(conn)
        .await?;
    Ok(before)
}
