//! The clock port. Only the composition root reads the wall clock; everything else is told the time.

use std::sync::Mutex;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use crate::id::IdSource;

pub trait Clock: Send + Sync {
    fn now(&self) -> DateTime<Utc>;
}

/// A clock that stands where it was set, and ids that count up: for tests and for generated fleets, where the same
/// seed must give the same bytes.
#[derive(Debug)]
pub struct ManualClock {
    now: Mutex<DateTime<Utc>>,
    next_id: Mutex<u128>,
}

impl ManualClock {
    pub fn at(now: DateTime<Utc>) -> Self {
        Self {
            now: Mutex::new(now),
            next_id: Mutex::new(1),
        }
    }

    pub fn advance(&self, by: TimeDelta) {
        let mut now = self.now.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *now += by;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> DateTime<Utc> {
        *self.now.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl IdSource for ManualClock {
    fn uuid(&self) -> Uuid {
        let mut next = self.next_id.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *next += 1;
        // Version 7 and the RFC 4122 variant, so that what checks ids accepts them.
        Uuid::from_u128((*next & 0xffff_ffff_ffff) | (0x7 << 76) | (0x8 << 60))
    }
}
