//! Drivers, and apart from them who they are.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use odograph_domain::{
    id::{DriverId, ExternalRef, FleetId, GroupId, IdOrRef, TenantId},
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
    tenant::{TenantStore, given, reference, unchanged_since},
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
    /// Grows with each change, of the identity too.
    pub revision: i32,
    /// Nothing from then on is attributed to them.
    pub left_at: Option<DateTime<Utc>>,
}

/// Which drivers; every condition that is given must hold.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DriverFilter {
    /// What the reference begins with.
    pub reference_prefix: Option<String>,
    /// Assigned at present to a vehicle of this fleet.
    pub fleet: Option<FleetId>,
    /// Assigned at present to a vehicle of this group.
    pub group: Option<GroupId>,
}

struct DriverRow {
    id: Uuid,
    external_ref: Option<String>,
    created_at: DateTime<Utc>,
    revision: i32,
    left_at: Option<DateTime<Utc>>,
}

impl DriverRow {
    fn read(self) -> Result<DriverRecord> {
        let external_ref = reference(self.external_ref)?;
        Ok(DriverRecord {
            id: self.id.into(),
            external_ref,
            created_at: self.created_at,
            revision: self.revision,
            left_at: self.left_at,
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
            revision: 1,
            left_at: None,
        })
    }

