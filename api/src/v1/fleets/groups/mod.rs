//! Groups of vehicles within a fleet.

pub(crate) mod create;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod remove;
pub(crate) mod update;
pub(crate) mod vehicles;

use chrono::{DateTime, Utc};
use odograph_domain::id::ExternalRef;
use odograph_store::GroupRecord;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// A group of a fleet's vehicles. A vehicle can be in many.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Group {
    id: Uuid,
    fleet: Uuid,
    /// The tenant's own name for it; accepted wherever the id is.
    #[schema(example = "acme-vans-north")]
    external_ref: Option<String>,
    /// Unique within the fleet.
    #[schema(example = "North depot")]
    name: String,
    created_at: DateTime<Utc>,
}

impl From<GroupRecord> for Group {
    fn from(record: GroupRecord) -> Self {
        let GroupRecord {
            id,
            fleet,
            external_ref,
            name,
            created_at,
            revision: _,
        } = record;
        Self {
            id: id.uuid(),
            fleet: fleet.uuid(),
            external_ref: external_ref.map(ExternalRef::into),
            name,
            created_at,
        }
    }
}
