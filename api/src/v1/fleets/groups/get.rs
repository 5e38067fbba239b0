//! `GET /v1/fleets/{fleet}/groups/{group}`

use actix_web::{HttpResponse, web::Data};

use super::Group;
use crate::{
    auth::gate::Caller,
    extract::{
        path::{self, Segments2},
        precondition::tagged,
    },
    problem::Problem,
    state::ApiState,
    v1::found_of,
};

#[utoipa::path(
    get,
    path = "/v1/fleets/{fleet}/groups/{group}",
    tag = "Fleets",
    summary = "A group",
    params(
        ("fleet" = String, Path, description = "Id or external reference", example = "acme-vans"),
        ("group" = String, Path, description = "Id or external reference", example = "acme-vans-north"),
    ),
    responses((status = 200, description = "The group", body = Group,
        headers(("ETag" = String, description = "For `If-Match` of an update"))))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    segments: Segments2,
) -> Result<HttpResponse, Problem> {
    let (fleet, group) = segments.into_inner();
    let of = path::id_or_ref("fleet", &fleet)?;
    let name = path::id_or_ref("group", &group)?;
    let record = found_of(
        caller.store(&state).group(Some(&of), &name).await,
        &[("fleet", &fleet), ("group", &group)],
    )?;
    Ok(tagged(record.revision, &Group::from(record)))
}
