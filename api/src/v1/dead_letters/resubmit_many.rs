//! `POST /v1/dead-letters/resubmissions`

use actix_web::{HttpResponse, web::Data};
use odograph_store::Letters;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    filter::{LetterChoice, read_limit},
    resubmission::{Ready, Resubmitted, send},
};
use crate::{auth::gate::Caller, extract::json::Json, extract::query::Fields, problem::Problem, state::ApiState};

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Resubmissions {
    filter: LetterChoice,
    /// Most to send in one go.
    #[schema(minimum = 1, maximum = 500, default = 100, example = 100)]
    limit: Option<u16>,
}

/// What became of the dead letters that were chosen.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ResubmissionCounts {
    #[schema(example = 98)]
    resubmitted: usize,
    #[schema(example = 2)]
    refused: usize,
    /// Those that were refused stay open.
    refusals: Vec<LetterRefusal>,
    messages: Vec<Resubmitted>,
    /// Whether as many were chosen as the limit allows: there may be more.
    more: bool,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LetterRefusal {
    dead_letter: Uuid,
    /// Stable name of the problem.
    #[schema(example = "not_resubmittable")]
    code: &'static str,
    /// What was given and what was wanted.
    detail: String,
}

#[utoipa::path(
    post,
    path = "/v1/dead-letters/resubmissions",
    tag = "Intake",
    summary = "Send dead letters again",
    description = "The oldest open ones that the filter chooses, as they were kept, published in one go.",
    request_body = Resubmissions,
    responses((status = 202, description = "Those that could be sent are in the queue, durably", body = ResubmissionCounts))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    Json(body): Json<Resubmissions>,
) -> Result<HttpResponse, Problem> {
    let store = caller.store(&state);
    let mut fields = Fields::of_body();
    let limit = read_limit(&mut fields, body.limit);
    let filter = body.filter.read(fields, &store).await?;
    let claims = store.claim_letters(&Letters::Oldest(filter, limit)).await?;
    let more = claims.len() >= usize::from(limit);
    let (mut ready, mut problems) = (Vec::new(), Vec::new());
    for claim in claims {
        let letter = claim.letter.id;
        match Ready::of(claim, None, state.limits.batch_samples) {
            Ok(one) => ready.push(one),
            Err(problem) => problems.push((letter, problem)),
        }
    }
    let (messages, refused) = send(&state, &caller, &store, ready).await?;
    problems.extend(refused);
    let refusals: Vec<LetterRefusal> = problems
        .into_iter()
        .map(|(letter, problem)| LetterRefusal {
            dead_letter: letter.uuid(),
            code: problem.code().as_str(),
            detail: problem.detail().to_owned(),
        })
        .collect();
    Ok(HttpResponse::Accepted().json(ResubmissionCounts {
        resubmitted: messages.len(),
        refused: refusals.len(),
        refusals,
        messages,
        more,
    }))
}
