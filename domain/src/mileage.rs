//! Mileage with its evidence: one billable figure, graded, with the reasons for the grade.

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use crate::outcome::named;

named! {
    DistanceSource {
        Odometer = "odometer",
        Speed = "speed",
        Gps = "gps",
    }
}

named! {
    /// How well the billable figure is supported.
    MileageGrade {
        /// Two or more sources agree.
        A = "A",
        /// One sound source, nothing to compare it with.
        B = "B",
        /// Sources disagree or parts were left out; the figure is the best supported one.
        C = "C",
        /// Too little evidence: nothing is billed beyond what is proved.
        D = "D",
    }
}

named! {
    /// Why a figure has its grade. Each names something found in the data.
    MileageReason {
        SourcesAgree = "sources_agree",
        SingleSource = "single_source",
        SourcesDisagree = "sources_disagree",
        OdometerStuck = "odometer_stuck",
        OdometerJump = "odometer_jump",
        OdometerBackwards = "odometer_backwards",
        OdometerCoarse = "odometer_coarse",
        SpeedStuck = "speed_stuck",
        SpeedGap = "speed_gap",
        GpsGap = "gps_gap",
        GpsDrift = "gps_drift",
        GpsTeleport = "gps_teleport",
        PoorFix = "poor_fix",
        NoEvidence = "no_evidence",
    }
}

/// The car's odometer was replaced, or set: what it showed before says nothing about what it shows after.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OdometerChange {
    pub at: DateTime<Utc>,
    /// What the old one showed last and the new one first, km, where both are known.
    pub readings_km: Option<(f64, f64)>,
}

/// Metres of one insured-local day. Sums to the trip's billable metres.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct DayShare {
    pub day: NaiveDate,
    pub metres: f64,
}

/// One trip's distance by each source, and the one that is billed. All distances in metres; `None` where the source
/// is absent or unusable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mileage {
    pub odometer_m: Option<f64>,
    pub speed_m: Option<f64>,
    pub gps_m: Option<f64>,
    pub billable_m: f64,
    /// Where the billable figure comes from; `None` with grade D.
    pub source: Option<DistanceSource>,
    pub grade: MileageGrade,
    pub reasons: Vec<MileageReason>,
    /// Unrounded: usage is quantised once, over the whole day.
    pub by_day: Vec<DayShare>,
}
