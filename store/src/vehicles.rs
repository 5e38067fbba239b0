//! Vehicles.

use chrono::{DateTime, Utc};
use odograph_domain::id::{ExternalRef, FleetId, GroupId, IdOrRef, TenantId, VehicleId};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    error::{Result, StoreError},
    page::{Key, Listed, Order, Page},
    tenant::{TenantStore, given, reference, unchanged_since},
};

#[derive(Debug, Clone, Default, PartialEq)]
pub struct NewVehicle {
    pub external_ref: Option<ExternalRef>,
    pub vin: Option<String>,
    pub make: Option<String>,
    pub model: Option<String>,
    pub year: Option<i32>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct VehicleRecord {
    pub id: VehicleId,
    pub external_ref: Option<ExternalRef>,
    pub vin: Option<String>,
    pub make: Option<String>,
    pub model: Option<String>,
    pub year: Option<i32>,
    pub created_at: DateTime<Utc>,
    /// Grows with each change.
    pub revision: i32,
}

pub(crate) struct VehicleRow {
    pub(crate) id: Uuid,
    pub(crate) external_ref: Option<String>,
    pub(crate) vin: Option<String>,
    pub(crate) make: Option<String>,
    pub(crate) model: Option<String>,
    pub(crate) year: Option<i32>,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) revision: i32,
}

impl VehicleRow {
    pub(crate) fn read(self) -> Result<VehicleRecord> {
        Ok(VehicleRecord {
            id: self.id.into(),
            external_ref: reference(self.external_ref)?,
            vin: self.vin,
            make: self.make,
            model: self.model,
            year: self.year,
            created_at: self.created_at,
            revision: self.revision,
        })
    }
}

/// Which vehicles; every condition that is given must hold.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct VehicleFilter {
    /// What the reference begins with.
    pub reference_prefix: Option<String>,
    pub vin: Option<String>,
    pub fleet: Option<FleetId>,
    pub group: Option<GroupId>,
}

/// What vehicles can be sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VehicleKey {
    CreatedAt,
    /// In the order of its bytes; a vehicle without one sorts as one with an empty reference.
    ExternalRef,
}

