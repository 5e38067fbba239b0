//! A score with its reasons.

use chrono::NaiveDate;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// Which model made a score.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelRef {
    pub name: String,
    pub version: String,
    /// SHA-256 of its parameters, hex.
    pub parameters_sha256: String,
}

/// One reason, ranked by what it costs or brings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScoreReason {
    /// Stable name of the factor, such as `harsh_braking`.
    pub code: String,
    /// One sentence for the driver.
    pub text: String,
    /// Points against a perfect 100; negative takes away.
    pub points: Decimal,
    /// What was measured, and in which unit.
    pub value: f64,
    pub unit: String,
}

/// A driver's behaviour score on a day, over the window before it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// 0 (worst) to 100 (best), one decimal.
    pub value: Decimal,
    /// Last insured-local day of the window, inclusive.
    pub as_of: NaiveDate,
    pub window_days: u16,
    pub exposure_km: f64,
    pub trips: u32,
    pub model: ModelRef,
    /// Most costly first.
    pub reasons: Vec<ScoreReason>,
}
