//! Premiums, each with what it was made of and the steps that led to it.

pub(crate) mod across;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod rate;

use chrono::{DateTime, NaiveDate, Utc};
use odograph_domain::{money, rating};
use odograph_store::PremiumRow;
use rust_decimal::Decimal;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{policies::Product, rating_plans::RatingTerms};

/// An exact amount.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Money {
    /// Decimal, in text.
    #[schema(example = "48.56")]
    amount: Decimal,
    /// ISO 4217.
    #[schema(example = "EUR")]
    currency: String,
}

impl From<money::Money> for Money {
    fn from(money: money::Money) -> Self {
        Self {
            amount: money.amount,
            currency: money.currency.to_string(),
        }
    }
}

/// A premium for a period.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Premium {
    id: Uuid,
    policy: Uuid,
    /// The month, insured-local.
    #[schema(example = "2026-01")]
    period: String,
    /// 1 when first rated; grows when late data or a new plan version changed something.
    #[schema(example = 1)]
    version: i32,
    /// Whether this is the version in force.
    current: bool,
    premium: Money,
    /// Whole metres driven on covered days.
    #[schema(example = 812_500)]
    usage_m: i64,
    #[schema(example = "87.4")]
    score: Option<Decimal>,
    rated_at: DateTime<Utc>,
}

/// Everything a premium depends on.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PremiumInputs {
    product: Product,
    #[schema(example = "2026-01")]
    period: String,
    /// Days of the period that the policy covered, and all its days.
    #[schema(example = 31)]
    covered_days: u32,
    #[schema(example = 31)]
    period_days: u32,
    #[schema(example = 812_500)]
    usage_m: i64,
    /// On the last covered day; null for PAYD, and where there was too little to score.
    #[schema(example = "87.4")]
    score: Option<Decimal>,
    rating_plan: Uuid,
    rating_plan_version: i32,
    terms: RatingTerms,
    /// Where the policy's terms changed within the period: its covered days by the terms they were under. Product, score and
    /// plan above are then those of the last one. Empty where they did not change.
    segments: Vec<PremiumSegment>,
}

/// Covered days of a period under the same terms of the policy.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PremiumSegment {
    first: NaiveDate,
    /// Inclusive.
    last: NaiveDate,
    product: Product,
    /// Whole metres driven on these days.
    #[schema(example = 412_300)]
    usage_m: i64,
    /// On the last of these days; null for PAYD, and where there was too little to score.
    #[schema(example = "87.4")]
    score: Option<Decimal>,
    rating_plan: Uuid,
    #[schema(example = "standard")]
    rating_plan_name: String,
    rating_plan_version: i32,
    terms: RatingTerms,
}

/// One step, in the order taken.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PremiumStep {
    #[schema(example = "distance")]
    step: String,
    /// The segment it is about, counted from 1, where the period has several.
    segment: Option<u16>,
    #[schema(example = "812.500 km at 0.045 EUR/km = 36.5625 EUR")]
    explanation: String,
    /// The amount, or the factor, after this step, unrounded.
    #[schema(example = "36.5625")]
    value: Decimal,
}

/// A premium with its inputs and its trace: the same inputs give the same steps and the same amount, years later too.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PremiumWithTrace {
    #[serde(flatten)]
    summary: Premium,
    /// Version of the interpreter that took the steps.
    #[schema(example = 1)]
    interpreter: u16,
    inputs: PremiumInputs,
    trace: Vec<PremiumStep>,
}

impl From<PremiumRow> for Premium {
    fn from(row: PremiumRow) -> Self {
        Self::from(&row)
    }
}

impl From<&PremiumRow> for Premium {
    fn from(row: &PremiumRow) -> Self {
        Self {
            id: row.id.uuid(),
            policy: row.policy.uuid(),
            period: row.rated.inputs.period.to_string(),
            version: row.version,
            current: row.current,
            premium: row.rated.premium.into(),
            usage_m: row.rated.inputs.usage_m,
            score: row.rated.inputs.score,
            rated_at: row.rated_at,
        }
    }
}

impl From<PremiumRow> for PremiumWithTrace {
    fn from(row: PremiumRow) -> Self {
        let summary = Premium::from(&row);
        let rating::RatedPremium {
            interpreter,
            inputs,
            steps,
            premium: _,
        } = row.rated;
        Self {
            summary,
            interpreter,
            inputs: inputs.into(),
            trace: steps.into_iter().map(PremiumStep::from).collect(),
        }
    }
}

impl From<rating::TraceStep> for PremiumStep {
    fn from(step: rating::TraceStep) -> Self {
        let rating::TraceStep {
            step,
            segment,
            explanation,
            value,
        } = step;
        Self {
            step,
            segment,
            explanation,
            value,
        }
    }
}

impl From<rating::RatingInputs> for PremiumInputs {
    fn from(inputs: rating::RatingInputs) -> Self {
        let rating::RatingInputs {
            product,
            period,
            covered_days,
            period_days,
            usage_m,
            score,
            plan,
            plan_version,
            terms,
            segments,
        } = inputs;
        Self {
            product: product.into(),
            period: period.to_string(),
            covered_days,
            period_days,
            usage_m,
            score,
            rating_plan: plan.uuid(),
            rating_plan_version: plan_version,
            terms: terms.into(),
            segments: segments.into_iter().map(PremiumSegment::from).collect(),
        }
    }
}

impl From<rating::RatingSegment> for PremiumSegment {
    fn from(segment: rating::RatingSegment) -> Self {
        let rating::RatingSegment {
            first,
            last,
            product,
            usage_m,
            score,
            plan,
            plan_name,
            plan_version,
            terms,
        } = segment;
        Self {
            first,
            last,
            product: product.into(),
            usage_m,
            score,
            rating_plan: plan.uuid(),
            rating_plan_name: plan_name,
            rating_plan_version: plan_version,
            terms: terms.into(),
        }
    }
}
