//! Fleets of vehicles, and groups within a fleet.

use chrono::{DateTime, Utc};
use odograph_domain::id::{ExternalRef, FleetId, GroupId, IdOrRef, VehicleId};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    error::{Result, StoreError},
    page::{Listed, Page},
    tenant::{TenantStore, given, reference},
    vehicles::{VehicleRecord, VehicleRow, lock_vehicle},
};

#[derive(Debug, Clone, PartialEq)]
pub struct NewFleet {
    pub external_ref: Option<ExternalRef>,
    pub name: String,
}

#[derive(Debug, Clone, PartialEq)]
pub struct FleetRecord {
    pub id: FleetId,
    pub external_ref: Option<ExternalRef>,
    pub name: String,
    pub created_at: DateTime<Utc>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct GroupRecord {
    pub id: GroupId,
    pub fleet: FleetId,
    pub name: String,
    pub created_at: DateTime<Utc>,
}

struct FleetRow {
    id: Uuid,
    external_ref: Option<String>,
    name: String,
    created_at: DateTime<Utc>,
}

impl FleetRow {
    fn read(self) -> Result<FleetRecord> {
        let external_ref = reference(self.external_ref)?;
        Ok(FleetRecord {
            id: self.id.into(),
            external_ref,
            name: self.name,
            created_at: self.created_at,
        })
    }
}

impl TenantStore {
    pub async fn create_fleet(&self, new: NewFleet) -> Result<FleetRecord> {
        let caller = self.caller();
        let id: FleetId = caller.id();
        let mut tx = self.begin().await?;
        sqlx::query!(
            "INSERT INTO fleet (tenant_id, id, external_ref, name, created_at) VALUES ($1, $2, $3, $4, $5)",
            caller.tenant.uuid(),
            id.uuid(),
            new.external_ref.as_ref().map(ExternalRef::as_str),
            new.name,
            caller.now,
        )
        .execute(&mut *tx)
        .await?;
        caller.audit(&mut tx, "create", "fleet", id.uuid()).await?;
        tx.commit().await?;
        Ok(FleetRecord {
            id,
            external_ref: new.external_ref,
            name: new.name,
            created_at: caller.now,
        })
    }

    pub async fn fleet(&self, fleet: &IdOrRef<FleetId>) -> Result<FleetRecord> {
        let mut tx = self.begin().await?;
        let record = self.find_fleet(&mut tx, fleet).await?;
        tx.commit().await?;
        Ok(record)
    }

    async fn find_fleet(&self, conn: &mut PgConnection, fleet: &IdOrRef<FleetId>) -> Result<FleetRecord> {
        let (id, external_ref) = given(fleet);
        let row = sqlx::query_as!(
            FleetRow,
            "SELECT id, external_ref, name, created_at FROM fleet
             WHERE tenant_id = $1 AND (id = $2 OR external_ref = $3)",
            self.tenant_id().uuid(),
            id,
            external_ref,
        )
        .fetch_optional(conn)
        .await?;
        row.ok_or(StoreError::NotFound { kind: "fleet" })?.read()
    }

