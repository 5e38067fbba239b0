//! `DELETE /v1/fleets/{fleet}/groups/{group}`

use actix_web::{HttpResponse, web::Data};

use crate::{
    auth::gate::Caller,
    extract::{
        path::{self, Segments2},
        precondition::Expected,
    },
    problem::Problem,
    state::ApiState,
    v1::found_of,
};

#[utoipa::path(
    delete,
    path = "/v1/fleets/{fleet}/groups/{group}",
    tag = "Fleets",
    summary = "Give a group up",
    description = "Its vehicles stay in the fleet.",
    params(
        ("fleet" = String, Path, description = "Id or external reference", example = "acme-vans"),
        ("group" = String, Path, description = "Id or external reference", example = "acme-vans-north"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` it must still have", example = "\"1\""),
    ),
    responses((status = 204, description = "It is gone"))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    segments: Segments2,
    expected: Expected,
) -> Result<HttpResponse, Problem> {
    let (fleet, group) = segments.into_inner();
    let of = path::id_or_ref("fleet", &fleet)?;
    let id = path::id_or_ref("group", &group)?;
    let gone = caller.store(&state).delete_group(&of, &id, expected.revisions()).await;
    found_of(gone, &[("fleet", &fleet), ("group", &group)])?;
    Ok(HttpResponse::NoContent().finish())
}
