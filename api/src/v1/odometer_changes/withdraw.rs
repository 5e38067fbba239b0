//! `DELETE /v1/vehicles/{vehicle}/odometer-changes/{change}`

use actix_web::{HttpResponse, web::Data};
use odograph_domain::id::{IdOrRef, OdometerChangeId, VehicleId};

use crate::{
    auth::gate::Caller,
    extract::path::{self, Segments2},
    problem::Problem,
    state::ApiState,
    v1::found_of,
};

#[utoipa::path(
    delete,
    path = "/v1/vehicles/{vehicle}/odometer-changes/{change}",
    tag = "Vehicles",
    summary = "Take a change of the odometer back",
    description = "One that was filed by mistake. A trip that was under way is derived anew.",
    params(
        ("vehicle" = String, Path, description = "Id or external reference", example = "fleet-0042"),
        ("change" = Uuid, Path, description = "Id"),
    ),
    responses((status = 204, description = "Taken back"))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    segments: Segments2,
) -> Result<HttpResponse, Problem> {
    let (vehicle, change) = segments.into_inner();
    let name: IdOrRef<VehicleId> = path::id_or_ref("vehicle", &vehicle)?;
    let id: OdometerChangeId = path::id("odometer change", &change)?;
    let withdrawn = caller.store(&state).withdraw_odometer_change(&name, id).await;
    found_of(withdrawn, &[("vehicle", &vehicle), ("odometer change", &change)])?;
    Ok(HttpResponse::NoContent().finish())
}
