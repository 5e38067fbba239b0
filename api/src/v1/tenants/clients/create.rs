//! `POST /v1/tenants/{tenant}/clients`

use actix_web::{HttpResponse, web::Data};
use odograph_store::NewClient;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{ClientWithSecret, check_scopes, new_secret};
use crate::{
    auth::gate::Operator,
    extract::{json::Json, path::Segment, value::Text},
    problem::Problem,
    state::ApiState,
    v1::{created, found, tenants::tenant_id},
};

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClientCreation {
    /// What it is for; unique within the tenant.
    #[schema(value_type = String, max_length = 200, example = "pricing")]
    name: Text,
    /// What it may ask tokens for.
    #[schema(min_items = 1, example = json!(["premiums:read", "scores:read"]))]
    scopes: Vec<String>,
}

#[utoipa::path(
    post,
    path = "/v1/tenants/{tenant}/clients",
    tag = "Tenants",
    summary = "Create an API client of a tenant",
    description = "The secret is shown this once; only a hash of it is kept.",
    params(("tenant" = Uuid, Path, description = "Id")),
    request_body = ClientCreation,
    responses((status = 201, description = "The client with its secret", body = ClientWithSecret))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    operator: Operator,
    tenant: Segment,
    Json(body): Json<ClientCreation>,
) -> Result<HttpResponse, Problem> {
    let ClientCreation { name, scopes } = body;
    check_scopes(&scopes)?;
    let id = tenant_id(&tenant)?;
    let store = operator.store(&state);
    // Before the long work of hashing.
    found(store.tenant(id).await, "tenant", &tenant)?;
    let (client_secret, secret_hash) = new_secret(&state).await?;
    let new = NewClient {
        name: name.0,
        secret_hash,
        scopes,
    };
    let record = found(store.create_client(id, new).await, "tenant", &tenant)?;
    let location = format!("/v1/tenants/{}/clients/{}", record.tenant, record.id);
    let client = record.into();
    Ok(created(location, &ClientWithSecret { client, client_secret }))
}
