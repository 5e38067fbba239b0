//! What the benchmarks drive: cars in town at 1 Hz, the same for the same seed. Plain and cheap, so that making it costs
//! little beside what is measured; a believable fleet is the simulator's business.

use chrono::TimeDelta;
use odograph_domain::{
    batch::{AccelFrame, Gravity, RawSample},
    sample::Sample,
    time::EventTime,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Metres in a degree of latitude.
const DEGREE_M: f64 = 111_195.0;

/// One second of a drive.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Second {
    pub lat: f64,
    pub lon: f64,
    pub speed_kmh: f64,
    pub heading_deg: f64,
    pub accel_x_ms2: f64,
    pub accel_y_ms2: f64,
    pub accel_z_ms2: f64,
    pub driven_m: f64,
}

/// A car that goes from stop to stop, faster and slower, round corners, now and then harshly.
#[derive(Debug)]
pub struct Car {
    rng: ChaCha8Rng,
    now: Second,
    speed_ms: f64,
    /// What the driver wants, and how hard the pedals are pressed for it, m/s².
    wanted_ms: f64,
    pedal_ms2: f64,
    waits_s: u32,
    /// Degrees still to turn, to the right positive.
    turn_deg: f64,
}

impl Car {
    pub fn new(seed: u64, number: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(number);
        let now = Second {
            lat: 48.0 + rng.random_range(-0.2..0.2),
            lon: 11.0 + rng.random_range(-0.2..0.2),
            speed_kmh: 0.0,
            heading_deg: rng.random_range(0.0..360.0),
            accel_x_ms2: 0.0,
            accel_y_ms2: 0.0,
            accel_z_ms2: 9.81,
            driven_m: 0.0,
        };
        Self {
            rng,
            now,
            speed_ms: 0.0,
            wanted_ms: 12.0,
            pedal_ms2: 1.5,
            waits_s: 5,
            turn_deg: 0.0,
        }
    }

    /// The state of the car, and then a second passes.
    pub fn drive(&mut self) -> Second {
        let seen = self.now;
        let before_ms = self.speed_ms;
        if self.waits_s > 0 {
            self.waits_s -= 1;
        } else {
            self.decide();
        }
        let turned_deg = self.turn_deg.clamp(-12.0, 12.0) * f64::from(u8::from(self.speed_ms > 2.0));
        self.turn_deg -= turned_deg;
        let mean_ms = f64::midpoint(before_ms, self.speed_ms);
        let heading_deg = (self.now.heading_deg + turned_deg).rem_euclid(360.0);
        let (sin, cos) = heading_deg.to_radians().sin_cos();
        let east = DEGREE_M * self.now.lat.to_radians().cos();
        let mut shake = |size: f64| self.rng.random_range(-size..size);
        self.now = Second {
            lat: self.now.lat + mean_ms * cos / DEGREE_M,
            lon: self.now.lon + mean_ms * sin / east,
            speed_kmh: self.speed_ms * 3.6,
            heading_deg,
            accel_x_ms2: self.speed_ms - before_ms + shake(0.2),
            accel_y_ms2: -mean_ms * turned_deg.to_radians() + shake(0.2),
            accel_z_ms2: 9.81 + shake(0.3),
            driven_m: self.now.driven_m + mean_ms,
        };
        seen
    }

    fn decide(&mut self) {
        let difference = self.wanted_ms - self.speed_ms;
        self.speed_ms = (self.speed_ms + difference.clamp(-self.pedal_ms2, self.pedal_ms2)).max(0.0);
        if self.speed_ms == 0.0 {
            self.waits_s = self.rng.random_range(3..30);
            self.wanted_ms = self.rng.random_range(8.0..16.0);
            self.pedal_ms2 = self.rng.random_range(0.8..2.4);
        } else if difference == 0.0 && self.rng.random_bool(0.04) {
            self.wanted_ms = if self.rng.random_bool(0.4) {
                0.0
            } else {
                self.rng.random_range(5.0..28.0)
            };
            let hardest = if self.rng.random_bool(0.05) { 4.2 } else { 2.2 };
            self.pedal_ms2 = self.rng.random_range(0.8..hardest);
        } else if self.turn_deg == 0.0 && self.speed_ms < 14.0 && self.rng.random_bool(0.03) {
            self.turn_deg = if self.rng.random_bool(0.5) { 90.0 } else { -90.0 };
        }
    }

