//! `GET /v1/settings`

use actix_web::{HttpResponse, web::Data};

use super::Settings;
use crate::{auth::gate::Caller, extract::precondition::tagged, problem::Problem, state::ApiState};

#[utoipa::path(
    get,
    path = "/v1/settings",
    tag = "Settings",
    summary = "The settings",
    description = "Of the tenant that the token is of.",
    responses((status = 200, description = "The settings", body = Settings,
        headers(("ETag" = String, description = "For `If-Match` of an update"))))
)]
pub(crate) async fn handle(state: Data<ApiState>, caller: Caller) -> Result<HttpResponse, Problem> {
    let tenant = caller.store(&state).tenant().await?;
    Ok(tagged(tenant.revision, &Settings::from(tenant.settings)))
}
