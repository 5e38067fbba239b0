//! Rating plans: what is filed with the regulator. A version is never changed; a new one takes effect on its day.

pub(crate) mod add_version;
pub(crate) mod create;
pub(crate) mod get;
pub(crate) mod list;

use actix_web::HttpResponse;
use chrono::NaiveDate;
use odograph_domain::{
    id::IdOrRef,
    rating::{self, Rater},
};
use odograph_store::TenantStore;
use rust_decimal::Decimal;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::created;
use crate::{
    extract::query::Fields,
    problem::{Code, Problem},
};

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
    /// First day on which it rates.
    effective_from: NaiveDate,
    /// As of today (UTC).
    standing: Standing,
    terms: RatingTerms,
}

/// `future`: not effective yet; `in_force`: what begins today is rated by it; `superseded`: another has taken its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Standing {
    Future,
    InForce,
    Superseded,
}

impl Standing {
    /// Of one of a plan's versions, the first first.
    fn of(version: &rating::RatingPlan, versions: &[rating::RatingPlan], today: NaiveDate) -> Self {
        let effective = versions.iter().filter(|other| other.effective_from <= today);
        let in_force = effective.max_by_key(|other| (other.effective_from, other.version));
        match in_force {
            _ if version.effective_from > today => Self::Future,
            Some(other) if other.version == version.version => Self::InForce,
            _ => Self::Superseded,
        }
    }
}

/// Terms that can be filed, or which of them cannot and why.
pub(super) fn check(rater: &dyn Rater, terms: &rating::RatingTerms) -> Result<(), Problem> {
    let amounts = [
        ("terms.base_per_month", Some(terms.base_per_month)),
        ("terms.rate_per_km", Some(terms.rate_per_km)),
        ("terms.minimum", terms.minimum),
        ("terms.maximum", terms.maximum),
        ("terms.rounding.step", Some(terms.rounding.step)),
    ];
    let mut fields = Fields::of_body();
    for (field, amount) in amounts.into_iter().filter_map(|(field, amount)| Some((field, amount?))) {
        if amount > Decimal::from(MOST) {
            fields.wrong(field, format!("wanted at most {MOST}, got {amount}"));
        }
    }
    fields.finish()?;
    rater
        .check(terms)
        .map_err(|error| Problem::field(Code::InvalidBody, "terms", error.to_string()))
}

/// Larger amounts have no use, and could not be reckoned with exactly.
const MOST: i64 = 1_000_000_000;

/// 201 with the version that was filed, or 200 with the one that says the same already.
pub(super) async fn filed(
    store: &TenantStore,
    (plan, new): (rating::RatingPlan, bool),
    today: NaiveDate,
) -> Result<HttpResponse, Problem> {
    let versions = store.rating_plan_versions(&IdOrRef::Id(plan.id)).await?;
    let location = format!("/v1/rating-plans/{}", plan.id);
    let standing = Standing::of(&plan, &versions, today);
    let body = RatingPlan::of(plan, standing);
    Ok(if new {
        created(location, &body)
    } else {
        HttpResponse::Ok().json(&body)
    })
}

impl RatingPlan {
    fn of(plan: rating::RatingPlan, standing: Standing) -> Self {
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
            standing,
            terms: terms.into(),
        }
    }
}
