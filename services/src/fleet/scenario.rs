//! Scenario files: a crash, a theft or a breakdown that happens to a vehicle at a time. `docs/simulator.md` has the schema.

use std::f64::consts::PI;

use chrono::{DateTime, Utc};
use odograph_domain::{batch::Impact, time::EventTime};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::{
    math::{cos, noise, rounded, sin},
    motion::{Frame, STEP_MS, turn_rads},
};

const GRAVITY_MS2: f64 = 9.80665;
/// How long a crash pulse lasts, ms: 80 to 150 in tests of whole cars.
const PULSE_MS: f64 = 110.0;
/// A high-rate window: rate, and what it holds before and after the shock.
const IMPACT_HZ: f64 = 400.0;
const BEFORE_MS: f64 = 200.0;
const AFTER_MS: f64 = 600.0;
/// What a car slides to a halt at, m/s².
const SLIDING_MS2: f64 = 6.0;
/// What a driver stops at who has seen a warning lamp, m/s².
const PULLING_OVER_MS2: f64 = 1.2;
/// Below this change of speed a crash is a bump, km/h.
const AIRBAG_KMH: f64 = 25.0;

/// A file of scenarios.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScenarioFile {
    pub schema: Schema,
    pub scenarios: Vec<Scenario>,
}

/// Version 1 of the file's form, the only one so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u32")]
pub struct Schema;

impl TryFrom<u32> for Schema {
    type Error = String;

    fn try_from(version: u32) -> Result<Self, String> {
        match version {
            1 => Ok(Self),
            other => Err(format!("wanted version 1, got {other}")),
        }
    }
}

/// Which vehicle: by its number in the fleet, from 1, or by its reference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Which {
    Number(usize),
    Reference(String),
}

impl Which {
    pub(super) fn is(&self, number: usize, reference: &str) -> bool {
        match self {
            Self::Number(wanted) => *wanted == number,
            Self::Reference(wanted) => wanted == reference,
        }
    }
}

/// Something that happens to one vehicle, after which it drives no more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Scenario {
    Crash {
        vehicle: Which,
        at: DateTime<Utc>,
        /// Change of speed, km/h.
        #[serde(default = "forty")]
        delta_v_kmh: f64,
        /// Where the force comes from: degrees clockwise, 0 from ahead, 90 from the right.
        #[serde(default)]
        direction_deg: f64,
        /// The car's own flags; by default from 25 km/h on.
        #[serde(default)]
        airbag: Option<bool>,
        #[serde(default)]
        ecall: Option<bool>,
    },
    Theft {
        vehicle: Which,
        at: DateTime<Utc>,
        how: TheftKind,
    },
    Breakdown {
        vehicle: Which,
        at: DateTime<Utc>,
        cause: Cause,
        /// From the first sign to the stop.
        #[serde(default = "eight")]
        minutes: f64,
        /// Trouble codes (SAE J2012); by default those of the cause.
        #[serde(default)]
        dtc: Option<Vec<String>>,
    },
}

fn forty() -> f64 {
    40.0
}

