//! `DELETE /v1/fleets/{fleet}/vehicles/{vehicle}`

use actix_web::{HttpResponse, web::Data};

use crate::{
    auth::gate::Caller,
    extract::path::{self, Segments2},
    problem::Problem,
    state::ApiState,
    v1::found_of,
};

#[utoipa::path(
    delete,
    path = "/v1/fleets/{fleet}/vehicles/{vehicle}",
    tag = "Fleets",
    summary = "Take a vehicle out of a fleet",
    description = "It leaves the fleet's groups too.",
    params(
        ("fleet" = String, Path, description = "Id or external reference", example = "acme-vans"),
        ("vehicle" = String, Path, description = "Id or external reference", example = "fleet-0042"),
    ),
    responses((status = 204, description = "It is in the fleet no more"))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    segments: Segments2,
) -> Result<HttpResponse, Problem> {
    let (fleet, vehicle) = segments.into_inner();
    let done = caller
        .store(&state)
        .remove_from_fleet(
            &path::id_or_ref("fleet", &fleet)?,
            &path::id_or_ref("vehicle", &vehicle)?,
        )
        .await;
    found_of(done, &[("fleet", &fleet), ("vehicle", &vehicle)])?;
    Ok(HttpResponse::NoContent().finish())
}
