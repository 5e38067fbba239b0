//! `GET /v1/vehicles/{vehicle}`

use actix_web::web::{Data, Json};

use super::Vehicle;
use crate::{
    auth::gate::Caller,
    extract::path::{self, Segment},
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
    responses((status = 200, description = "The vehicle", body = Vehicle))
)]
pub(crate) async fn handle(state: Data<ApiState>, caller: Caller, vehicle: Segment) -> Result<Json<Vehicle>, Problem> {
    let name = path::id_or_ref("vehicle", &vehicle)?;
    let record = found(caller.store(&state).vehicle(&name).await, "vehicle", &vehicle)?;
    Ok(Json(record.into()))
}
