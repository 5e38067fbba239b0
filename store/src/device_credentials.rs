//! What devices log in to the broker with.

use chrono::{DateTime, Utc};
use odograph_domain::id::{DeviceCredentialId, DeviceId, IdOrRef, TenantId};
use uuid::Uuid;

use crate::{
    error::{Result, StoreError},
    page::{Listed, Page},
    pairings::find_device,
    session::Scope,
    store::Store,
    tenant::TenantStore,
};

#[derive(Debug, Clone, PartialEq)]
pub struct DeviceCredentialRecord {
    pub id: DeviceCredentialId,
    pub device: DeviceId,
    pub created_at: DateTime<Utc>,
    pub revoked_at: Option<DateTime<Utc>>,
}

/// Whose a credential is, and what its secret is checked against.
#[derive(Clone, PartialEq, Eq)]
pub struct DeviceLogin {
    pub credential: DeviceCredentialId,
    pub tenant: TenantId,
    pub device: DeviceId,
    /// SHA-256.
    pub secret_hash: Vec<u8>,
    /// The credential, or its tenant is disabled.
    pub revoked: bool,
}

impl std::fmt::Debug for DeviceLogin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeviceLogin")
            .field("credential", &self.credential)
            .finish_non_exhaustive()
    }
}

struct CredentialRow {
    id: Uuid,
    device_id: Uuid,
    created_at: DateTime<Utc>,
    revoked_at: Option<DateTime<Utc>>,
}

impl From<CredentialRow> for DeviceCredentialRecord {
    fn from(row: CredentialRow) -> Self {
        Self {
            id: row.id.into(),
            device: row.device_id.into(),
            created_at: row.created_at,
            revoked_at: row.revoked_at,
        }
    }
}

impl TenantStore {
    /// `secret_hash`: SHA-256 of a secret of 256 random bits.
    pub async fn create_device_credential(
        &self,
        device: &IdOrRef<DeviceId>,
        secret_hash: [u8; 32],
    ) -> Result<DeviceCredentialRecord> {
        let caller = self.caller();
        let id: DeviceCredentialId = caller.id();
        let mut tx = self.begin().await?;
        let device = find_device(&mut tx, caller.tenant, device).await?.id;
        sqlx::query!(
            "INSERT INTO device_credential (tenant_id, id, device_id, secret_hash, created_at) VALUES ($1, $2, $3, $4, $5)",
            caller.tenant.uuid(),
            id.uuid(),
            device.uuid(),
            &secret_hash[..],
            caller.now,
        )
        .execute(&mut *tx)
        .await?;
        caller.audit(&mut tx, "create", "device_credential", id.uuid()).await?;
        tx.commit().await?;
        Ok(DeviceCredentialRecord {
            id,
            device,
            created_at: caller.now,
            revoked_at: None,
        })
    }

    /// Those of a device, revoked ones too, in the order they were made.
    pub async fn device_credentials(
        &self,
        device: &IdOrRef<DeviceId>,
        page: Page,
    ) -> Result<Listed<DeviceCredentialRecord>> {
        let mut tx = self.begin().await?;
        let device = find_device(&mut tx, self.tenant_id(), device).await?.id;
        let rows = sqlx::query_as!(
            CredentialRow,
            "SELECT id, device_id, created_at, revoked_at FROM device_credential
             WHERE tenant_id = $1 AND device_id = $2 AND ($3::timestamptz IS NULL OR (created_at, id) > ($3, $4))
             ORDER BY created_at, id LIMIT $5",
            self.tenant_id().uuid(),
            device.uuid(),
            page.at(),
            page.id(),
            page.fetch(),
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        let items = rows.into_iter().map(DeviceCredentialRecord::from).collect();
        Ok(Listed::cut(&page, items, |record: &DeviceCredentialRecord| {
            (record.created_at, record.id.uuid())
        }))
    }

    /// From now on nobody gets in with it. One that is revoked already stays as it is.
    pub async fn revoke_device_credential(
        &self,
        device: &IdOrRef<DeviceId>,
        credential: DeviceCredentialId,
    ) -> Result<()> {
        let caller = self.caller();
        let mut tx = self.begin().await?;
        let device = find_device(&mut tx, caller.tenant, device).await?.id;
        let row = sqlx::query_as!(
            CredentialRow,
            "SELECT id, device_id, created_at, revoked_at FROM device_credential
             WHERE tenant_id = $1 AND device_id = $2 AND id = $3",
            caller.tenant.uuid(),
            device.uuid(),
            credential.uuid(),
        )
        .fetch_optional(&mut *tx)
        .await?
        .ok_or(StoreError::NotFound {
            kind: "device credential",
        })?;
        if row.revoked_at.is_none() {
            sqlx::query!(
                "UPDATE device_credential SET revoked_at = $3 WHERE tenant_id = $1 AND id = $2 AND revoked_at IS NULL",
                caller.tenant.uuid(),
                credential.uuid(),
                caller.now,
            )
            .execute(&mut *tx)
            .await?;
            caller
                .audit(&mut tx, "revoke", "device_credential", credential.uuid())
                .await?;
        }
        Ok(tx.commit().await?)
    }
}

impl Store {
    /// Looks up credentials of devices before it is known whose they are. Those that are none's are left out.
    pub async fn device_logins(&self, credentials: &[DeviceCredentialId]) -> Result<Vec<DeviceLogin>> {
        if credentials.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<Uuid> = credentials.iter().map(|credential| credential.uuid()).collect();
        let nobody = Scope::Api {
            tenant: None,
            tracks: false,
        };
        let mut tx = self.begin(nobody).await?;
        let rows = sqlx::query!(
            r#"SELECT id AS "id!", tenant_id AS "tenant_id!", device_id AS "device_id!", secret_hash AS "secret_hash!",
                      revoked AS "revoked!"
               FROM device_logins($1)"#,
            &ids,
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        let read = rows.into_iter().map(|row| DeviceLogin {
            credential: row.id.into(),
            tenant: row.tenant_id.into(),
            device: row.device_id.into(),
            secret_hash: row.secret_hash,
            revoked: row.revoked,
        });
        Ok(read.collect())
    }
}
