//! `GET /v1/policies/{policy}/usage`

use actix_web::web::{Data, Json};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use odograph_domain::policy::Month;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::Granularity;
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
pub(crate) struct UsageQuery {
    /// First insured-local day, inclusive. When absent, 30 days before `to`; by month, the first of the year before.
    #[param(value_type = Option<NaiveDate>)]
    from: Option<String>,
    /// Last insured-local day, inclusive. When absent, today. At most 400 days after `from`; by month, 4,000.
    #[param(value_type = Option<NaiveDate>)]
    to: Option<String>,
    /// `day` (the default) or `month`. A month that the range cuts has the days within it.
    #[param(inline, value_type = Option<Granularity>)]
    granularity: Option<String>,
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
    /// On how many days anything was driven.
    #[schema(example = 22)]
    days_driven: usize,
    /// Days without a metre are left out. Empty by month.
    days: Vec<UsageDay>,
    /// Months without a metre are left out. Empty by day.
    months: Vec<UsageMonth>,
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

/// One insured-local month.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UsageMonth {
    #[schema(example = "2026-01")]
    period: String,
    /// Sum of its days, whole metres.
    #[schema(example = 812_500)]
    metres: i64,
    /// On how many days anything was driven.
    #[schema(example = 22)]
    days_driven: usize,
}

#[utoipa::path(
    get,
    path = "/v1/policies/{policy}/usage",
    tag = "Premiums",
    summary = "What was driven, by day or month",
    params(("policy" = String, Path, description = "Id or external reference", example = "POL-2026-0042"), UsageQuery),
    responses((status = 200, description = "The days or months", body = Usage))
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
    let granularity = fields
        .parse::<Granularity>("granularity", query.granularity.as_deref())
        .unwrap_or(Granularity::Day);
    let store = caller.store(&state);
    let policy = v1::policy(&store, &policy).await?.policy;
    let to = to.unwrap_or_else(|| state.clock.now().with_timezone(&policy.time_zone).date_naive());
    let (before, most_days) = granularity.bounds(to);
    let from = from.unwrap_or(before);
    fields.ordered(Some(&from), Some(&to));
    if (to - from).num_days() > most_days {
        fields.wrong(
            "to",
            format!("wanted a day at most {most_days} days after `from`, got {from} to {to}"),
        );
    }
    fields.finish()?;
    let found = store.usage_by_policy(policy.id, from, to).await?;
    let mut usage = Usage {
        policy: policy.id.uuid(),
        from,
        to,
        total_m: found.iter().map(|day| day.metres).sum(),
        days_driven: found.len(),
        days: Vec::new(),
        months: Vec::new(),
    };
    match granularity {
        Granularity::Day => usage.days = found.into_iter().map(UsageDay::from).collect(),
        Granularity::Month => usage.months = by_month(&found),
    }
    Ok(Json(usage))
}

impl Granularity {
    /// The first day when none is given, and the longest range.
    fn bounds(self, to: NaiveDate) -> (NaiveDate, i64) {
        match self {
            Self::Day => (to - TimeDelta::days(30), 400),
            Self::Month => (Month::of(to - TimeDelta::days(364)).first_day(), 4_000),
        }
    }
}

fn by_month(days: &[odograph_store::UsageDay]) -> Vec<UsageMonth> {
    days.chunk_by(|one, next| Month::of(one.day) == Month::of(next.day))
        .filter_map(|days| {
            Some(UsageMonth {
                period: Month::of(days.first()?.day).to_string(),
                metres: days.iter().map(|day| day.metres).sum(),
                days_driven: days.len(),
            })
        })
        .collect()
}

impl From<odograph_store::UsageDay> for UsageDay {
    fn from(day: odograph_store::UsageDay) -> Self {
        Self {
            day: day.day,
            metres: day.metres,
            utc_from: day.utc_from,
            utc_to: day.utc_to,
            tzdb: day.tzdb,
        }
    }
}
