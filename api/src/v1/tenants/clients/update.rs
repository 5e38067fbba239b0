//! `PATCH /v1/tenants/{tenant}/clients/{client}`

use actix_web::web::{Data, Json};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{Client, check_scopes};
use crate::{
    auth::gate::Operator,
    extract::{
        json::Json as Body,
        patch,
        path::{self, Segments2},
        value::Text,
    },
    problem::Problem,
    state::ApiState,
    v1::{found, tenants::tenant_id},
};

/// What is absent stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClientUpdate {
    /// Unique within the tenant.
    #[serde(default, deserialize_with = "patch::not_null")]
    #[schema(value_type = String, required = false, max_length = 200, example = "pricing")]
    name: Option<Text>,
    /// All that it may ask tokens for from now on.
    #[serde(default, deserialize_with = "patch::not_null")]
    #[schema(value_type = Vec<String>, required = false, min_items = 1, example = json!(["premiums:read"]))]
    scopes: Option<Vec<String>>,
    /// Whether it gets no more tokens. What it holds runs out by itself.
    #[serde(default, deserialize_with = "patch::not_null")]
    #[schema(value_type = bool, required = false, example = true)]
    disabled: Option<bool>,
}

#[utoipa::path(
    patch,
    path = "/v1/tenants/{tenant}/clients/{client}",
    tag = "Tenants",
    summary = "Change or disable an API client",
    description = "What is absent stays as it is.",
    params(
        ("tenant" = Uuid, Path, description = "Id"),
        ("client" = Uuid, Path, description = "Id"),
    ),
    request_body = ClientUpdate,
    responses((status = 200, description = "The client as it is now", body = Client))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    operator: Operator,
    segments: Segments2,
    Body(body): Body<ClientUpdate>,
) -> Result<Json<Client>, Problem> {
    let (tenant, client) = segments.into_inner();
    let ClientUpdate { name, scopes, disabled } = body;
    if let Some(scopes) = &scopes {
        check_scopes(scopes)?;
    }
    let of = tenant_id(&tenant)?;
    let id = path::id("client", &client)?;
    let now = state.clock.now();
    let changed = operator
        .store(&state)
        .update_client(of, id, |record| {
            if let Some(name) = name {
                record.name = name.0;
            }
            if let Some(scopes) = scopes {
                record.scopes = scopes;
            }
            match disabled {
                Some(true) => record.disabled_at = record.disabled_at.or(Some(now)),
                Some(false) => record.disabled_at = None,
                None => {}
            }
        })
        .await;
    Ok(Json(found(changed, "client", &client)?.into()))
}
