//! `PATCH /v1/fleets/{fleet}/groups/{group}`

use actix_web::{HttpResponse, web::Data};
use odograph_domain::id::ExternalRef;
use serde::Deserialize;
use utoipa::ToSchema;

use super::Group;
use crate::{
    auth::gate::Caller,
    extract::{
        json::Json,
        patch::{self, Change},
        path::{self, Segments2},
        precondition::{Expected, tagged},
        value::Text,
    },
    problem::Problem,
    state::ApiState,
    v1::found_of,
};

/// What is absent stays; null empties.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GroupUpdate {
    /// The tenant's own name for it, unique among its groups; 1 to 128 characters, not of the form of a UUID.
    #[serde(default)]
    #[schema(value_type = Option<String>, max_length = 128, example = "acme-vans-north")]
    external_ref: Change<ExternalRef>,
    /// Unique within the fleet.
    #[serde(default, deserialize_with = "patch::not_null")]
    #[schema(value_type = String, required = false, max_length = 200, example = "North depot")]
    name: Option<Text>,
}

#[utoipa::path(
    patch,
    path = "/v1/fleets/{fleet}/groups/{group}",
    tag = "Fleets",
    summary = "Change a group",
    description = "What is absent stays as it is; null empties (RFC 7396). With `If-Match` only as long as nobody else has changed it.",
    params(
        ("fleet" = String, Path, description = "Id or external reference", example = "acme-vans"),
        ("group" = String, Path, description = "Id or external reference", example = "acme-vans-north"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` it must still have", example = "\"1\""),
    ),
    request_body = GroupUpdate,
    responses((status = 200, description = "The group as it is now", body = Group,
        headers(("ETag" = String, description = "For `If-Match` of the next update"))))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    segments: Segments2,
    expected: Expected,
    Json(body): Json<GroupUpdate>,
) -> Result<HttpResponse, Problem> {
    let (fleet, group) = segments.into_inner();
    let of = path::id_or_ref("fleet", &fleet)?;
    let id = path::id_or_ref("group", &group)?;
    let GroupUpdate { external_ref, name } = body;
    let changed = caller
        .store(&state)
        .update_group(&of, &id, expected.revisions(), |record| {
            external_ref.apply(&mut record.external_ref);
            if let Some(name) = name {
                record.name = name.0;
            }
        })
        .await;
    let record = found_of(changed, &[("fleet", &fleet), ("group", &group)])?;
    Ok(tagged(record.revision, &Group::from(record)))
}
