//! `POST /v1/fleets/{fleet}/groups`

use actix_web::{HttpResponse, web::Data};
use odograph_domain::id::ExternalRef;
use odograph_store::NewGroup;
use serde::Deserialize;
use utoipa::ToSchema;

use super::Group;
use crate::{
    auth::gate::Caller,
    extract::{
        json::Json,
        path::{self, Segment},
        value::Text,
    },
    problem::Problem,
    state::ApiState,
    v1::{created, found},
};

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GroupCreation {
    /// The tenant's own name for it, unique among its groups; 1 to 128 characters, not of the form of a UUID.
    #[schema(value_type = Option<String>, max_length = 128, example = "acme-vans-north")]
    external_ref: Option<ExternalRef>,
    /// Unique within the fleet.
    #[schema(value_type = String, max_length = 200, example = "North depot")]
    name: Text,
}

#[utoipa::path(
    post,
    path = "/v1/fleets/{fleet}/groups",
    tag = "Fleets",
    summary = "Make a group",
    params(("fleet" = String, Path, description = "Id or external reference", example = "acme-vans")),
    request_body = GroupCreation,
    responses((status = 201, description = "The group", body = Group))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    fleet: Segment,
    Json(body): Json<GroupCreation>,
) -> Result<HttpResponse, Problem> {
    let GroupCreation { external_ref, name } = body;
    let new = NewGroup {
        external_ref,
        name: name.0,
    };
    let id = path::id_or_ref("fleet", &fleet)?;
    let record = found(caller.store(&state).create_group(&id, new).await, "fleet", &fleet)?;
    Ok(created(
        format!("/v1/fleets/{}/groups/{}", record.fleet, record.id),
        &Group::from(record),
    ))
}
