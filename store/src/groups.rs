//! Groups of vehicles within a fleet. A vehicle can be in any number of them.

use chrono::{DateTime, Utc};
use odograph_domain::id::{ExternalRef, FleetId, GroupId, IdOrRef, TenantId, VehicleId};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    error::{Result, StoreError},
    fleets::find_fleet,
    page::{Listed, Page},
    tenant::{TenantStore, given, reference, unchanged_since},
    vehicles::lock_vehicle,
};

#[derive(Debug, Clone, PartialEq)]
pub struct NewGroup {
    pub external_ref: Option<ExternalRef>,
    pub name: String,
}

#[derive(Debug, Clone, PartialEq)]
pub struct GroupRecord {
    pub id: GroupId,
    pub fleet: FleetId,
    pub external_ref: Option<ExternalRef>,
    pub name: String,
    pub created_at: DateTime<Utc>,
    /// Grows with each change.
    pub revision: i32,
}

struct GroupRow {
    id: Uuid,
    fleet_id: Uuid,
    external_ref: Option<String>,
    name: String,
    created_at: DateTime<Utc>,
    revision: i32,
}

impl GroupRow {
    fn read(self) -> Result<GroupRecord> {
        Ok(GroupRecord {
            id: self.id.into(),
            fleet: self.fleet_id.into(),
            external_ref: reference(self.external_ref)?,
            name: self.name,
            created_at: self.created_at,
            revision: self.revision,
        })
    }
}

impl TenantStore {
    pub async fn create_group(&self, fleet: &IdOrRef<FleetId>, new: NewGroup) -> Result<GroupRecord> {
        let caller = self.caller();
        let id: GroupId = caller.id();
        let mut tx = self.begin().await?;
        let fleet = find_fleet(&mut tx, caller.tenant, fleet).await?.id;
        sqlx::query!(
            "INSERT INTO vehicle_group (tenant_id, id, fleet_id, external_ref, name, created_at) VALUES ($1, $2, $3, $4, $5, $6)",
            caller.tenant.uuid(),
            id.uuid(),
            fleet.uuid(),
            new.external_ref.as_ref().map(ExternalRef::as_str),
            new.name,
            caller.now,
        )
        .execute(&mut *tx)
        .await?;
        caller.audit(&mut tx, "create", "group", id.uuid()).await?;
        tx.commit().await?;
        Ok(GroupRecord {
            id,
            fleet,
            external_ref: new.external_ref,
            name: new.name,
            created_at: caller.now,
            revision: 1,
        })
    }

    /// A group of this fleet, or of any with `None`.
    pub async fn group(&self, fleet: Option<&IdOrRef<FleetId>>, group: &IdOrRef<GroupId>) -> Result<GroupRecord> {
        let mut tx = self.begin().await?;
        let fleet = match fleet {
            Some(fleet) => Some(find_fleet(&mut tx, self.tenant_id(), fleet).await?.id),
            None => None,
        };
        let record = find_group(&mut tx, self.tenant_id(), fleet, group).await?;
        tx.commit().await?;
        Ok(record)
    }

