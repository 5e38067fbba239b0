//! `PUT /v1/fleets/{fleet}/vehicles/{vehicle}`

use actix_web::{HttpResponse, web::Data};

use crate::{
    auth::gate::Caller,
    extract::path::{self, Segments2},
    problem::Problem,
    state::ApiState,
    v1::found_of,
};

#[utoipa::path(
    put,
    path = "/v1/fleets/{fleet}/vehicles/{vehicle}",
    tag = "Fleets",
    summary = "Put a vehicle into a fleet",
    description = "A vehicle is in one fleet at most; that it is in this one already is no error.",
    params(
        ("fleet" = String, Path, description = "Id or external reference", example = "acme-vans"),
        ("vehicle" = String, Path, description = "Id or external reference", example = "fleet-0042"),
    ),
    responses((status = 204, description = "It is in the fleet"))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    segments: Segments2,
) -> Result<HttpResponse, Problem> {
    let (fleet, vehicle) = segments.into_inner();
    let done = caller
        .store(&state)
        .add_to_fleet(
            &path::id_or_ref("fleet", &fleet)?,
            &path::id_or_ref("vehicle", &vehicle)?,
        )
        .await;
    found_of(done, &[("fleet", &fleet), ("vehicle", &vehicle)])?;
    Ok(HttpResponse::NoContent().finish())
}
