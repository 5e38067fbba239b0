//! Devices and the vehicles they are paired with.

use chrono::{DateTime, Utc};
use odograph_domain::id::{DeviceId, ExternalRef, IdOrRef, VehicleId};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    error::{Result, StoreError},
    page::{Listed, Page},
    tenant::{TenantStore, given, reference},
    vehicles::lock_vehicle,
};

#[derive(Debug, Clone, PartialEq)]
pub struct NewDevice {
    pub external_ref: Option<ExternalRef>,
    /// Such as `obd`, `phone`, `built_in`.
    pub kind: String,
}

#[derive(Debug, Clone, PartialEq)]
pub struct DeviceRecord {
    pub id: DeviceId,
    pub external_ref: Option<ExternalRef>,
    pub kind: String,
    pub created_at: DateTime<Utc>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct PairingRecord {
    pub device: DeviceId,
    pub vehicle: VehicleId,
    /// 0 is the vehicle's most trusted device.
    pub rank: u8,
    pub paired_at: DateTime<Utc>,
}

struct DeviceRow {
    id: Uuid,
    external_ref: Option<String>,
    kind: String,
    created_at: DateTime<Utc>,
}

impl DeviceRow {
    fn read(self) -> Result<DeviceRecord> {
        let external_ref = reference(self.external_ref)?;
        Ok(DeviceRecord {
            id: self.id.into(),
            external_ref,
            kind: self.kind,
            created_at: self.created_at,
        })
    }
}

impl TenantStore {
    pub async fn create_device(&self, new: NewDevice) -> Result<DeviceRecord> {
        let caller = self.caller();
        let id: DeviceId = caller.id();
        let mut tx = self.begin().await?;
        sqlx::query!(
            "INSERT INTO device (tenant_id, id, external_ref, kind, created_at) VALUES ($1, $2, $3, $4, $5)",
            caller.tenant.uuid(),
            id.uuid(),
            new.external_ref.as_ref().map(ExternalRef::as_str),
            new.kind,
            caller.now,
        )
        .execute(&mut *tx)
        .await?;
        caller.audit(&mut tx, "create", "device", id.uuid()).await?;
        tx.commit().await?;
        Ok(DeviceRecord {
            id,
            external_ref: new.external_ref,
            kind: new.kind,
            created_at: caller.now,
        })
    }

    pub async fn device(&self, device: &IdOrRef<DeviceId>) -> Result<DeviceRecord> {
        let mut tx = self.begin().await?;
        let record = self.find_device(&mut tx, device).await?;
        tx.commit().await?;
        Ok(record)
    }

    async fn find_device(&self, conn: &mut PgConnection, device: &IdOrRef<DeviceId>) -> Result<DeviceRecord> {
        let (id, external_ref) = given(device);
        let row = sqlx::query_as!(
            DeviceRow,
            "SELECT id, external_ref, kind, created_at FROM device
             WHERE tenant_id = $1 AND (id = $2 OR external_ref = $3)",
            self.tenant_id().uuid(),
            id,
            external_ref,
        )
        .fetch_optional(conn)
        .await?;
        row.ok_or(StoreError::NotFound { kind: "device" })?.read()
    }

    /// In the order they were made.
    pub async fn devices(&self, page: Page) -> Result<Listed<DeviceRecord>> {
        let mut tx = self.begin().await?;
        let rows = sqlx::query_as!(
            DeviceRow,
            "SELECT id, external_ref, kind, created_at FROM device
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
        let items = rows.into_iter().map(DeviceRow::read).collect::<Result<_>>()?;
        Ok(Listed::cut(&page, items, |device: &DeviceRecord| {
            (device.created_at, device.id.uuid())
        }))
    }

    /// Pairs a device with a vehicle, or changes the rank of a pair.
    pub async fn pair_device(
        &self,
        device: &IdOrRef<DeviceId>,
        vehicle: &IdOrRef<VehicleId>,
        rank: u8,
    ) -> Result<PairingRecord> {
        let caller = self.caller();
        let mut tx = self.begin().await?;
        let vehicle = lock_vehicle(&mut tx, caller.tenant, vehicle).await?;
        let device = self.find_device(&mut tx, device).await?.id;
        let paired_at = sqlx::query_scalar!(
            "INSERT INTO device_pairing (tenant_id, device_id, vehicle_id, device_rank, paired_at)
             VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (tenant_id, device_id, vehicle_id) DO UPDATE SET device_rank = excluded.device_rank
             RETURNING paired_at",
            caller.tenant.uuid(),
            device.uuid(),
            vehicle.uuid(),
            i16::from(rank),
            caller.now,
        )
        .fetch_one(&mut *tx)
        .await?;
        caller.audit(&mut tx, "pair", "device", device.uuid()).await?;
        tx.commit().await?;
        Ok(PairingRecord {
            device,
            vehicle,
            rank,
            paired_at,
        })
    }

    /// The vehicle's devices, the most trusted first.
    pub async fn pairings(&self, vehicle: &IdOrRef<VehicleId>) -> Result<Vec<PairingRecord>> {
        let vehicle = self.vehicle(vehicle).await?.id;
        let mut tx = self.begin().await?;
        let rows = sqlx::query!(
            "SELECT device_id, device_rank, paired_at FROM device_pairing
             WHERE tenant_id = $1 AND vehicle_id = $2 ORDER BY device_rank, device_id",
            self.tenant_id().uuid(),
            vehicle.uuid(),
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        let read = |rank: i16| u8::try_from(rank).map_err(StoreError::corrupt);
        rows.into_iter()
            .map(|row| {
                let rank = read(row.device_rank)?;
                Ok(PairingRecord {
                    device: row.device_id.into(),
                    vehicle,
                    rank,
                    paired_at: row.paired_at,
                })
            })
            .collect()
    }
}
