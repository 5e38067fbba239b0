//! The audit log, as a tenant reads it. It is written by [`crate::session::Caller::audit`].

use chrono::{DateTime, Utc};
use odograph_domain::id::ClientId;
use uuid::Uuid;

use crate::{
    error::Result,
    page::{Listed, Page},
    tenant::TenantStore,
};

#[derive(Debug, Clone, PartialEq)]
pub struct AuditRow {
    pub id: Uuid,
    pub at: DateTime<Utc>,
    /// `None`: the platform's operator.
    pub actor: Option<ClientId>,
    pub action: String,
    pub object_kind: String,
    pub object_id: Uuid,
}

impl TenantStore {
    /// Newest first.
    pub async fn audit_log(&self, page: Page) -> Result<Listed<AuditRow>> {
        let mut tx = self.begin().await?;
        let rows = sqlx::query!(
            "SELECT id, at, actor_id, action, object_kind, object_id FROM audit
             WHERE tenant_id = $1 AND ($2::timestamptz IS NULL OR (at, id) < ($2, $3))
             ORDER BY at DESC, id DESC LIMIT $4",
            self.tenant_id().uuid(),
            page.at(),
            page.id(),
            page.fetch(),
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        let items = rows
            .into_iter()
            .map(|row| AuditRow {
                id: row.id,
                at: row.at,
                actor: row.actor_id.map(ClientId::from),
                action: row.action,
                object_kind: row.object_kind,
                object_id: row.object_id,
            })
            .collect();
        Ok(Listed::cut(&page, items, |row: &AuditRow| (row.at, row.id)))
    }
}