/// One page of vehicles of a filter; the place after the page before, and the order, as SQL.
macro_rules! list_vehicles {
    ($place:tt, $tenant:expr, $filter:expr, $page:expr, $key:expr) => {
        sqlx::query_as!(
            VehicleRow,
            "SELECT v.id, v.external_ref, v.vin, v.make, v.model, v.year, v.created_at, v.revision FROM vehicle v
             WHERE v.tenant_id = $1 AND ($2::text IS NULL OR starts_with(v.external_ref, $2))
               AND ($3::text IS NULL OR v.vin = $3)
               AND ($4::uuid IS NULL OR EXISTS (SELECT FROM fleet_vehicle f
                   WHERE f.tenant_id = v.tenant_id AND f.vehicle_id = v.id AND f.fleet_id = $4))
               AND ($5::uuid IS NULL OR EXISTS (SELECT FROM group_vehicle g
                   WHERE g.tenant_id = v.tenant_id AND g.vehicle_id = v.id AND g.group_id = $5))
               AND ($6::uuid IS NULL OR "
                + $place
                + " LIMIT $8",
            $tenant.uuid(),
            $filter.reference_prefix,
            $filter.vin,
            $filter.fleet.map(FleetId::uuid),
            $filter.group.map(GroupId::uuid),
            $page.id(),
            $key,
            $page.fetch(),
        )
    };
}

impl TenantStore {
    pub async fn create_vehicle(&self, new: NewVehicle) -> Result<VehicleRecord> {
        let caller = self.caller();
        let id: VehicleId = caller.id();
        let mut tx = self.begin().await?;
        sqlx::query!(
            "INSERT INTO vehicle (tenant_id, id, external_ref, vin, make, model, year, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            caller.tenant.uuid(),
            id.uuid(),
            new.external_ref.as_ref().map(ExternalRef::as_str),
            new.vin,
            new.make,
            new.model,
            new.year,
            caller.now,
        )
        .execute(&mut *tx)
        .await?;
        caller.audit(&mut tx, "create", "vehicle", id.uuid()).await?;
        tx.commit().await?;
        let NewVehicle {
            external_ref,
            vin,
            make,
            model,
            year,
        } = new;
        Ok(VehicleRecord {
            id,
            external_ref,
            vin,
            make,
            model,
            year,
            created_at: caller.now,
            revision: 1,
        })
    }

    pub async fn vehicle(&self, vehicle: &IdOrRef<VehicleId>) -> Result<VehicleRecord> {
        let (id, external_ref) = given(vehicle);
        let mut tx = self.begin().await?;
        let row = sqlx::query_as!(
            VehicleRow,
            "SELECT id, external_ref, vin, make, model, year, created_at, revision FROM vehicle
             WHERE tenant_id = $1 AND (id = $2 OR external_ref = $3)",
            self.tenant_id().uuid(),
            id,
            external_ref,
        )
        .fetch_optional(&mut *tx)
        .await?;
        tx.commit().await?;
        row.ok_or(StoreError::NotFound { kind: "vehicle" })?.read()
    }

    /// Applies `change` to the vehicle as it is now (its id, time and revision stay ours). `expected`: the revisions it may
    /// be changed from; `None` for any.
    pub async fn update_vehicle(
        &self,
        vehicle: &IdOrRef<VehicleId>,
        expected: Option<&[i32]>,
        change: impl FnOnce(&mut VehicleRecord),
    ) -> Result<VehicleRecord> {
        let caller = self.caller();
        let (id, external_ref) = given(vehicle);
        let mut tx = self.begin().await?;
        let row = sqlx::query_as!(
            VehicleRow,
            "SELECT id, external_ref, vin, make, model, year, created_at, revision FROM vehicle
             WHERE tenant_id = $1 AND (id = $2 OR external_ref = $3) FOR NO KEY UPDATE",
            caller.tenant.uuid(),
            id,
            external_ref,
        )
        .fetch_optional(&mut *tx)
        .await?;
        let before = row.ok_or(StoreError::NotFound { kind: "vehicle" })?.read()?;
        unchanged_since("vehicle", before.revision, expected)?;
        let mut record = before.clone();
        change(&mut record);
        (record.id, record.created_at, record.revision) = (before.id, before.created_at, before.revision);
        if record != before {
            record.revision += 1;
            sqlx::query!(
                "UPDATE vehicle SET external_ref = $3, vin = $4, make = $5, model = $6, year = $7, revision = $8
                 WHERE tenant_id = $1 AND id = $2",
                caller.tenant.uuid(),
                record.id.uuid(),
                record.external_ref.as_ref().map(ExternalRef::as_str),
                record.vin,
                record.make,
                record.model,
                record.year,
                record.revision,
            )
            .execute(&mut *tx)
            .await?;
            caller.audit(&mut tx, "update", "vehicle", record.id.uuid()).await?;
        }
        tx.commit().await?;
        Ok(record)
    }

    /// In the order they were made.
    pub async fn vehicles(&self, page: Page) -> Result<Listed<VehicleRecord>> {
        self.find_vehicles(VehicleFilter::default(), Order::ascending(VehicleKey::CreatedAt), page)
            .await
    }

    pub async fn find_vehicles(
        &self,
        filter: VehicleFilter,
        order: Order<VehicleKey>,
        page: Page,
    ) -> Result<Listed<VehicleRecord>> {
        let tenant = self.tenant_id();
        let mut tx = self.begin().await?;
        let rows = match (order.by, order.descending) {
            (VehicleKey::CreatedAt, false) => {
                list_vehicles!(
                    "(v.created_at, v.id) > ($7::timestamptz, $6)) ORDER BY v.created_at, v.id",
                    tenant,
                    filter,
                    page,
                    page.at()
                )
                .fetch_all(&mut *tx)
                .await?
            }
            (VehicleKey::CreatedAt, true) => {
                list_vehicles!(
                    "(v.created_at, v.id) < ($7::timestamptz, $6)) ORDER BY v.created_at DESC, v.id DESC",
                    tenant,
                    filter,
                    page,
                    page.at()
                )
                .fetch_all(&mut *tx)
                .await?
            }
            (VehicleKey::ExternalRef, false) => {
                list_vehicles!(
                    r#"(coalesce(v.external_ref, '') COLLATE "C", v.id) > ($7::text, $6))
                       ORDER BY coalesce(v.external_ref, '') COLLATE "C", v.id"#,
                    tenant,
                    filter,
                    page,
                    page.text()
                )
                .fetch_all(&mut *tx)
                .await?
            }
            (VehicleKey::ExternalRef, true) => {
                list_vehicles!(
                    r#"(coalesce(v.external_ref, '') COLLATE "C", v.id) < ($7::text, $6))
                       ORDER BY coalesce(v.external_ref, '') COLLATE "C" DESC, v.id DESC"#,
                    tenant,
                    filter,
                    page,
                    page.text()
                )
                .fetch_all(&mut *tx)
                .await?
            }
        };
        tx.commit().await?;
        let items = rows.into_iter().map(VehicleRow::read).collect::<Result<_>>()?;
        Ok(Listed::cut(&page, items, |vehicle: &VehicleRecord| {
            let key = match order.by {
                VehicleKey::CreatedAt => Key::Time(vehicle.created_at),
                VehicleKey::ExternalRef => {
                    let reference = vehicle.external_ref.as_ref().map(ExternalRef::as_str);
                    Key::Text(reference.unwrap_or_default().to_owned())
                }
            };
            (key, vehicle.id.uuid())
        }))
    }

    /// The vehicle that an id or a reference, as a sender wrote it, stands for.
    pub async fn resolve_vehicle(&self, given: &str) -> Result<Option<VehicleId>> {
        let mut tx = self.begin().await?;
        let vehicle = resolve_vehicle(&mut tx, self.tenant_id(), given).await?;
        tx.commit().await?;
        Ok(vehicle)
    }
}

pub(crate) async fn resolve_vehicle(
    conn: &mut PgConnection,
    tenant: TenantId,
    text: &str,
) -> Result<Option<VehicleId>> {
    // Neither an id nor a sound reference: no vehicle has it.
    let Ok(wanted) = text.parse::<IdOrRef<VehicleId>>() else {
        return Ok(None);
    };
    let (id, external_ref) = given(&wanted);
    let found = sqlx::query_scalar!(
        "SELECT id FROM vehicle WHERE tenant_id = $1 AND (id = $2 OR external_ref = $3)",
        tenant.uuid(),
        id,
        external_ref,
    )
    .fetch_optional(conn)
    .await?;
    Ok(found.map(VehicleId::from))
}

/// The vehicle, its row locked: whatever may not overlap on a vehicle is checked under this lock.
pub(crate) async fn lock_vehicle(
    conn: &mut PgConnection,
    tenant: TenantId,
    vehicle: &IdOrRef<VehicleId>,
) -> Result<VehicleId> {
    let (id, external_ref) = given(vehicle);
    let found = sqlx::query_scalar!(
        "SELECT id FROM vehicle WHERE tenant_id = $1 AND (id = $2 OR external_ref = $3) FOR NO KEY UPDATE",
        tenant.uuid(),
        id,
        external_ref,
    )
    .fetch_optional(conn)
    .await?;
    found
        .map(VehicleId::from)
        .ok_or(StoreError::NotFound { kind: "vehicle" })
}
