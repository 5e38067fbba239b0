//! `DELETE /v1/vehicles/{vehicle}/transfers/{transfer}`

use actix_web::{HttpResponse, web::Data};
use odograph_domain::id::{IdOrRef, TransferId, VehicleId};

use crate::{
    auth::gate::Caller,
    extract::path::{self, Segments2},
    problem::Problem,
    state::ApiState,
    v1::found_of,
};

#[utoipa::path(
    delete,
    path = "/v1/vehicles/{vehicle}/transfers/{transfer}",
    tag = "Vehicles",
    summary = "Take a handover back",
    description = "One that was filed by mistake: the vehicle's history is one again, and is derived anew. What ended by it stays ended until \
        somebody says otherwise: policies are prolonged with `PATCH`, assignments with their `end`, fleets joined again.",
    params(
        ("vehicle" = String, Path, description = "Id or external reference", example = "fleet-0042"),
        ("transfer" = Uuid, Path, description = "Id"),
    ),
    responses((status = 204, description = "Taken back"))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    segments: Segments2,
) -> Result<HttpResponse, Problem> {
    let (vehicle, transfer) = segments.into_inner();
    let name: IdOrRef<VehicleId> = path::id_or_ref("vehicle", &vehicle)?;
    let id: TransferId = path::id("transfer", &transfer)?;
    let withdrawn = caller.store(&state).withdraw_transfer(&name, id).await;
    found_of(withdrawn, &[("vehicle", &vehicle), ("transfer", &transfer)])?;
    Ok(HttpResponse::NoContent().finish())
}
