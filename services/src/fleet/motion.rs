//! A drive along a path, under physics: accelerate, cruise, slow for turns, brake for what lies ahead.

use std::f64::consts::PI;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::{
    driver::Temper,
    path::{Obstacle, Path, approach_ms},
    town::Point,
};

const STEPS_A_SECOND: u32 = 10;
const STEP_S: f64 = 1.0 / STEPS_A_SECOND as f64;
/// As hard as dry asphalt allows, m/s².
const GRIP_MS2: f64 = 8.0;
/// How quickly the pedal goes down, m/s³.
const JERK_MS3: f64 = 4.0;
/// Nothing in this town takes longer; a bound, so that no geometry can make a drive without an end.
const LONGEST_S: usize = 3 * 3600;

/// The car at a whole second of the drive.
#[derive(Debug, Clone, Copy)]
pub(super) struct Second {
    pub(super) point: Point,
    /// Radians, 0 east, counter-clockwise.
    pub(super) heading: f64,
    pub(super) driven_m: f64,
    pub(super) speed_ms: f64,
    /// Mean over the second before, m/s², forward.
    pub(super) forward_ms2: f64,
    /// Mean over the second before, m/s², to the left.
    pub(super) left_ms2: f64,
    pub(super) limit_kmh: f64,
}

/// The car on its way.
struct Car<'a> {
    path: &'a Path,
    /// What the driver has still to meet.
    obstacles: &'a [Obstacle],
    at_m: f64,
    speed_ms: f64,
    pulling_ms2: f64,
    launch_ms2: f64,
    /// How long it still stands, s.
    stands_s: f64,
    /// Whether it stands at the end of its way.
    parked: bool,
    piece: usize,
}

/// Drives the path from one end to the other: a sample a second, from switching on to just before switching off.
pub(super) fn drive(path: &Path, temper: &Temper, rng: &mut ChaCha8Rng) -> Vec<Second> {
    let mut car = Car {
        path,
        obstacles: &path.obstacles,
        at_m: 0.0,
        speed_ms: 0.0,
        pulling_ms2: 0.0,
        launch_ms2: temper.launch_ms2(rng),
        stands_s: rng.random_range(3.0..12.0),
        parked: false,
        piece: 0,
    };
    let parks = Obstacle {
        at_m: path.length_m,
        speed_ms: 0.0,
        braking_ms2: 1.5,
        dwell_s: rng.random_range(2.0..6.0),
        seen_m: f64::INFINITY,
    };
    let mut seconds: Vec<Second> = Vec::new();
    let mut look = 0;
    while seconds.len() < LONGEST_S && !(car.parked && car.stands_s <= 0.0) {
        if let Some(second) = car.look(seconds.last(), &mut look) {
            seconds.push(second);
        }
        for _ in 0..STEPS_A_SECOND {
            car.step(&parks, temper, rng);
        }
    }
    seconds
}

impl Car<'_> {
    fn look(&self, before: Option<&Second>, hint: &mut usize) -> Option<Second> {
        let place = self.path.place(self.at_m, hint)?;
        let (forward_ms2, left_ms2) = before.map_or((0.0, 0.0), |before| {
            let turned = (place.heading - before.heading + PI).rem_euclid(2.0 * PI) - PI;
            (
                self.speed_ms - before.speed_ms,
                turned * (self.speed_ms + before.speed_ms) / 2.0,
            )
        });
        Some(Second {
            point: place.point,
            heading: place.heading,
            driven_m: self.at_m,
            speed_ms: self.speed_ms,
            forward_ms2,
            left_ms2,
            limit_kmh: place.limit_kmh,
        })
    }

    fn step(&mut self, parks: &Obstacle, temper: &Temper, rng: &mut ChaCha8Rng) {
        if self.parked || self.stands_s > 0.0 {
            self.stands_s -= STEP_S;
            return;
        }
        let cruise_ms = self.path.allowed_ms(self.at_m, &mut self.piece);
        let (allowed_ms, braking_ms2) = self.allowed(cruise_ms, parks);
        self.pedal(allowed_ms, cruise_ms, braking_ms2);
        self.at_m += self.speed_ms * STEP_S;
        self.meet(parks, temper, rng);
    }

    /// The speed that every obstacle in sight allows, and how hard the hardest of them brakes.
    fn allowed(&self, cruise_ms: f64, parks: &Obstacle) -> (f64, f64) {
        const IN_SIGHT_M: f64 = 250.0;
        let near = self
            .obstacles
            .iter()
            .chain([parks])
            .take_while(|obstacle| obstacle.at_m - self.at_m < IN_SIGHT_M);
        near.filter(|obstacle| obstacle.at_m - self.at_m <= obstacle.seen_m)
            .fold((cruise_ms, 0.0), |(allowed, braking), obstacle| {
                let ms = approach_ms(obstacle.speed_ms, obstacle.braking_ms2, obstacle.at_m - self.at_m);
                (
                    allowed.min(ms),
                    f64::max(braking, if ms < self.speed_ms { obstacle.braking_ms2 } else { 0.0 }),
                )
            })
    }

    /// Pulls as a driver does: hard at first, less the nearer the speed he wants. Brakes no harder than what he brakes for.
    fn pedal(&mut self, allowed_ms: f64, cruise_ms: f64, braking_ms2: f64) {
        if self.speed_ms > allowed_ms {
            let hardest = if braking_ms2 > 0.0 {
                braking_ms2 * 1.15
            } else {
                GRIP_MS2 / 2.0
            };
            self.speed_ms = (self.speed_ms - hardest.min(GRIP_MS2) * STEP_S).max(allowed_ms);
            self.pulling_ms2 = 0.0;
        } else {
            let eased = 1.0 - (self.speed_ms / cruise_ms.max(0.1)).min(1.0).powi(4);
            self.pulling_ms2 = (self.launch_ms2 * eased).min(self.pulling_ms2 + JERK_MS3 * STEP_S);
            self.speed_ms = (self.speed_ms + self.pulling_ms2 * STEP_S).min(allowed_ms);
        }
    }

    fn meet(&mut self, parks: &Obstacle, temper: &Temper, rng: &mut ChaCha8Rng) {
        const THERE_M: f64 = 0.05;
        let next = self.obstacles.first().unwrap_or(parks);
        if self.at_m < next.at_m - THERE_M {
            return;
        }
        // Seen too late to stop for, a hazard is passed with screeching tyres.
        const ROLLING_MS: f64 = 1.5;
        if next.dwell_s > 0.0 && self.speed_ms < ROLLING_MS {
            self.speed_ms = 0.0;
            self.pulling_ms2 = 0.0;
            self.stands_s = next.dwell_s;
            self.launch_ms2 = temper.launch_ms2(rng);
        }
        match self.obstacles.split_first() {
            Some((_, rest)) => self.obstacles = rest,
            None => self.parked = true,
        }
    }
}
