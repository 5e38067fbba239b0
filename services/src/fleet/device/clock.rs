//! The device's clock, which is right but for its faults.

use chrono::{DateTime, TimeDelta, Utc};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::fleet::{
    math::chance,
    spec::Rates,
    truth::{EventKind, TrueEvent},
};

/// What the clock does on one drive.
#[derive(Debug)]
pub(super) struct Clock {
    frozen: Option<(DateTime<Utc>, DateTime<Utc>)>,
    jumped: Option<(DateTime<Utc>, DateTime<Utc>, TimeDelta)>,
}

impl Clock {
    pub(super) fn of_drive(
        from: DateTime<Utc>,
        lasts_s: i64,
        rates: &Rates,
        strays: f64,
        rng: &mut ChaCha8Rng,
    ) -> Self {
        let within = |lengths: std::ops::Range<i64>, rng: &mut ChaCha8Rng| {
            let begins = from + TimeDelta::seconds(rng.random_range(0..lasts_s.max(1)));
            (begins, begins + TimeDelta::seconds(rng.random_range(lengths)))
        };
        let frozen = chance(rng, rates.frozen_clock * strays).then(|| within(5..40, rng));
        let jumped = chance(rng, rates.jumping_clock * strays).then(|| {
            let (begins, ends) = within(30..300, rng);
            let seconds = rng.random_range(20..7200) * if rng.random_bool(0.5) { 1 } else { -1 };
            (begins, ends, TimeDelta::seconds(seconds))
        });
        Self { frozen, jumped }
    }

    /// What the device takes for the time.
    pub(super) fn shown(&self, at: DateTime<Utc>) -> DateTime<Utc> {
        if let Some((begins, _)) = self.frozen.filter(|(begins, ends)| (*begins..*ends).contains(&at)) {
            return begins;
        }
        match self.jumped {
            Some((begins, ends, shift)) if (begins..ends).contains(&at) => at + shift,
            _ => at,
        }
    }

    pub(super) fn events(&self) -> impl Iterator<Item = TrueEvent> {
        let frozen = self
            .frozen
            .map(|(start, end)| TrueEvent::plain(EventKind::FrozenClock, start, end));
        let jumped = self.jumped.map(|(start, end, shift)| TrueEvent {
            peak: shift.num_seconds() as f64,
            ..TrueEvent::plain(EventKind::JumpingClock, start, end)
        });
        [frozen, jumped].into_iter().flatten()
    }
}
