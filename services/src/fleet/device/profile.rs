//! Kinds of devices, and how good each is at what.

use odograph_domain::batch::AccelFrame;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::fleet::math::noise;

/// What kind of device reports, and so how good its data is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceKind {
    /// The car maker's own: everything the car knows, a good receiver.
    Builtin,
    /// Fitted by a workshop, aligned: position, ignition, acceleration; nothing of the car's.
    Blackbox,
    /// A cheap dongle in the diagnostic socket: whole km/h from the car, a poor receiver, a clock that strays.
    Obd,
    /// The driver's phone: position and acceleration, late to start, no ignition.
    Phone,
    /// Speed and odometer, no position: what a mileage-only product asks for.
    Mileage,
}

impl DeviceKind {
    pub const ALL: [Self; 5] = [Self::Builtin, Self::Blackbox, Self::Obd, Self::Phone, Self::Mileage];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Builtin => "builtin",
            Self::Blackbox => "blackbox",
            Self::Obd => "obd",
            Self::Phone => "phone",
            Self::Mileage => "mileage",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    pub(super) fn profile(self) -> Profile {
        match self {
            Self::Builtin => Profile {
                receiver: Some(Receiver {
                    hdop: (0.7, 1.1),
                    slow: 1.0,
                    white_m: 0.0,
                }),
                speed: Speed::Wheel { step_kmh: 0.1 },
                ignition: true,
                heading: true,
                accel_frame: Some(AccelFrame::Vehicle),
                knows_limit: true,
                knows_phone: true,
                bus: true,
                heartbeat_min: Some(30),
                strays: 0.3,
            },
            Self::Blackbox => Profile {
                receiver: Some(Receiver {
                    hdop: (0.8, 1.4),
                    slow: 1.2,
                    white_m: 0.4,
                }),
                speed: Speed::Receiver,
                ignition: true,
                heading: true,
                accel_frame: Some(AccelFrame::Vehicle),
                knows_limit: false,
                knows_phone: false,
                bus: false,
                heartbeat_min: Some(30),
                strays: 0.5,
            },
            Self::Obd => Profile {
                receiver: Some(Receiver {
                    hdop: (1.2, 2.4),
                    slow: 1.4,
                    white_m: 1.2,
                }),
                speed: Speed::Wheel { step_kmh: 1.0 },
                ignition: true,
                heading: false,
                accel_frame: Some(AccelFrame::Device),
                knows_limit: false,
                knows_phone: false,
                bus: false,
                heartbeat_min: Some(60),
                strays: 3.0,
            },
            Self::Phone => Profile {
                receiver: Some(Receiver {
                    hdop: (1.0, 2.0),
                    slow: 1.3,
                    white_m: 0.8,
                }),
                speed: Speed::Receiver,
                ignition: false,
                heading: true,
                accel_frame: Some(AccelFrame::Device),
                knows_limit: true,
                knows_phone: true,
                bus: false,
                heartbeat_min: None,
                strays: 0.0,
            },
            Self::Mileage => Profile {
                receiver: None,
                speed: Speed::Wheel { step_kmh: 1.0 },
                ignition: true,
                heading: false,
                accel_frame: None,
                knows_limit: false,
                knows_phone: false,
                bus: false,
                heartbeat_min: Some(360),
                strays: 1.0,
            },
        }
    }
}

/// What a kind of device can do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Profile {
    pub(super) receiver: Option<Receiver>,
    pub(super) speed: Speed,
    pub(super) ignition: bool,
    pub(super) heading: bool,
    /// Where it has an accelerometer.
    pub(super) accel_frame: Option<AccelFrame>,
    pub(super) knows_limit: bool,
    pub(super) knows_phone: bool,
    /// Reads belts, doors, pedals, engine and the crash flags from the car.
    pub(super) bus: bool,
    pub(super) heartbeat_min: Option<i64>,
    /// By which the rates of faults of its clock and its fields are multiplied.
    pub(super) strays: f64,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Receiver {
    pub(super) hdop: (f64, f64),
    /// Of the error that changes slowly, in units of a good receiver's.
    pub(super) slow: f64,
    /// Of the error that is new with each fix, m.
    pub(super) white_m: f64,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Speed {
    /// From the wheels, and so as wrong as their size.
    Wheel { step_kmh: f64 },
    /// From the receiver, and so absent without a fix.
    Receiver,
}

/// How the car's odometer is passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum OdometerKind {
    #[serde(rename = "10 m")]
    Fine,
    #[serde(rename = "100 m")]
    Tenth,
    #[serde(rename = "1 km")]
    Whole,
    #[serde(rename = "none")]
    None,
}

impl OdometerKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fine => "10 m",
            Self::Tenth => "100 m",
            Self::Whole => "1 km",
            Self::None => "none",
        }
    }

    pub(super) fn step_km(self) -> Option<f64> {
        match self {
            Self::Fine => Some(0.01),
            Self::Tenth => Some(0.1),
            Self::Whole => Some(1.0),
            Self::None => None,
        }
    }

    pub(super) fn draw(kind: DeviceKind, rng: &mut ChaCha8Rng) -> Self {
        let p: f64 = rng.random();
        match kind {
            DeviceKind::Builtin if p < 0.5 => Self::Fine,
            DeviceKind::Builtin => Self::Tenth,
            DeviceKind::Mileage if p < 0.6 => Self::Tenth,
            DeviceKind::Mileage => Self::Whole,
            DeviceKind::Obd if p < 0.3 => Self::Whole,
            DeviceKind::Obd | DeviceKind::Blackbox | DeviceKind::Phone => Self::None,
        }
    }
}

/// What the wheels count for a true metre: tyres wear a little, and one car in ten has others than its maker meant.
pub(super) fn wheel_gain(rng: &mut ChaCha8Rng) -> f64 {
    let usual = 1.0 + 0.003 * noise(rng);
    if rng.random_bool(0.1) {
        let off: f64 = rng.random_range(0.012..0.028);
        if rng.random_bool(0.5) { usual + off } else { usual - off }
    } else {
        usual
    }
}
