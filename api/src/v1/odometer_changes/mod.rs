//! Odometers that were replaced or set.

pub(crate) mod create;
pub(crate) mod list;
pub(crate) mod withdraw;

use chrono::{DateTime, Utc};
use odograph_store::OdometerChangeRecord;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// A change of a vehicle's odometer: from an instant on its readings go on from another figure.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OdometerChange {
    id: Uuid,
    vehicle: Uuid,
    /// The first instant of the new figures.
    at: DateTime<Utc>,
    /// What the old one showed last, km; null where it is not known.
    #[schema(example = 120_412.3)]
    old_km: Option<f64>,
    /// What the new one showed first, km; null where it is not known.
    #[schema(example = 0.0)]
    new_km: Option<f64>,
    #[schema(example = "instrument cluster replaced")]
    reason: Option<String>,
    created_at: DateTime<Utc>,
}

impl From<OdometerChangeRecord> for OdometerChange {
    fn from(record: OdometerChangeRecord) -> Self {
        let (old_km, new_km) = record.change.readings_km.unzip();
        Self {
            id: record.id.uuid(),
            vehicle: record.vehicle.uuid(),
            at: record.change.at,
            old_km,
            new_km,
            reason: record.reason,
            created_at: record.created_at,
        }
    }
}
