//! `GET /v1/rating-plans/{plan}`

use actix_web::web::{Data, Json};
use odograph_domain::rating;
use serde::Serialize;
use utoipa::ToSchema;

use super::{RatingPlan, Standing};
use crate::{
    auth::gate::Caller,
    extract::path::{self, Segment},
    problem::Problem,
    state::ApiState,
    v1::found,
};

/// Every version of a rating plan.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RatingPlanHistory {
    /// Newest first.
    versions: Vec<RatingPlan>,
}

#[utoipa::path(
    get,
    path = "/v1/rating-plans/{plan}",
    tag = "Rating",
    summary = "A rating plan with all its versions",
    params(("plan" = String, Path, description = "Id or name", example = "standard")),
    responses((status = 200, description = "The versions", body = RatingPlanHistory))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    plan: Segment,
) -> Result<Json<RatingPlanHistory>, Problem> {
    let name = path::id_or_ref("rating plan", &plan)?;
    let versions = found(
        caller.store(&state).rating_plan_versions(&name).await,
        "rating plan",
        &plan,
    )?;
    if versions.is_empty() {
        return Err(Problem::not_found("rating plan", &plan));
    }
    let today = state.clock.now().date_naive();
    let of = |version: &rating::RatingPlan| RatingPlan::of(version.clone(), Standing::of(version, &versions, today));
    Ok(Json(RatingPlanHistory {
        versions: versions.iter().rev().map(of).collect(),
    }))
}
