//! `DELETE /v1/drivers/{driver}/departure`

use actix_web::{HttpResponse, web::Data};

use crate::{
    auth::gate::Caller,
    extract::path::{self, Segment},
    problem::Problem,
    state::ApiState,
    v1::found,
};

#[utoipa::path(
    delete,
    path = "/v1/drivers/{driver}/departure",
    tag = "Drivers",
    summary = "Say that a driver has not left",
    description = "Or is back. Trips since are the driver's again where a policy or the telemetry says so; assignments that ended stay ended \
        until their `end` is moved.",
    params(("driver" = String, Path, description = "Id or external reference", example = "D-1007")),
    responses((status = 204, description = "Taken back"))
)]
pub(crate) async fn handle(state: Data<ApiState>, caller: Caller, driver: Segment) -> Result<HttpResponse, Problem> {
    let name = path::id_or_ref("driver", &driver)?;
    found(caller.store(&state).driver_stays(&name).await, "driver", &driver)?;
    Ok(HttpResponse::NoContent().finish())
}
