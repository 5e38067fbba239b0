//! What a trip's samples amount to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{event::BehaviourEvent, mileage::Mileage, outcome::named};

named! {
    /// Something about the data that needs its neighbours to see. Counted in samples; never a reason to reject one.
    QualityMark {
        /// Faster between two fixes than a car can be.
        Teleport = "teleport",
        /// Speed changes faster than a car's can.
        ImpossibleAcceleration = "impossible_acceleration",
        /// Position wanders while speed and odometer say rest.
        Drift = "drift",
        /// The same value again and again while others move.
        FrozenPosition = "frozen_position",
        FrozenSpeed = "frozen_speed",
        /// The odometer stands, jumps or runs backwards.
        OdometerFault = "odometer_fault",
        /// A hole in the recording inside the trip.
        Hole = "hole",
        PoorFix = "poor_fix",
        /// Two or more samples had the same time and were merged.
        Merged = "merged",
    }
}

/// Features of one trip. Times in seconds, distances in metres, speeds in km/h, shares from 0 to 1 of moving time
/// unless said otherwise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TripFeatures {
    /// Version of the feature plan that made them.
    pub plan_version: u16,
    pub samples: u32,
    pub duration_s: f64,
    pub moving_s: f64,
    pub idle_s: f64,
    /// Share of samples with a usable fix; `None` where the device sends no position.
    pub fix_share: Option<f64>,
    /// Median horizontal dilution of precision, where sent.
    pub hdop_median: Option<f64>,
    pub marks: BTreeMap<QualityMark, u32>,
    pub mileage: Mileage,
    /// Absent where the product or the consent does not allow behaviour to be kept.
    pub behaviour: Option<BehaviourFeatures>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BehaviourFeatures {
    pub mean_speed_kmh: f64,
    pub top_speed_kmh: f64,
    /// Share of moving time between 22:00 and 05:00 insured-local.
    pub night_share: f64,
    /// Share of moving time on Saturday and Sunday, insured-local.
    pub weekend_share: f64,
    /// Share of the moving time with a known limit that was above it by more than the tolerance; `None` where no limit
    /// was known.
    pub speeding_share: Option<f64>,
    /// Moving seconds with a known speed limit.
    pub limit_known_s: f64,
    /// Share of the moving time with a phone signal during which the phone was in use; `None` without a signal.
    pub phone_share: Option<f64>,
    pub phone_known_s: f64,
    /// Whether longitudinal and lateral acceleration could be seen at all (measured, or derived from speed and heading).
    pub braking_seen: bool,
    pub cornering_seen: bool,
    /// Everything above the *recording* threshold, below the scoring one too.
    pub events: Vec<BehaviourEvent>,
}
