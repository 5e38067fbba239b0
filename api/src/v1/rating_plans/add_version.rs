//! `POST /v1/rating-plans/{plan}/versions`

use actix_web::{HttpResponse, web::Data};
use odograph_domain::{
    id::{IdOrRef, RatingPlanId},
    rating::RatingTerms,
};
use serde::Deserialize;
use utoipa::ToSchema;

use super::RatingPlan;
use crate::{
    auth::gate::Caller,
    extract::{
        json::Json,
        path::{self, Segment},
        value::Day,
    },
    problem::Problem,
    state::ApiState,
    v1::found,
};

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RatingPlanVersionCreation {
    /// First day on which this version rates; past or to come.
    #[schema(value_type = NaiveDate, example = "2027-01-01")]
    effective_from: Day,
    #[schema(value_type = super::RatingTerms)]
    terms: RatingTerms,
}

#[utoipa::path(
    post,
    path = "/v1/rating-plans/{plan}/versions",
    tag = "Rating",
    summary = "File a new version of a rating plan",
    description = "Of the versions effective by a day the one effective last rates it, of equal ones the one filed last. Months \
        and stretches of days that began before it are rated by the version in force at their beginning.",
    params(("plan" = String, Path, description = "Id or name", example = "standard")),
    request_body(content = RatingPlanVersionCreation, example = json!({
        "effective_from": "2027-01-01",
        "terms": {
            "currency": "EUR", "base_per_month": "12.50", "rate_per_km": "0.047",
            "score_bands": [{ "from_score": "0", "factor": "1.1" }, { "from_score": "80", "factor": "0.9" }],
            "rounding": { "step": "0.01", "mode": "half_up" }
        }
    })),
    responses(
        (status = 201, description = "The version", body = RatingPlan),
        (status = 200, description = "The version that says the same of that day already; nothing was filed", body = RatingPlan),
    )
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    plan: Segment,
    Json(body): Json<RatingPlanVersionCreation>,
) -> Result<HttpResponse, Problem> {
    let store = caller.store(&state);
    let name: IdOrRef<RatingPlanId> = path::id_or_ref("rating plan", &plan)?;
    let id = found(store.rating_plan(&name).await, "rating plan", &plan)?.id;
    super::check(&*state.rater, &body.terms)?;
    let version = store
        .file_rating_plan(&IdOrRef::Id(id), body.effective_from.0, &body.terms)
        .await?;
    super::filed(&store, version, state.clock.now().date_naive()).await
}
