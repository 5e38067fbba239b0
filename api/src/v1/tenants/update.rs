//! `PATCH /v1/tenants/{tenant}`

use actix_web::{HttpResponse, web::Data};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{Tenant, tenant_id};
use crate::{
    auth::gate::Operator,
    extract::{
        json::Json,
        patch,
        path::Segment,
        precondition::{Expected, tagged},
        value::Text,
    },
    problem::Problem,
    state::ApiState,
    v1::{found, settings::SettingsUpdate},
};

/// What is absent stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TenantUpdate {
    /// Unique on this platform.
    #[serde(default, deserialize_with = "patch::not_null")]
    #[schema(value_type = String, required = false, max_length = 200, example = "acme-insurance")]
    name: Option<Text>,
    #[serde(default)]
    settings: SettingsUpdate,
    /// Whether its clients get no more tokens. What they hold runs out by itself; what is in the queue is still worked on.
    #[serde(default, deserialize_with = "patch::not_null")]
    #[schema(value_type = bool, required = false, example = false)]
    suspended: Option<bool>,
}

#[utoipa::path(
    patch,
    path = "/v1/tenants/{tenant}",
    tag = "Tenants",
    summary = "Change a tenant",
    description = "What is absent stays as it is. Trips that were derived before a change of settings stay as they are until they are \
        derived anew.",
    params(
        ("tenant" = Uuid, Path, description = "Id"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` it must still have", example = "\"1\""),
    ),
    request_body = TenantUpdate,
    responses((status = 200, description = "The tenant as it is now", body = Tenant,
        headers(("ETag" = String, description = "For `If-Match` of the next update"))))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    operator: Operator,
    tenant: Segment,
    expected: Expected,
    Json(body): Json<TenantUpdate>,
) -> Result<HttpResponse, Problem> {
    let TenantUpdate {
        name,
        settings,
        suspended,
    } = body;
    settings.check("settings.")?;
    let id = tenant_id(&tenant)?;
    let now = state.clock.now();
    let changed = operator
        .store(&state)
        .update_tenant(id, expected.revisions(), |record| {
            if let Some(name) = name {
                record.name = name.0;
            }
            settings.apply(&mut record.settings);
            match suspended {
                Some(true) => record.disabled_at = record.disabled_at.or(Some(now)),
                Some(false) => record.disabled_at = None,
                None => {}
            }
        })
        .await;
    let record = found(changed, "tenant", &tenant)?;
    Ok(tagged(record.revision, &Tenant::from(record)))
}
