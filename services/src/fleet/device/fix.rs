//! The receiver: its error changes slowly, as a real one's does, and is larger where the sky is narrow.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::profile::Receiver;
use crate::fleet::{
    math::{chance, noise},
    world::{Point, Sky},
};

#[derive(Debug)]
pub(super) struct Fix {
    receiver: Receiver,
    east_m: f64,
    north_m: f64,
    hdop: f64,
    narrow_s: f64,
    blind_s: f64,
    /// Seconds with a view of the sky since the last tunnel: a receiver needs some to find itself again.
    seen_s: f64,
}

/// A receiver that comes out of a tunnel has its first fix after this long, s.
const REACQUIRED_S: f64 = 2.0;

impl Fix {
    pub(super) fn new(receiver: Receiver, rng: &mut ChaCha8Rng) -> Self {
        let (low, high) = receiver.hdop;
        Self {
            receiver,
            east_m: 2.0 * noise(rng),
            north_m: 2.0 * noise(rng),
            hdop: rng.random_range(low..high),
            narrow_s: 0.0,
            blind_s: 0.0,
            seen_s: REACQUIRED_S,
        }
    }

    /// Lets time pass. Receivers hold a fix that stands still.
    pub(super) fn step(&mut self, seconds: f64, moving: bool, sky: Sky, lost_a_second: f64, rng: &mut ChaCha8Rng) {
        self.narrow_s = (self.narrow_s - seconds).max(0.0);
        self.blind_s = (self.blind_s - seconds).max(0.0);
        self.seen_s = if sky == Sky::None { 0.0 } else { self.seen_s + seconds };
        if !moving {
            return;
        }
        if chance(rng, seconds / 500.0) {
            self.narrow_s = rng.random_range(10.0..40.0);
        }
        if chance(rng, seconds * lost_a_second) {
            self.blind_s = rng.random_range(8.0..25.0);
        }
        if sky == Sky::Narrow {
            self.narrow_s = self.narrow_s.max(2.0 * seconds);
        }
        // Correlated over about a minute, whatever the rate.
        let keep = (1.0 - 0.015 * seconds).max(0.0);
        let step_m = 0.25 * self.receiver.slow * self.hdop_now() * seconds.sqrt();
        self.east_m = keep * self.east_m + step_m * noise(rng);
        self.north_m = keep * self.north_m + step_m * noise(rng);
    }

    pub(super) fn is_there(&self) -> bool {
        self.blind_s <= 0.0 && self.seen_s >= REACQUIRED_S
    }

    /// Where the receiver believes to be.
    pub(super) fn seen(&self, at: Point, moving: bool, rng: &mut ChaCha8Rng) -> Point {
        let white_m = if moving { self.receiver.white_m } else { 0.0 };
        Point {
            x: at.x + self.east_m + white_m * noise(rng),
            y: at.y + self.north_m + white_m * noise(rng),
        }
    }

    pub(super) fn hdop_now(&self) -> f64 {
        if self.narrow_s > 0.0 {
            self.hdop * 2.8
        } else {
            self.hdop
        }
    }
}
