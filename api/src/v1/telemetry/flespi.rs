//! `POST /v1/telemetry/flespi`

use actix_web::{HttpRequest, HttpResponse, web};
use odograph_domain::forwarded::flespi;

use super::{bulk::BulkAnswer, forward};
use crate::{auth::gate::Caller, problem::Problem, state::ApiState};

#[utoipa::path(
    post,
    path = "/v1/telemetry/flespi",
    tag = "Intake",
    summary = "Take messages that flespi forwards",
    description = "For an HTTP stream of flespi's: a list of messages, of any devices. Those of a device become a batch of the vehicle \
        that it is in at their times; a batch that is refused is kept as a dead letter, and answered with 207. What Odograph has no \
        field for is kept as `flespi.<name>`. Forwarded again in the same list they count once.",
    request_body(content = Vec<serde_json::Value>, example = json!([{
        "ident": "352094081234567", "timestamp": 1769843700.25, "position.latitude": 48.137154, "position.longitude": 11.576124,
        "position.speed": 50, "engine.ignition.status": true, "vehicle.mileage": 48211.3
    }])),
    responses(
        (status = 202, description = "All accepted, durably", body = BulkAnswer),
        (status = 207, description = "Some refused, and kept as dead letters", body = BulkAnswer),
    )
)]
pub(crate) async fn handle(
    state: web::Data<ApiState>,
    caller: Caller,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    forward::take(&state, &caller, &request, payload, flespi::translate).await
}
