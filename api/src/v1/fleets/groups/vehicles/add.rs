//! `PUT /v1/fleets/{fleet}/groups/{group}/vehicles/{vehicle}`

use actix_web::{HttpResponse, web::Data};

use crate::{
    auth::gate::Caller,
    extract::path::{self, Segments3},
    problem::Problem,
    state::ApiState,
    v1::found_of,
};

#[utoipa::path(
    put,
    path = "/v1/fleets/{fleet}/groups/{group}/vehicles/{vehicle}",
    tag = "Fleets",
    summary = "Put a vehicle into a group",
    description = "It must be in the group's fleet; that it is in the group already is no error.",
    params(
        ("fleet" = String, Path, description = "Id or external reference", example = "acme-vans"),
        ("group" = String, Path, description = "Id or external reference", example = "acme-vans-north"),
        ("vehicle" = String, Path, description = "Id or external reference", example = "fleet-0042"),
    ),
    responses((status = 204, description = "It is in the group"))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    segments: Segments3,
) -> Result<HttpResponse, Problem> {
    let (fleet, group, vehicle) = segments.into_inner();
    let done = caller
        .store(&state)
        .add_to_group(
            &path::id_or_ref("fleet", &fleet)?,
            &path::id_or_ref("group", &group)?,
            &path::id_or_ref("vehicle", &vehicle)?,
        )
        .await;
    found_of(done, &[("fleet", &fleet), ("group", &group), ("vehicle", &vehicle)])?;
    Ok(HttpResponse::NoContent().finish())
}
