//! `POST /v1/fleets`

use actix_web::{HttpResponse, web::Data};
use odograph_domain::id::ExternalRef;
use odograph_store::NewFleet;
use serde::Deserialize;
use utoipa::ToSchema;

use super::Fleet;
use crate::{
    auth::gate::Caller,
    extract::{json::Json, value::Text},
    problem::Problem,
    state::ApiState,
    v1::created,
};

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FleetCreation {
    /// The tenant's own name for it, unique among its fleets; 1 to 128 characters, not of the form of a UUID.
    #[schema(value_type = Option<String>, max_length = 128, example = "acme-vans")]
    external_ref: Option<ExternalRef>,
    #[schema(value_type = String, max_length = 200, example = "Acme delivery vans")]
    name: Text,
}

#[utoipa::path(
    post,
    path = "/v1/fleets",
    tag = "Fleets",
    summary = "Make a fleet",
    request_body = FleetCreation,
    responses((status = 201, description = "The fleet", body = Fleet))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    Json(body): Json<FleetCreation>,
) -> Result<HttpResponse, Problem> {
    let FleetCreation { external_ref, name } = body;
    let new = NewFleet {
        external_ref,
        name: name.0,
    };
    let record = caller.store(&state).create_fleet(new).await?;
    Ok(created(format!("/v1/fleets/{}", record.id), &Fleet::from(record)))
}
