//! `GET /v1/policies/{policy}`

use actix_web::{HttpResponse, web::Data};

use super::Policy;
use crate::{
    auth::gate::Caller,
    extract::{path::Segment, precondition::tagged},
    problem::Problem,
    state::ApiState,
    v1,
};

#[utoipa::path(
    get,
    path = "/v1/policies/{policy}",
    tag = "Policies",
    summary = "A policy",
    params(("policy" = String, Path, description = "Id or external reference", example = "POL-2026-0042")),
    responses((status = 200, description = "The policy", body = Policy,
        headers(("ETag" = String, description = "For `If-Match` of an update"))))
)]
pub(crate) async fn handle(state: Data<ApiState>, caller: Caller, policy: Segment) -> Result<HttpResponse, Problem> {
    let record = v1::policy(&caller.store(&state), &policy).await?;
    Ok(tagged(record.revision, &Policy::at(record, state.clock.now())))
}
