//! Behaviour events. Thresholds are data: an event keeps its peak, duration and speed, so that history can be re-scored.

use serde::{Deserialize, Serialize};

use crate::{outcome::named, time::EventTime};

named! {
    BehaviourKind {
        HarshBraking = "harsh_braking",
        HarshAcceleration = "harsh_acceleration",
        HarshCornering = "harsh_cornering",
        Speeding = "speeding",
        PhoneUse = "phone_use",
    }
}

/// One event of a trip. Where it happened is not in it: the track is a class of its own, and `ts` finds it there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BehaviourEvent {
    pub kind: BehaviourKind,
    /// Start of the event.
    pub ts: EventTime,
    pub duration_s: f64,
    /// Largest magnitude during the event: m/s² for braking, acceleration and cornering; km/h above the limit for
    /// speeding; 1 for phone use.
    pub peak: f64,
    /// Speed at the start, km/h, where known.
    pub speed_kmh: Option<f64>,
}