    pub async fn driver(&self, driver: &IdOrRef<DriverId>) -> Result<DriverRecord> {
        let (id, external_ref) = given(driver);
        let mut tx = self.begin().await?;
        let row = sqlx::query_as!(
            DriverRow,
            "SELECT id, external_ref, created_at, revision, left_at FROM driver
             WHERE tenant_id = $1 AND (id = $2 OR external_ref = $3)",
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
        self.find_drivers(DriverFilter::default(), page).await
    }

    /// In the order they were made.
    pub async fn find_drivers(&self, filter: DriverFilter, page: Page) -> Result<Listed<DriverRecord>> {
        let caller = self.caller();
        let mut tx = self.begin().await?;
        let rows = sqlx::query_as!(
            DriverRow,
            "SELECT d.id, d.external_ref, d.created_at, d.revision, d.left_at FROM driver d
             WHERE d.tenant_id = $1 AND ($2::timestamptz IS NULL OR (d.created_at, d.id) > ($2, $3))
               AND ($5::text IS NULL OR starts_with(d.external_ref, $5))
               AND ($6::uuid IS NULL OR EXISTS (SELECT FROM assignment a
                   JOIN fleet_vehicle f ON f.tenant_id = a.tenant_id AND f.vehicle_id = a.vehicle_id
                   WHERE a.tenant_id = d.tenant_id AND a.driver_id = d.id AND f.fleet_id = $6
                     AND a.starts_at <= $8 AND (a.ends_at IS NULL OR a.ends_at > $8)))
               AND ($7::uuid IS NULL OR EXISTS (SELECT FROM assignment a
                   JOIN group_vehicle g ON g.tenant_id = a.tenant_id AND g.vehicle_id = a.vehicle_id
                   WHERE a.tenant_id = d.tenant_id AND a.driver_id = d.id AND g.group_id = $7
                     AND a.starts_at <= $8 AND (a.ends_at IS NULL OR a.ends_at > $8)))
             ORDER BY d.created_at, d.id LIMIT $4",
            caller.tenant.uuid(),
            page.at(),
            page.id(),
            page.fetch(),
            filter.reference_prefix,
            filter.fleet.map(FleetId::uuid),
            filter.group.map(GroupId::uuid),
            caller.now,
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        let items = rows.into_iter().map(DriverRow::read).collect::<Result<_>>()?;
        Ok(Listed::cut(&page, items, |driver: &DriverRecord| {
            (driver.created_at, driver.id.uuid())
        }))
    }

    /// Applies `change` to the driver's reference and, where it is given, `identity` to who the driver is (`None`: nothing
    /// is known or kept). `expected` as in [`TenantStore::update_vehicle`].
    pub async fn update_driver(
        &self,
        driver: &IdOrRef<DriverId>,
        expected: Option<&[i32]>,
        change: impl FnOnce(&mut DriverRecord),
        identity: Option<impl FnOnce(&mut Option<Identity>)>,
    ) -> Result<DriverRecord> {
        let caller = self.caller();
        let mut tx = self.begin().await?;
        let before = lock_driver(&mut tx, caller.tenant, driver).await?;
        unchanged_since("driver", before.revision, expected)?;
        let mut record = before.clone();
        change(&mut record);
        (record.id, record.created_at, record.revision) = (before.id, before.created_at, before.revision);
        record.left_at = before.left_at;
        let mut renamed = record != before;
        if let Some(identity) = identity {
            renamed |= change_identity(&mut tx, &caller, record.id, identity).await?;
        }
        if renamed {
            record.revision += 1;
            sqlx::query!(
                "UPDATE driver SET external_ref = $3, revision = $4 WHERE tenant_id = $1 AND id = $2",
                caller.tenant.uuid(),
                record.id.uuid(),
                record.external_ref.as_ref().map(ExternalRef::as_str),
                record.revision,
            )
            .execute(&mut *tx)
            .await?;
            caller.audit(&mut tx, "update", "driver", record.id.uuid()).await?;
        }
        tx.commit().await?;
        Ok(record)
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
        let (there, identity) = read_identity(&mut tx, &caller, driver).await?;
        if there {
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

/// Whether anything is stored, and what it says; that may have been erased.
async fn read_identity(
    conn: &mut PgConnection,
    caller: &Caller<'_>,
    driver: DriverId,
) -> Result<(bool, Option<Identity>)> {
    let row = sqlx::query!(
        "SELECT key_id, sealed FROM driver_identity WHERE tenant_id = $1 AND driver_id = $2",
        caller.tenant.uuid(),
        driver.uuid(),
    )
    .fetch_optional(&mut *conn)
    .await?;
    let Some(row) = row else {
        return Ok((false, None));
    };
    let mut keys = existing_keys(conn, caller.master, caller.tenant, &[row.key_id]).await?;
    let Some(key) = keys.remove(&row.key_id).flatten() else {
        return Ok((true, None));
    };
    let plain = key.open(&context(caller.tenant, driver), &row.sealed)?;
    Ok((true, Some(serde_json::from_slice(&plain).map_err(StoreError::corrupt)?)))
}

/// Whether that changed anything.
async fn change_identity(
    conn: &mut PgConnection,
    caller: &Caller<'_>,
    driver: DriverId,
    change: impl FnOnce(&mut Option<Identity>),
) -> Result<bool> {
    let (there, before) = read_identity(conn, caller, driver).await?;
    let mut identity = before.clone();
    change(&mut identity);
    // One that says nothing is none.
    let identity = identity.filter(|identity| *identity != Identity::default());
    if identity == before {
        return Ok(false);
    }
    match identity {
        Some(identity) => put_identity(conn, caller, driver, &identity).await?,
        None if there => {
            sqlx::query!(
                "DELETE FROM driver_identity WHERE tenant_id = $1 AND driver_id = $2",
                caller.tenant.uuid(),
                driver.uuid(),
            )
            .execute(&mut *conn)
            .await?;
        }
        None => {}
    }
    caller.audit(conn, "write", "driver_identity", driver.uuid()).await?;
    Ok(true)
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

pub(crate) async fn lock_driver(
    conn: &mut PgConnection,
    tenant: TenantId,
    driver: &IdOrRef<DriverId>,
) -> Result<DriverRecord> {
    let (id, external_ref) = given(driver);
    let row = sqlx::query_as!(
        DriverRow,
        "SELECT id, external_ref, created_at, revision, left_at FROM driver
         WHERE tenant_id = $1 AND (id = $2 OR external_ref = $3) FOR NO KEY UPDATE",
        tenant.uuid(),
        id,
        external_ref,
    )
    .fetch_optional(conn)
    .await?;
    row.ok_or(StoreError::NotFound { kind: "driver" })?.read()
}