    /// A trip at 1 Hz: ignition on from its first second, and off at its last, when the car stands.
    pub fn trip(&mut self, start: EventTime, seconds: u32) -> Vec<Sample> {
        self.some(start, seconds, 1, true)
    }

    /// So many samples of a drive, so many seconds apart. With `ends`, the car stands at the last, its ignition off.
    pub fn some(&mut self, start: EventTime, samples: u32, every_s: u32, ends: bool) -> Vec<Sample> {
        let sample = |place: u32| {
            let last = ends && place + 1 == samples;
            let seen = if last { self.halt() } else { self.drive() };
            // On to the next sample; who stands at the end stays there.
            let between = if last { 0 } else { every_s.saturating_sub(1) };
            for _ in 0..between {
                self.drive();
            }
            let mut sample = Sample::at(start + TimeDelta::seconds(i64::from(place * every_s)));
            sample.lat = Some(round(seen.lat, 1e7));
            sample.lon = Some(round(seen.lon, 1e7));
            sample.hdop = Some(0.9);
            sample.speed_kmh = Some(round(seen.speed_kmh, 10.0));
            sample.heading_deg = Some(round(seen.heading_deg, 10.0));
            sample.odometer_km = Some(round(20_000.0 + seen.driven_m / 1000.0, 1000.0));
            sample.ignition = Some(!last);
            sample.accel_x_ms2 = Some(round(seen.accel_x_ms2, 100.0));
            sample.accel_y_ms2 = Some(round(seen.accel_y_ms2, 100.0));
            sample.accel_z_ms2 = Some(round(seen.accel_z_ms2, 100.0));
            sample
        };
        (0..samples).map(sample).collect()
    }

    fn halt(&mut self) -> Second {
        self.speed_ms = 0.0;
        self.waits_s = 5;
        self.now.speed_kmh = 0.0;
        self.now
    }
}

/// As a device writes it: to so many parts of one.
fn round(value: f64, parts: f64) -> f64 {
    (value * parts).round() / parts
}

/// As they lie in the journal: of one device, in the car's axes.
pub fn raw(samples: Vec<Sample>) -> Vec<RawSample> {
    let raw = |sample| RawSample {
        sample,
        accel_frame: AccelFrame::Vehicle,
        gravity: Gravity::Included,
        device_rank: 0,
        driver: None,
    };
    samples.into_iter().map(raw).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_drives_the_same_way_and_obeys_physics() {
        let start = EventTime::from_millis(1_767_225_600_000).unwrap();
        let trip = Car::new(3, 7).trip(start, 1200);
        assert_eq!(trip, Car::new(3, 7).trip(start, 1200));
        assert_ne!(trip, Car::new(3, 8).trip(start, 1200));
        let speeds: Vec<f64> = trip.iter().filter_map(|sample| sample.speed_kmh).collect();
        assert_eq!(speeds.len(), 1200);
        assert!(
            speeds
                .windows(2)
                .rev()
                .skip(1)
                .all(|pair| (pair[1] - pair[0]).abs() < 4.3 * 3.6)
        );
        assert!(speeds.iter().any(|speed| *speed > 40.0));
        let driven = trip[1199].odometer_km.unwrap() - trip[0].odometer_km.unwrap();
        let by_speed: f64 = speeds.iter().sum::<f64>() / 3600.0;
        assert!((driven - by_speed).abs() < 0.02 * by_speed, "{driven} {by_speed}");
        assert_eq!(trip.iter().filter(|sample| sample.ignition == Some(false)).count(), 1);
    }
}
