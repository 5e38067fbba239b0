//! What a tenant can set about how its telemetry is read.

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

/// When a trip starts and ends. See `docs/science/trips.md` for why these defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TripSettings {
    /// A trip ends when the vehicle has been at rest this long; `None` switches the rule off (gaps and ignition only).
    pub rest_s: Option<u32>,
    /// A trip ends where no sample came for this long.
    pub gap_s: u32,
    /// At or above this a vehicle without an ignition signal is moving, km/h.
    pub moving_kmh: f64,
    /// Movement must last this long to start a trip; shorter is parked drift or a sensor's twitch, s.
    pub sustained_s: u32,
}

impl Default for TripSettings {
    fn default() -> Self {
        Self {
            rest_s: Some(300),
            gap_s: 300,
            moving_kmh: 5.0,
            sustained_s: 10,
        }
    }
}

impl TripSettings {
    /// The longest silence or rest that leaves a trip open: beyond it the trip function has forgotten what was before.
    pub fn memory(&self) -> TimeDelta {
        TimeDelta::seconds(i64::from(self.gap_s.max(self.rest_s.unwrap_or(0))))
    }
}

/// What is accepted, judged by the sample and its time of arrival alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AcceptSettings {
    /// How far a device's clock may run ahead of ours, s.
    pub clock_skew_s: u32,
    /// How old data may be when it arrives, days. The dedup ledger is kept at least as long.
    pub lateness_days: u32,
}

impl Default for AcceptSettings {
    fn default() -> Self {
        Self {
            clock_skew_s: 300,
            lateness_days: 400,
        }
    }
}

/// A tenant's settings. Every field has a default; unknown fields are errors.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TenantSettings {
    pub trip: TripSettings,
    pub accept: AcceptSettings,
}
