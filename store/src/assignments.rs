//! Who drives a vehicle when. Assignments of one vehicle do not overlap.

use chrono::{DateTime, SubsecRound, Utc};
use odograph_domain::{
    correction::Why,
    id::{AssignmentId, DriverId, IdOrRef, VehicleId},
};
use uuid::Uuid;

use crate::{
    dirty::mark_dirty,
    drivers::known_driver,
    error::{Result, StoreError},
    page::{Listed, Page},
    tenant::TenantStore,
    vehicles::lock_vehicle,
};

#[derive(Debug, Clone, PartialEq)]
pub struct NewAssignment {
    pub vehicle: IdOrRef<VehicleId>,
    pub driver: IdOrRef<DriverId>,
    pub from: DateTime<Utc>,
    /// Exclusive; `None` while it runs on.
    pub to: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct AssignmentRecord {
    pub id: AssignmentId,
    pub vehicle: VehicleId,
    pub driver: DriverId,
    pub from: DateTime<Utc>,
    pub to: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
}

struct AssignmentRow {
    id: Uuid,
    driver_id: Uuid,
    starts_at: DateTime<Utc>,
    ends_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
}

impl TenantStore {
    /// Trips already derived from the time it covers are derived anew, since their driver may be another.
    pub async fn create_assignment(&self, new: NewAssignment) -> Result<AssignmentRecord> {
        let caller = self.caller();
        let (from, to) = (new.from.trunc_subsecs(6), new.to.map(|to| to.trunc_subsecs(6)));
        if to.is_some_and(|to| to <= from) {
            let detail = format!("ends at {}, not after its start at {from}", to.unwrap_or(from));
            return Err(StoreError::Invalid {
                kind: "assignment",
                detail,
            });
        }
        let mut tx = self.begin().await?;
        let vehicle = lock_vehicle(&mut tx, caller.tenant, &new.vehicle).await?;
        let driver = known_driver(&mut tx, caller.tenant, &new.driver).await?;
        let other = sqlx::query!(
            "SELECT id, starts_at, ends_at FROM assignment
             WHERE tenant_id = $1 AND vehicle_id = $2
               AND ($4::timestamptz IS NULL OR starts_at < $4) AND (ends_at IS NULL OR ends_at > $3)
             ORDER BY starts_at LIMIT 1",
            caller.tenant.uuid(),
            vehicle.uuid(),
            from,
            to,
        )
        .fetch_optional(&mut *tx)
        .await?;
        if let Some(other) = other {
            let until = other
                .ends_at
                .map_or_else(|| "further notice".to_owned(), |at| at.to_rfc3339());
            let detail = format!(
                "overlaps assignment {} from {} until {until}",
                other.id,
                other.starts_at.to_rfc3339()
            );
            return Err(StoreError::Conflict {
                kind: "assignment",
                detail,
            });
        }
        let id: AssignmentId = caller.id();
        sqlx::query!(
            "INSERT INTO assignment (tenant_id, id, vehicle_id, driver_id, starts_at, ends_at, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
            caller.tenant.uuid(),
            id.uuid(),
            vehicle.uuid(),
            driver.uuid(),
            from,
            to,
            caller.now,
        )
        .execute(&mut *tx)
        .await?;
        mark_dirty(&mut tx, &caller, vehicle, from, to, Why::AssignmentChanged).await?;
        caller.audit(&mut tx, "create", "assignment", id.uuid()).await?;
        tx.commit().await?;
        Ok(AssignmentRecord {
            id,
            vehicle,
            driver,
            from,
            to,
            created_at: caller.now,
        })
    }

    /// A vehicle's assignments by their start.
    pub async fn assignments(&self, vehicle: &IdOrRef<VehicleId>, page: Page) -> Result<Listed<AssignmentRecord>> {
        let vehicle = self.vehicle(vehicle).await?.id;
        let mut tx = self.begin().await?;
        let rows = sqlx::query_as!(
            AssignmentRow,
            "SELECT id, driver_id, starts_at, ends_at, created_at FROM assignment
             WHERE tenant_id = $1 AND vehicle_id = $2 AND ($3::timestamptz IS NULL OR (starts_at, id) > ($3, $4))
             ORDER BY starts_at, id LIMIT $5",
            self.tenant_id().uuid(),
            vehicle.uuid(),
            page.at(),
            page.id(),
            page.fetch(),
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        let items = rows
            .into_iter()
            .map(|row| AssignmentRecord {
                id: row.id.into(),
                vehicle,
                driver: row.driver_id.into(),
                from: row.starts_at,
                to: row.ends_at,
                created_at: row.created_at,
            })
            .collect();
        Ok(Listed::cut(&page, items, |assignment| {
            (assignment.from, assignment.id.uuid())
        }))
    }
}
