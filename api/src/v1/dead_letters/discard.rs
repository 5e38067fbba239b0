//! `POST /v1/dead-letters/{dead_letter}/discard`

use actix_web::web::{Data, Json};
use odograph_store::Letters;
use serde::Deserialize;
use utoipa::ToSchema;

use super::DeadLetter;
use crate::{
    auth::gate::Caller,
    extract::{
        json::Json as Body,
        path::{self, Segment},
        value::Text,
    },
    problem::Problem,
    state::ApiState,
    v1::found,
};

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Discard {
    /// Why it is given up.
    #[schema(value_type = String, max_length = 200, example = "test drive of the workshop")]
    reason: Text,
}

#[utoipa::path(
    post,
    path = "/v1/dead-letters/{dead_letter}/discard",
    tag = "Intake",
    summary = "Give a dead letter up",
    description = "Its payload is deleted; what it was, why it was refused and why it was given up stays. This is recorded.",
    params(("dead_letter" = Uuid, Path, description = "Id")),
    request_body = Discard,
    responses((status = 200, description = "The dead letter as it is now", body = DeadLetter))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    dead_letter: Segment,
    Body(body): Body<Discard>,
) -> Result<Json<DeadLetter>, Problem> {
    let id = path::id("dead letter", &dead_letter)?;
    let store = caller.store(&state);
    let done = store.discard_letters(&Letters::One(id), &body.reason.0).await;
    found(done, "dead letter", &dead_letter)?;
    Ok(Json(store.dead_letter_row(id).await?.into()))
}
