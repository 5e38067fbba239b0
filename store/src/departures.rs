//! Drivers who leave: from that instant on nothing is attributed to them, whatever still names them.

use chrono::{DateTime, SubsecRound, Utc};
use odograph_domain::{
    correction::Why,
    id::{AssignmentId, DriverId, IdOrRef, PolicyId, TenantId, VehicleId},
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    dirty::mark_dirty,
    drivers::{DriverRecord, lock_driver},
    error::Result,
    session::Caller,
    tenant::TenantStore,
};

/// A driver who left, with what ended by it and what is left to settle.
#[derive(Debug, Clone, PartialEq)]
pub struct Departed {
    pub driver: DriverRecord,
    pub assignments: Vec<AssignmentId>,
    /// Policies that cover days after it and still name the driver as main driver: their insurer has to say who it is now.
    pub policies: Vec<PolicyId>,
}

impl TenantStore {
    /// Ends the driver's assignments. What was derived of the time after is derived anew, as nobody's. Said again with another
    /// instant, it is that one.
    pub async fn driver_leaves(&self, driver: &IdOrRef<DriverId>, at: DateTime<Utc>) -> Result<Departed> {
        let caller = self.caller();
        let at = at.trunc_subsecs(6);
        let mut tx = self.begin().await?;
        let mut record = lock_driver(&mut tx, caller.tenant, driver).await?;
        let since = record.left_at.map_or(at, |left| left.min(at));
        if record.left_at != Some(at) {
            record.left_at = Some(at);
            record.revision += 1;
            set_left(&mut tx, &caller, &record).await?;
        }
        let assignments = end_assignments(&mut tx, &caller, record.id, at).await?;
        derive_anew(&mut tx, &caller, record.id, since).await?;
        let policies = still_named(&mut tx, caller.tenant, record.id, at).await?;
        caller.audit(&mut tx, "leave", "driver", record.id.uuid()).await?;
        tx.commit().await?;
        Ok(Departed {
            driver: record,
            assignments,
            policies,
        })
    }

    /// A driver who has not left after all, or is back. Of one who is there nothing changes.
    pub async fn driver_stays(&self, driver: &IdOrRef<DriverId>) -> Result<()> {
        let caller = self.caller();
        let mut tx = self.begin().await?;
        let mut record = lock_driver(&mut tx, caller.tenant, driver).await?;
        if let Some(left) = record.left_at.take() {
            record.revision += 1;
            set_left(&mut tx, &caller, &record).await?;
            derive_anew(&mut tx, &caller, record.id, left).await?;
            caller.audit(&mut tx, "stay", "driver", record.id.uuid()).await?;
        }
        Ok(tx.commit().await?)
    }
}

/// Marks what may have been the driver's since an instant, or may be again.
async fn derive_anew(
    conn: &mut PgConnection,
    caller: &Caller<'_>,
    driver: DriverId,
    since: DateTime<Utc>,
) -> Result<()> {
    for vehicle in driven_since(conn, caller.tenant, driver, since).await? {
        mark_dirty(conn, caller, vehicle, since, None, Why::AssignmentChanged).await?;
    }
    Ok(())
}

async fn set_left(conn: &mut PgConnection, caller: &Caller<'_>, record: &DriverRecord) -> Result<()> {
    sqlx::query!(
        "UPDATE driver SET left_at = $3, revision = $4 WHERE tenant_id = $1 AND id = $2",
        caller.tenant.uuid(),
        record.id.uuid(),
        record.left_at,
        record.revision,
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn end_assignments(
    conn: &mut PgConnection,
    caller: &Caller<'_>,
    driver: DriverId,
    at: DateTime<Utc>,
) -> Result<Vec<AssignmentId>> {
    let ended = sqlx::query_scalar!(
        "UPDATE assignment SET ends_at = $3
         WHERE tenant_id = $1 AND driver_id = $2 AND starts_at < $3 AND (ends_at IS NULL OR ends_at > $3) RETURNING id",
        caller.tenant.uuid(),
        driver.uuid(),
        at,
    )
    .fetch_all(&mut *conn)
    .await?;
    for id in &ended {
        caller.audit(conn, "end", "assignment", *id).await?;
    }
    Ok(ended.into_iter().map(AssignmentId::from).collect())
}

/// The vehicles of which something after an instant may have been attributed to the driver.
async fn driven_since(
    conn: &mut PgConnection,
    tenant: TenantId,
    driver: DriverId,
    at: DateTime<Utc>,
) -> Result<Vec<VehicleId>> {
    let vehicles = sqlx::query_scalar!(
        r#"SELECT vehicle_id AS "vehicle_id!" FROM (
               SELECT vehicle_id FROM trip WHERE tenant_id = $1 AND driver_id = $2 AND ended_at >= $3
               UNION SELECT vehicle_id FROM assignment WHERE tenant_id = $1 AND driver_id = $2 AND (ends_at IS NULL OR ends_at >= $3)
               UNION SELECT vehicle_id FROM policy WHERE tenant_id = $1 AND main_driver_id = $2
               UNION SELECT p.vehicle_id FROM policy_change c JOIN policy p ON p.tenant_id = c.tenant_id AND p.id = c.policy_id
                     WHERE c.tenant_id = $1 AND c.main_driver_id = $2
           ) AS v ORDER BY 1"#,
        tenant.uuid(),
        driver.uuid(),
        at,
    )
    .fetch_all(conn)
    .await?;
    Ok(vehicles.into_iter().map(VehicleId::from).collect())
}

async fn still_named(
    conn: &mut PgConnection,
    tenant: TenantId,
    driver: DriverId,
    at: DateTime<Utc>,
) -> Result<Vec<PolicyId>> {
    let ids: Vec<Uuid> = sqlx::query_scalar!(
        r#"SELECT p.id FROM policy p
           WHERE p.tenant_id = $1 AND (p.ends_on IS NULL OR p.ends_on > ($3::timestamptz AT TIME ZONE p.time_zone)::date + 1)
             AND coalesce((SELECT CASE WHEN c.drops_main_driver THEN '00000000-0000-0000-0000-000000000000'::uuid
                                       ELSE c.main_driver_id END
                           FROM policy_change c
                           WHERE c.tenant_id = p.tenant_id AND c.policy_id = p.id
                             AND (c.main_driver_id IS NOT NULL OR c.drops_main_driver)
                           ORDER BY c.effective_on DESC, c.created_at DESC, c.id DESC LIMIT 1), p.main_driver_id) = $2
           ORDER BY p.id"#,
        tenant.uuid(),
        driver.uuid(),
        at,
    )
    .fetch_all(conn)
    .await?;
    Ok(ids.into_iter().map(PolicyId::from).collect())
}
