//! `GET /v1/vehicles/{vehicle}`

use actix_web::{HttpResponse, web::Data};

use super::Vehicle;
use crate::{
    auth::gate::Caller,
    extract::{
        path::{self, Segment},
        precondition::tagged,
    },
    problem::Problem,
    state::ApiState,
    v1::found,
};

#[utoipa::path(
    get,
    path = "/v1/vehicles/{vehicle}",
    tag = "Vehicles",
    summary = "A vehicle",
    params(("vehicle" = String, Path, description = "Id or external reference", example = "fleet-0042")),
    responses((status = 200, description = "The vehicle", body = Vehicle,
        headers(("ETag" = String, description = "For `If-Match` of an update"))))
)]
pub(crate) async fn handle(state: Data<ApiState>, caller: Caller, vehicle: Segment) -> Result<HttpResponse, Problem> {
    let name = path::id_or_ref("vehicle", &vehicle)?;
    let record = found(caller.store(&state).vehicle(&name).await, "vehicle", &vehicle)?;
    Ok(tagged(record.revision, &Vehicle::from(record)))
}