fn eight() -> f64 {
    8.0
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TheftKind {
    /// Hoisted and driven off: position moves, wheels and odometer do not.
    Towed,
    /// Driven without a key: the ignition signal stays off.
    Driven,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The coolant boils.
    Cooling,
    /// The alternator fails and the battery runs down.
    Charging,
}

impl Scenario {
    pub fn at(&self) -> DateTime<Utc> {
        match self {
            Self::Crash { at, .. } | Self::Theft { at, .. } | Self::Breakdown { at, .. } => *at,
        }
    }

    pub fn vehicle(&self) -> &Which {
        match self {
            Self::Crash { vehicle, .. } | Self::Theft { vehicle, .. } | Self::Breakdown { vehicle, .. } => vehicle,
        }
    }

    /// What cannot be, in words that name the field.
    pub fn check(&self) -> Result<(), String> {
        let within = |name: &str, value: f64, (low, high): (f64, f64)| {
            if (low..=high).contains(&value) {
                Ok(())
            } else {
                Err(format!("{name}: wanted {low} to {high}, got {value}"))
            }
        };
        match self {
            Self::Crash {
                delta_v_kmh,
                direction_deg,
                ..
            } => {
                within("delta_v_kmh", *delta_v_kmh, (3.0, 120.0))?;
                within("direction_deg", *direction_deg, (0.0, 360.0))
            }
            Self::Breakdown { minutes, .. } => within("minutes", *minutes, (1.0, 60.0)),
            Self::Theft { .. } => Ok(()),
        }
    }
}

/// A crash as it happens on a drive.
#[derive(Debug, Clone, Copy)]
pub(super) struct Crash {
    /// Index of the first frame after the shock.
    pub(super) frame: usize,
    pub(super) at_ms: u32,
    pub(super) delta_v_ms: f64,
    pub(super) direction_deg: f64,
    pub(super) airbag: bool,
    pub(super) ecall: bool,
}

/// A breakdown as it happens on a drive.
#[derive(Debug, Clone)]
pub(super) struct Trouble {
    pub(super) cause: Cause,
    /// Of the first sign.
    pub(super) from_ms: u32,
    pub(super) dtc: Vec<String>,
}

impl Cause {
    fn codes(self) -> Vec<String> {
        let codes: &[&str] = match self {
            Self::Cooling => &["P0217", "P0128"],
            Self::Charging => &["P0562", "P0620"],
        };
        codes.iter().map(|code| (*code).to_owned()).collect()
    }
}

/// Cuts a drive short by a crash at or after `at_ms`, where the car is fast enough for it.
pub(super) fn crash(frames: &mut Vec<Frame>, at_ms: u32, scenario: &Scenario) -> Option<Crash> {
    let Scenario::Crash {
        delta_v_kmh,
        direction_deg,
        airbag,
        ecall,
        ..
    } = scenario
    else {
        return None;
    };
    let wanted_ms = delta_v_kmh / 3.6;
    let from_ahead = cos(direction_deg.to_radians());
    // A car that stands can be hit from behind and from the side, and hits nothing ahead.
    let needed_ms = (wanted_ms * from_ahead).max(4.0);
    let hit = moving_at(frames, at_ms, needed_ms)?;
    let speed_ms = frames[hit].speed_ms;
    let delta_v_ms = if from_ahead > 0.0 {
        wanted_ms.min(1.1 * speed_ms / from_ahead)
    } else {
        wanted_ms
    };
    let after_ms = (speed_ms - delta_v_ms * from_ahead).max(0.0);
    stop(frames, hit, after_ms, SLIDING_MS2, 120_000);
    let deployed = delta_v_ms * 3.6 >= AIRBAG_KMH;
    Some(Crash {
        frame: (hit + 1).min(frames.len() - 1),
        at_ms: frames[(hit + 1).min(frames.len() - 1)].at_ms,
        delta_v_ms,
        direction_deg: *direction_deg,
        airbag: airbag.unwrap_or(deployed),
        ecall: ecall.unwrap_or(deployed),
    })
}

/// Ends a drive by a breakdown whose first sign is at `at_ms`.
pub(super) fn breakdown(frames: &mut Vec<Frame>, at_ms: u32, scenario: &Scenario) -> Option<Trouble> {
    let Scenario::Breakdown {
        cause, minutes, dtc, ..
    } = scenario
    else {
        return None;
    };
    let stops = moving_at(frames, at_ms + (minutes * 60_000.0) as u32, 4.0)?;
    let from_ms = at_ms.min(frames[stops].at_ms);
    let speed_ms = frames[stops].speed_ms;
    stop(frames, stops, speed_ms, PULLING_OVER_MS2, 300_000);
    Some(Trouble {
        cause: *cause,
        from_ms,
        dtc: dtc.clone().unwrap_or_else(|| cause.codes()),
    })
}

/// The first frame from `at_ms` on that is fast enough; else of those about then, else of all, the fastest.
fn moving_at(frames: &[Frame], at_ms: u32, least_ms: f64) -> Option<usize> {
    const ABOUT_MS: u32 = 60_000;
    let fast = |(_, frame): &(usize, &Frame)| frame.at_ms >= at_ms && frame.speed_ms >= least_ms;
    let first = frames.iter().enumerate().find(fast);
    let fastest = |from_ms: u32| {
        let later = frames.iter().enumerate().filter(|(_, frame)| frame.at_ms >= from_ms);
        let moving = later.filter(|(_, frame)| frame.speed_ms > 1.0);
        moving.max_by(|a, b| a.1.speed_ms.total_cmp(&b.1.speed_ms))
    };
    let found = first
        .or_else(|| fastest(at_ms.saturating_sub(ABOUT_MS)))
        .or_else(|| fastest(0));
    found.map(|(place, _)| place)
}

/// Replaces what comes after frame `from` by a stop on the same way, from `speed_ms` on, and standing there.
fn stop(frames: &mut Vec<Frame>, from: usize, speed_ms: f64, braking_ms2: f64, stands_ms: u32) {
    let way = frames.split_off(from + 1);
    let frame_ms = way
        .first()
        .map_or(1000, |next| next.at_ms - frames[from].at_ms)
        .max(STEP_MS);
    let dt = f64::from(frame_ms) / 1000.0;
    let (mut speed, mut driven_m, mut at_ms) = (speed_ms, frames[from].driven_m, frames[from].at_ms);
    let (mut ahead, mut stood_ms) = (0, 0);
    while stood_ms < stands_ms {
        let slower = (speed - braking_ms2 * dt).max(0.0);
        driven_m += (speed + slower) / 2.0 * dt;
        at_ms += frame_ms;
        while ahead + 1 < way.len() && way[ahead].driven_m < driven_m {
            ahead += 1;
        }
        let Some(before) = frames.last().copied() else { return };
        let next = way.get(ahead).copied().unwrap_or(before);
        let span_m = next.driven_m - before.driven_m;
        let share = if span_m > 0.0 {
            ((driven_m - before.driven_m) / span_m).clamp(0.0, 1.0)
        } else {
            0.0
        };
        frames.push(Frame {
            at_ms,
            point: super::world::Point {
                x: before.point.x + (next.point.x - before.point.x) * share,
                y: before.point.y + (next.point.y - before.point.y) * share,
            },
            heading: if slower > 0.5 { next.heading } else { before.heading },
            driven_m,
            speed_ms: slower,
            forward_ms2: (slower - before.speed_ms) / dt,
            left_ms2: turn_rads(before.heading, next.heading, dt) * slower.min(before.speed_ms) * share,
            limit_kmh: next.limit_kmh,
            sky: next.sky,
        });
        stood_ms += if slower > 0.0 { 0 } else { frame_ms };
        speed = slower;
    }
}

impl Crash {
    /// Largest acceleration of the pulse, m/s²: a haversine's area is half its height times its length.
    pub(super) fn peak_ms2(&self) -> f64 {
        2.0 * self.delta_v_ms / (PULSE_MS / 1000.0)
    }

    /// The high-rate window: still driving, the pulse, and what comes to rest.
    pub(super) fn impact(
        &self,
        trigger_ts: EventTime,
        turn: impl Fn([f64; 3]) -> [f64; 3],
        rng: &mut ChaCha8Rng,
    ) -> Impact {
        let direction = self.direction_deg.to_radians();
        let rows = ((BEFORE_MS + AFTER_MS) / 1000.0 * IMPACT_HZ) as usize;
        let (mut accel, mut gyro) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
        for row in 0..rows {
            let ms = row as f64 / IMPACT_HZ * 1000.0 - BEFORE_MS;
            let pulse = if (0.0..PULSE_MS).contains(&ms) {
                let half = sin(PI * ms / PULSE_MS);
                self.peak_ms2() * half * half
            } else {
                0.0
            };
            // The body rings for a while after the pulse, and slides to a halt.
            let ringing = if ms >= 0.0 {
                0.08 * self.peak_ms2() * libm::exp(-ms / 60.0)
            } else {
                0.0
            };
            let sliding = if ms >= PULSE_MS { -SLIDING_MS2 } else { 0.0 };
            let mut felt = |ms2: f64, share: f64| ms2 + (0.15 + share * ringing) * noise(rng);
            let car = [
                felt(-pulse * cos(direction) + sliding, 1.0),
                felt(pulse * sin(direction), 1.0),
                felt(GRAVITY_MS2 + 0.1 * pulse, 0.7),
            ];
            // Hit off the middle, the car spins.
            let spin = if ms >= 0.0 {
                2.5 * sin(direction) * libm::exp(-ms / 400.0)
            } else {
                0.0
            };
            let mut rate = |rads: f64| rads + 0.01 * noise(rng);
            let spun = [rate(0.0), rate(-0.002 * pulse * cos(direction)), rate(spin)];
            accel.push(turn(car).map(|ms2| rounded(ms2, 100.0)));
            gyro.push(turn(spun).map(|rads| rounded(rads, 1000.0)));
        }
        Impact {
            trigger_ts,
            rate_hz: IMPACT_HZ,
            t0_ms: -BEFORE_MS,
            accel_ms2: accel,
            gyro_rads: Some(gyro),
        }
    }
}

/// A scenario as it came to pass.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrueScenario {
    pub vehicle: String,
    /// What was asked for.
    pub asked: Scenario,
    /// The shock, the first movement, or the first sign.
    pub at: DateTime<Utc>,
    /// When the car stood still for good.
    pub ended_at: DateTime<Utc>,
    /// Where it stood then, degrees WGS 84.
    pub lat: f64,
    pub lon: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delta_v_kmh: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_ms2: Option<f64>,
    /// How far a stolen car was taken, km.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distance_km: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dtc: Option<Vec<String>>,
}
