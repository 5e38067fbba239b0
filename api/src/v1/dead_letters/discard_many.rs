//! `POST /v1/dead-letters/discards`

use actix_web::web::{Data, Json};
use odograph_store::Letters;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::filter::{LetterChoice, read_limit};
use crate::{
    auth::gate::Caller,
    extract::{json::Json as Body, query::Fields, value::Text},
    problem::Problem,
    state::ApiState,
};

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Discards {
    filter: LetterChoice,
    /// Why they are given up.
    #[schema(value_type = String, max_length = 200, example = "test drive of the workshop")]
    reason: Text,
    /// Most to give up in one go.
    #[schema(minimum = 1, maximum = 500, default = 100, example = 100)]
    limit: Option<u16>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DiscardCounts {
    #[schema(example = 100)]
    discarded: usize,
    /// Whether as many were chosen as the limit allows: there may be more.
    more: bool,
}

#[utoipa::path(
    post,
    path = "/v1/dead-letters/discards",
    tag = "Intake",
    summary = "Give dead letters up",
    description = "The oldest open ones that the filter chooses. Their payloads are deleted; each is recorded.",
    request_body = Discards,
    responses((status = 200, description = "How many", body = DiscardCounts))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    Body(body): Body<Discards>,
) -> Result<Json<DiscardCounts>, Problem> {
    let store = caller.store(&state);
    let mut fields = Fields::of_body();
    let limit = read_limit(&mut fields, body.limit);
    let filter = body.filter.read(fields, &store).await?;
    let discarded = store
        .discard_letters(&Letters::Oldest(filter, limit), &body.reason.0)
        .await?
        .len();
    Ok(Json(DiscardCounts {
        discarded,
        more: discarded >= usize::from(limit),
    }))
}
