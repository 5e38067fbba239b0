//! `DELETE /v1/fleets/{fleet}/groups/{group}/vehicles/{vehicle}`

use actix_web::{HttpResponse, web::Data};

use crate::{
    auth::gate::Caller,
    extract::path::{self, Segments3},
    problem::Problem,
    state::ApiState,
    v1::found_of,
};

#[utoipa::path(
    delete,
    path = "/v1/fleets/{fleet}/groups/{group}/vehicles/{vehicle}",
    tag = "Fleets",
    summary = "Take a vehicle out of a group",
    description = "It stays in the fleet.",
    params(
        ("fleet" = String, Path, description = "Id or external reference", example = "acme-vans"),
        ("group" = String, Path, description = "Id or external reference", example = "acme-vans-north"),
        ("vehicle" = String, Path, description = "Id or external reference", example = "fleet-0042"),
    ),
    responses((status = 204, description = "It is in the group no more"))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    segments: Segments3,
) -> Result<HttpResponse, Problem> {
    let (fleet, group, vehicle) = segments.into_inner();
    let done = caller
        .store(&state)
        .remove_from_group(
            &path::id_or_ref("fleet", &fleet)?,
            &path::id_or_ref("group", &group)?,
            &path::id_or_ref("vehicle", &vehicle)?,
        )
        .await;
    found_of(done, &[("fleet", &fleet), ("group", &group), ("vehicle", &vehicle)])?;
    Ok(HttpResponse::NoContent().finish())
}
