//! A trip's metres by insured-local day.

use chrono::TimeDelta;
use chrono_tz::Tz;
use odograph_domain::{mileage::DayShare, policy::start_of_day, time::EventTime};

/// Adds metres to days. An interval over midnight is split there in proportion to time, on a day of 23 or 25 hours too.
#[derive(Debug)]
pub(crate) struct Days {
    zone: Tz,
    /// The day the last interval ended in: its end as UTC ms, and its place in `shares`.
    until_ms: i64,
    shares: Vec<DayShare>,
}

impl Days {
    pub(crate) fn new(zone: Tz) -> Self {
        Self {
            zone,
            until_ms: i64::MIN,
            shares: Vec::new(),
        }
    }

    /// Intervals come in order of time.
    pub(crate) fn add(&mut self, from_ms: i64, to_ms: i64, metres: f64) {
        if metres <= 0.0 {
            return;
        }
        let mut at_ms = from_ms;
        loop {
            if at_ms >= self.until_ms && !self.open_day(at_ms) {
                return;
            }
            let end_ms = to_ms.min(self.until_ms);
            let whole = at_ms == from_ms && end_ms == to_ms;
            let share = if to_ms > from_ms && !whole {
                (end_ms - at_ms) as f64 / (to_ms - from_ms) as f64
            } else {
                1.0
            };
            if let Some(day) = self.shares.last_mut() {
                day.metres += metres * share;
            }
            if end_ms >= to_ms {
                return;
            }
            at_ms = end_ms;
        }
    }

    fn open_day(&mut self, at_ms: i64) -> bool {
        let Some(at) = EventTime::from_millis(at_ms) else {
            return false;
        };
        let mut day = at.utc().with_timezone(&self.zone).date_naive();
        // Where a zone left out a whole day, the next one begins at the same instant: step over it.
        for _ in 0..3 {
            let Some(next) = day.succ_opt() else { return false };
            let until_ms = start_of_day(next, self.zone).timestamp_millis();
            if until_ms > at_ms {
                self.until_ms = until_ms;
                self.shares.push(DayShare { day, metres: 0.0 });
                return true;
            }
            day = next;
        }
        // A clock put back over midnight: local days are not in order there; give it a day of its own length.
        self.until_ms = at_ms + TimeDelta::hours(1).num_milliseconds();
        self.shares.push(DayShare { day, metres: 0.0 });
        true
    }

    /// The days, one entry each, in order.
    pub(crate) fn finish(mut self) -> Vec<DayShare> {
        self.shares.sort_by_key(|share| share.day);
        let mut days: Vec<DayShare> = Vec::with_capacity(self.shares.len());
        for share in self.shares.into_iter().filter(|share| share.metres > 0.0) {
            match days.last_mut() {
                Some(last) if last.day == share.day => last.metres += share.metres,
                _ => days.push(share),
            }
        }
        days
    }
}
