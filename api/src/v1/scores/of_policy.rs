//! `GET /v1/policies/{policy}/score`

use actix_web::web::{Data, Json};
use chrono::NaiveDate;
use odograph_domain::policy::start_of_day;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::Score;
use crate::{
    auth::gate::Caller,
    extract::{
        path::Segment,
        query::{Fields, Query},
    },
    problem::Problem,
    state::ApiState,
    v1,
};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PolicyScoreQuery {
    /// By the terms of this day, and the newest score not after it; today when absent.
    #[param(value_type = Option<NaiveDate>)]
    as_of: Option<String>,
    /// Without them null stands for the reasons.
    #[param(value_type = Option<bool>, default = true)]
    reasons: Option<String>,
}

/// The score a policy is rated by.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PolicyScore {
    policy: Uuid,
    as_of: NaiveDate,
    /// The main driver, or without one who is assigned to the vehicle at the end of that day.
    driver: Option<Uuid>,
    /// Null where there is none; `why_none` says why.
    score: Option<Score>,
    /// `payd`: the product looks at distance alone; `no_driver`: nobody is its driver; `not_scored`: too little was driven yet.
    #[schema(example = "not_scored")]
    why_none: Option<&'static str>,
}

#[utoipa::path(
    get,
    path = "/v1/policies/{policy}/score",
    tag = "Scores",
    summary = "The score a policy is rated by",
    params(("policy" = String, Path, description = "Id or external reference", example = "POL-2026-0042"), PolicyScoreQuery),
    responses((status = 200, description = "The score, or why there is none", body = PolicyScore))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    policy: Segment,
    Query(query): Query<PolicyScoreQuery>,
) -> Result<Json<PolicyScore>, Problem> {
    let mut fields = Fields::of_query();
    let as_of = fields.date("as_of", query.as_of.as_deref());
    let reasons = fields
        .parse::<bool>("reasons", query.reasons.as_deref())
        .unwrap_or(true);
    fields.finish()?;
    let store = caller.store(&state);
    let policy = v1::policy(&store, &policy).await?.policy;
    let as_of = as_of.unwrap_or_else(|| state.clock.now().with_timezone(&policy.time_zone).date_naive());
    let terms = policy.terms_on(as_of);
    let driver = match terms.main_driver {
        Some(driver) => Some(driver),
        None => {
            let end = start_of_day(as_of + chrono::Days::new(1), policy.time_zone);
            let before = end - chrono::TimeDelta::seconds(1);
            store.vehicle_context(policy.vehicle).await?.driver_at(before)
        }
    };
    let (score, why_none) = match driver {
        _ if !terms.product.allows_behaviour() => (None, Some("payd")),
        None => (None, Some("no_driver")),
        Some(driver) => match store.latest_score(driver, Some(as_of)).await? {
            Some(score) if reasons => (Some(Score::from(score)), None),
            Some(score) => (Some(Score::from(score).without_reasons()), None),
            None => (None, Some("not_scored")),
        },
    };
    Ok(Json(PolicyScore {
        policy: policy.id.uuid(),
        as_of,
        driver: driver.map(|driver| driver.uuid()),
        score,
        why_none,
    }))
}
