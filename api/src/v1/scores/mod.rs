//! Scores of drivers, with their reasons.

pub(crate) mod latest;
pub(crate) mod list;
pub(crate) mod of_policy;

use chrono::{DateTime, NaiveDate, Utc};
use odograph_domain::score;
use odograph_store::ScoreRow;
use rust_decimal::Decimal;
use serde::Serialize;
use utoipa::ToSchema;

/// Which model made a score.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Model {
    #[schema(example = "expert")]
    name: String,
    #[schema(example = "1")]
    version: String,
    /// SHA-256 of its parameters, hex.
    parameters_sha256: String,
}

/// One reason for a score.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Reason {
    /// Stable name of the factor.
    #[schema(example = "harsh_braking")]
    code: String,
    /// One sentence for the driver.
    text: String,
    /// Against a perfect 100; negative takes away.
    #[schema(example = "-6.2")]
    points: Decimal,
    /// What was measured.
    #[schema(example = 4.1)]
    value: f64,
    #[schema(example = "events per 100 km")]
    unit: String,
}

/// A driver's score on a day, over the window before it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Score {
    /// 0 (worst) to 100 (best), one decimal.
    #[schema(example = "87.4")]
    value: Decimal,
    /// Last insured-local day of the window, inclusive.
    as_of: NaiveDate,
    #[schema(example = 90)]
    window_days: u16,
    #[schema(example = 812.5)]
    exposure_km: f64,
    #[schema(example = 61)]
    trips: u32,
    model: Model,
    /// Most costly first; null where they were not asked for.
    reasons: Option<Vec<Reason>>,
    /// 1 for the first of a day; grows with each that differs.
    #[schema(example = 1)]
    version: i32,
    scored_at: DateTime<Utc>,
    /// When the next version took its place; null for the one in force.
    replaced_at: Option<DateTime<Utc>>,
}

impl Score {
    fn without_reasons(self) -> Self {
        Self { reasons: None, ..self }
    }
}

impl From<ScoreRow> for Score {
    fn from(row: ScoreRow) -> Self {
        let ScoreRow {
            score,
            version,
            scored_at,
            replaced_at,
        } = row;
        let score::Score {
            value,
            as_of,
            window_days,
            exposure_km,
            trips,
            model,
            reasons,
        } = score;
        let reason = |reason: score::ScoreReason| {
            let score::ScoreReason {
                code,
                text,
                points,
                value,
                unit,
            } = reason;
            Reason {
                code,
                text,
                points,
                value,
                unit,
            }
        };
        Self {
            value,
            as_of,
            window_days,
            exposure_km,
            trips,
            model: Model {
                name: model.name,
                version: model.version,
                parameters_sha256: model.parameters_sha256,
            },
            reasons: Some(reasons.into_iter().map(reason).collect()),
            version,
            scored_at,
            replaced_at,
        }
    }
}