    /// In the order they were made.
    pub async fn fleets(&self, page: Page) -> Result<Listed<FleetRecord>> {
        let mut tx = self.begin().await?;
        let rows = sqlx::query_as!(
            FleetRow,
            "SELECT id, external_ref, name, created_at FROM fleet
             WHERE tenant_id = $1 AND ($2::timestamptz IS NULL OR (created_at, id) > ($2, $3))
             ORDER BY created_at, id LIMIT $4",
            self.tenant_id().uuid(),
            page.at(),
            page.id(),
            page.fetch(),
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        let items = rows.into_iter().map(FleetRow::read).collect::<Result<_>>()?;
        Ok(Listed::cut(&page, items, |fleet: &FleetRecord| {
            (fleet.created_at, fleet.id.uuid())
        }))
    }

    /// Puts a vehicle into a fleet; it can be in one only.
    pub async fn add_to_fleet(&self, fleet: &IdOrRef<FleetId>, vehicle: &IdOrRef<VehicleId>) -> Result<()> {
        let caller = self.caller();
        let mut tx = self.begin().await?;
        let fleet = self.find_fleet(&mut tx, fleet).await?.id;
        let vehicle = lock_vehicle(&mut tx, caller.tenant, vehicle).await?;
        sqlx::query!(
            "INSERT INTO fleet_vehicle (tenant_id, fleet_id, vehicle_id, added_at) VALUES ($1, $2, $3, $4)",
            caller.tenant.uuid(),
            fleet.uuid(),
            vehicle.uuid(),
            caller.now,
        )
        .execute(&mut *tx)
        .await?;
        caller.audit(&mut tx, "add", "fleet", fleet.uuid()).await?;
        tx.commit().await?;
        Ok(())
    }

    pub async fn fleet_vehicles(&self, fleet: &IdOrRef<FleetId>, page: Page) -> Result<Listed<VehicleRecord>> {
        let mut tx = self.begin().await?;
        let fleet = self.find_fleet(&mut tx, fleet).await?.id;
        let rows = sqlx::query_as!(
            VehicleRow,
            "SELECT v.id, v.external_ref, v.vin, v.make, v.model, v.year, v.created_at, v.revision
             FROM fleet_vehicle f JOIN vehicle v ON v.tenant_id = f.tenant_id AND v.id = f.vehicle_id
             WHERE f.tenant_id = $1 AND f.fleet_id = $2
               AND ($3::timestamptz IS NULL OR (v.created_at, v.id) > ($3, $4))
             ORDER BY v.created_at, v.id LIMIT $5",
            self.tenant_id().uuid(),
            fleet.uuid(),
            page.at(),
            page.id(),
            page.fetch(),
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        VehicleRow::list(&page, rows)
    }

    pub async fn create_group(&self, fleet: &IdOrRef<FleetId>, name: String) -> Result<GroupRecord> {
        let caller = self.caller();
        let id: GroupId = caller.id();
        let mut tx = self.begin().await?;
        let fleet = self.find_fleet(&mut tx, fleet).await?.id;
        sqlx::query!(
            "INSERT INTO vehicle_group (tenant_id, id, fleet_id, name, created_at) VALUES ($1, $2, $3, $4, $5)",
            caller.tenant.uuid(),
            id.uuid(),
            fleet.uuid(),
            name,
            caller.now,
        )
        .execute(&mut *tx)
        .await?;
        caller.audit(&mut tx, "create", "group", id.uuid()).await?;
        tx.commit().await?;
        Ok(GroupRecord {
            id,
            fleet,
            name,
            created_at: caller.now,
        })
    }

    pub async fn groups(&self, fleet: &IdOrRef<FleetId>, page: Page) -> Result<Listed<GroupRecord>> {
        let mut tx = self.begin().await?;
        let fleet = self.find_fleet(&mut tx, fleet).await?.id;
        let rows = sqlx::query!(
            "SELECT id, name, created_at FROM vehicle_group
             WHERE tenant_id = $1 AND fleet_id = $2 AND ($3::timestamptz IS NULL OR (created_at, id) > ($3, $4))
             ORDER BY created_at, id LIMIT $5",
            self.tenant_id().uuid(),
            fleet.uuid(),
            page.at(),
            page.id(),
            page.fetch(),
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        let items = rows
            .into_iter()
            .map(|row| GroupRecord {
                id: row.id.into(),
                fleet,
                name: row.name,
                created_at: row.created_at,
            })
            .collect();
        Ok(Listed::cut(&page, items, |group: &GroupRecord| {
            (group.created_at, group.id.uuid())
        }))
    }

    /// Puts a vehicle of the group's fleet into the group.
    pub async fn add_to_group(&self, group: GroupId, vehicle: &IdOrRef<VehicleId>) -> Result<()> {
        let caller = self.caller();
        let mut tx = self.begin().await?;
        let fleet = self.fleet_of(&mut tx, group).await?;
        let vehicle = lock_vehicle(&mut tx, caller.tenant, vehicle).await?;
        sqlx::query!(
            "INSERT INTO group_vehicle (tenant_id, fleet_id, group_id, vehicle_id, added_at) VALUES ($1, $2, $3, $4, $5)",
            caller.tenant.uuid(),
            fleet,
            group.uuid(),
            vehicle.uuid(),
            caller.now,
        )
        .execute(&mut *tx)
        .await?;
        caller.audit(&mut tx, "add", "group", group.uuid()).await?;
        tx.commit().await?;
        Ok(())
    }

    async fn fleet_of(&self, conn: &mut PgConnection, group: GroupId) -> Result<Uuid> {
        let fleet = sqlx::query_scalar!(
            "SELECT fleet_id FROM vehicle_group WHERE tenant_id = $1 AND id = $2",
            self.tenant_id().uuid(),
            group.uuid(),
        )
        .fetch_optional(conn)
        .await?;
        fleet.ok_or(StoreError::NotFound { kind: "group" })
    }

    pub async fn group_vehicles(&self, group: GroupId, page: Page) -> Result<Listed<VehicleRecord>> {
        let mut tx = self.begin().await?;
        self.fleet_of(&mut tx, group).await?;
        let rows = sqlx::query_as!(
            VehicleRow,
            "SELECT v.id, v.external_ref, v.vin, v.make, v.model, v.year, v.created_at, v.revision
             FROM group_vehicle g JOIN vehicle v ON v.tenant_id = g.tenant_id AND v.id = g.vehicle_id
             WHERE g.tenant_id = $1 AND g.group_id = $2
               AND ($3::timestamptz IS NULL OR (v.created_at, v.id) > ($3, $4))
             ORDER BY v.created_at, v.id LIMIT $5",
            self.tenant_id().uuid(),
            group.uuid(),
            page.at(),
            page.id(),
            page.fetch(),
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        VehicleRow::list(&page, rows)
    }
}
