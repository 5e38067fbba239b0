//! `GET /v1/fleets/{fleet}`

use actix_web::{HttpResponse, web::Data};

use super::Fleet;
use crate::{
    auth::gate::Caller,
    extract::{
        path::{self, Segment},
        precondition::tagged,
    },
    problem::Problem,
    state::ApiState,
    v1::found,
};

#[utoipa::path(
    get,
    path = "/v1/fleets/{fleet}",
    tag = "Fleets",
    summary = "A fleet",
    params(("fleet" = String, Path, description = "Id or external reference", example = "acme-vans")),
    responses((status = 200, description = "The fleet", body = Fleet,
        headers(("ETag" = String, description = "For `If-Match` of an update"))))
)]
pub(crate) async fn handle(state: Data<ApiState>, caller: Caller, fleet: Segment) -> Result<HttpResponse, Problem> {
    let name = path::id_or_ref("fleet", &fleet)?;
    let record = found(caller.store(&state).fleet(&name).await, "fleet", &fleet)?;
    Ok(tagged(record.revision, &Fleet::from(record)))
}
