//! `DELETE /v1/fleets/{fleet}`

use actix_web::{HttpResponse, web::Data};

use crate::{
    auth::gate::Caller,
    extract::{
        path::{self, Segment},
        precondition::Expected,
    },
    problem::Problem,
    state::ApiState,
    v1::found,
};

#[utoipa::path(
    delete,
    path = "/v1/fleets/{fleet}",
    tag = "Fleets",
    summary = "Give a fleet up",
    description = "Its groups go with it; its vehicles stay, in no fleet.",
    params(
        ("fleet" = String, Path, description = "Id or external reference", example = "acme-vans"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` it must still have", example = "\"1\""),
    ),
    responses((status = 204, description = "It is gone"))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    fleet: Segment,
    expected: Expected,
) -> Result<HttpResponse, Problem> {
    let name = path::id_or_ref("fleet", &fleet)?;
    let gone = caller.store(&state).delete_fleet(&name, expected.revisions()).await;
    found(gone, "fleet", &fleet)?;
    Ok(HttpResponse::NoContent().finish())
}
