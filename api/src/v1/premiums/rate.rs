//! `POST /v1/policies/{policy}/premiums`

use actix_web::web::{Data, Json as Answer};
use odograph_domain::{policy::Month, rating::RatingError};
use odograph_store::StoreError;
use serde::Deserialize;
use utoipa::ToSchema;

use super::PremiumWithTrace;
use crate::{
    auth::gate::Caller,
    extract::{json::Json, path::Segment},
    problem::{Code, Problem},
    state::ApiState,
    v1,
};

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PremiumRequest {
    /// A month, insured-local.
    #[schema(value_type = String, pattern = r"^\d{4}-\d{2}$", example = "2026-01")]
    period: Month,
}

#[utoipa::path(
    post,
    path = "/v1/policies/{policy}/premiums",
    tag = "Premiums",
    summary = "Rate a period now",
    description = "By what is known now. Where nothing has changed since the period was last rated, that premium is the answer; \
        otherwise a new version. A month that still runs is rated by what has been driven so far.",
    params(("policy" = String, Path, description = "Id or external reference", example = "POL-2026-0042")),
    request_body = PremiumRequest,
    responses((status = 200, description = "The premium in force", body = PremiumWithTrace))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    policy: Segment,
    Json(body): Json<PremiumRequest>,
) -> Result<Answer<PremiumWithTrace>, Problem> {
    let store = caller.store(&state);
    let policy = v1::policy(&store, &policy).await?.policy;
    let (first, end) = (body.period.first_day(), body.period.end());
    if policy.starts_on >= end || policy.ends_on.is_some_and(|day| day <= first) {
        let detail = format!("wanted a month that the policy covers, got {}", body.period);
        return Err(Problem::field(Code::NotRatable, "period", detail));
    }
    let today = state.clock.now().with_timezone(&policy.time_zone).date_naive();
    if first > today {
        let detail = format!("wanted a month that has begun, got {}", body.period);
        return Err(Problem::field(Code::NotRatable, "period", detail));
    }
    let mut tries = 0;
    loop {
        let inputs = store.rating_inputs(policy.id, body.period).await.map_err(not_ratable)?;
        let rated = state.rater.rate(&inputs).map_err(|error| unrated(&error))?;
        match store.put_premium(policy.id, &rated).await {
            Ok(row) => return Ok(Answer(row.into())),
            // A worker has changed the usage or the score in between.
            Err(StoreError::Conflict { .. }) if tries < MOST_TRIES => tries += 1,
            Err(error) => return Err(error.into()),
        }
    }
}

/// How often a period is rated again because its inputs changed meanwhile.
const MOST_TRIES: u32 = 5;

fn not_ratable(error: StoreError) -> Problem {
    match error {
        StoreError::NotFound { kind } => Problem::new(Code::NotRatable, format!("there is no {kind}")),
        other => other.into(),
    }
}

fn unrated(error: &RatingError) -> Problem {
    match error {
        RatingError::UnknownInterpreter(_) => Problem::internal(error),
        RatingError::Terms(_) | RatingError::Inputs(_) | RatingError::Overflow(_) => {
            Problem::new(Code::NotRatable, error.to_string())
        }
    }
}
