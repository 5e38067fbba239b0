//! What a report says, without how it looks: the API gives it as JSON.

use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// A driver's report.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct DriverReport {
    pub driver: Uuid,
    pub external_ref: Option<String>,
    /// Only with the scope `drivers:identity`.
    pub name: Option<String>,
    #[serde(flatten)]
    pub driven: ReportDriven,
    /// The scores of the period, with what changed them; null where none is kept (pay-as-you-drive) or too little was driven.
    pub score: Option<ReportScore>,
    pub premiums: Vec<ReportPremium>,
    pub vehicles: Vec<ReportMember>,
    pub map: ReportMap,
    pub made: ReportMade,
}

/// A fleet's report, or that of all vehicles of the tenant.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct FleetReport {
    /// Null where it is about every vehicle.
    pub fleet: Option<Uuid>,
    pub name: String,
    #[serde(flatten)]
    pub driven: ReportDriven,
    /// Who drove farthest first.
    pub drivers: Vec<ReportMember>,
    pub vehicles: Vec<ReportMember>,
    /// Drivers and vehicles far from the others.
    pub outliers: Vec<ReportOutlier>,
    pub made: ReportMade,
}

/// What was driven. A trip counts for the insured-local day it began on.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ReportDriven {
    #[schema(example = "2026-05")]
    pub period: String,
    pub from: NaiveDate,
    /// Inclusive.
    pub to: NaiveDate,
    pub totals: ReportTotals,
    /// Days without a trip are left out.
    pub days: Vec<ReportDay>,
    /// When trips began, by the insured's clock.
    pub hours: Vec<ReportHour>,
    pub mileage: Vec<ReportMileage>,
    /// In how many trips each reason for a grade was found.
    pub mileage_reasons: Vec<ReportCount>,
    /// Null where no behaviour may be kept.
    pub behaviour: Option<ReportBehaviour>,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ReportTotals {
    pub trips: i64,
    #[schema(example = 812.4)]
    pub distance_km: f64,
    pub days_driven: i64,
    pub vehicles: i64,
    pub drivers: i64,
    pub moving_h: f64,
    /// Standing with the trip going on.
    pub idle_h: f64,
    /// Of moving and idle time together; null where nothing was driven.
    pub idle_share: Option<f64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ReportDay {
    pub day: NaiveDate,
    pub trips: i64,
    pub distance_km: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ReportHour {
    /// 1 is Monday.
    #[schema(minimum = 1, maximum = 7)]
    pub weekday: i32,
    #[schema(minimum = 0, maximum = 23)]
    pub hour: i32,
    pub trips: i64,
    pub distance_km: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ReportMileage {
    /// How well the distance is supported, A (best) to D.
    #[schema(example = "A")]
    pub grade: String,
    #[schema(example = "odometer")]
    pub source: Option<String>,
    pub trips: i64,
    pub distance_km: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ReportCount {
    pub code: String,
    pub count: i64,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ReportBehaviour {
    /// Trips whose behaviour is kept.
    pub trips: i64,
    pub top_speed_kmh: f64,
    pub rates: Vec<ReportRate>,
}

/// One kind of behaviour, and how the portfolio of the period does.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ReportRate {
    #[schema(example = "harsh_braking")]
    pub code: String,
    #[schema(example = "per_100_km")]
    pub unit: ReportUnit,
    /// Events, where they are counted.
    pub events: Option<i64>,
    /// Null where it could not be observed.
    pub value: Option<f64>,
    pub portfolio: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReportUnit {
    #[serde(rename = "per_100_km")]
    Per100Km,
    /// Of the driving time, 0 to 1.
    ShareOfTime,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ReportScore {
    /// In order.
    pub days: Vec<ReportScoreDay>,
    pub window_days: u16,
    pub exposure_km: f64,
    /// Of the last day, most costly first.
    pub reasons: Vec<ReportReason>,
    /// From the first to the last day: by how many points each factor moved the score, the most first.
    pub changes: Vec<ReportChange>,
    #[schema(example = "expert 1")]
    pub model: String,
    pub parameters_sha256: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ReportScoreDay {
    pub day: NaiveDate,
    #[schema(example = 81.4)]
    pub score: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ReportReason {
    pub code: String,
    pub text: String,
    /// Against a perfect 100; negative takes away.
    pub points: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ReportChange {
    pub code: String,
    pub points: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ReportPremium {
    pub policy: Uuid,
    pub external_ref: Option<String>,
    #[schema(example = "2026-05")]
    pub period: String,
    pub product: String,
    #[schema(example = "48.33")]
    pub amount: String,
    pub currency: String,
    /// Grows with each correction.
    pub version: i32,
    pub plan_version: i32,
    pub steps: Vec<ReportStep>,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ReportStep {
    pub step: String,
    pub explanation: String,
    pub value: String,
}

/// A driver or a vehicle, and its part.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ReportMember {
    pub id: Uuid,
    pub external_ref: Option<String>,
    pub trips: i64,
    pub distance_km: f64,
    pub idle_share: Option<f64>,
    /// Harsh braking, acceleration and cornering; null where it is not kept or could not be seen.
    pub harsh_per_100_km: Option<f64>,
    /// Of drivers: the last of the period.
    pub score: Option<f64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ReportOutlier {
    #[schema(example = "driver")]
    pub kind: String,
    pub id: Uuid,
    pub external_ref: Option<String>,
    #[schema(example = "harsh_per_100_km")]
    pub measure: String,
    pub value: f64,
    /// Of all drivers or vehicles compared.
    pub median: f64,
}

/// Where the driver was, thinned out; only with the scope `tracks:read`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ReportMap {
    /// Why there is none, where there is none.
    pub none_because: Option<String>,
    /// The latest first; at most 40.
    pub trips: Vec<ReportTrack>,
    /// Trips that are not drawn.
    pub left_out: usize,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ReportTrack {
    pub trip: Uuid,
    /// Pairs of latitude and longitude, degrees.
    pub points: Vec<[f64; 2]>,
}

/// What the figures are from.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ReportMade {
    pub generated_at: DateTime<Utc>,
    /// Of the software.
    pub version: String,
    pub time_zones: Vec<String>,
    /// Versions of what turned samples into features: the lowest and the highest.
    pub feature_plans: Option<[i16; 2]>,
    /// When the last of the trips was derived.
    pub derived_at: Option<DateTime<Utc>>,
}
