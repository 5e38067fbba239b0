//! `POST /v1/drivers/{driver}/departure`

use actix_web::web::{self, Data};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Driver;
use crate::{
    auth::gate::Caller,
    extract::{
        json::Json,
        path::{self, Segment},
        query::Fields,
        value::Instant,
    },
    problem::Problem,
    state::ApiState,
    v1::{found, not_after},
};

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Departure {
    /// The first instant of which nothing is attributed to the driver; past.
    #[schema(value_type = DateTime<Utc>, example = "2026-05-04T16:00:00Z")]
    at: Instant,
}

/// A driver who left, with what ended by it and what is left to settle.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DepartureResult {
    /// Without the identity.
    driver: Driver,
    ended_assignments: Vec<Uuid>,
    /// Policies that run on and still name the driver as main driver: change them, or they are rated by a score that no longer
    /// grows.
    named_by_policies: Vec<Uuid>,
}

#[utoipa::path(
    post,
    path = "/v1/drivers/{driver}/departure",
    tag = "Drivers",
    summary = "Say that a driver has left",
    description = "An employer, a family. From that instant on nothing is attributed to them: assignments end, trips since are derived anew \
        as nobody's, and telemetry that still names them is kept apart as a dead letter. What they drove before stays theirs.",
    params(("driver" = String, Path, description = "Id or external reference", example = "D-1007")),
    request_body = Departure,
    responses((status = 200, description = "The driver, with what ended by it", body = DepartureResult))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    driver: Segment,
    Json(body): Json<Departure>,
) -> Result<web::Json<DepartureResult>, Problem> {
    let mut fields = Fields::of_body();
    not_after(&mut fields, "at", body.at.0, state.clock.now());
    fields.finish()?;
    let name = path::id_or_ref("driver", &driver)?;
    let departed = caller.store(&state).driver_leaves(&name, body.at.0).await;
    let departed = found(departed, "driver", &driver)?;
    Ok(web::Json(DepartureResult {
        driver: Driver::new(departed.driver, None),
        ended_assignments: departed.assignments.iter().map(|id| id.uuid()).collect(),
        named_by_policies: departed.policies.iter().map(|id| id.uuid()).collect(),
    }))
}
