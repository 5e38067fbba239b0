//! `GET /v1/rating-plans`

use actix_web::web::{Data, Json};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{RatingPlan, Standing};
use crate::{
    auth::gate::Caller,
    extract::query::{Fields, Query},
    page::{self, List},
    problem::Problem,
    state::ApiState,
};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct RatingPlanQuery {
    /// Most items to return.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200, default = 50)]
    limit: Option<String>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

#[utoipa::path(
    get,
    path = "/v1/rating-plans",
    tag = "Rating",
    summary = "The rating plans",
    description = "The newest version of each, in the order they were first filed.",
    params(RatingPlanQuery),
    responses((status = 200, description = "A page of plans", body = List<RatingPlan>))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    Query(query): Query<RatingPlanQuery>,
) -> Result<Json<List<RatingPlan>>, Problem> {
    let mut fields = Fields::of_query();
    let page = page::page(&mut fields, query.limit.as_deref(), query.cursor.as_deref());
    fields.finish()?;
    let today = state.clock.now().date_naive();
    let listed = caller.store(&state).rating_plans(today, page).await?;
    Ok(Json(List::of(listed, |(plan, in_force)| {
        let standing = match in_force {
            _ if plan.effective_from > today => Standing::Future,
            Some(version) if version == plan.version => Standing::InForce,
            _ => Standing::Superseded,
        };
        RatingPlan::of(plan, standing)
    })))
}
