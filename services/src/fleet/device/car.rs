//! What the car's own sensors say: engine, pedals, belts, tyres. Plausible rather than exact; nothing is priced by it.

use odograph_domain::sample::Sample;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::fleet::{
    math::{exp, noise, rounded},
    motion::Frame,
    scenario::{Cause, Trouble},
};

const AMBIENT_C: f64 = 15.0;
const WARM_C: f64 = 90.0;
/// Above this an engine does not go on.
const BOILING_C: f64 = 122.0;
const TANK_L: f64 = 50.0;
const LITRES_A_KM: f64 = 0.068;

#[derive(Debug)]
pub(super) struct Car {
    coolant_c: f64,
    battery_v: f64,
    fuel_l: f64,
    engine_s: f64,
    tyre_kpa: [f64; 4],
}

impl Car {
    pub(super) fn new(rng: &mut ChaCha8Rng) -> Self {
        Self {
            coolant_c: AMBIENT_C,
            battery_v: 12.6,
            fuel_l: rng.random_range(15.0..TANK_L),
            engine_s: 3600.0 * rng.random_range(100.0..3000.0_f64),
            tyre_kpa: std::array::from_fn(|_| 235.0 + 6.0 * noise(rng)),
        }
    }

    /// Cools down, and is refuelled where it has to be.
    pub(super) fn rest(&mut self, seconds: f64) {
        self.coolant_c = AMBIENT_C + (self.coolant_c - AMBIENT_C) * exp(-seconds / 5400.0);
        self.battery_v = 12.6;
        if self.fuel_l < 0.12 * TANK_L {
            self.fuel_l = 0.95 * TANK_L;
        }
    }

    pub(super) fn run(&mut self, seconds: f64, driven_km: f64, trouble: Option<&Trouble>, at_ms: u32) {
        self.engine_s += seconds;
        self.fuel_l = (self.fuel_l - LITRES_A_KM * driven_km - 0.0002 * seconds).max(0.0);
        let troubled = trouble.filter(|trouble| at_ms >= trouble.from_ms);
        match troubled.map(|trouble| trouble.cause) {
            // Without coolant an engine gains its heat in minutes.
            Some(Cause::Cooling) => self.coolant_c = (self.coolant_c + 0.13 * seconds).min(BOILING_C),
            _ => self.coolant_c += (WARM_C - self.coolant_c) * (1.0 - exp(-seconds / 240.0)),
        }
        match troubled.map(|trouble| trouble.cause) {
            // Without an alternator the car lives on its battery.
            Some(Cause::Charging) => self.battery_v = (self.battery_v.min(12.4) - 0.004 * seconds).max(10.2),
            _ => self.battery_v += (14.2 - self.battery_v) * (1.0 - exp(-seconds / 5.0)),
        }
    }

    /// What a dongle reads: the standard parameters of the engine.
    pub(super) fn engine(&self, sample: &mut Sample, frame: &Frame, rng: &mut ChaCha8Rng) {
        let gear_rpm_a_ms = match frame.speed_ms * 3.6 {
            ..15.0 => 420.0,
            15.0..30.0 => 245.0,
            30.0..50.0 => 165.0,
            50.0..80.0 => 120.0,
            _ => 85.0,
        };
        let rpm = (frame.speed_ms * gear_rpm_a_ms).max(800.0) + 15.0 * noise(rng);
        sample.engine_rpm = Some(rounded(rpm, 0.1));
        sample.coolant_c = Some(rounded(self.coolant_c, 1.0));
        sample.battery_v = Some(rounded(self.battery_v + 0.03 * noise(rng), 10.0));
        let pedal = if frame.speed_ms < 0.1 {
            0.0
        } else {
            8.0 + 22.0 * frame.forward_ms2.max(0.0) + 0.4 * frame.speed_ms
        };
        sample.throttle_pct = Some(rounded(pedal.min(100.0), 1.0));
        sample.fuel_pct = Some(rounded(100.0 * self.fuel_l / TANK_L, 1.0));
    }

    /// What only the car's maker reads.
    pub(super) fn body(&self, sample: &mut Sample, frame: &Frame, at_night: bool) {
        sample.engine_hours = Some(rounded(self.engine_s / 3600.0, 10.0));
        let braking = if frame.speed_ms < 0.1 { 2.0 } else { -frame.forward_ms2 };
        sample.brake_pct = Some(rounded((braking * 12.0 - 4.0).clamp(0.0, 100.0), 1.0));
        sample.belt = Some(true);
        sample.doors_open = Some(false);
        sample.lights_on = Some(at_night);
        sample.external_power = Some(true);
        let warm_kpa = 0.15 * (self.coolant_c - AMBIENT_C);
        sample.tyre_kpa = Some(self.tyre_kpa.map(|kpa| rounded(kpa + warm_kpa, 1.0)));
    }
}
