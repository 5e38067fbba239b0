//! Vehicles.

use chrono::{DateTime, Utc};
use odograph_domain::id::{ExternalRef, IdOrRef, TenantId, VehicleId};
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

    pub(crate) fn list(page: &Page, rows: Vec<Self>) -> Result<Listed<VehicleRecord>> {
        let items = rows.into_iter().map(Self::read).collect::<Result<_>>()?;
        Ok(Listed::cut(page, items, |vehicle: &VehicleRecord| {
            (vehicle.created_at, vehicle.id.uuid())
        }))
    }
}

/// What vehicles can be sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VehicleKey {
    CreatedAt,
    ExternalRef,
}

/// One page of vehicles; the place after the page before, and the order, as SQL.
macro_rules! vehicles_after {
    ($place:tt, $($parameter:expr),* $(,)?) => {
        sqlx::query_as!(
            VehicleRow,
            "SELECT id, external_ref, vin, make, model, year, created_at, revision FROM vehicle
             WHERE tenant_id = $1 AND ($3::uuid IS NULL OR " + $place + " LIMIT $4",
            $($parameter),*
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
        self.vehicles_by(Order::ascending(VehicleKey::CreatedAt), page).await
    }

    /// A vehicle without a reference sorts as one with an empty reference.
    pub async fn vehicles_by(&self, order: Order<VehicleKey>, page: Page) -> Result<Listed<VehicleRecord>> {
        let (tenant, id, fetch) = (self.tenant_id().uuid(), page.id(), page.fetch());
        let mut tx = self.begin().await?;
        let rows = match (order.by, order.descending) {
            (VehicleKey::CreatedAt, false) => {
                vehicles_after!(
                    "(created_at, id) > ($2::timestamptz, $3)) ORDER BY created_at, id",
                    tenant,
                    page.at(),
                    id,
                    fetch
                )
                .fetch_all(&mut *tx)
                .await?
            }
            (VehicleKey::CreatedAt, true) => {
                vehicles_after!(
                    "(created_at, id) < ($2::timestamptz, $3)) ORDER BY created_at DESC, id DESC",
                    tenant,
                    page.at(),
                    id,
                    fetch
                )
                .fetch_all(&mut *tx)
                .await?
            }
            (VehicleKey::ExternalRef, false) => {
                vehicles_after!(
                    "(coalesce(external_ref, ''), id) > ($2::text, $3)) ORDER BY coalesce(external_ref, ''), id",
                    tenant,
                    page.text(),
                    id,
                    fetch
                )
                .fetch_all(&mut *tx)
                .await?
            }
            (VehicleKey::ExternalRef, true) => vehicles_after!(
                "(coalesce(external_ref, ''), id) < ($2::text, $3)) ORDER BY coalesce(external_ref, '') DESC, id DESC",
                tenant,
                page.text(),
                id,
                fetch
            )
            .fetch_all(&mut *tx)
            .await?,
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
