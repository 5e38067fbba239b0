//! What fleet to generate. Everything that decides a byte of it stands here, so that the spec's hash names the bytes.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::{device::DeviceKind, habits, scenario::Scenario, world::Centre};

/// A fleet to generate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FleetSpec {
    pub seed: u64,
    pub vehicles: usize,
    /// What references begin with: `PREFIX-vehicle-001`.
    pub prefix: String,
    pub period: Period,
    /// The drivers' own: they get up, commute and sleep by it.
    pub time_zone: Tz,
    pub centre: Centre,
    /// Between two samples of a drive, ms: 100, 200, 500, or whole seconds.
    pub every_ms: u32,
    pub mix: Mix,
    pub rates: Rates,
    pub scenarios: Vec<Scenario>,
    /// Years of claims before the telemetry begins.
    pub claims_history_years: f64,
}

/// When the fleet drives.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Period {
    /// Local days, each driver by his own habits.
    Days { first_day: NaiveDate, days: u32 },
    /// A stretch in which every vehicle is on its way, from one errand to the next.
    Span { start: DateTime<Utc>, seconds: u32 },
}

impl Period {
    pub fn bounds(&self, zone: Tz) -> (DateTime<Utc>, DateTime<Utc>) {
        match *self {
            Self::Days { first_day, days } => (habits::end(first_day, 0, zone), habits::end(first_day, days, zone)),
            Self::Span { start, seconds } => (start, start + TimeDelta::seconds(i64::from(seconds))),
        }
    }

    /// The first local day, from which on there are policies.
    pub fn first_day(&self, zone: Tz) -> NaiveDate {
        match *self {
            Self::Days { first_day, .. } => first_day,
            Self::Span { start, .. } => start.with_timezone(&zone).date_naive(),
        }
    }
}

/// How many of each kind of device, as weights.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mix {
    pub builtin: u32,
    pub blackbox: u32,
    pub obd: u32,
    pub phone: u32,
    pub mileage: u32,
}

impl Default for Mix {
    fn default() -> Self {
        Self {
            builtin: 40,
            blackbox: 20,
            obd: 20,
            phone: 10,
            mileage: 10,
        }
    }
}

impl Mix {
    pub const NONE: Self = Self {
        builtin: 0,
        blackbox: 0,
        obd: 0,
        phone: 0,
        mileage: 0,
    };

    pub fn only(kind: DeviceKind) -> Self {
        let mut mix = Self::NONE;
        *mix.weight(kind) = 1;
        mix
    }

    pub fn weight(&mut self, kind: DeviceKind) -> &mut u32 {
        match kind {
            DeviceKind::Builtin => &mut self.builtin,
            DeviceKind::Blackbox => &mut self.blackbox,
            DeviceKind::Obd => &mut self.obd,
            DeviceKind::Phone => &mut self.phone,
            DeviceKind::Mileage => &mut self.mileage,
        }
    }

    pub fn total(mut self) -> u32 {
        DeviceKind::ALL.into_iter().map(|kind| *self.weight(kind)).sum()
    }

    /// The kind at `place` of [`Mix::total`].
    pub(super) fn at(mut self, place: u32) -> DeviceKind {
        let mut left = place;
        for kind in DeviceKind::ALL {
            let weight = *self.weight(kind);
            if left < weight {
                return kind;
            }
            left -= weight;
        }
        DeviceKind::Builtin
    }
}

/// How often something goes wrong, as probabilities unless said otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rates {
    /// A batch is sent twice, the same to the byte.
    pub duplicate: f64,
    /// A batch comes 1 to 30 minutes late, past those after it.
    pub late: f64,
    /// A drive without network, sent up to ten hours later.
    pub offline: f64,
    /// Of those: sent again after reconnecting, cut otherwise and under other batch ids.
    pub resent: f64,
    /// A batch begins with the last samples of the one before it.
    pub overlapping: f64,
    /// A parked car's report becomes minutes of wandering fixes.
    pub parked_drift: f64,
    /// A drive in which the device's clock stands still for some seconds.
    pub frozen_clock: f64,
    /// A drive in which the device's clock is wrong for some minutes.
    pub jumping_clock: f64,
    /// A drive in which a field is missing.
    pub missing_field: f64,
    /// A second of driving under an open sky in which the receiver begins to lose the fix for 8 to 25 s.
    pub lost_fix: f64,
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            duplicate: 0.02,
            late: 0.03,
            offline: 0.04,
            resent: 0.3,
            overlapping: 0.01,
            parked_drift: 0.02,
            frozen_clock: 0.01,
            jumping_clock: 0.002,
            missing_field: 0.03,
            lost_fix: 1.0 / 4000.0,
        }
    }
}

impl Rates {
    /// Nothing goes wrong; noise and quantisation remain.
    pub const CLEAN: Self = Self {
        duplicate: 0.0,
        late: 0.0,
        offline: 0.0,
        resent: 0.0,
        overlapping: 0.0,
        parked_drift: 0.0,
        frozen_clock: 0.0,
        jumping_clock: 0.0,
        missing_field: 0.0,
        lost_fix: 0.0,
    };

    /// Which rate is no probability, if one is.
    pub fn check(&self) -> Result<(), String> {
        let named = [
            ("duplicate", self.duplicate),
            ("late", self.late),
            ("offline", self.offline),
            ("resent", self.resent),
            ("overlapping", self.overlapping),
            ("parked_drift", self.parked_drift),
            ("frozen_clock", self.frozen_clock),
            ("jumping_clock", self.jumping_clock),
            ("missing_field", self.missing_field),
            ("lost_fix", self.lost_fix),
        ];
        match named.into_iter().find(|(_, rate)| !(0.0..=1.0).contains(rate)) {
            Some((name, rate)) => Err(format!("{name}: wanted a probability from 0 to 1, got {rate}")),
            None => Ok(()),
        }
    }
}

impl FleetSpec {
    /// A fleet of built-in devices that drives by its habits, 1 Hz, somewhere in the middle of Europe.
    pub fn days(seed: u64, vehicles: usize, first_day: NaiveDate, days: u32, time_zone: Tz) -> Self {
        Self {
            seed,
            vehicles,
            prefix: "demo".to_owned(),
            period: Period::Days { first_day, days },
            time_zone,
            centre: Centre { lat: 51.0, lon: 9.0 },
            every_ms: 1000,
            mix: Mix::only(DeviceKind::Builtin),
            rates: Rates::default(),
            scenarios: Vec::new(),
            claims_history_years: 0.0,
        }
    }

    pub fn first_day(&self) -> NaiveDate {
        self.period.first_day(self.time_zone)
    }

    pub fn vehicle_ref(&self, number: usize) -> String {
        format!("{}-vehicle-{number:03}", self.prefix)
    }

    pub fn driver_ref(&self, number: usize) -> String {
        format!("{}-driver-{number:03}", self.prefix)
    }
}
