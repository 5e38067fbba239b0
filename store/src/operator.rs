//! The platform operator's view: tenants, their clients, and what belongs to no tenant.

use chrono::{DateTime, Utc};
use odograph_domain::{
    id::{ClientId, TenantId},
    settings::TenantSettings,
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    error::{Result, StoreError},
    lake::Lake,
    page::{Listed, Page},
    session::{Scope, Tx, now},
    store::Store,
    tenant::{from_json, to_json},
    worker::quarantine_context,
};

#[derive(Debug, Clone)]
pub struct OperatorStore {
    store: Store,
    /// Who acts, where somebody does over the network; then under the operators' own role.
    actor: Option<ClientId>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct NewTenant {
    pub name: String,
    pub settings: TenantSettings,
}

#[derive(Debug, Clone, PartialEq)]
pub struct TenantRecord {
    pub id: TenantId,
    pub name: String,
    pub settings: TenantSettings,
    pub created_at: DateTime<Utc>,
    pub disabled_at: Option<DateTime<Utc>>,
    /// Grows with each change.
    pub revision: i32,
}

#[derive(Clone, PartialEq)]
pub struct NewClient {
    pub name: String,
    /// A PHC string.
    pub secret_hash: String,
    pub scopes: Vec<String>,
}

impl std::fmt::Debug for NewClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewClient")
            .field("name", &self.name)
            .field("scopes", &self.scopes)
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct ClientRecord {
    pub id: ClientId,
    pub tenant: TenantId,
    pub name: String,
    pub scopes: Vec<String>,
    pub created_at: DateTime<Utc>,
    pub disabled_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct QuarantineRow {
    pub id: Uuid,
    pub reason: String,
    pub bytes: Vec<u8>,
    pub received_at: DateTime<Utc>,
}

/// How much there is of everything, over all tenants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OperatorCounts {
    pub tenants: i64,
    pub vehicles: i64,
    pub trips: i64,
    pub journal_rows: i64,
    pub blocks: i64,
    pub dirty: i64,
    pub dead_letters: i64,
    pub quarantined: i64,
    pub queued: i64,
}

struct TenantRow {
    id: Uuid,
    name: String,
    settings: serde_json::Value,
    created_at: DateTime<Utc>,
    disabled_at: Option<DateTime<Utc>>,
    revision: i32,
}

impl TenantRow {
    fn read(self) -> Result<TenantRecord> {
        Ok(TenantRecord {
            id: self.id.into(),
            name: self.name,
            settings: from_json(self.settings, "the tenant's settings")?,
            created_at: self.created_at,
            disabled_at: self.disabled_at,
            revision: self.revision,
        })
    }
}

impl OperatorStore {
    pub(crate) fn new(store: Store) -> Self {
        Self { store, actor: None }
    }

    pub(crate) fn acting_as(store: Store, actor: ClientId) -> Self {
        let actor = Some(actor);
        Self { store, actor }
    }

    pub(crate) async fn begin(&self) -> Result<Tx> {
        let scope = match self.actor {
            Some(_) => Scope::Operator,
            // At the machine, where the database itself can be reached too.
            None => Scope::Maintenance,
        };
        self.store.begin(scope).await
    }

    pub(crate) fn actor(&self) -> Option<ClientId> {
        self.actor
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        now(self.store.clock())
    }

    pub(crate) fn lake(&self) -> Option<&Lake> {
        self.store.lake()
    }

    pub(crate) fn new_id(&self) -> Uuid {
        self.store.ids().uuid()
    }

    pub async fn create_tenant(&self, new: NewTenant) -> Result<TenantRecord> {
        let (id, created_at) = (TenantId::from(self.new_id()), self.now());
        let mut tx = self.begin().await?;
        sqlx::query!(
            "INSERT INTO tenant (id, name, settings, created_at) VALUES ($1, $2, $3, $4)",
            id.uuid(),
            new.name,
            to_json(&new.settings)?,
            created_at,
        )
        .execute(&mut *tx)
        .await?;
        self.audit(&mut tx, id, "create", "tenant", id.uuid()).await?;
        tx.commit().await?;
        Ok(TenantRecord {
            id,
            name: new.name,
            settings: new.settings,
            created_at,
            disabled_at: None,
            revision: 1,
        })
    }

