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

named! {
    /// How hard an event was, by its peak: for lists and reports to go by. Scores look at the peak itself.
    Severity {
        Low = "low",
        Medium = "medium",
        High = "high",
    }
}

impl BehaviourKind {
    /// The unit of [`BehaviourEvent::peak`]; phone use has none.
    pub const fn unit(self) -> Option<&'static str> {
        match self {
            Self::HarshBraking | Self::HarshAcceleration | Self::HarshCornering => Some("m/s2"),
            Self::Speeding => Some("km/h"),
            Self::PhoneUse => None,
        }
    }

    /// The least peak that makes an event of this kind so severe; `None` where none does. Medium braking is beyond what is
    /// taken as comfortable and adaptive cruise control may do (about 3.5 m/s²), and high near half of what a dry road
    /// gives. Phone use has one severity.
    pub const fn least_peak(self, severity: Severity) -> Option<f64> {
        let (medium, high) = match self {
            Self::HarshBraking => (3.5, 5.0),
            Self::HarshAcceleration => (3.0, 4.0),
            Self::HarshCornering => (4.0, 5.5),
            Self::Speeding => (15.0, 30.0),
            Self::PhoneUse => match severity {
                Severity::Low | Severity::Medium => return Some(0.0),
                Severity::High => return None,
            },
        };
        Some(match severity {
            Severity::Low => 0.0,
            Severity::Medium => medium,
            Severity::High => high,
        })
    }
}

impl BehaviourEvent {
    pub fn severity(&self) -> Severity {
        [Severity::High, Severity::Medium]
            .into_iter()
            .find(|severity| self.kind.least_peak(*severity).is_some_and(|least| self.peak >= least))
            .unwrap_or(Severity::Low)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn severity_grows_with_the_peak() {
        for &kind in BehaviourKind::ALL {
            let mut last = Severity::Low;
            for peak in 0..100 {
                let event = BehaviourEvent {
                    kind,
                    ts: EventTime::new(chrono::DateTime::UNIX_EPOCH),
                    duration_s: 1.0,
                    peak: f64::from(peak) / 2.0,
                    speed_kmh: None,
                };
                assert!(event.severity() >= last, "{event:?}");
                last = event.severity();
            }
            assert!(last >= Severity::Medium, "{kind}");
        }
    }
}
