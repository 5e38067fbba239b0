//! Event time and received time are different things and different types.

use std::fmt;

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// When the device says it happened: the fix time, UTC, whole milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "DateTime<Utc>", into = "DateTime<Utc>")]
pub struct EventTime(DateTime<Utc>);

/// When the platform took the message in: UTC, whole milliseconds. Stored with the message, so that judging a message
/// again gives the same answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "DateTime<Utc>", into = "DateTime<Utc>")]
pub struct ReceivedAt(DateTime<Utc>);

macro_rules! instant {
    ($name:ident) => {
        impl $name {
            /// Truncates to whole milliseconds.
            pub fn new(at: DateTime<Utc>) -> Self {
                Self(at.trunc_subsecs(3))
            }

            pub fn utc(self) -> DateTime<Utc> {
                self.0
            }

            /// Milliseconds since 1970-01-01T00:00:00Z.
            pub fn millis(self) -> i64 {
                self.0.timestamp_millis()
            }

            /// `None` outside the years chrono can hold (about ±262,000).
            pub fn from_millis(ms: i64) -> Option<Self> {
                DateTime::from_timestamp_millis(ms).map(Self)
            }
        }

        impl From<DateTime<Utc>> for $name {
            fn from(at: DateTime<Utc>) -> Self {
                Self::new(at)
            }
        }

        impl From<$name> for DateTime<Utc> {
            fn from(at: $name) -> Self {
                at.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0.to_rfc3339_opts(chrono::SecondsFormat::Millis, true))
            }
        }
    };
}

instant!(EventTime);
instant!(ReceivedAt);

impl std::ops::Sub for EventTime {
    type Output = TimeDelta;

    fn sub(self, earlier: Self) -> TimeDelta {
        self.0 - earlier.0
    }
}

impl std::ops::Add<TimeDelta> for EventTime {
    type Output = Self;

    fn add(self, delta: TimeDelta) -> Self {
        Self(self.0 + delta)
    }
}

impl std::ops::Sub<TimeDelta> for EventTime {
    type Output = Self;

    fn sub(self, delta: TimeDelta) -> Self {
        Self(self.0 - delta)
    }
}

/// A closed interval of event time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Window {
    pub from: EventTime,
    pub to: EventTime,
}

impl Window {
    /// The smallest window that holds both.
    pub fn union(self, other: Self) -> Self {
        Self {
            from: self.from.min(other.from),
            to: self.to.max(other.to),
        }
    }

    pub fn contains(self, at: EventTime) -> bool {
        self.from <= at && at <= self.to
    }

    pub fn overlaps(self, other: Self) -> bool {
        self.from <= other.to && other.from <= self.to
    }
}
