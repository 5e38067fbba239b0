//! `POST /v1/quotes`

use actix_web::{HttpResponse, web::Data};
use chrono::{Days, Months, NaiveDate};
use odograph_domain::{
    id::{DriverId, IdOrRef, RatingPlanId},
    policy::Month,
    rating::{RatingInputs, RatingPlan},
};
use odograph_store::{NewQuote, StoreError, TenantStore};
use rust_decimal::{Decimal, RoundingStrategy, prelude::ToPrimitive};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{QuoteWithTrace, VALID, rated};
use crate::{
    auth::gate::Caller,
    extract::{
        json::Json,
        query::Fields,
        value::{Day, Name},
    },
    problem::{Code, Problem},
    state::ApiState,
    v1::{Reference, created, policies::Product, unwritten},
};

/// How much is driven is given by the month or by the year; how it is driven by a score or by a driver who has one.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct QuoteRequest {
    product: Product,
    /// Id or name.
    #[schema(value_type = String, example = "standard")]
    rating_plan: Name<RatingPlanId>,
    /// By the version of the plan in force on this day; when absent, each month by the one that would rate it.
    #[schema(value_type = Option<NaiveDate>, example = "2026-07-01")]
    as_of: Option<Day>,
    /// First day of cover; today (UTC) when absent.
    #[schema(value_type = Option<NaiveDate>, example = "2026-07-01")]
    starts_on: Option<Day>,
    /// How many months are covered, 1 to 36; 12 when absent.
    #[schema(minimum = 1, maximum = 36, example = 12)]
    months: Option<u32>,
    #[serde(default, with = "rust_decimal::serde::str_option")]
    #[schema(value_type = Option<String>, example = "800")]
    km_per_month: Option<Decimal>,
    #[serde(default, with = "rust_decimal::serde::str_option")]
    #[schema(value_type = Option<String>, example = "9600")]
    km_per_year: Option<Decimal>,
    /// 0 to 100.
    #[serde(default, with = "rust_decimal::serde::str_option")]
    #[schema(value_type = Option<String>, example = "83.4")]
    score: Option<Decimal>,
    /// Id or external reference of a driver whose newest score is taken.
    #[schema(value_type = Option<String>, example = "D-1007")]
    driver: Option<Name<DriverId>>,
}

/// What was asked for, as it is kept.
#[derive(Debug, Serialize)]
struct Asked {
    product: Product,
    rating_plan: String,
    as_of: Option<NaiveDate>,
    starts_on: NaiveDate,
    months: u32,
    #[serde(with = "rust_decimal::serde::str")]
    km_per_month: Decimal,
    #[serde(with = "rust_decimal::serde::str_option")]
    score: Option<Decimal>,
    driver: Option<String>,
}

const MOST_MONTHS: u32 = 36;
const MOST_KM_A_MONTH: i64 = 100_000;

#[utoipa::path(
    post,
    path = "/v1/quotes",
    tag = "Premiums",
    summary = "Quote a new policy",
    description = "What a policy would cost by month and over its term, each month with the full trace. What is expected to be \
        driven is spread over the months by their days. Nothing is charged; the quote can be read again.",
    request_body = QuoteRequest,
    responses((status = 201, description = "The quote", body = QuoteWithTrace))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    Json(body): Json<QuoteRequest>,
) -> Result<HttpResponse, Problem> {
    let store = caller.store(&state);
    let now = state.clock.now();
    let mut asked = asked(&body, now.date_naive())?;
    let mut driver = None;
    if let Some(name) = &body.driver {
        let (id, score) = score_of(&store, &name.0).await?;
        driver = Some(id);
        asked.score = Some(score);
    }
    let months = months(&store, &body, &asked).await?;
    let (premiums, total) = rated(&*state.rater, &months)?;
    let quote = NewQuote {
        policy: None,
        driver,
        starts_on: asked.starts_on,
        ends_on: asked.starts_on + Months::new(asked.months),
        total,
        as_is_total: None,
        request: serde_json::to_value(&asked).map_err(Problem::internal)?,
        premiums,
        valid_until: now + VALID,
    };
    let record = store.put_quote(quote).await?;
    Ok(created(
        format!("/v1/quotes/{}", record.id),
        &QuoteWithTrace::from(record),
    ))
}

