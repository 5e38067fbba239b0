//! `GET /v1/tenants`

use actix_web::web::{Data, Json};
use serde::Deserialize;
use utoipa::IntoParams;

use super::Tenant;
use crate::{
    auth::gate::Operator,
    extract::query::{Fields, Query},
    page::{self, List},
    problem::Problem,
    state::ApiState,
};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct TenantQuery {
    /// Most items to return.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200, default = 50)]
    limit: Option<String>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

#[utoipa::path(
    get,
    path = "/v1/tenants",
    tag = "Tenants",
    summary = "The tenants",
    description = "In the order they were created.",
    params(TenantQuery),
    responses((status = 200, description = "A page of tenants", body = List<Tenant>))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    operator: Operator,
    Query(query): Query<TenantQuery>,
) -> Result<Json<List<Tenant>>, Problem> {
    let mut fields = Fields::of_query();
    let page = page::page(&mut fields, query.limit.as_deref(), query.cursor.as_deref());
    fields.finish()?;
    let listed = operator.store(&state).tenants(page).await?;
    Ok(Json(List::of(listed, Tenant::from)))
}
