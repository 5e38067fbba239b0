//! `POST /v1/dead-letters/{dead_letter}/resubmission`

use actix_web::{HttpResponse, web::Data};
use odograph_store::Letters;
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::resubmission::{Ready, Resubmitted, send};
use crate::{
    auth::gate::Caller,
    extract::{
        json::OptionalJson,
        path::{self, Segment},
    },
    problem::Problem,
    state::ApiState,
    v1::{found, telemetry::send::BatchDocument},
};

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Resubmission {
    /// A batch to send in place of what was kept: mended, say. Its `batch_id` is replaced if it is the dead letter's, under which
    /// other content may have been taken already.
    #[schema(value_type = Option<BatchDocument>)]
    payload: Option<Map<String, Value>>,
}

#[utoipa::path(
    post,
    path = "/v1/dead-letters/{dead_letter}/resubmission",
    tag = "Intake",
    summary = "Send a dead letter again",
    description = "It goes through the queue and all validation like a new batch, but is not refused for being late. 202 once the queue \
        holds it durably. Of what was turned away at the door nothing was kept: give the batch as `payload`.",
    params(("dead_letter" = Uuid, Path, description = "Id")),
    request_body = Option<Resubmission>,
    responses((status = 202, description = "In the queue, durably", body = Resubmitted))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    dead_letter: Segment,
    OptionalJson(body): OptionalJson<Resubmission>,
) -> Result<HttpResponse, Problem> {
    let id = path::id("dead letter", &dead_letter)?;
    let store = caller.store(&state);
    let claims = found(
        store.claim_letters(&Letters::One(id)).await,
        "dead letter",
        &dead_letter,
    )?;
    let mut ready = Vec::new();
    for claim in claims {
        ready.push(Ready::of(claim, body.payload.clone(), state.limits.batch_samples)?);
    }
    let (sent, refused) = send(&state, &caller, &store, ready).await?;
    match (sent.into_iter().next(), refused.into_iter().next()) {
        (Some(sent), _) => Ok(HttpResponse::Accepted().json(sent)),
        (None, Some((_, problem))) => Err(problem),
        (None, None) => Err(Problem::not_found("dead letter", &dead_letter)),
    }
}
