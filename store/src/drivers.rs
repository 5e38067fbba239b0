//! Drivers, and apart from them who they are.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use odograph_domain::{
    id::{DriverId, ExternalRef, IdOrRef, TenantId},
    intake::Subject,
};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    crypto::{SubjectRef, existing_keys, subject_keys},
    error::{Result, StoreError},
    page::{Listed, Page},
    session::Caller,
    tenant::{TenantStore, given, reference},
};

/// Personal data, stored encrypted with the driver's key.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub name: Option<String>,
    pub email: Option<String>,
    pub phone: Option<String>,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Identity(…)")
    }
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct NewDriver {
    pub external_ref: Option<ExternalRef>,
    pub identity: Option<Identity>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct DriverRecord {
    pub id: DriverId,
    pub external_ref: Option<ExternalRef>,
    pub created_at: DateTime<Utc>,
}

struct DriverRow {
    id: Uuid,
    external_ref: Option<String>,
    created_at: DateTime<Utc>,
}

impl DriverRow {
    fn read(self) -> Result<DriverRecord> {
        let external_ref = reference(self.external_ref)?;
        Ok(DriverRecord {
            id: self.id.into(),
            external_ref,
            created_at: self.created_at,
        })
    }
}

impl TenantStore {
    pub async fn create_driver(&self, new: NewDriver) -> Result<DriverRecord> {
        let caller = self.caller();
        let id: DriverId = caller.id();
        let mut tx = self.begin().await?;
        sqlx::query!(
            "INSERT INTO driver (tenant_id, id, external_ref, created_at) VALUES ($1, $2, $3, $4)",
            caller.tenant.uuid(),
            id.uuid(),
            new.external_ref.as_ref().map(ExternalRef::as_str),
            caller.now,
        )
        .execute(&mut *tx)
        .await?;
        if let Some(identity) = &new.identity {
            put_identity(&mut tx, &caller, id, identity).await?;
        }
        caller.audit(&mut tx, "create", "driver", id.uuid()).await?;
        tx.commit().await?;
        Ok(DriverRecord {
            id,
            external_ref: new.external_ref,
            created_at: caller.now,
        })
    }

    pub async fn driver(&self, driver: &IdOrRef<DriverId>) -> Result<DriverRecord> {
        let (id, external_ref) = given(driver);
        let mut tx = self.begin().await?;
        let row = sqlx::query_as!(
            DriverRow,
            "SELECT id, external_ref, created_at FROM driver WHERE tenant_id = $1 AND (id = $2 OR external_ref = $3)",
            self.tenant_id().uuid(),
            id,
            external_ref,
        )
        .fetch_optional(&mut *tx)
        .await?;
        tx.commit().await?;
        row.ok_or(StoreError::NotFound { kind: "driver" })?.read()
    }

    /// In the order they were made.
    pub async fn drivers(&self, page: Page) -> Result<Listed<DriverRecord>> {
        let mut tx = self.begin().await?;
        let rows = sqlx::query_as!(
            DriverRow,
            "SELECT id, external_ref, created_at FROM driver
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
        let items = rows.into_iter().map(DriverRow::read).collect::<Result<_>>()?;
        Ok(Listed::cut(&page, items, |driver: &DriverRecord| {
            (driver.created_at, driver.id.uuid())
        }))
    }

    pub async fn resolve_driver(&self, given: &str) -> Result<Option<DriverId>> {
        let mut tx = self.begin().await?;
        let driver = resolve_driver(&mut tx, self.tenant_id(), given).await?;
        tx.commit().await?;
        Ok(driver)
    }

    /// Who a driver is, decrypted; the reading is audited. `None` where nothing was given, or it was erased.
    pub async fn driver_identity(&self, driver: DriverId) -> Result<Option<Identity>> {
        let caller = self.caller();
        let mut tx = self.begin().await?;
        known_driver(&mut tx, caller.tenant, &IdOrRef::Id(driver)).await?;
        let row = sqlx::query!(
            "SELECT key_id, sealed FROM driver_identity WHERE tenant_id = $1 AND driver_id = $2",
            caller.tenant.uuid(),
            driver.uuid(),
        )
        .fetch_optional(&mut *tx)
        .await?;
        let mut identity = None;
        if let Some(row) = row {
            let mut keys = existing_keys(&mut tx, caller.master, caller.tenant, &[row.key_id]).await?;
            if let Some(key) = keys.remove(&row.key_id).flatten() {
                let plain = key.open(&context(caller.tenant, driver), &row.sealed)?;
                identity = Some(serde_json::from_slice(&plain).map_err(StoreError::corrupt)?);
            }
            caller.audit(&mut tx, "read", "driver_identity", driver.uuid()).await?;
        }
        tx.commit().await?;
        Ok(identity)
    }

    pub async fn set_driver_identity(&self, driver: DriverId, identity: &Identity) -> Result<()> {
        let caller = self.caller();
        let mut tx = self.begin().await?;
        known_driver(&mut tx, caller.tenant, &IdOrRef::Id(driver)).await?;
        put_identity(&mut tx, &caller, driver, identity).await?;
        caller.audit(&mut tx, "write", "driver_identity", driver.uuid()).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// Binds an identity to its driver: one moved to another row does not decrypt.
fn context(tenant: TenantId, driver: DriverId) -> Vec<u8> {
    [
        b"driver_identity".as_slice(),
        tenant.uuid().as_bytes(),
        driver.uuid().as_bytes(),
    ]
    .concat()
}

async fn put_identity(
    conn: &mut PgConnection,
    caller: &Caller<'_>,
    driver: DriverId,
    identity: &Identity,
) -> Result<()> {
    let subject = SubjectRef::new(caller.tenant, Subject::Driver(driver));
    let keys = subject_keys(conn, caller.master, caller.ids, caller.now, &BTreeSet::from([subject])).await?;
    let key = keys
        .get(&subject)
        .ok_or_else(|| StoreError::Crypto("the driver has no key".into()))?;
    let plain = serde_json::to_vec(identity).map_err(StoreError::corrupt)?;
    sqlx::query!(
        "INSERT INTO driver_identity (tenant_id, driver_id, key_id, sealed, updated_at) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (tenant_id, driver_id)
         DO UPDATE SET key_id = excluded.key_id, sealed = excluded.sealed, updated_at = excluded.updated_at",
        caller.tenant.uuid(),
        driver.uuid(),
        key.id,
        key.key.seal(&context(caller.tenant, driver), &plain)?,
        caller.now,
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub(crate) async fn resolve_driver(conn: &mut PgConnection, tenant: TenantId, text: &str) -> Result<Option<DriverId>> {
    let Ok(wanted) = text.parse::<IdOrRef<DriverId>>() else {
        return Ok(None);
    };
    match known_driver(conn, tenant, &wanted).await {
        Ok(driver) => Ok(Some(driver)),
        Err(StoreError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

pub(crate) async fn known_driver(
    conn: &mut PgConnection,
    tenant: TenantId,
    driver: &IdOrRef<DriverId>,
) -> Result<DriverId> {
    let (id, external_ref) = given(driver);
    let found = sqlx::query_scalar!(
        "SELECT id FROM driver WHERE tenant_id = $1 AND (id = $2 OR external_ref = $3)",
        tenant.uuid(),
        id,
        external_ref,
    )
    .fetch_optional(conn)
    .await?;
    found.map(DriverId::from).ok_or(StoreError::NotFound { kind: "driver" })
}
