//! Trips: what the raw data amounts to.

mod features;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod track;
pub(crate) mod versions;

use chrono::{DateTime, Utc};
use odograph_store::TripRow;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// A trip, in short.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Trip {
    id: Uuid,
    vehicle: Uuid,
    /// Null where nothing says who drove.
    driver: Option<Uuid>,
    /// `closed` when the data shows the end; `provisional` when only silence does, and later data may carry it on.
    #[schema(example = "closed")]
    state: &'static str,
    start: DateTime<Utc>,
    end: DateTime<Utc>,
    #[schema(example = "ignition_on")]
    started_by: &'static str,
    #[schema(example = "rest")]
    ended_by: &'static str,
    /// Of the insured, when it started.
    #[schema(example = "Europe/Berlin")]
    time_zone: String,
    /// Billable distance, m.
    #[schema(example = 12_431.7)]
    distance_m: f64,
    /// How well the distance is supported, A (best) to D.
    #[schema(example = "A")]
    grade: &'static str,
    #[schema(example = 1260.0)]
    duration_s: f64,
    /// 1 when first derived; grows with every rebuild that changed something.
    #[schema(example = 1)]
    version: i32,
    derived_at: DateTime<Utc>,
    /// Where its corrections are.
    #[schema(example = "/v1/corrections?trip=0192f0c1-2f6b-7c3a-8a55-0d9f6f4f2a10")]
    corrections: String,
}

impl From<TripRow> for Trip {
    fn from(row: TripRow) -> Self {
        Self::from(&row)
    }
}

impl From<&TripRow> for Trip {
    fn from(TripRow { record, derived_at }: &TripRow) -> Self {
        Self {
            id: record.id.uuid(),
            vehicle: record.vehicle.uuid(),
            driver: record.driver.map(|driver| driver.uuid()),
            state: record.state(),
            start: record.bounds.start.utc(),
            end: record.bounds.end.utc(),
            started_by: record.bounds.started_by.as_str(),
            ended_by: record.bounds.ended_by.as_str(),
            time_zone: record.time_zone.name().to_owned(),
            distance_m: record.features.mileage.billable_m,
            grade: record.features.mileage.grade.as_str(),
            duration_s: record.features.duration_s,
            version: record.version,
            derived_at: *derived_at,
            corrections: format!("/v1/corrections?trip={}", record.id),
        }
    }
}
