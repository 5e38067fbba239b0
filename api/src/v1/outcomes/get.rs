//! `GET /v1/outcomes`

use actix_web::web::{Data, Json};
use chrono::NaiveDate;
use odograph_store::OutcomeCount;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    auth::gate::Caller,
    extract::query::{Fields, Query},
    problem::Problem,
    state::ApiState,
};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct OutcomeQuery {
    /// First day (UTC) of arrival, inclusive.
    #[param(value_type = Option<NaiveDate>)]
    from: Option<String>,
    /// Last day (UTC) of arrival, inclusive.
    #[param(value_type = Option<NaiveDate>)]
    to: Option<String>,
}

/// Counts of a tenant's intake.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Outcomes {
    items: Vec<Outcome>,
}

/// How many ended in one way on one day.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Outcome {
    day: NaiveDate,
    /// `received`, `accepted`, `duplicate`, or the name of the reason for a rejection.
    #[schema(example = "accepted")]
    outcome: String,
    #[schema(example = 12)]
    messages: i64,
    #[schema(example = 7200)]
    samples: i64,
}

#[utoipa::path(
    get,
    path = "/v1/outcomes",
    tag = "Intake",
    summary = "How what came in ended",
    description = "Over the samples of any days, accepted + duplicate + rejected (by reason) = received.",
    params(OutcomeQuery),
    responses((status = 200, description = "The counts", body = Outcomes))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    Query(query): Query<OutcomeQuery>,
) -> Result<Json<Outcomes>, Problem> {
    let mut fields = Fields::of_query();
    let from = fields.date("from", query.from.as_deref());
    let to = fields.date("to", query.to.as_deref());
    fields.ordered(from.as_ref(), to.as_ref());
    fields.finish()?;
    let counts = caller.store(&state).outcome_counts(from, to).await?;
    let item = |OutcomeCount {
                    day,
                    outcome,
                    messages,
                    samples,
                }| Outcome {
        day,
        outcome,
        messages,
        samples,
    };
    Ok(Json(Outcomes {
        items: counts.into_iter().map(item).collect(),
    }))
}
