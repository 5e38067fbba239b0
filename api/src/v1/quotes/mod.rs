//! Quotes: what a policy would cost, with the full trace. They charge nothing.

pub(crate) mod create;
pub(crate) mod get;
pub(crate) mod if_changed;
pub(crate) mod list;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use odograph_domain::{
    money,
    rating::{RatedPremium, Rater, RatingError, RatingInputs},
};
use odograph_store::{NewQuote, QuoteRecord};
use rust_decimal::Decimal;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::premiums::{Money, PremiumInputs, PremiumStep};
use crate::problem::{Code, Problem};

/// How long a quote holds.
const VALID: TimeDelta = TimeDelta::days(30);

/// A quote.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Quote {
    id: Uuid,
    /// The policy whose change is quoted; null for new business.
    policy: Option<Uuid>,
    /// Whose score was taken; null where none was.
    driver: Option<Uuid>,
    /// First day quoted.
    starts_on: NaiveDate,
    /// First day not quoted.
    ends_on: NaiveDate,
    /// Over all months.
    total: Money,
    /// What the policy costs over the same months as it is; null for new business.
    as_is_total: Option<Money>,
    /// `total` less `as_is_total`.
    difference: Option<Money>,
    created_at: DateTime<Utc>,
    /// Until when it holds, exclusive.
    valid_until: DateTime<Utc>,
}

/// A quote with how each month comes about.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct QuoteWithTrace {
    #[serde(flatten)]
    summary: Quote,
    /// What was asked for.
    #[schema(value_type = Object)]
    request: serde_json::Value,
    months: Vec<QuotedMonth>,
}

/// What a month would cost.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct QuotedMonth {
    #[schema(example = "2026-01")]
    period: String,
    premium: Money,
    /// Version of the interpreter that took the steps.
    #[schema(example = 1)]
    interpreter: u16,
    inputs: PremiumInputs,
    trace: Vec<PremiumStep>,
}

impl From<QuoteRecord> for Quote {
    fn from(record: QuoteRecord) -> Self {
        Self::from(&record)
    }
}

impl From<&QuoteRecord> for Quote {
    fn from(record: &QuoteRecord) -> Self {
        let quote = &record.quote;
        let money = |amount: Decimal| money::Money::new(amount, quote.total.currency).into();
        Self {
            id: record.id.uuid(),
            policy: quote.policy.map(|policy| policy.uuid()),
            driver: quote.driver.map(|driver| driver.uuid()),
            starts_on: quote.starts_on,
            ends_on: quote.ends_on,
            total: quote.total.into(),
            as_is_total: quote.as_is_total.map(money),
            difference: quote.as_is_total.map(|as_is| money(quote.total.amount - as_is)),
            created_at: record.created_at,
            valid_until: quote.valid_until,
        }
    }
}

impl From<QuoteRecord> for QuoteWithTrace {
    fn from(record: QuoteRecord) -> Self {
        let summary = Quote::from(&record);
        let NewQuote { request, premiums, .. } = record.quote;
        Self {
            summary,
            request,
            months: premiums.into_iter().map(QuotedMonth::from).collect(),
        }
    }
}

impl From<RatedPremium> for QuotedMonth {
    fn from(rated: RatedPremium) -> Self {
        let RatedPremium {
            interpreter,
            inputs,
            steps,
            premium,
        } = rated;
        Self {
            period: inputs.period.to_string(),
            premium: premium.into(),
            interpreter,
            inputs: inputs.into(),
            trace: steps.into_iter().map(PremiumStep::from).collect(),
        }
    }
}

/// Each month rated, and the sum of them.
fn rated(rater: &dyn Rater, months: &[RatingInputs]) -> Result<(Vec<RatedPremium>, money::Money), Problem> {
    let premiums: Vec<RatedPremium> = months
        .iter()
        .map(|inputs| rater.rate(inputs).map_err(|error| unrated(inputs, &error)))
        .collect::<Result<_, _>>()?;
    let mut amounts = premiums.iter().map(|rated| rated.premium);
    let first = amounts
        .next()
        .ok_or_else(|| Problem::new(Code::NotRatable, "there is no day to quote"))?;
    let total = amounts
        .try_fold(first, money::Money::checked_add)
        .map_err(|error| Problem::new(Code::NotRatable, error.to_string()))?;
    Ok((premiums, total))
}

fn unrated(inputs: &RatingInputs, error: &RatingError) -> Problem {
    Problem::new(Code::NotRatable, format!("{}: {error}", inputs.period))
}
