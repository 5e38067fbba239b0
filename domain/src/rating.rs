//! A simple rating plan, and a premium with the trace that leads to it. The interpreter is in `scoring`.

use chrono::NaiveDate;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::{
    id::RatingPlanId,
    money::{Currency, Money},
    outcome::named,
    policy::{Month, Product},
};

named! {
    RoundingMode {
        /// Halves go away from zero.
        HalfUp = "half_up",
        /// Halves go to the even neighbour.
        HalfEven = "half_even",
        Up = "up",
        Down = "down",
    }
}

/// To multiples of `step` (such as `0.01` or `0.05`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rounding {
    #[serde(with = "rust_decimal::serde::str")]
    pub step: Decimal,
    pub mode: RoundingMode,
}

/// From this score up (until the next band) the premium is multiplied by `factor`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScoreBand {
    #[serde(with = "rust_decimal::serde::str")]
    pub from_score: Decimal,
    #[serde(with = "rust_decimal::serde::str")]
    pub factor: Decimal,
}

/// What a rating plan says. Amounts are in `currency`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RatingTerms {
    pub currency: Currency,
    #[serde(with = "rust_decimal::serde::str")]
    pub base_per_month: Decimal,
    #[serde(with = "rust_decimal::serde::str")]
    pub rate_per_km: Decimal,
    /// Bands by score, lowest first, the first at 0. Empty: the score does not matter. PAYD never looks.
    #[serde(default)]
    pub score_bands: Vec<ScoreBand>,
    #[serde(default, with = "rust_decimal::serde::str_option")]
    pub minimum: Option<Decimal>,
    #[serde(default, with = "rust_decimal::serde::str_option")]
    pub maximum: Option<Decimal>,
    pub rounding: Rounding,
}

/// A rating plan: terms under a name and a version, in force from a day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RatingPlan {
    pub id: RatingPlanId,
    pub name: String,
    pub version: i32,
    pub effective_from: NaiveDate,
    pub terms: RatingTerms,
}

/// Everything a premium depends on. Stored with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RatingInputs {
    /// With the plan and the score: of the whole period, or of its last segment.
    pub product: Product,
    pub period: Month,
    /// Days of the period the policy covered, and all its days.
    pub covered_days: u32,
    pub period_days: u32,
    /// Whole metres driven on covered days: the sum of the quantised days.
    pub usage_m: i64,
    /// The score on the last covered day of the period; `None` for PAYD, and where there was too little to score.
    #[serde(default, with = "rust_decimal::serde::str_option")]
    pub score: Option<Decimal>,
    pub plan: RatingPlanId,
    pub plan_version: i32,
    pub terms: RatingTerms,
    /// Where the policy's terms changed within the period: its covered days by the terms they were under, the earliest first.
    /// Empty where they did not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub segments: Vec<RatingSegment>,
}

/// Covered days of a period under the same terms of the policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RatingSegment {
    pub first: NaiveDate,
    /// Inclusive.
    pub last: NaiveDate,
    pub product: Product,
    /// Whole metres driven on these days.
    pub usage_m: i64,
    /// The score on the last of these days; `None` for PAYD, and where there was too little to score.
    #[serde(default, with = "rust_decimal::serde::str_option")]
    pub score: Option<Decimal>,
    pub plan: RatingPlanId,
    pub plan_name: String,
    pub plan_version: i32,
    pub terms: RatingTerms,
}

impl RatingSegment {
    pub fn days(&self) -> u32 {
        ((self.last - self.first).num_days() + 1).max(0) as u32
    }
}

/// One step of the calculation, in the order taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceStep {
    /// Stable name: `base`, `distance`, `subtotal`, `score_factor`, `plan_total`, `minimum`, `maximum`, `total`, `rounding`.
    pub step: String,
    /// The segment it is about, counted from 1, where the period has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment: Option<u16>,
    /// The calculation in words and figures, for a person.
    pub explanation: String,
    /// The amount (or factor) after this step, unrounded.
    #[serde(with = "rust_decimal::serde::str")]
    pub value: Decimal,
}

/// A premium and how it came about: `rate(inputs)` gives the same steps and the same amount, years later too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RatedPremium {
    /// Version of the step interpreter in `scoring`.
    pub interpreter: u16,
    pub inputs: RatingInputs,
    pub steps: Vec<TraceStep>,
    pub premium: Money,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RatingError {
    #[error("the rating plan is not sound: {0}")]
    Terms(String),
    #[error("the inputs are not sound: {0}")]
    Inputs(String),
    #[error("the premium is beyond what a decimal holds, at step {0}")]
    Overflow(&'static str),
    #[error("no interpreter of version {0} is known")]
    UnknownInterpreter(u16),
}

/// The port of the rating interpreter. Pure: the same inputs give the same steps and the same amount.
pub trait Rater: Send + Sync {
    /// Whether the terms make sense: bands in order from 0, no negative rate, minimum not above maximum, a step above 0.
    fn check(&self, terms: &RatingTerms) -> Result<(), RatingError>;

    fn rate(&self, inputs: &RatingInputs) -> Result<RatedPremium, RatingError>;

    /// Rates again by the interpreter that a stored premium was made with.
    fn rerun(&self, stored: &RatedPremium) -> Result<RatedPremium, RatingError>;
}
