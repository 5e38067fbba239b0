//! `POST /v1/telemetry/traccar`

use actix_web::{HttpRequest, HttpResponse, web};
use odograph_domain::forwarded::traccar;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::{bulk::BulkAnswer, forward};
use crate::{auth::gate::Caller, problem::Problem, state::ApiState};

/// A position as Traccar forwards it.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "documents the body, which is translated as it is")]
#[schema(example = json!({
    "position": {
        "fixTime": "2026-01-31T07:15:00.000+00:00", "valid": true, "outdated": false, "latitude": 48.137154, "longitude": 11.576124,
        "altitude": 519.0, "speed": 27.0, "course": 41.0, "attributes": { "ignition": true, "odometer": 48211300, "sat": 11 }
    },
    "device": { "uniqueId": "123456789012345" }
}))]
pub(crate) struct TraccarPosition {
    #[schema(value_type = Object)]
    position: Map<String, Value>,
    /// Its `uniqueId` is the id or external reference of the device here.
    #[schema(value_type = Object)]
    device: Map<String, Value>,
}

#[utoipa::path(
    post,
    path = "/v1/telemetry/traccar",
    tag = "Intake",
    summary = "Take a position that Traccar forwards",
    description = "For Traccar's `forward.url` with `forward.type = json`. The position becomes a batch of the device's that is in the \
        vehicle at its time; a batch that is refused is kept as a dead letter, and answered with 207. What Odograph has no field for is \
        kept as `traccar.<name>`. Forwarded again it counts once.",
    request_body = TraccarPosition,
    responses(
        (status = 202, description = "Accepted, durably", body = BulkAnswer),
        (status = 207, description = "Refused, and kept as a dead letter", body = BulkAnswer),
    )
)]
pub(crate) async fn handle(
    state: web::Data<ApiState>,
    caller: Caller,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    forward::take(&state, &caller, &request, payload, |body| {
        traccar::translate(body).map(|batch| (vec![batch], None))
    })
    .await
}
