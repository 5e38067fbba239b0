//! Devices. Which vehicle one is in, and when, is in [`crate::pairings`].

use chrono::{DateTime, Utc};
use odograph_domain::id::{DeviceId, ExternalRef, IdOrRef};
use uuid::Uuid;

use crate::{
    error::Result,
    page::{Listed, Page},
    pairings::find_device,
    tenant::{TenantStore, reference},
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

pub(crate) struct DeviceRow {
    pub(crate) id: Uuid,
    pub(crate) external_ref: Option<String>,
    pub(crate) kind: String,
    pub(crate) created_at: DateTime<Utc>,
}

impl DeviceRow {
    pub(crate) fn read(self) -> Result<DeviceRecord> {
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
        let record = find_device(&mut tx, self.tenant_id(), device).await?;
        tx.commit().await?;
        Ok(record)
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
}
