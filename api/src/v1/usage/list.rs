//! `GET /v1/policies/{policy}/usage`

use actix_web::web::{Data, Json};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

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

const MOST_DAYS: i64 = 400;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct UsageQuery {
    /// First insured-local day, inclusive. When absent, 30 days before `to`.
    #[param(value_type = Option<NaiveDate>)]
    from: Option<String>,
    /// Last insured-local day, inclusive. When absent, today. At most 400 days after `from`.
    #[param(value_type = Option<NaiveDate>)]
    to: Option<String>,
}

/// What a policy's vehicle drove.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Usage {
    policy: Uuid,
    from: NaiveDate,
    to: NaiveDate,
    /// Sum of the days, whole metres.
    #[schema(example = 812_500)]
    total_m: i64,
    /// Days without a metre are left out.
    days: Vec<UsageDay>,
}

/// One insured-local day.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UsageDay {
    day: NaiveDate,
    /// Whole metres: rounded once, over the whole day.
    #[schema(example = 24_310)]
    metres: i64,
    /// The day's bounds in UTC, end exclusive.
    utc_from: DateTime<Utc>,
    utc_to: DateTime<Utc>,
    /// Version of the time zone database that set the bounds.
    #[schema(example = "2026a")]
    tzdb: String,
}

#[utoipa::path(
    get,
    path = "/v1/policies/{policy}/usage",
    tag = "Premiums",
    summary = "What was driven, day by day",
    params(("policy" = String, Path, description = "Id or external reference", example = "POL-2026-0042"), UsageQuery),
    responses((status = 200, description = "The days", body = Usage))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    policy: Segment,
    Query(query): Query<UsageQuery>,
) -> Result<Json<Usage>, Problem> {
    let mut fields = Fields::of_query();
    let to = fields.date("to", query.to.as_deref());
    let from = fields.date("from", query.from.as_deref());
    let store = caller.store(&state);
    let policy = v1::policy(&store, &policy).await?.policy;
    let to = to.unwrap_or_else(|| state.clock.now().with_timezone(&policy.time_zone).date_naive());
    let from = from.unwrap_or(to - TimeDelta::days(30));
    if to < from || (to - from).num_days() > MOST_DAYS {
        fields.wrong(
            "to",
            format!("wanted a day not before `from` and at most {MOST_DAYS} days after it, got {from} to {to}"),
        );
    }
    fields.finish()?;
    let days = store.usage_by_policy(policy.id, from, to).await?;
    Ok(Json(Usage {
        policy: policy.id.uuid(),
        from,
        to,
        total_m: days.iter().map(|day| day.metres).sum(),
        days: days
            .into_iter()
            .map(|day| UsageDay {
                day: day.day,
                metres: day.metres,
                utc_from: day.utc_from,
                utc_to: day.utc_to,
                tzdb: day.tzdb,
            })
            .collect(),
    }))
}
