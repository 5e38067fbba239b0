//! `POST /v1/vehicles/{vehicle}/assignments/{assignment}/end`

use actix_web::web::{self, Data};
use odograph_domain::id::{AssignmentId, IdOrRef, VehicleId};
use odograph_store::StoreError;
use serde::Deserialize;
use utoipa::ToSchema;

use super::Assignment;
use crate::{
    auth::gate::Caller,
    extract::{
        json::Json,
        path::{self, Segments2},
        value::Instant,
    },
    problem::{Code, Problem},
    state::ApiState,
    v1::found_of,
};

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AssignmentEnd {
    /// The first instant in which it does not hold; past or future, after its beginning.
    #[schema(value_type = DateTime<Utc>, example = "2026-05-04T14:30:00Z")]
    at: Instant,
}

#[utoipa::path(
    post,
    path = "/v1/vehicles/{vehicle}/assignments/{assignment}/end",
    tag = "Vehicles",
    summary = "End an assignment",
    description = "Or move its end. Trips of the time of which it says something else now are derived anew, as whose they are then.",
    params(
        ("vehicle" = String, Path, description = "Id or external reference", example = "fleet-0042"),
        ("assignment" = Uuid, Path, description = "Id"),
    ),
    request_body = AssignmentEnd,
    responses((status = 200, description = "The assignment as it is now", body = Assignment))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    segments: Segments2,
    Json(body): Json<AssignmentEnd>,
) -> Result<web::Json<Assignment>, Problem> {
    let (vehicle, assignment) = segments.into_inner();
    let name: IdOrRef<VehicleId> = path::id_or_ref("vehicle", &vehicle)?;
    let id: AssignmentId = path::id("assignment", &assignment)?;
    let ended = caller.store(&state).end_assignment(&name, id, body.at.0).await;
    if let Err(StoreError::Invalid { detail, .. }) = ended {
        return Err(Problem::field(Code::InvalidBody, "at", detail));
    }
    let record = found_of(ended, &[("vehicle", &vehicle), ("assignment", &assignment)])?;
    Ok(web::Json(record.into()))
}
