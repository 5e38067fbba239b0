//! `PATCH /v1/fleets/{fleet}`

use actix_web::{HttpResponse, web::Data};
use odograph_domain::id::ExternalRef;
use serde::Deserialize;
use utoipa::ToSchema;

use super::Fleet;
use crate::{
    auth::gate::Caller,
    extract::{
        json::Json,
        patch::{self, Change},
        path::{self, Segment},
        precondition::{Expected, tagged},
        value::Text,
    },
    problem::Problem,
    state::ApiState,
    v1::found,
};

/// What is absent stays; null empties.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FleetUpdate {
    /// The tenant's own name for it, unique among its fleets; 1 to 128 characters, not of the form of a UUID.
    #[serde(default)]
    #[schema(value_type = Option<String>, max_length = 128, example = "acme-vans")]
    external_ref: Change<ExternalRef>,
    #[serde(default, deserialize_with = "patch::not_null")]
    #[schema(value_type = String, required = false, max_length = 200, example = "Acme delivery vans")]
    name: Option<Text>,
}

#[utoipa::path(
    patch,
    path = "/v1/fleets/{fleet}",
    tag = "Fleets",
    summary = "Change a fleet",
    description = "What is absent stays as it is; null empties (RFC 7396). With `If-Match` only as long as nobody else has changed it.",
    params(
        ("fleet" = String, Path, description = "Id or external reference", example = "acme-vans"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` it must still have", example = "\"1\""),
    ),
    request_body = FleetUpdate,
    responses((status = 200, description = "The fleet as it is now", body = Fleet,
        headers(("ETag" = String, description = "For `If-Match` of the next update"))))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    fleet: Segment,
    expected: Expected,
    Json(body): Json<FleetUpdate>,
) -> Result<HttpResponse, Problem> {
    let id = path::id_or_ref("fleet", &fleet)?;
    let FleetUpdate { external_ref, name } = body;
    let changed = caller
        .store(&state)
        .update_fleet(&id, expected.revisions(), |record| {
            external_ref.apply(&mut record.external_ref);
            if let Some(name) = name {
                record.name = name.0;
            }
        })
        .await;
    let record = found(changed, "fleet", &fleet)?;
    Ok(tagged(record.revision, &Fleet::from(record)))
}
