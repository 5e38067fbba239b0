//! What an operator changes of the platform: tenants, the clients of tenants, and operators' own clients.

use chrono::{DateTime, Utc};
use odograph_domain::{
    id::{ClientId, TenantId},
    settings::TenantSettings,
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    error::{Result, StoreError},
    operator::{ClientRecord, NewClient, OperatorStore, TenantRecord, tenant_record},
    page::{Listed, Page},
    tenant::{TenantStore, to_json, unchanged_since},
};

/// A client of the platform: it belongs to no tenant.
#[derive(Debug, Clone, PartialEq)]
pub struct OperatorClientRecord {
    pub id: ClientId,
    pub name: String,
    pub scopes: Vec<String>,
    pub created_at: DateTime<Utc>,
    pub disabled_at: Option<DateTime<Utc>>,
}

impl OperatorStore {
    /// Applies `change` to the tenant's name, settings and suspension; `expected` as in [`TenantStore::update_vehicle`].
    pub async fn update_tenant(
        &self,
        tenant: TenantId,
        expected: Option<&[i32]>,
        change: impl FnOnce(&mut TenantRecord),
    ) -> Result<TenantRecord> {
        let mut tx = self.begin().await?;
        let before = locked(&mut tx, tenant).await?;
        unchanged_since("tenant", before.revision, expected)?;
        let mut record = before.clone();
        change(&mut record);
        (record.id, record.created_at, record.revision) = (before.id, before.created_at, before.revision);
        if record != before {
            record.revision += 1;
            sqlx::query!(
                "UPDATE tenant SET name = $2, settings = $3, disabled_at = $4, revision = $5 WHERE id = $1",
                tenant.uuid(),
                record.name,
                to_json(&record.settings)?,
                record.disabled_at,
                record.revision,
            )
            .execute(&mut *tx)
            .await?;
            self.audit(&mut tx, tenant, "update", "tenant", tenant.uuid()).await?;
        }
        tx.commit().await?;
        Ok(record)
    }

    /// Applies `change` to the client's name, scopes and whether it is disabled.
    pub async fn update_client(
        &self,
        tenant: TenantId,
        client: ClientId,
        change: impl FnOnce(&mut ClientRecord),
    ) -> Result<ClientRecord> {
        let mut tx = self.begin().await?;
        let before = locked_client(&mut tx, tenant, client).await?;
        let mut record = before.clone();
        change(&mut record);
        (record.id, record.tenant, record.created_at) = (before.id, before.tenant, before.created_at);
        if record != before {
            sqlx::query!(
                "UPDATE client SET name = $3, scopes = $4, disabled_at = $5 WHERE tenant_id = $1 AND id = $2",
                tenant.uuid(),
                client.uuid(),
                record.name,
                &record.scopes,
                record.disabled_at,
            )
            .execute(&mut *tx)
            .await?;
            self.audit(&mut tx, tenant, "update", "client", client.uuid()).await?;
        }
        tx.commit().await?;
        Ok(record)
    }

    /// Gives a client another secret; the old one gets no more tokens.
    pub async fn rotate_secret(&self, tenant: TenantId, client: ClientId, secret_hash: &str) -> Result<ClientRecord> {
        let mut tx = self.begin().await?;
        let record = locked_client(&mut tx, tenant, client).await?;
        sqlx::query!(
            "UPDATE client SET secret_hash = $3 WHERE tenant_id = $1 AND id = $2",
            tenant.uuid(),
            client.uuid(),
            secret_hash,
        )
        .execute(&mut *tx)
        .await?;
        self.audit(&mut tx, tenant, "rotate", "client", client.uuid()).await?;
        tx.commit().await?;
        Ok(record)
    }

