//! Odometers that were replaced or set.

use chrono::{DateTime, SubsecRound, Utc};
use odograph_domain::{
    correction::Why,
    id::{IdOrRef, OdometerChangeId, VehicleId},
    mileage::OdometerChange,
};

use crate::{
    dirty::mark_dirty,
    error::{Result, StoreError},
    page::{Listed, Page},
    tenant::TenantStore,
    vehicles::lock_vehicle,
};

#[derive(Debug, Clone, PartialEq)]
pub struct NewOdometerChange {
    pub vehicle: IdOrRef<VehicleId>,
    pub change: OdometerChange,
    pub reason: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct OdometerChangeRecord {
    pub id: OdometerChangeId,
    pub vehicle: VehicleId,
    pub change: OdometerChange,
    pub reason: Option<String>,
    pub created_at: DateTime<Utc>,
}

impl TenantStore {
    /// Trips on the way at that time are derived anew: what their odometer told across it was not driven.
    pub async fn change_odometer(&self, new: NewOdometerChange) -> Result<OdometerChangeRecord> {
        let caller = self.caller();
        let mut tx = self.begin().await?;
        let vehicle = lock_vehicle(&mut tx, caller.tenant, &new.vehicle).await?;
        let at = new.change.at.trunc_subsecs(6);
        let record = OdometerChangeRecord {
            id: caller.id(),
            vehicle,
            change: OdometerChange { at, ..new.change },
            reason: new.reason,
            created_at: caller.now,
        };
        let (old_km, new_km) = record.change.readings_km.unzip();
        sqlx::query!(
            "INSERT INTO odometer_change (tenant_id, id, vehicle_id, at, old_km, new_km, reason, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            caller.tenant.uuid(),
            record.id.uuid(),
            vehicle.uuid(),
            at,
            old_km,
            new_km,
            record.reason,
            record.created_at,
        )
        .execute(&mut *tx)
        .await?;
        mark_dirty(&mut tx, &caller, vehicle, at, Some(at), Why::OdometerChanged).await?;
        caller
            .audit(&mut tx, "create", "odometer_change", record.id.uuid())
            .await?;
        tx.commit().await?;
        Ok(record)
    }

    /// Takes a change back that was filed by mistake.
    pub async fn withdraw_odometer_change(&self, vehicle: &IdOrRef<VehicleId>, change: OdometerChangeId) -> Result<()> {
        let caller = self.caller();
        let mut tx = self.begin().await?;
        let vehicle = lock_vehicle(&mut tx, caller.tenant, vehicle).await?;
        let at = sqlx::query_scalar!(
            "DELETE FROM odometer_change WHERE tenant_id = $1 AND vehicle_id = $2 AND id = $3 RETURNING at",
            caller.tenant.uuid(),
            vehicle.uuid(),
            change.uuid(),
        )
        .fetch_optional(&mut *tx)
        .await?
        .ok_or(StoreError::NotFound {
            kind: "odometer change",
        })?;
        mark_dirty(&mut tx, &caller, vehicle, at, Some(at), Why::OdometerChanged).await?;
        caller
            .audit(&mut tx, "withdraw", "odometer_change", change.uuid())
            .await?;
        Ok(tx.commit().await?)
    }

    /// A vehicle's changes of the odometer, the earliest first.
    pub async fn odometer_changes(
        &self,
        vehicle: &IdOrRef<VehicleId>,
        page: Page,
    ) -> Result<Listed<OdometerChangeRecord>> {
        let vehicle = self.vehicle(vehicle).await?.id;
        let mut tx = self.begin().await?;
        let rows = sqlx::query!(
            "SELECT id, at, old_km, new_km, reason, created_at FROM odometer_change
             WHERE tenant_id = $1 AND vehicle_id = $2 AND ($3::timestamptz IS NULL OR (at, id) > ($3, $4))
             ORDER BY at, id LIMIT $5",
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
            .map(|row| OdometerChangeRecord {
                id: row.id.into(),
                vehicle,
                change: OdometerChange {
                    at: row.at,
                    readings_km: row.old_km.zip(row.new_km),
                },
                reason: row.reason,
                created_at: row.created_at,
            })
            .collect();
        Ok(Listed::cut(&page, items, |record: &OdometerChangeRecord| {
            (record.change.at, record.id.uuid())
        }))
    }
}
