//! The device in the car: what it makes of a drive, and of standing parked.

use chrono::{DateTime, TimeDelta, Utc};
use odograph_domain::{sample::Sample, time::EventTime};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::{TrueTrip, driver::Temper, motion::Second, noise, town::Point};

const GRAVITY_MS2: f64 = 9.80665;
/// A parked car reports this often.
const HEARTBEAT: TimeDelta = TimeDelta::minutes(30);
/// Between two drives at least: the shorter stop is part of one trip by any reading.
const SHORTEST_STAY: TimeDelta = TimeDelta::minutes(10);

pub(super) struct Device {
    /// Time of the last row.
    clock: DateTime<Utc>,
    at: Point,
    heading: f64,
    odometer_km: f64,
    /// What the car's odometer reads for a true kilometre.
    odometer_gain: f64,
    odometer_step_km: f64,
    fix: Fix,
}

/// The receiver's error: slow to change, as a real one's is, and larger where the sky is narrow.
struct Fix {
    east_m: f64,
    north_m: f64,
    hdop: f64,
    narrow_s: u32,
    blind_s: u32,
}

impl Device {
    pub(super) fn new(at: Point, start: DateTime<Utc>, rng: &mut ChaCha8Rng) -> Self {
        Self {
            clock: start,
            at,
            heading: 0.0,
            odometer_km: rng.random_range(5_000.0..120_000.0),
            odometer_gain: 1.0 + 0.003 * noise(rng),
            odometer_step_km: if rng.random_bool(0.5) { 0.01 } else { 0.1 },
            fix: Fix {
                east_m: 2.0 * noise(rng),
                north_m: 2.0 * noise(rng),
                hdop: rng.random_range(0.7..1.1),
                narrow_s: 0,
                blind_s: 0,
            },
        }
    }

    /// When a drive planned for `planned` can begin.
    pub(super) fn ready_from(&self, planned: DateTime<Utc>) -> DateTime<Utc> {
        planned.max(self.clock + SHORTEST_STAY)
    }

    /// A sample a second from `depart`, and one that says the ignition is off.
    pub(super) fn record(
        &mut self,
        depart: DateTime<Utc>,
        drive: &[Second],
        temper: &Temper,
        rng: &mut ChaCha8Rng,
    ) -> (Vec<Sample>, TrueTrip) {
        let mut samples = Vec::with_capacity(drive.len() + 1);
        let from_km = self.odometer_km;
        let mut phone_s = 0_u32;
        self.clock = depart;
        for (second, state) in (0..).zip(drive) {
            self.clock = depart + TimeDelta::seconds(second);
            self.at = state.point;
            self.odometer_km = from_km + state.driven_m / 1000.0 * self.odometer_gain;
            if state.speed_ms > 1.0 {
                self.heading = state.heading;
            }
            let takes_phone = state.speed_ms > 1.0 && rng.random_bool((temper.phone_an_hour / 3600.0).clamp(0.0, 1.0));
            phone_s = if takes_phone {
                rng.random_range(8..50)
            } else {
                phone_s.saturating_sub(1)
            };
            let mut sample = self.row(state.speed_ms, rng);
            sample.ignition = Some(true);
            self.measure(&mut sample, state, rng);
            sample.phone_in_use = Some(phone_s > 0);
            samples.push(sample);
        }
        self.clock += TimeDelta::seconds(1);
        let mut off = self.row(0.0, rng);
        off.ignition = Some(false);
        samples.push(off);
        let distance_km = drive.last().map_or(0.0, |last| last.driven_m / 1000.0);
        (
            samples,
            TrueTrip {
                start: depart,
                end: self.clock,
                distance_km,
            },
        )
    }

    /// What every row has: position, speed, odometer.
    fn row(&mut self, speed_ms: f64, rng: &mut ChaCha8Rng) -> Sample {
        let mut sample = Sample::at(EventTime::new(self.clock));
        self.fix.step(speed_ms > 0.1, rng);
        if self.fix.blind_s == 0 {
            let seen = Point {
                x: self.at.x + self.fix.east_m,
                y: self.at.y + self.fix.north_m,
            };
            let (lat, lon) = seen.degrees();
            sample.lat = Some(rounded(lat, 1e6));
            sample.lon = Some(rounded(lon, 1e6));
            sample.hdop = Some(rounded(self.fix.hdop_now(), 10.0));
        }
        let wheel_kmh = if speed_ms > 0.1 {
            (speed_ms * 3.6 + 0.15 * noise(rng)).max(0.0)
        } else {
            0.0
        };
        sample.speed_kmh = Some(rounded(wheel_kmh, 10.0));
        let steps = (self.odometer_km / self.odometer_step_km).floor();
        sample.odometer_km = Some(rounded(steps * self.odometer_step_km, 100.0));
        sample
    }