    /// In the order they were made.
    pub async fn groups(&self, fleet: &IdOrRef<FleetId>, page: Page) -> Result<Listed<GroupRecord>> {
        let mut tx = self.begin().await?;
        let fleet = find_fleet(&mut tx, self.tenant_id(), fleet).await?.id;
        let rows = sqlx::query_as!(
            GroupRow,
            "SELECT id, fleet_id, external_ref, name, created_at, revision FROM vehicle_group
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
        let items = rows.into_iter().map(GroupRow::read).collect::<Result<_>>()?;
        Ok(Listed::cut(&page, items, |group: &GroupRecord| {
            (group.created_at, group.id.uuid())
        }))
    }

    /// Applies `change` to the group as it is now; `expected` as in [`TenantStore::update_vehicle`].
    pub async fn update_group(
        &self,
        fleet: &IdOrRef<FleetId>,
        group: &IdOrRef<GroupId>,
        expected: Option<&[i32]>,
        change: impl FnOnce(&mut GroupRecord),
    ) -> Result<GroupRecord> {
        let caller = self.caller();
        let mut tx = self.begin().await?;
        let fleet = find_fleet(&mut tx, caller.tenant, fleet).await?.id;
        let before = lock_group(&mut tx, caller.tenant, fleet, group).await?;
        unchanged_since("group", before.revision, expected)?;
        let mut record = before.clone();
        change(&mut record);
        (record.id, record.fleet) = (before.id, before.fleet);
        (record.created_at, record.revision) = (before.created_at, before.revision);
        if record != before {
            record.revision += 1;
            sqlx::query!(
                "UPDATE vehicle_group SET external_ref = $3, name = $4, revision = $5 WHERE tenant_id = $1 AND id = $2",
                caller.tenant.uuid(),
                record.id.uuid(),
                record.external_ref.as_ref().map(ExternalRef::as_str),
                record.name,
                record.revision,
            )
            .execute(&mut *tx)
            .await?;
            caller.audit(&mut tx, "update", "group", record.id.uuid()).await?;
        }
        tx.commit().await?;
        Ok(record)
    }

    /// Its vehicles stay in the fleet.
    pub async fn delete_group(
        &self,
        fleet: &IdOrRef<FleetId>,
        group: &IdOrRef<GroupId>,
        expected: Option<&[i32]>,
    ) -> Result<()> {
        let caller = self.caller();
        let mut tx = self.begin().await?;
        let fleet = find_fleet(&mut tx, caller.tenant, fleet).await?.id;
        let record = lock_group(&mut tx, caller.tenant, fleet, group).await?;
        unchanged_since("group", record.revision, expected)?;
        sqlx::query!(
            "DELETE FROM vehicle_group WHERE tenant_id = $1 AND id = $2",
            caller.tenant.uuid(),
            record.id.uuid(),
        )
        .execute(&mut *tx)
        .await?;
        caller.audit(&mut tx, "delete", "group", record.id.uuid()).await?;
        Ok(tx.commit().await?)
    }

    /// Puts a vehicle of the group's fleet into the group, unless it is there.
    pub async fn add_to_group(
        &self,
        fleet: &IdOrRef<FleetId>,
        group: &IdOrRef<GroupId>,
        vehicle: &IdOrRef<VehicleId>,
    ) -> Result<()> {
        let caller = self.caller();
        let mut tx = self.begin().await?;
        let fleet = find_fleet(&mut tx, caller.tenant, fleet).await?.id;
        let group = find_group(&mut tx, caller.tenant, Some(fleet), group).await?.id;
        let vehicle = lock_vehicle(&mut tx, caller.tenant, vehicle).await?;
        let added = sqlx::query!(
            "INSERT INTO group_vehicle (tenant_id, fleet_id, group_id, vehicle_id, added_at) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (tenant_id, group_id, vehicle_id) DO NOTHING",
            caller.tenant.uuid(),
            fleet.uuid(),
            group.uuid(),
            vehicle.uuid(),
            caller.now,
        )
        .execute(&mut *tx)
        .await?;
        if added.rows_affected() > 0 {
            caller.audit(&mut tx, "add", "group", group.uuid()).await?;
        }
        Ok(tx.commit().await?)
    }

    pub async fn remove_from_group(
        &self,
        fleet: &IdOrRef<FleetId>,
        group: &IdOrRef<GroupId>,
        vehicle: &IdOrRef<VehicleId>,
    ) -> Result<()> {
        let caller = self.caller();
        let mut tx = self.begin().await?;
        let fleet = find_fleet(&mut tx, caller.tenant, fleet).await?.id;
        let group = find_group(&mut tx, caller.tenant, Some(fleet), group).await?.id;
        let vehicle = lock_vehicle(&mut tx, caller.tenant, vehicle).await?;
        let gone = sqlx::query!(
            "DELETE FROM group_vehicle WHERE tenant_id = $1 AND group_id = $2 AND vehicle_id = $3",
            caller.tenant.uuid(),
            group.uuid(),
            vehicle.uuid(),
        )
        .execute(&mut *tx)
        .await?;
        if gone.rows_affected() == 0 {
            return Err(StoreError::NotFound { kind: "vehicle" });
        }
        caller.audit(&mut tx, "remove", "group", group.uuid()).await?;
        Ok(tx.commit().await?)
    }
}

async fn find_group(
    conn: &mut PgConnection,
    tenant: TenantId,
    fleet: Option<FleetId>,
    group: &IdOrRef<GroupId>,
) -> Result<GroupRecord> {
    let (id, external_ref) = given(group);
    let row = sqlx::query_as!(
        GroupRow,
        "SELECT id, fleet_id, external_ref, name, created_at, revision FROM vehicle_group
         WHERE tenant_id = $1 AND (id = $2 OR external_ref = $3) AND ($4::uuid IS NULL OR fleet_id = $4)",
        tenant.uuid(),
        id,
        external_ref,
        fleet.map(FleetId::uuid),
    )
    .fetch_optional(conn)
    .await?;
    row.ok_or(StoreError::NotFound { kind: "group" })?.read()
}

async fn lock_group(
    conn: &mut PgConnection,
    tenant: TenantId,
    fleet: FleetId,
    group: &IdOrRef<GroupId>,
) -> Result<GroupRecord> {
    let (id, external_ref) = given(group);
    let row = sqlx::query_as!(
        GroupRow,
        "SELECT id, fleet_id, external_ref, name, created_at, revision FROM vehicle_group
         WHERE tenant_id = $1 AND (id = $2 OR external_ref = $3) AND fleet_id = $4 FOR UPDATE",
        tenant.uuid(),
        id,
        external_ref,
        fleet.uuid(),
    )
    .fetch_optional(conn)
    .await?;
    row.ok_or(StoreError::NotFound { kind: "group" })?.read()
}
