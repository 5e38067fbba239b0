//! A trip and its life. Trips are a function of the raw data; the transitions here are the only ways one changes state.

use serde::{Deserialize, Serialize};

use crate::{
    features::TripFeatures,
    id::{DriverId, TripId, VehicleId},
    outcome::named,
    time::{EventTime, Window},
};

named! {
    TripStart {
        IgnitionOn = "ignition_on",
        Movement = "movement",
    }
}

named! {
    TripEnd {
        IgnitionOff = "ignition_off",
        Rest = "rest",
        Gap = "gap",
        /// The vehicle changed hands on the way: no trip is of two owners.
        Handover = "handover",
        /// No evidence yet: the vehicle fell silent and a timer closed the trip. Later data may carry it on.
        Silence = "silence",
    }
}

/// When a trip started and ended, and by which rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TripBounds {
    pub start: EventTime,
    pub end: EventTime,
    pub started_by: TripStart,
    pub ended_by: TripEnd,
}

impl TripBounds {
    pub fn window(&self) -> Window {
        Window {
            from: self.start,
            to: self.end,
        }
    }

    /// `provisional` or `closed`, as in [`Trip::state`].
    pub fn state(&self) -> &'static str {
        match self.ended_by {
            TripEnd::Silence => "provisional",
            _ => "closed",
        }
    }
}

/// The life of a trip: open while the data shows it going on, provisional when only silence ended it, closed when the
/// data itself shows its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trip {
    Open {
        start: EventTime,
        started_by: TripStart,
        last: EventTime,
    },
    Provisional(TripBounds),
    Closed(TripBounds),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TripTransitionError {
    #[error("a trip that is {0} cannot be {1}")]
    Wrong(&'static str, &'static str),
    #[error("a trip cannot end at {end}, before its start at {start}")]
    EndsBeforeStart { start: EventTime, end: EventTime },
}

impl Trip {
    pub fn state(&self) -> &'static str {
        match self {
            Self::Open { .. } => "open",
            Self::Provisional(_) => "provisional",
            Self::Closed(_) => "closed",
        }
    }

    /// An open trip goes on.
    pub fn extend(self, at: EventTime) -> Result<Self, TripTransitionError> {
        match self {
            Self::Open {
                start,
                started_by,
                last,
            } => Ok(Self::Open {
                start,
                started_by,
                last: last.max(at),
            }),
            other => Err(TripTransitionError::Wrong(other.state(), "extended")),
        }
    }

    /// The data shows the end. [`TripEnd::Silence`] is no evidence: use [`Trip::fall_silent`].
    pub fn close(self, end: EventTime, ended_by: TripEnd) -> Result<Self, TripTransitionError> {
        match self {
            Self::Open { start, .. } if end < start => Err(TripTransitionError::EndsBeforeStart { start, end }),
            Self::Open { start, started_by, .. } if ended_by != TripEnd::Silence => Ok(Self::Closed(TripBounds {
                start,
                end,
                started_by,
                ended_by,
            })),
            other => Err(TripTransitionError::Wrong(other.state(), "closed")),
        }
    }

    /// A timer ends an open trip at its last sample, provisionally.
    pub fn fall_silent(self) -> Result<Self, TripTransitionError> {
        match self {
            Self::Open {
                start,
                started_by,
                last,
            } => Ok(Self::Provisional(TripBounds {
                start,
                end: last,
                started_by,
                ended_by: TripEnd::Silence,
            })),
            other => Err(TripTransitionError::Wrong(other.state(), "ended by silence")),
        }
    }

    /// The bounds of a trip that has ended.
    pub fn bounds(&self) -> Option<TripBounds> {
        match self {
            Self::Open { .. } => None,
            Self::Provisional(bounds) | Self::Closed(bounds) => Some(*bounds),
        }
    }
}

/// A trip that has ended, with what was found out about it.
#[derive(Debug, Clone, PartialEq)]
pub struct TripRecord {
    pub id: TripId,
    pub vehicle: VehicleId,
    pub driver: Option<DriverId>,
    pub bounds: TripBounds,
    /// Time zone of the insured at the start of the trip: night, weekend and days are local to it.
    pub time_zone: chrono_tz::Tz,
    pub features: TripFeatures,
    /// 1 when first derived; grows with every rebuild that changed something.
    pub version: i32,
}

impl TripRecord {
    /// `provisional` or `closed`, as in [`Trip::state`].
    pub fn state(&self) -> &'static str {
        self.bounds.state()
    }

    /// The insured-local day the trip began on: the day it counts for in scores.
    pub fn local_day(&self) -> chrono::NaiveDate {
        self.bounds.start.utc().with_timezone(&self.time_zone).date_naive()
    }
}
