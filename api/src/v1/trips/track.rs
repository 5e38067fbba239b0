//! `GET /v1/trips/{trip}/track`

use actix_web::web::{Data, Json};
use odograph_domain::{
    batch::{AccelFrame, Gravity, RawSample},
    id::TripId,
    sample::Sample,
};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    auth::gate::Caller,
    extract::path::{self, Segment},
    problem::Problem,
    state::ApiState,
    v1::{found, telemetry::sample_schema::SampleSchema},
};

/// The raw samples of a trip.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Track {
    trip: Uuid,
    /// In event-time order.
    points: Vec<TrackPoint>,
}

/// One sample in the canonical form, and what its batch said of it. What is unknown is left out.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TrackPoint {
    #[serde(flatten)]
    #[schema(value_type = SampleSchema)]
    sample: Sample,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "vehicle")]
    accel_frame: Option<AccelFrame>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "included")]
    gravity: Option<Gravity>,
    device_rank: u8,
    /// Who drove, where the sample or its batch said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    driver: Option<Uuid>,
}

impl From<RawSample> for TrackPoint {
    fn from(raw: RawSample) -> Self {
        let RawSample {
            sample,
            accel_frame,
            gravity,
            device_rank,
            driver,
        } = raw;
        // Axes mean nothing where nothing was measured along them.
        let accelerated = [sample.accel_x_ms2, sample.accel_y_ms2, sample.accel_z_ms2]
            .iter()
            .any(Option::is_some);
        let rotated = [sample.gyro_x_rads, sample.gyro_y_rads, sample.gyro_z_rads]
            .iter()
            .any(Option::is_some);
        Self {
            sample,
            accel_frame: (accelerated || rotated).then_some(accel_frame),
            gravity: accelerated.then_some(gravity),
            device_rank,
            driver: driver.map(|driver| driver.uuid()),
        }
    }
}

#[utoipa::path(
    get,
    path = "/v1/trips/{trip}/track",
    tag = "Trips",
    summary = "The raw samples of a trip",
    description = "Where somebody was, second by second: this has a scope of its own, and that it was read is recorded.",
    params(("trip" = Uuid, Path, description = "Id")),
    responses((status = 200, description = "The samples", body = Track))
)]
pub(crate) async fn handle(state: Data<ApiState>, caller: Caller, trip: Segment) -> Result<Json<Track>, Problem> {
    let id: TripId = path::id("trip", &trip)?;
    // The gate has seen the scope.
    let samples = found(caller.store(&state).with_tracks().track(id).await, "trip", &trip)?;
    Ok(Json(Track {
        trip: id.uuid(),
        points: samples.into_iter().map(TrackPoint::from).collect(),
    }))
}
