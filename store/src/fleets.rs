//! Fleets of vehicles. A vehicle is in one fleet at most; the groups within a fleet are in [`crate::groups`].

use chrono::{DateTime, Utc};
use odograph_domain::id::{ExternalRef, FleetId, IdOrRef, TenantId, VehicleId};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    error::{Result, StoreError},
    page::{Listed, Page},
    tenant::{TenantStore, given, reference, unchanged_since},
    transfers::handovers_of,
    vehicles::lock_vehicle,
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
    /// Grows with each change.
    pub revision: i32,
}

struct FleetRow {
    id: Uuid,
    external_ref: Option<String>,
    name: String,
    created_at: DateTime<Utc>,
    revision: i32,
}

impl FleetRow {
    fn read(self) -> Result<FleetRecord> {
        let external_ref = reference(self.external_ref)?;
        Ok(FleetRecord {
            id: self.id.into(),
            external_ref,
            name: self.name,
            created_at: self.created_at,
            revision: self.revision,
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
            revision: 1,
        })
    }

    pub async fn fleet(&self, fleet: &IdOrRef<FleetId>) -> Result<FleetRecord> {
        let mut tx = self.begin().await?;
        let record = find_fleet(&mut tx, self.tenant_id(), fleet).await?;
        tx.commit().await?;
        Ok(record)
    }

