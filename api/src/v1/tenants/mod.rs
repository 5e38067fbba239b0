//! Tenants, for operators of the platform.

pub(crate) mod clients;
pub(crate) mod create;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod update;

use chrono::{DateTime, Utc};
use odograph_domain::id::TenantId;
use odograph_store::TenantRecord;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::settings::Settings;
use crate::{extract::path, problem::Problem};

/// A tenant: an insurer.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Tenant {
    id: Uuid,
    /// Unique on this platform.
    #[schema(example = "acme-insurance")]
    name: String,
    settings: Settings,
    created_at: DateTime<Utc>,
    /// Its clients get no tokens since; null while it is in use.
    suspended_at: Option<DateTime<Utc>>,
}

impl From<TenantRecord> for Tenant {
    fn from(record: TenantRecord) -> Self {
        let TenantRecord {
            id,
            name,
            settings,
            created_at,
            disabled_at,
            revision: _,
        } = record;
        Self {
            id: id.uuid(),
            name,
            settings: settings.into(),
            created_at,
            suspended_at: disabled_at,
        }
    }
}

/// Tenants have no external reference: their name can change.
fn tenant_id(given: &str) -> Result<TenantId, Problem> {
    path::id("tenant", given)
}
