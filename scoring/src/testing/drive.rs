//! A made drive whose truth is known, and devices that report it.

use odograph_domain::{batch::RawSample, sample::Sample};

use super::sample;

/// The car at one second of the drive.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Instant {
    pub(crate) s: f64,
    pub(crate) east_m: f64,
    pub(crate) north_m: f64,
    pub(crate) speed_ms: f64,
    pub(crate) heading_deg: f64,
    pub(crate) driven_m: f64,
}

/// A drive in town: 14 m/s between turns and lights, a stop of 20 s every 700 m, a turn of 90° every 500 m.
pub(crate) fn town(seconds: usize) -> Vec<Instant> {
    let mut car = Instant {
        s: 0.0,
        east_m: 0.0,
        north_m: 0.0,
        speed_ms: 0.0,
        heading_deg: 0.0,
        driven_m: 0.0,
    };
    let (mut since_stop, mut waits, mut since_turn, mut turning) = (0.0, 10.0, 0.0, 0.0);
    let mut drive = vec![car];
    // Ten steps a second, one kept.
    for step in 1..=seconds * 10 {
        let dt = 0.1;
        if waits > 0.0 {
            waits -= dt;
        } else if since_stop > 700.0 {
            car.speed_ms = f64::max(0.0, car.speed_ms - 1.5 * dt);
            if car.speed_ms == 0.0 {
                (since_stop, waits) = (0.0, 20.0);
            }
        } else {
            car.speed_ms = f64::min(14.0, car.speed_ms + 1.5 * dt);
        }
        if since_turn > 500.0 {
            turning = 90.0;
            since_turn = 0.0;
        }
        if turning > 0.0 && car.speed_ms > 1.0 {
            let rate = 8.0 * dt;
            car.heading_deg = (car.heading_deg + rate) % 360.0;
            turning -= rate;
        }
        let metres = car.speed_ms * dt;
        let (sin, cos) = car.heading_deg.to_radians().sin_cos();
        car.east_m += metres * sin;
        car.north_m += metres * cos;
        car.driven_m += metres;
        since_stop += metres;
        since_turn += metres;
        car.s = step as f64 / 10.0;
        if step % 10 == 0 {
            drive.push(car);
        }
    }
    drive
}

/// A car that stands.
pub(crate) fn parked(seconds: usize) -> Vec<Instant> {
    let at = |s| Instant {
        s: s as f64,
        east_m: 0.0,
        north_m: 0.0,
        speed_ms: 0.0,
        heading_deg: 0.0,
        driven_m: 0.0,
    };
    (0..=seconds).map(at).collect()
}

/// Numbers that look random and are the same in every run.
#[derive(Debug)]
pub(crate) struct Noise(pub(crate) u64);

impl Noise {
    pub(crate) fn uniform(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Standard normal, near enough: twelve uniforms.
    pub(crate) fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }
}

pub(crate) fn put(sample: &mut Sample, east_m: f64, north_m: f64) {
    // Near 48° N, 11° E.
    sample.lat = Some(48.0 + north_m / 111_200.0);
    sample.lon = Some(11.0 + east_m / (111_320.0 * 48.0_f64.to_radians().cos() * 1.001_84));
}

/// Position, speed, heading and odometer, all true.
pub(crate) fn full(car: &Instant) -> RawSample {
    sample(car.s, |s| {
        put(s, car.east_m, car.north_m);
        s.speed_kmh = Some(car.speed_ms * 3.6);
        s.heading_deg = Some(car.heading_deg);
        s.odometer_km = Some(12_345.678 + car.driven_m / 1000.0);
    })
}

pub(crate) fn positions(drive: &[Instant], noise_m: f64) -> Vec<RawSample> {
    let mut noise = Noise(7);
    let fix = |car: &Instant| {
        let (e, n) = (noise.normal() * noise_m, noise.normal() * noise_m);
        sample(car.s, |s| put(s, car.east_m + e, car.north_m + n))
    };
    drive.iter().map(fix).collect()
}
