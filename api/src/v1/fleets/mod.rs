//! Fleets: the vehicles somebody is responsible for, and groups of them.

pub(crate) mod create;
pub(crate) mod get;
pub(crate) mod groups;
pub(crate) mod list;
pub(crate) mod remove;
pub(crate) mod summary;
pub(crate) mod update;
pub(crate) mod vehicles;

use chrono::{DateTime, Utc};
use odograph_domain::id::ExternalRef;
use odograph_store::FleetRecord;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// A fleet. A vehicle is in one at most.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Fleet {
    id: Uuid,
    /// The tenant's own name for it; accepted wherever the id is.
    #[schema(example = "acme-vans")]
    external_ref: Option<String>,
    #[schema(example = "Acme delivery vans")]
    name: String,
    created_at: DateTime<Utc>,
}

impl From<FleetRecord> for Fleet {
    fn from(record: FleetRecord) -> Self {
        let FleetRecord {
            id,
            external_ref,
            name,
            created_at,
            revision: _,
        } = record;
        Self {
            id: id.uuid(),
            external_ref: external_ref.map(ExternalRef::into),
            name,
            created_at,
        }
    }
}
