//! `POST /v1/rating-plans`

use actix_web::{HttpResponse, web::Data};
use odograph_domain::{
    id::{ExternalRef, IdOrRef},
    rating::RatingTerms,
};
use serde::Deserialize;
use utoipa::ToSchema;

use super::RatingPlan;
use crate::{
    auth::gate::Caller,
    extract::{json::Json, value::Day},
    problem::Problem,
    state::ApiState,
};

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RatingPlanCreation {
    /// A name in use gets a new version; a new name a new plan.
    #[schema(value_type = String, max_length = 128, example = "standard")]
    name: ExternalRef,
    /// First day on which this version rates.
    #[schema(value_type = NaiveDate, example = "2026-01-01")]
    effective_from: Day,
    #[schema(value_type = super::RatingTerms)]
    terms: RatingTerms,
}

#[utoipa::path(
    post,
    path = "/v1/rating-plans",
    tag = "Rating",
    summary = "File a rating plan, or a new version of one",
    request_body(content = RatingPlanCreation, example = json!({
        "name": "standard", "effective_from": "2026-01-01",
        "terms": {
            "currency": "EUR", "base_per_month": "12.00", "rate_per_km": "0.045",
            "score_bands": [
                { "from_score": "0", "factor": "1.25" }, { "from_score": "60", "factor": "1.00" },
                { "from_score": "80", "factor": "0.90" }
            ],
            "minimum": "10.00", "maximum": "150.00", "rounding": { "step": "0.01", "mode": "half_up" }
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
    Json(body): Json<RatingPlanCreation>,
) -> Result<HttpResponse, Problem> {
    let RatingPlanCreation {
        name,
        effective_from: Day(effective_from),
        terms,
    } = body;
    super::check(&*state.rater, &terms)?;
    let store = caller.store(&state);
    let plan = store
        .file_rating_plan(&IdOrRef::Ref(name), effective_from, &terms)
        .await?;
    super::filed(&store, plan, state.clock.now().date_naive()).await
}
