//! Rating plans: what is filed with the regulator. A version is never changed; a new one takes effect on its day.

pub(crate) mod create;
pub(crate) mod get;
pub(crate) mod list;

use chrono::NaiveDate;
use odograph_domain::rating;
use rust_decimal::Decimal;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// How the last step rounds.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Rounding {
    /// Multiples of this, above 0.
    #[schema(example = "0.01")]
    step: Decimal,
    /// `half_up` (halves away from zero), `half_even`, `up` or `down`.
    #[schema(example = "half_up")]
    mode: String,
}

/// From this score up, until the next band, the premium is multiplied by the factor.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ScoreBand {
    #[schema(example = "80")]
    from_score: Decimal,
    #[schema(example = "0.90")]
    factor: Decimal,
}

/// What a rating plan says. Amounts are decimals in text, in `currency`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RatingTerms {
    #[schema(example = "EUR")]
    currency: String,
    #[schema(example = "12.00")]
    base_per_month: Decimal,
    #[schema(example = "0.045")]
    rate_per_km: Decimal,
    /// Lowest first, the first from 0. Empty: the score does not matter. PAYD never looks.
    score_bands: Vec<ScoreBand>,
    #[schema(example = "10.00")]
    minimum: Option<Decimal>,
    #[schema(example = "150.00")]
    maximum: Option<Decimal>,
    rounding: Rounding,
}

impl From<rating::RatingTerms> for RatingTerms {
    fn from(terms: rating::RatingTerms) -> Self {
        let rating::RatingTerms {
            currency,
            base_per_month,
            rate_per_km,
            score_bands,
            minimum,
            maximum,
            rounding,
        } = terms;
        let band = |rating::ScoreBand { from_score, factor }| ScoreBand { from_score, factor };
        Self {
            currency: currency.to_string(),
            base_per_month,
            rate_per_km,
            score_bands: score_bands.into_iter().map(band).collect(),
            minimum,
            maximum,
            rounding: Rounding {
                step: rounding.step,
                mode: rounding.mode.to_string(),
            },
        }
    }
}

/// A version of a rating plan.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RatingPlan {
    id: Uuid,
    /// Accepted wherever the id is.
    #[schema(example = "standard")]
    name: String,
    #[schema(example = 1)]
    version: i32,
    effective_from: NaiveDate,
    terms: RatingTerms,
}

impl From<rating::RatingPlan> for RatingPlan {
    fn from(plan: rating::RatingPlan) -> Self {
        let rating::RatingPlan {
            id,
            name,
            version,
            effective_from,
            terms,
        } = plan;
        Self {
            id: id.uuid(),
            name,
            version,
            effective_from,
            terms: terms.into(),
        }
    }
}
