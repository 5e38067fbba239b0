//! How full a queue's lanes are, looked at now and then, and whether more may be put in.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{envelope::Lane, queue::QueueError};

/// Between two looks.
const EVERY: Duration = Duration::from_secs(1);

/// The bound on messages that wait, a lane. What was put in since the last look counts as waiting.
#[derive(Debug)]
pub struct Pressure {
    /// 0: no bound.
    most: u64,
    looked: Mutex<Option<Instant>>,
    waiting: [AtomicU64; Lane::ALL.len()],
}

impl Pressure {
    pub fn new(most: u64) -> Self {
        Self {
            most,
            looked: Mutex::default(),
            waiting: Default::default(),
        }
    }

    /// Refuses what would go beyond the bound.
    pub fn admit(&self, lanes: impl IntoIterator<Item = Lane>) -> Result<(), QueueError> {
        if self.most == 0 {
            return Ok(());
        }
        let mut more = [0; Lane::ALL.len()];
        for lane in lanes {
            more[place(lane)] += 1;
        }
        for lane in Lane::ALL {
            let waiting = self.waiting[place(lane)].load(Ordering::Relaxed);
            if more[place(lane)] > 0 && waiting >= self.most {
                let why = format!(
                    "{waiting} messages wait in the {} lane, {} may",
                    lane.as_str(),
                    self.most
                );
                return Err(QueueError::Saturated(why));
            }
        }
        for lane in Lane::ALL {
            self.waiting[place(lane)].fetch_add(more[place(lane)], Ordering::Relaxed);
        }
        Ok(())
    }

    /// Whether it is time to look again; of several that ask at once one is told so.
    pub fn is_due(&self, now: Instant) -> bool {
        if self.most == 0 {
            return false;
        }
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        let due = looked.is_none_or(|at| now.saturating_duration_since(at) >= EVERY);
        if due {
            *looked = Some(now);
        }
        due
    }

    /// How many wait in a lane.
    pub fn seen(&self, lane: Lane, messages: u64) {
        self.waiting[place(lane)].store(messages, Ordering::Relaxed);
    }
}

fn place(lane: Lane) -> usize {
    match lane {
        Lane::Urgent => 0,
        Lane::Live => 1,
        Lane::Bulk => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_lane_refuses_and_the_others_go_on() {
        let pressure = Pressure::new(3);
        assert!(
            pressure.admit([Lane::Bulk; 4]).is_ok(),
            "what was not there before goes in whole"
        );
        assert!(matches!(pressure.admit([Lane::Bulk]), Err(QueueError::Saturated(_))));
        assert!(pressure.admit([Lane::Live, Lane::Urgent]).is_ok());
        pressure.seen(Lane::Bulk, 2);
        assert!(pressure.admit([Lane::Bulk]).is_ok());
        assert!(Pressure::new(0).admit([Lane::Bulk; 1000]).is_ok());
    }

    #[test]
    fn one_look_a_second() {
        let pressure = Pressure::new(1);
        let now = Instant::now();
        assert!(pressure.is_due(now));
        assert!(!pressure.is_due(now + EVERY / 2));
        assert!(pressure.is_due(now + EVERY));
        assert!(!Pressure::new(0).is_due(now));
    }
}
