//! A drive along a path, under physics: accelerate, cruise, slow for turns, brake for what lies ahead.

use std::f64::consts::PI;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::{
    driver::Temper,
    path::{Obstacle, Path, approach_ms},
    world::{Point, Sky},
};

/// Steps of the simulation, ms: the finest interval a device can record at.
pub(super) const STEP_MS: u32 = 100;
const STEP_S: f64 = STEP_MS as f64 / 1000.0;
/// As hard as dry asphalt allows, m/s².
const GRIP_MS2: f64 = 8.0;
/// How quickly the pedal goes down, m/s³.
const JERK_MS3: f64 = 4.0;
/// Nothing in this world takes longer; a bound, so that no geometry can make a drive without an end.
const LONGEST_MS: u32 = 3 * 3_600_000;

/// The car at one moment of a drive.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    /// Since the drive began.
    pub(super) at_ms: u32,
    pub(super) point: Point,
    /// Radians, 0 east, counter-clockwise.
    pub(super) heading: f64,
    pub(super) driven_m: f64,
    pub(super) speed_ms: f64,
    /// Mean since the frame before, m/s², forward.
    pub(super) forward_ms2: f64,
    /// Mean since the frame before, m/s², to the left.
    pub(super) left_ms2: f64,
    pub(super) limit_kmh: f64,
    pub(super) sky: Sky,
}

impl Frame {
    /// A car that stands at the middle of the town, before anything happened.
    pub(super) const AT_REST: Self = Self {
        at_ms: 0,
        point: Point { x: 0.0, y: 0.0 },
        heading: 0.0,
        driven_m: 0.0,
        speed_ms: 0.0,
        forward_ms2: 0.0,
        left_ms2: 0.0,
        limit_kmh: 0.0,
        sky: Sky::Open,
    };
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

/// Drives the path from one end to the other: a frame every `frame_ms` (a multiple of [`STEP_MS`]), from switching on to
/// just before switching off.
pub(super) fn drive(path: &Path, temper: &Temper, frame_ms: u32, rng: &mut ChaCha8Rng) -> Vec<Frame> {
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
    let mut frames: Vec<Frame> = Vec::new();
    let mut look = 0;
    let mut at_ms = 0;
    while at_ms < LONGEST_MS && !(car.parked && car.stands_s <= 0.0) {
        if let Some(frame) = car.look(at_ms, frames.last(), &mut look) {
            frames.push(frame);
        }
        for _ in 0..frame_ms / STEP_MS {
            car.step(&parks, temper, rng);
        }
        at_ms += frame_ms;
    }
    frames
}

/// From one direction to another over a time: how fast the car turns, rad/s, left positive.
pub(super) fn turn_rads(from: f64, to: f64, seconds: f64) -> f64 {
    ((to - from + PI).rem_euclid(2.0 * PI) - PI) / seconds
}

impl Car<'_> {
    fn look(&self, at_ms: u32, before: Option<&Frame>, hint: &mut usize) -> Option<Frame> {
        let place = self.path.place(self.at_m, hint)?;
        let (forward_ms2, left_ms2) = before.map_or((0.0, 0.0), |before| {
            let seconds = f64::from(at_ms - before.at_ms) / 1000.0;
            (
                (self.speed_ms - before.speed_ms) / seconds,
                turn_rads(before.heading, place.heading, seconds) * (self.speed_ms + before.speed_ms) / 2.0,
            )
        });
        Some(Frame {
            at_ms,
            point: place.point,
            heading: place.heading,
            driven_m: self.at_m,
            speed_ms: self.speed_ms,
            forward_ms2,
            left_ms2,
            limit_kmh: place.limit_kmh,
            sky: place.sky,
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
        const IN_SIGHT_M: f64 = 600.0;
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
