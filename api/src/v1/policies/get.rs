//! `GET /v1/policies/{policy}`

use actix_web::web::{Data, Json};

use super::Policy;
use crate::{auth::gate::Caller, extract::path::Segment, problem::Problem, state::ApiState, v1};

#[utoipa::path(
    get,
    path = "/v1/policies/{policy}",
    tag = "Policies",
    summary = "A policy",
    params(("policy" = String, Path, description = "Id or external reference", example = "POL-2026-0042")),
    responses((status = 200, description = "The policy", body = Policy))
)]
pub(crate) async fn handle(state: Data<ApiState>, caller: Caller, policy: Segment) -> Result<Json<Policy>, Problem> {
    Ok(Json(v1::policy(&caller.store(&state), &policy).await?.into()))
}