    /// In the order they were made.
    pub async fn tenants(&self, page: Page) -> Result<Listed<TenantRecord>> {
        let mut tx = self.begin().await?;
        let rows = sqlx::query_as!(
            TenantRow,
            "SELECT id, name, settings, created_at, disabled_at, revision FROM tenant
             WHERE $1::timestamptz IS NULL OR (created_at, id) > ($1, $2) ORDER BY created_at, id LIMIT $3",
            page.at(),
            page.id(),
            page.fetch(),
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        let items = rows.into_iter().map(TenantRow::read).collect::<Result<_>>()?;
        Ok(Listed::cut(&page, items, |tenant: &TenantRecord| {
            (tenant.created_at, tenant.id.uuid())
        }))
    }

    pub async fn tenant(&self, tenant: TenantId) -> Result<TenantRecord> {
        let mut tx = self.begin().await?;
        let record = tenant_record(&mut tx, tenant).await?;
        tx.commit().await?;
        record.ok_or(StoreError::NotFound { kind: "tenant" })
    }

    pub async fn tenant_by_name(&self, name: &str) -> Result<Option<TenantRecord>> {
        let mut tx = self.begin().await?;
        let row = sqlx::query_as!(
            TenantRow,
            "SELECT id, name, settings, created_at, disabled_at, revision FROM tenant WHERE name = $1",
            name
        )
        .fetch_optional(&mut *tx)
        .await?;
        tx.commit().await?;
        row.map(TenantRow::read).transpose()
    }

    /// Trips already derived stay as they are until their window is derived anew.
    pub async fn set_tenant_settings(&self, tenant: TenantId, settings: &TenantSettings) -> Result<TenantRecord> {
        let mut tx = self.begin().await?;
        sqlx::query!(
            "UPDATE tenant SET settings = $2, revision = revision + 1 WHERE id = $1",
            tenant.uuid(),
            to_json(settings)?
        )
        .execute(&mut *tx)
        .await?;
        let record = tenant_record(&mut tx, tenant)
            .await?
            .ok_or(StoreError::NotFound { kind: "tenant" })?;
        self.audit(&mut tx, tenant, "settings", "tenant", tenant.uuid()).await?;
        tx.commit().await?;
        Ok(record)
    }

    pub async fn create_client(&self, tenant: TenantId, new: NewClient) -> Result<ClientRecord> {
        let (id, created_at) = (ClientId::from(self.new_id()), self.now());
        let mut tx = self.begin().await?;
        tenant_record(&mut tx, tenant)
            .await?
            .ok_or(StoreError::NotFound { kind: "tenant" })?;
        sqlx::query!(
            "INSERT INTO client (tenant_id, id, name, secret_hash, scopes, created_at) VALUES ($1, $2, $3, $4, $5, $6)",
            tenant.uuid(),
            id.uuid(),
            new.name,
            new.secret_hash,
            &new.scopes,
            created_at,
        )
        .execute(&mut *tx)
        .await?;
        self.audit(&mut tx, tenant, "create", "client", id.uuid()).await?;
        tx.commit().await?;
        let NewClient { name, scopes, .. } = new;
        Ok(ClientRecord {
            id,
            tenant,
            name,
            scopes,
            created_at,
            disabled_at: None,
        })
    }

    /// In the order they were made.
    pub async fn clients(&self, tenant: TenantId, page: Page) -> Result<Listed<ClientRecord>> {
        let mut tx = self.begin().await?;
        let rows = sqlx::query!(
            "SELECT id, name, scopes, created_at, disabled_at FROM client
             WHERE tenant_id = $1 AND ($2::timestamptz IS NULL OR (created_at, id) > ($2, $3))
             ORDER BY created_at, id LIMIT $4",
            tenant.uuid(),
            page.at(),
            page.id(),
            page.fetch(),
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        let items = rows
            .into_iter()
            .map(|row| ClientRecord {
                id: row.id.into(),
                tenant,
                name: row.name,
                scopes: row.scopes,
                created_at: row.created_at,
                disabled_at: row.disabled_at,
            })
            .collect();
        Ok(Listed::cut(&page, items, |client: &ClientRecord| {
            (client.created_at, client.id.uuid())
        }))
    }

    /// Its tokens run out by themselves; it gets no new ones.
    pub async fn disable_client(&self, tenant: TenantId, client: ClientId) -> Result<()> {
        let disabled_at = self.now();
        let mut tx = self.begin().await?;
        let done = sqlx::query!(
            "UPDATE client SET disabled_at = coalesce(disabled_at, $3) WHERE tenant_id = $1 AND id = $2",
            tenant.uuid(),
            client.uuid(),
            disabled_at,
        )
        .execute(&mut *tx)
        .await?;
        if done.rows_affected() == 0 {
            return Err(StoreError::NotFound { kind: "client" });
        }
        self.audit(&mut tx, tenant, "disable", "client", client.uuid()).await?;
        Ok(tx.commit().await?)
    }

    /// Messages that are no envelope, newest first, decrypted.
    pub async fn quarantined(&self, page: Page) -> Result<Listed<QuarantineRow>> {
        let mut tx = self.begin().await?;
        let rows = sqlx::query!(
            "SELECT id, reason, sealed, received_at FROM quarantine
             WHERE $1::timestamptz IS NULL OR (received_at, id) < ($1, $2) ORDER BY received_at DESC, id DESC LIMIT $3",
            page.at(),
            page.id(),
            page.fetch(),
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        let items = rows
            .into_iter()
            .map(|row| {
                let bytes = self
                    .store
                    .master()
                    .own()
                    .open(&quarantine_context(row.id), &row.sealed)?;
                Ok(QuarantineRow {
                    id: row.id,
                    reason: row.reason,
                    bytes,
                    received_at: row.received_at,
                })
            })
            .collect::<Result<_>>()?;
        Ok(Listed::cut(&page, items, |row: &QuarantineRow| {
            (row.received_at, row.id)
        }))
    }

    pub async fn counts(&self) -> Result<OperatorCounts> {
        let mut tx = self.begin().await?;
        let counts = sqlx::query_as!(
            OperatorCounts,
            r#"SELECT (SELECT count(*) FROM tenant) AS "tenants!", (SELECT count(*) FROM vehicle) AS "vehicles!",
                      (SELECT count(*) FROM trip) AS "trips!", (SELECT count(*) FROM raw_journal) AS "journal_rows!",
                      (SELECT count(*) FROM raw_block) AS "blocks!", (SELECT count(*) FROM dirty_window) AS "dirty!",
                      (SELECT count(*) FROM dead_letter) AS "dead_letters!",
                      (SELECT count(*) FROM quarantine) AS "quarantined!",
                      (SELECT count(*) FROM queue_message) AS "queued!""#
        )
        .fetch_one(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(counts)
    }
}

/// As maintenance any, as another role the one that is its own.
pub(crate) async fn tenant_record(conn: &mut PgConnection, tenant: TenantId) -> Result<Option<TenantRecord>> {
    let row = sqlx::query_as!(
        TenantRow,
        "SELECT id, name, settings, created_at, disabled_at, revision FROM tenant WHERE id = $1",
        tenant.uuid()
    )
    .fetch_optional(conn)
    .await?;
    row.map(TenantRow::read).transpose()
}