fn asked(body: &QuoteRequest, today: NaiveDate) -> Result<Asked, Problem> {
    let mut fields = Fields::of_body();
    let months = body.months.unwrap_or(12);
    if !(1..=MOST_MONTHS).contains(&months) {
        fields.wrong("months", format!("wanted 1 to {MOST_MONTHS}, got {months}"));
    }
    let km = match (body.km_per_month, body.km_per_year) {
        (Some(km), None) => Some(("km_per_month", km, km)),
        (None, Some(km)) => Some(("km_per_year", km, km / Decimal::from(12))),
        (given, _) => {
            let got = if given.is_some() { "both" } else { "neither" };
            fields.wrong(
                "km_per_month",
                format!("wanted either `km_per_month` or `km_per_year`, got {got}"),
            );
            None
        }
    };
    if let Some((field, given, by_month)) = km
        && (by_month < Decimal::ZERO || by_month > Decimal::from(MOST_KM_A_MONTH))
    {
        fields.wrong(field, format!("wanted 0 to {MOST_KM_A_MONTH} km a month, got {given}"));
    }
    match (body.score, &body.driver) {
        (Some(_), Some(_)) => fields.wrong("score", "wanted either `score` or `driver`, got both"),
        (Some(score), None) if score < Decimal::ZERO || score > Decimal::ONE_HUNDRED => {
            fields.wrong("score", format!("wanted 0 to 100, got {score}"));
        }
        _ => {}
    }
    fields.finish()?;
    Ok(Asked {
        product: body.product,
        rating_plan: body.rating_plan.0.to_string(),
        as_of: body.as_of.as_ref().map(|day| day.0),
        starts_on: body.starts_on.as_ref().map_or(today, |day| day.0),
        months,
        km_per_month: km.map_or(Decimal::ZERO, |(_, _, by_month)| by_month),
        score: body.score,
        driver: body.driver.as_ref().map(|driver| driver.0.to_string()),
    })
}

async fn score_of(store: &TenantStore, name: &IdOrRef<DriverId>) -> Result<(DriverId, Decimal), Problem> {
    let reference = Reference {
        kind: "driver",
        field: "driver",
        given: name.to_string(),
    };
    let id = store
        .driver(name)
        .await
        .map_err(|error| unwritten(error, &[reference]))?
        .id;
    match store.latest_score(id, None).await? {
        Some(row) => Ok((id, row.score.value)),
        None => Err(Problem::field(
            Code::NotRatable,
            "driver",
            format!("wanted a driver with a score, {name} has none yet: give `score`, or neither"),
        )),
    }
}

/// What each month of the term follows from.
async fn months(store: &TenantStore, body: &QuoteRequest, asked: &Asked) -> Result<Vec<RatingInputs>, Problem> {
    let end = asked.starts_on + Months::new(asked.months);
    let (mut months, mut first) = (Vec::new(), asked.starts_on);
    while first < end {
        let period = Month::of(first);
        let last = end.min(period.end()) - Days::new(1);
        let plan = plan_on(store, &body.rating_plan.0, asked.as_of.unwrap_or(first)).await?;
        months.push(inputs(asked, plan, period, (first, last)));
        first = period.end();
    }
    Ok(months)
}

fn inputs(asked: &Asked, plan: RatingPlan, period: Month, (first, last): (NaiveDate, NaiveDate)) -> RatingInputs {
    let covered_days = ((last - first).num_days() + 1) as u32;
    let metres =
        asked.km_per_month * Decimal::ONE_THOUSAND * Decimal::from(covered_days) / Decimal::from(period.days());
    let product = asked.product.into();
    RatingInputs {
        product,
        period,
        covered_days,
        period_days: period.days(),
        usage_m: metres
            .round_dp_with_strategy(0, RoundingStrategy::MidpointNearestEven)
            .to_i64()
            .unwrap_or(i64::MAX),
        score: asked
            .score
            .filter(|_| odograph_domain::policy::Product::allows_behaviour(product)),
        plan: plan.id,
        plan_version: plan.version,
        terms: plan.terms,
        segments: Vec::new(),
    }
}

async fn plan_on(store: &TenantStore, plan: &IdOrRef<RatingPlanId>, day: NaiveDate) -> Result<RatingPlan, Problem> {
    let reference = Reference {
        kind: "rating_plan",
        field: "rating_plan",
        given: plan.to_string(),
    };
    match store.rating_plan_on(plan, day).await {
        Ok(Some(plan)) => Ok(plan),
        Ok(None) => Err(Problem::field(
            Code::NotRatable,
            "rating_plan",
            format!("no version of {plan} is in force on {day}"),
        )),
        Err(error @ StoreError::NotFound { .. }) => Err(unwritten(error, &[reference])),
        Err(error) => Err(error.into()),
    }
}