    /// In the order they were made.
    pub async fn fleets(&self, page: Page) -> Result<Listed<FleetRecord>> {
        let mut tx = self.begin().await?;
        let rows = sqlx::query_as!(
            FleetRow,
            "SELECT id, external_ref, name, created_at, revision FROM fleet
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

    /// Applies `change` to the fleet as it is now; `expected` as in [`TenantStore::update_vehicle`].
    pub async fn update_fleet(
        &self,
        fleet: &IdOrRef<FleetId>,
        expected: Option<&[i32]>,
        change: impl FnOnce(&mut FleetRecord),
    ) -> Result<FleetRecord> {
        let caller = self.caller();
        let mut tx = self.begin().await?;
        let before = lock_fleet(&mut tx, caller.tenant, fleet).await?;
        unchanged_since("fleet", before.revision, expected)?;
        let mut record = before.clone();
        change(&mut record);
        (record.id, record.created_at, record.revision) = (before.id, before.created_at, before.revision);
        if record != before {
            record.revision += 1;
            sqlx::query!(
                "UPDATE fleet SET external_ref = $3, name = $4, revision = $5 WHERE tenant_id = $1 AND id = $2",
                caller.tenant.uuid(),
                record.id.uuid(),
                record.external_ref.as_ref().map(ExternalRef::as_str),
                record.name,
                record.revision,
            )
            .execute(&mut *tx)
            .await?;
            caller.audit(&mut tx, "update", "fleet", record.id.uuid()).await?;
        }
        tx.commit().await?;
        Ok(record)
    }

    /// Gives a fleet up, and its groups with it. Its vehicles stay, in no fleet.
    pub async fn delete_fleet(&self, fleet: &IdOrRef<FleetId>, expected: Option<&[i32]>) -> Result<()> {
        let caller = self.caller();
        let mut tx = self.begin().await?;
        let record = lock_fleet(&mut tx, caller.tenant, fleet).await?;
        unchanged_since("fleet", record.revision, expected)?;
        let (tenant, fleet) = (caller.tenant.uuid(), record.id.uuid());
        // Who is in which group goes with either.
        sqlx::query!(
            "DELETE FROM fleet_vehicle WHERE tenant_id = $1 AND fleet_id = $2",
            tenant,
            fleet
        )
        .execute(&mut *tx)
        .await?;
        sqlx::query!(
            "DELETE FROM vehicle_group WHERE tenant_id = $1 AND fleet_id = $2",
            tenant,
            fleet
        )
        .execute(&mut *tx)
        .await?;
        sqlx::query!("DELETE FROM fleet WHERE tenant_id = $1 AND id = $2", tenant, fleet)
            .execute(&mut *tx)
            .await?;
        caller.audit(&mut tx, "delete", "fleet", fleet).await?;
        Ok(tx.commit().await?)
    }

    /// Puts a vehicle into a fleet, unless it is there. One of another fleet has to leave that first.
    pub async fn add_to_fleet(&self, fleet: &IdOrRef<FleetId>, vehicle: &IdOrRef<VehicleId>) -> Result<()> {
        let caller = self.caller();
        let mut tx = self.begin().await?;
        let fleet = find_fleet(&mut tx, caller.tenant, fleet).await?.id;
        let vehicle = lock_vehicle(&mut tx, caller.tenant, vehicle).await?;
        let there = sqlx::query_scalar!(
            "SELECT fleet_id FROM fleet_vehicle WHERE tenant_id = $1 AND vehicle_id = $2",
            caller.tenant.uuid(),
            vehicle.uuid(),
        )
        .fetch_optional(&mut *tx)
        .await?;
        match there {
            Some(known) if known == fleet.uuid() => return Ok(tx.commit().await?),
            Some(_) => {
                return Err(StoreError::Conflict {
                    kind: "fleet",
                    detail: "the vehicle is in another fleet; take it out of that first".into(),
                });
            }
            None => {}
        }
        // What an earlier owner drove is not this fleet's to see.
        let handovers = handovers_of(&mut tx, caller.tenant, vehicle).await?;
        sqlx::query!(
            "INSERT INTO fleet_vehicle (tenant_id, fleet_id, vehicle_id, added_at, starts_at) VALUES ($1, $2, $3, $4, $5)",
            caller.tenant.uuid(),
            fleet.uuid(),
            vehicle.uuid(),
            caller.now,
            handovers.last(),
        )
        .execute(&mut *tx)
        .await?;
        caller.audit(&mut tx, "add", "fleet", fleet.uuid()).await?;
        Ok(tx.commit().await?)
    }

    /// Takes a vehicle out of a fleet, and of the fleet's groups with it.
    pub async fn remove_from_fleet(&self, fleet: &IdOrRef<FleetId>, vehicle: &IdOrRef<VehicleId>) -> Result<()> {
        let caller = self.caller();
        let mut tx = self.begin().await?;
        let fleet = find_fleet(&mut tx, caller.tenant, fleet).await?.id;
        let vehicle = lock_vehicle(&mut tx, caller.tenant, vehicle).await?;
        let gone = sqlx::query!(
            "DELETE FROM fleet_vehicle WHERE tenant_id = $1 AND fleet_id = $2 AND vehicle_id = $3",
            caller.tenant.uuid(),
            fleet.uuid(),
            vehicle.uuid(),
        )
        .execute(&mut *tx)
        .await?;
        if gone.rows_affected() == 0 {
            return Err(StoreError::NotFound { kind: "vehicle" });
        }
        caller.audit(&mut tx, "remove", "fleet", fleet.uuid()).await?;
        Ok(tx.commit().await?)
    }
}

pub(crate) async fn find_fleet(
    conn: &mut PgConnection,
    tenant: TenantId,
    fleet: &IdOrRef<FleetId>,
) -> Result<FleetRecord> {
    let (id, external_ref) = given(fleet);
    let row = sqlx::query_as!(
        FleetRow,
        "SELECT id, external_ref, name, created_at, revision FROM fleet
         WHERE tenant_id = $1 AND (id = $2 OR external_ref = $3)",
        tenant.uuid(),
        id,
        external_ref,
    )
    .fetch_optional(conn)
    .await?;
    row.ok_or(StoreError::NotFound { kind: "fleet" })?.read()
}

async fn lock_fleet(conn: &mut PgConnection, tenant: TenantId, fleet: &IdOrRef<FleetId>) -> Result<FleetRecord> {
    let (id, external_ref) = given(fleet);
    let row = sqlx::query_as!(
        FleetRow,
        "SELECT id, external_ref, name, created_at, revision FROM fleet
         WHERE tenant_id = $1 AND (id = $2 OR external_ref = $3) FOR UPDATE",
        tenant.uuid(),
        id,
        external_ref,
    )
    .fetch_optional(conn)
    .await?;
    row.ok_or(StoreError::NotFound { kind: "fleet" })?.read()
}
