//! Who drives a vehicle when. Assignments of one vehicle do not overlap.

use chrono::{DateTime, SubsecRound, Utc};
use odograph_domain::{
    correction::Why,
    id::{AssignmentId, DriverId, IdOrRef, TenantId, VehicleId},
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    dirty::mark_dirty,
    drivers::known_driver,
    error::{Result, StoreError},
    page::{Listed, Page},
    tenant::TenantStore,
    transfers::handovers_of,
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

impl AssignmentRow {
    fn read(self, vehicle: VehicleId) -> AssignmentRecord {
        AssignmentRecord {
            id: self.id.into(),
            vehicle,
            driver: self.driver_id.into(),
            from: self.starts_at,
            to: self.ends_at,
            created_at: self.created_at,
        }
    }
}

/// Fails where another assignment of the vehicle holds in a part of the time, or where the vehicle changes hands within it. The
/// vehicle must be locked.
async fn refuse_overlap(conn: &mut PgConnection, tenant: TenantId, record: &AssignmentRecord) -> Result<()> {
    let handovers = handovers_of(conn, tenant, record.vehicle).await?;
    let crossed = |at: &&DateTime<Utc>| record.from < **at && record.to.is_none_or(|to| **at < to);
    if let Some(at) = handovers.iter().find(crossed) {
        let detail = format!(
            "the vehicle changes hands at {}, wanted an end by then",
            at.to_rfc3339()
        );
        return Err(StoreError::Conflict {
            kind: "assignment",
            detail,
        });
    }
    let other = sqlx::query!(
        "SELECT id, starts_at, ends_at FROM assignment
         WHERE tenant_id = $1 AND vehicle_id = $2 AND id <> $5
           AND ($4::timestamptz IS NULL OR starts_at < $4) AND (ends_at IS NULL OR ends_at > $3)
         ORDER BY starts_at LIMIT 1",
        tenant.uuid(),
        record.vehicle.uuid(),
        record.from,
        record.to,
        record.id.uuid(),
    )
    .fetch_optional(conn)
    .await?;
    let Some(other) = other else {
        return Ok(());
    };
    let until = other
        .ends_at
        .map_or_else(|| "further notice".to_owned(), |at| at.to_rfc3339());
    let detail = format!(
        "overlaps assignment {} from {} until {until}",
        other.id,
        other.starts_at.to_rfc3339()
    );
    Err(StoreError::Conflict {
        kind: "assignment",
        detail,
    })
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
        let record = AssignmentRecord {
            id: caller.id(),
            vehicle,
            driver,
            from,
            to,
            created_at: caller.now,
        };
        refuse_overlap(&mut tx, caller.tenant, &record).await?;
        sqlx::query!(
            "INSERT INTO assignment (tenant_id, id, vehicle_id, driver_id, starts_at, ends_at, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
            caller.tenant.uuid(),
            record.id.uuid(),
            vehicle.uuid(),
            driver.uuid(),
            from,
            to,
            caller.now,
        )
        .execute(&mut *tx)
        .await?;
        mark_dirty(&mut tx, &caller, vehicle, from, to, Why::AssignmentChanged).await?;
        caller.audit(&mut tx, "create", "assignment", record.id.uuid()).await?;
        tx.commit().await?;
        Ok(record)
    }

    /// Ends an assignment, sooner or later than it would. The time of which it says something else now is derived anew.
    pub async fn end_assignment(
        &self,
        vehicle: &IdOrRef<VehicleId>,
        assignment: AssignmentId,
        at: DateTime<Utc>,
    ) -> Result<AssignmentRecord> {
        let caller = self.caller();
        let at = at.trunc_subsecs(6);
        let mut tx = self.begin().await?;
        let vehicle = lock_vehicle(&mut tx, caller.tenant, vehicle).await?;
        let row = sqlx::query_as!(
            AssignmentRow,
            "SELECT id, driver_id, starts_at, ends_at, created_at FROM assignment
             WHERE tenant_id = $1 AND vehicle_id = $2 AND id = $3",
            caller.tenant.uuid(),
            vehicle.uuid(),
            assignment.uuid(),
        )
        .fetch_optional(&mut *tx)
        .await?;
        let before = row.ok_or(StoreError::NotFound { kind: "assignment" })?.read(vehicle);
        if at <= before.from {
            let detail = format!("wanted a time after its start at {}, got {at}", before.from);
            return Err(StoreError::Invalid {
                kind: "assignment",
                detail,
            });
        }
        let record = AssignmentRecord {
            to: Some(at),
            ..before.clone()
        };
        refuse_overlap(&mut tx, caller.tenant, &record).await?;
        sqlx::query!(
            "UPDATE assignment SET ends_at = $3 WHERE tenant_id = $1 AND id = $2",
            caller.tenant.uuid(),
            assignment.uuid(),
            at,
        )
        .execute(&mut *tx)
        .await?;
        let (from, to) = match before.to {
            Some(ended) => (at.min(ended), Some(at.max(ended))),
            None => (at, None),
        };
        mark_dirty(&mut tx, &caller, vehicle, from, to, Why::AssignmentChanged).await?;
        caller.audit(&mut tx, "end", "assignment", assignment.uuid()).await?;
        tx.commit().await?;
        Ok(record)
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
        let items = rows.into_iter().map(|row| row.read(vehicle)).collect();
        Ok(Listed::cut(&page, items, |assignment| {
            (assignment.from, assignment.id.uuid())
        }))
    }
}