    /// What a driving car adds: heading, accelerations with gravity in them, the limit.
    fn measure(&self, sample: &mut Sample, state: &Second, rng: &mut ChaCha8Rng) {
        let shaking = if state.speed_ms > 0.1 { 1.0 } else { 0.1 };
        let mut felt = |ms2: f64, noise_ms2: f64| Some(rounded(ms2 + shaking * noise_ms2 * noise(rng), 100.0));
        sample.accel_x_ms2 = felt(state.forward_ms2, 0.10);
        sample.accel_y_ms2 = felt(state.left_ms2, 0.10);
        sample.accel_z_ms2 = felt(GRAVITY_MS2, 0.20);
        sample.heading_deg = Some(rounded((90.0 - self.heading.to_degrees()).rem_euclid(360.0), 10.0) % 360.0);
        sample.speed_limit_kmh = Some(state.limit_kmh);
    }

    /// Heartbeats of a parked car until `until`; now and then its fix wanders as if it were moving.
    pub(super) fn park_until(&mut self, until: DateTime<Utc>, rng: &mut ChaCha8Rng) -> Vec<Sample> {
        let mut samples = Vec::new();
        // The car wakes up for the drive; nothing comes in the last minutes before.
        let last = until - SHORTEST_STAY;
        while self.clock + HEARTBEAT < last {
            self.clock += HEARTBEAT;
            let rows = if rng.random_bool(0.02) {
                rng.random_range(6..24)
            } else {
                0
            };
            let mut sample = self.row(0.0, rng);
            sample.ignition = Some(false);
            samples.push(sample);
            self.wander(rows, &mut samples, rng);
        }
        samples
    }

    /// Drift: rows ten seconds apart, metres away from one another, with a speed that the receiver believes.
    fn wander(&mut self, rows: u32, samples: &mut Vec<Sample>, rng: &mut ChaCha8Rng) {
        let (mut east_m, mut north_m) = (0.0, 0.0);
        for _ in 0..rows {
            self.clock += TimeDelta::seconds(10);
            east_m += 9.0 * noise(rng);
            north_m += 9.0 * noise(rng);
            let mut sample = self.row(0.0, rng);
            let (lat, lon) = Point {
                x: self.at.x + east_m,
                y: self.at.y + north_m,
            }
            .degrees();
            sample.lat = Some(rounded(lat, 1e6));
            sample.lon = Some(rounded(lon, 1e6));
            sample.hdop = Some(rounded(rng.random_range(3.0..9.0), 10.0));
            sample.speed_kmh = Some(rounded(rng.random_range(0.0..4.5), 10.0));
            sample.ignition = Some(false);
            samples.push(sample);
        }
    }
}

impl Fix {
    fn step(&mut self, moving: bool, rng: &mut ChaCha8Rng) {
        self.narrow_s = self.narrow_s.saturating_sub(1);
        self.blind_s = self.blind_s.saturating_sub(1);
        if !moving {
            // Receivers hold a fix that stands still.
            return;
        }
        if rng.random_bool(1.0 / 500.0) {
            self.narrow_s = rng.random_range(10..40);
        }
        if rng.random_bool(1.0 / 4000.0) {
            self.blind_s = rng.random_range(8..25);
        }
        let step_m = 0.25 * self.hdop_now();
        self.east_m = 0.985 * self.east_m + step_m * noise(rng);
        self.north_m = 0.985 * self.north_m + step_m * noise(rng);
    }

    fn hdop_now(&self) -> f64 {
        if self.narrow_s > 0 { self.hdop * 2.8 } else { self.hdop }
    }
}

/// To a fraction: `rounded(x, 100.0)` has two decimals, and no more digits than that in JSON.
fn rounded(value: f64, parts: f64) -> f64 {
    // Without a negative zero, which would print as one.
    (value * parts).round() / parts + 0.0
}
