//! `POST /v1/tenants`

use actix_web::{HttpResponse, web::Data};
use odograph_domain::settings::TenantSettings;
use odograph_store::NewTenant;
use serde::Deserialize;
use utoipa::ToSchema;

use super::Tenant;
use crate::{
    auth::gate::Operator,
    extract::{json::Json, value::Text},
    problem::Problem,
    state::ApiState,
    v1::{created, settings::SettingsUpdate},
};

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TenantCreation {
    /// Unique on this platform.
    #[schema(value_type = String, max_length = 200, example = "acme-insurance")]
    name: Text,
    /// What is left out has its default.
    #[serde(default)]
    settings: SettingsUpdate,
}

#[utoipa::path(
    post,
    path = "/v1/tenants",
    tag = "Tenants",
    summary = "Create a tenant",
    request_body = TenantCreation,
    responses((status = 201, description = "The tenant", body = Tenant))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    operator: Operator,
    Json(body): Json<TenantCreation>,
) -> Result<HttpResponse, Problem> {
    let TenantCreation { name, settings: given } = body;
    given.check("settings.")?;
    let mut settings = TenantSettings::default();
    given.apply(&mut settings);
    let new = NewTenant { name: name.0, settings };
    let record = operator.store(&state).create_tenant(new).await?;
    Ok(created(format!("/v1/tenants/{}", record.id), &Tenant::from(record)))
}
