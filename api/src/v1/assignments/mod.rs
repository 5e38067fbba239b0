//! Who drives which vehicle, from when until when.

pub(crate) mod create;
pub(crate) mod end;
pub(crate) mod list;

use chrono::{DateTime, Utc};
use odograph_store::AssignmentRecord;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// A dated assignment of a driver to a vehicle.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Assignment {
    id: Uuid,
    vehicle: Uuid,
    driver: Uuid,
    from: DateTime<Utc>,
    /// Exclusive; null while it lasts.
    to: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
}

impl From<AssignmentRecord> for Assignment {
    fn from(record: AssignmentRecord) -> Self {
        let AssignmentRecord {
            id,
            vehicle,
            driver,
            from,
            to,
            created_at,
        } = record;
        Self {
            id: id.uuid(),
            vehicle: vehicle.uuid(),
            driver: driver.uuid(),
            from,
            to,
            created_at,
        }
    }
}
