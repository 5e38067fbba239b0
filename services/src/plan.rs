//! Example terms of a rating plan, for demos and for `import --register`.

use anyhow::Result;
use chrono::NaiveDate;
use odograph_domain::{
    id::{ExternalRef, IdOrRef},
    money::Currency,
    rating::{RatingPlan, RatingTerms, Rounding, RoundingMode, ScoreBand},
};
use odograph_store::{StoreError, TenantStore};
use rust_decimal::Decimal;

/// 19.50 a month and 0.049 a kilometre, by score from a quarter off to 60 % on top, between 15 and 240 a month.
pub fn example_terms(currency: Currency) -> RatingTerms {
    let band = |from_score: Decimal, factor: Decimal| ScoreBand { from_score, factor };
    RatingTerms {
        currency,
        base_per_month: Decimal::new(1950, 2),
        rate_per_km: Decimal::new(49, 3),
        score_bands: vec![
            band(Decimal::new(0, 0), Decimal::new(160, 2)),
            band(Decimal::new(40, 0), Decimal::new(130, 2)),
            band(Decimal::new(60, 0), Decimal::new(110, 2)),
            band(Decimal::new(70, 0), Decimal::new(100, 2)),
            band(Decimal::new(80, 0), Decimal::new(90, 2)),
            band(Decimal::new(90, 0), Decimal::new(75, 2)),
        ],
        minimum: Some(Decimal::new(1500, 2)),
        maximum: Some(Decimal::new(24000, 2)),
        rounding: Rounding {
            step: Decimal::new(1, 2),
            mode: RoundingMode::HalfEven,
        },
    }
}

/// The tenant's plan of this name; made with the example terms where there is none.
pub async fn named_or_example(store: &TenantStore, name: &str) -> Result<RatingPlan> {
    let reference = ExternalRef::parse(name)?;
    match store.rating_plan(&IdOrRef::Ref(reference)).await {
        Ok(plan) => Ok(plan),
        Err(StoreError::NotFound { .. }) => {
            // In force since before any telemetry could be: an example has no filing date.
            let effective_from = NaiveDate::from_ymd_opt(2000, 1, 1).unwrap_or_default();
            Ok(store
                .create_rating_plan(name, effective_from, &example_terms(Currency::parse("EUR")?))
                .await?)
        }
        Err(cause) => Err(cause.into()),
    }
}
