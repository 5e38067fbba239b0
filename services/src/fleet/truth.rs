//! What really happened, beside what the devices say.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use super::motion::Frame;

/// A trip as it was driven: from the first sample with the ignition on to the one that says it is off.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrueTrip {
    pub start: DateTime<Utc>,
    pub end: DateTime<Utc>,
    pub distance_km: f64,
    /// Departed between 22:00 and 05:00 local.
    pub at_night: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    HarshBraking,
    HarshAcceleration,
    HarshCornering,
    /// More than a tenth above the limit for ten seconds or more.
    Speeding,
    PhoneUse,
    /// A fault of the device: the fix of a parked car wandered.
    ParkedDrift,
    FrozenClock,
    JumpingClock,
}

impl EventKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HarshBraking => "harsh_braking",
            Self::HarshAcceleration => "harsh_acceleration",
            Self::HarshCornering => "harsh_cornering",
            Self::Speeding => "speeding",
            Self::PhoneUse => "phone_use",
            Self::ParkedDrift => "parked_drift",
            Self::FrozenClock => "frozen_clock",
            Self::JumpingClock => "jumping_clock",
        }
    }
}

/// Something the driver did, or the device.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrueEvent {
    pub kind: EventKind,
    pub start: DateTime<Utc>,
    pub end: DateTime<Utc>,
    /// Harsh: largest acceleration, m/s². Speeding: largest excess, km/h. A clock that jumps: by how much, s.
    pub peak: f64,
    pub speed_kmh: f64,
}

impl TrueEvent {
    pub(super) fn plain(kind: EventKind, start: DateTime<Utc>, end: DateTime<Utc>) -> Self {
        Self {
            kind,
            start,
            end,
            peak: 0.0,
            speed_kmh: 0.0,
        }
    }
}

/// Harsh from here on, m/s²: braking, accelerating, cornering, as means over a second.
const BRAKING_MS2: f64 = 3.0;
const ACCELERATION_MS2: f64 = 3.0;
const CORNERING_MS2: f64 = 3.5;
const SPEEDING: f64 = 1.1;
const SPEEDING_MS: u32 = 10_000;

/// What the driver did on a drive, in order of time.
pub(super) fn driven(depart: DateTime<Utc>, frames: &[Frame]) -> Vec<TrueEvent> {
    type Measure = fn(&Frame) -> f64;
    let harsh: [(EventKind, f64, Measure); 3] = [
        (EventKind::HarshBraking, BRAKING_MS2, |frame| -frame.forward_ms2),
        (EventKind::HarshAcceleration, ACCELERATION_MS2, |frame| {
            frame.forward_ms2
        }),
        (EventKind::HarshCornering, CORNERING_MS2, |frame| frame.left_ms2.abs()),
    ];
    let mut events = Vec::new();
    for (kind, least, measure) in harsh {
        runs(
            depart,
            frames,
            kind,
            0,
            |frame| Some(measure(frame)).filter(|ms2| *ms2 >= least),
            &mut events,
        );
    }
    let over = |frame: &Frame| {
        let kmh = frame.speed_ms * 3.6;
        (kmh > SPEEDING * frame.limit_kmh).then_some(kmh - frame.limit_kmh)
    };
    runs(depart, frames, EventKind::Speeding, SPEEDING_MS, over, &mut events);
    events.sort_by_key(|event| (event.start, event.kind));
    events
}

/// Runs of frames for which there is a measure, at least so long.
fn runs(
    depart: DateTime<Utc>,
    frames: &[Frame],
    kind: EventKind,
    least_ms: u32,
    measure: impl Fn(&Frame) -> Option<f64>,
    events: &mut Vec<TrueEvent>,
) {
    let at = |ms: u32| depart + TimeDelta::milliseconds(i64::from(ms));
    let mut first = 0;
    while first < frames.len() {
        let run = frames[first..]
            .iter()
            .take_while(|frame| measure(frame).is_some())
            .count();
        if let Some(last) = frames[first..first + run].last()
            && last.at_ms - frames[first].at_ms >= least_ms
        {
            let peak = frames[first..first + run]
                .iter()
                .filter_map(&measure)
                .fold(0.0, f64::max);
            events.push(TrueEvent {
                peak,
                speed_kmh: frames[first].speed_ms * 3.6,
                ..TrueEvent::plain(kind, at(frames[first].at_ms), at(last.at_ms))
            });
        }
        first += run.max(1);
    }
}
