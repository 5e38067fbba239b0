//! `GET /v1/tenants/{tenant}/clients`

use actix_web::web::{Data, Json};
use serde::Deserialize;
use utoipa::IntoParams;

use super::Client;
use crate::{
    auth::gate::Operator,
    extract::{
        path::Segment,
        query::{Fields, Query},
    },
    page::{self, List},
    problem::Problem,
    state::ApiState,
    v1::{found, tenants::tenant_id},
};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ClientQuery {
    /// Most items to return.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200, default = 50)]
    limit: Option<String>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

#[utoipa::path(
    get,
    path = "/v1/tenants/{tenant}/clients",
    tag = "Tenants",
    summary = "The API clients of a tenant",
    description = "In the order they were created, without their secrets.",
    params(("tenant" = Uuid, Path, description = "Id"), ClientQuery),
    responses((status = 200, description = "A page of clients", body = List<Client>))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    operator: Operator,
    tenant: Segment,
    Query(query): Query<ClientQuery>,
) -> Result<Json<List<Client>>, Problem> {
    let mut fields = Fields::of_query();
    let page = page::page(&mut fields, query.limit.as_deref(), query.cursor.as_deref());
    fields.finish()?;
    let id = tenant_id(&tenant)?;
    let store = operator.store(&state);
    found(store.tenant(id).await, "tenant", &tenant)?;
    let listed = store.clients(id, page).await?;
    Ok(Json(List::of(listed, Client::from)))
}
