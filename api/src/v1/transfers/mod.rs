//! Vehicles that change hands.

pub(crate) mod create;
pub(crate) mod list;
pub(crate) mod withdraw;

use chrono::{DateTime, Utc};
use odograph_store::TransferRecord;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// A handover of a vehicle from one owner to another.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Transfer {
    id: Uuid,
    vehicle: Uuid,
    /// The first instant that is the new owner's.
    at: DateTime<Utc>,
    #[schema(example = "sold")]
    reason: Option<String>,
    created_at: DateTime<Utc>,
}

impl From<TransferRecord> for Transfer {
    fn from(record: TransferRecord) -> Self {
        let TransferRecord {
            id,
            vehicle,
            at,
            reason,
            created_at,
        } = record;
        Self {
            id: id.uuid(),
            vehicle: vehicle.uuid(),
            at,
            reason,
            created_at,
        }
    }
}