    /// A client of the platform. Operators' own clients are made at the machine only.
    pub async fn create_operator_client(&self, new: NewClient) -> Result<OperatorClientRecord> {
        let id = ClientId::from(self.new_id());
        let created_at = self.now();
        let mut tx = self.begin().await?;
        sqlx::query!(
            "INSERT INTO operator_client (id, name, secret_hash, scopes, created_at) VALUES ($1, $2, $3, $4, $5)",
            id.uuid(),
            new.name,
            new.secret_hash,
            &new.scopes,
            created_at,
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(OperatorClientRecord {
            id,
            name: new.name,
            scopes: new.scopes,
            created_at,
            disabled_at: None,
        })
    }

    /// In the order they were made.
    pub async fn operator_clients(&self, page: Page) -> Result<Listed<OperatorClientRecord>> {
        let mut tx = self.begin().await?;
        let rows = sqlx::query!(
            "SELECT id, name, scopes, created_at, disabled_at FROM operator_client
             WHERE $1::timestamptz IS NULL OR (created_at, id) > ($1, $2) ORDER BY created_at, id LIMIT $3",
            page.at(),
            page.id(),
            page.fetch(),
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        let items = rows
            .into_iter()
            .map(|row| OperatorClientRecord {
                id: row.id.into(),
                name: row.name,
                scopes: row.scopes,
                created_at: row.created_at,
                disabled_at: row.disabled_at,
            })
            .collect();
        Ok(Listed::cut(&page, items, |client: &OperatorClientRecord| {
            (client.created_at, client.id.uuid())
        }))
    }

    /// Its tokens run out by themselves; it gets no new ones.
    pub async fn disable_operator_client(&self, client: ClientId) -> Result<()> {
        let now = self.now();
        let mut tx = self.begin().await?;
        let done = sqlx::query!(
            "UPDATE operator_client SET disabled_at = coalesce(disabled_at, $2) WHERE id = $1",
            client.uuid(),
            now,
        )
        .execute(&mut *tx)
        .await?;
        if done.rows_affected() == 0 {
            return Err(StoreError::NotFound { kind: "client" });
        }
        Ok(tx.commit().await?)
    }

    /// Forgets what became of messages that came before a time; returns of how many.
    pub async fn forget_messages(&self, before: DateTime<Utc>) -> Result<u64> {
        let mut tx = self.begin().await?;
        let gone = sqlx::query!("DELETE FROM message WHERE received_at < $1", before)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(gone.rows_affected())
    }

    /// What an operator does to a tenant is in the tenant's audit log.
    pub(crate) async fn audit(
        &self,
        conn: &mut PgConnection,
        tenant: TenantId,
        action: &str,
        kind: &str,
        object: Uuid,
    ) -> Result<()> {
        sqlx::query!(
            "INSERT INTO audit (tenant_id, id, at, operator_id, action, object_kind, object_id)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
            tenant.uuid(),
            self.new_id(),
            self.now(),
            self.actor().map(ClientId::uuid),
            action,
            kind,
            object,
        )
        .execute(conn)
        .await?;
        Ok(())
    }
}

impl TenantStore {
    /// Applies `change` to the tenant's own settings; `expected` as in [`TenantStore::update_vehicle`]. Trips already derived
    /// stay as they are until their window is derived anew.
    pub async fn update_settings(
        &self,
        expected: Option<&[i32]>,
        change: impl FnOnce(&mut TenantSettings),
    ) -> Result<TenantRecord> {
        let caller = self.caller();
        let mut tx = self.begin().await?;
        let mut record = locked(&mut tx, caller.tenant).await?;
        unchanged_since("settings", record.revision, expected)?;
        let before = record.settings.clone();
        change(&mut record.settings);
        if record.settings != before {
            record.revision += 1;
            sqlx::query!(
                "UPDATE tenant SET settings = $2, revision = $3 WHERE id = $1",
                caller.tenant.uuid(),
                to_json(&record.settings)?,
                record.revision,
            )
            .execute(&mut *tx)
            .await?;
            caller
                .audit(&mut tx, "settings", "tenant", caller.tenant.uuid())
                .await?;
        }
        tx.commit().await?;
        Ok(record)
    }
}

async fn locked(conn: &mut PgConnection, tenant: TenantId) -> Result<TenantRecord> {
    sqlx::query!("SELECT id FROM tenant WHERE id = $1 FOR NO KEY UPDATE", tenant.uuid())
        .fetch_optional(&mut *conn)
        .await?;
    tenant_record(conn, tenant)
        .await?
        .ok_or(StoreError::NotFound { kind: "tenant" })
}

async fn locked_client(conn: &mut PgConnection, tenant: TenantId, client: ClientId) -> Result<ClientRecord> {
    let row = sqlx::query!(
        "SELECT name, scopes, created_at, disabled_at FROM client WHERE tenant_id = $1 AND id = $2 FOR NO KEY UPDATE",
        tenant.uuid(),
        client.uuid(),
    )
    .fetch_optional(conn)
    .await?
    .ok_or(StoreError::NotFound { kind: "client" })?;
    Ok(ClientRecord {
        id: client,
        tenant,
        name: row.name,
        scopes: row.scopes,
        created_at: row.created_at,
        disabled_at: row.disabled_at,
    })
}
