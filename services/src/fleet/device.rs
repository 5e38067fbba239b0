//! The device in the car: what it makes of a drive, of standing parked, and of being carried off.

mod car;
mod clock;
mod fix;
mod mount;
mod profile;

use chrono::{DateTime, TimeDelta, Utc};
use odograph_domain::{batch::Impact, sample::Sample, time::EventTime};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

pub use self::profile::{DeviceKind, OdometerKind};
use self::{
    car::Car,
    clock::Clock,
    fix::Fix,
    mount::Mount,
    profile::{Profile, Speed},
};
use super::{
    driver::Temper,
    math::{chance, noise, rounded},
    motion::Frame,
    scenario::{Crash, Trouble},
    spec::Rates,
    truth::{EventKind, TrueEvent},
    world::{Centre, Point, Sky},
};

const GRAVITY_MS2: f64 = 9.80665;
/// Between two drives at least: the shorter stop is part of one trip by any reading.
pub(super) const SHORTEST_STAY: TimeDelta = TimeDelta::minutes(10);

pub(super) struct Device {
    pub(super) kind: DeviceKind,
    pub(super) odometer: OdometerKind,
    /// What wheels and odometer count for a true metre.
    pub(super) wheel_gain: f64,
    profile: Profile,
    centre: Centre,
    rates: Rates,
    every_ms: u32,
    /// True time of the last row.
    clock: DateTime<Utc>,
    at: Point,
    heading: f64,
    odometer_km: f64,
    fix: Option<Fix>,
    car: Car,
    mount: Mount,
    rng: ChaCha8Rng,
}

/// A row, and when it was really recorded.
#[derive(Debug, Clone)]
pub(super) struct Recorded {
    pub(super) at: DateTime<Utc>,
    pub(super) sample: Sample,
}

/// A drive to record.
pub(super) struct Drive<'a> {
    pub(super) depart: DateTime<Utc>,
    pub(super) frames: &'a [Frame],
    pub(super) temper: &'a Temper,
    pub(super) at_night: bool,
    pub(super) trouble: Option<&'a Trouble>,
    pub(super) crash: Option<&'a Crash>,
    /// A thief has no key.
    pub(super) hot_wired: bool,
    /// Whether the drive ends within what is recorded.
    pub(super) ends: bool,
}

/// What came of it.
pub(super) struct Recording {
    pub(super) rows: Vec<Recorded>,
    pub(super) end: DateTime<Utc>,
    pub(super) events: Vec<TrueEvent>,
    /// The shock, and the row that it goes with.
    pub(super) impact: Option<(usize, Impact)>,
}

impl Device {
    pub(super) fn new(
        kind: DeviceKind,
        (centre, at): (Centre, Point),
        start: DateTime<Utc>,
        (rates, every_ms): (Rates, u32),
        mut rng: ChaCha8Rng,
    ) -> Self {
        let profile = kind.profile();
        Self {
            kind,
            odometer: OdometerKind::draw(kind, &mut rng),
            wheel_gain: profile::wheel_gain(&mut rng),
            profile,
            centre,
            rates,
            every_ms,
            clock: start,
            at,
            heading: 0.0,
            odometer_km: rng.random_range(5_000.0..120_000.0),
            fix: profile.receiver.map(|receiver| Fix::new(receiver, &mut rng)),
            car: Car::new(&mut rng),
            mount: if profile.accel_frame == Some(odograph_domain::batch::AccelFrame::Device) {
                Mount::any(&mut rng)
            } else {
                Mount::ALIGNED
            },
            rng,
        }
    }

    pub(super) fn accel_frame(&self) -> odograph_domain::batch::AccelFrame {
        self.profile.accel_frame.unwrap_or_default()
    }

    /// When a drive planned for `planned` can begin.
    pub(super) fn ready_from(&self, planned: DateTime<Utc>) -> DateTime<Utc> {
        planned.max(self.clock + SHORTEST_STAY)
    }

    pub(super) fn position(&self) -> (f64, f64) {
        self.centre.degrees(self.at)
    }

    /// Samples from departing to a last one that says the ignition is off.
    pub(super) fn record(&mut self, drive: &Drive<'_>) -> Recording {
        let from_km = self.odometer_km;
        let lasts_ms = drive.frames.last().map_or(0, |last| last.at_ms);
        let clock = Clock::of_drive(
            drive.depart,
            i64::from(lasts_ms / 1000),
            &self.rates,
            self.profile.strays,
            &mut self.rng,
        );
        let missing = self.missing_field();
        if self.kind == DeviceKind::Phone {
            self.mount = Mount::any(&mut self.rng);
        }
        // An app wakes up when the phone has moved for a while.
        let wakes_ms = if self.kind == DeviceKind::Phone {
            self.rng.random_range(5..40) * 1000
        } else {
            0
        };
        self.car.rest((drive.depart - self.clock).num_seconds().max(0) as f64);
        let mut rows = Vec::with_capacity(drive.frames.len() + 1);
        let mut events: Vec<TrueEvent> = clock.events().collect();
        let mut impact = None;
        let mut phone_ms = 0;
        let mut before = Frame {
            at_ms: 0,
            ..drive.frames.first().copied().unwrap_or(Frame::AT_REST)
        };
        for (place, frame) in drive.frames.iter().enumerate() {
            let ms = frame.at_ms - before.at_ms;
            let (seconds, driven_m) = (f64::from(ms) / 1000.0, frame.driven_m - before.driven_m);
            self.clock = drive.depart + TimeDelta::milliseconds(i64::from(frame.at_ms));
            self.follow(frame, from_km);
            self.car.run(seconds, driven_m / 1000.0, drive.trouble, frame.at_ms);
            if let Some(fix) = &mut self.fix {
                fix.step(
                    seconds,
                    frame.speed_ms > 0.1,
                    frame.sky,
                    self.rates.lost_fix,
                    &mut self.rng,
                );
            }
            phone_ms = self.phone(phone_ms, ms, frame, drive, &mut events);
            before = *frame;
            let hit = drive.crash.is_some_and(|crash| crash.frame == place);
            let last = place + 1 == drive.frames.len();
            if frame.at_ms < wakes_ms || !(frame.at_ms.is_multiple_of(self.every_ms) || last || hit) {
                continue;
            }
            let mut sample = self.sample(frame, drive, phone_ms > 0);
            sample.ts = EventTime::new(clock.shown(self.clock));
            forget(&mut sample, missing);
            rows.push(Recorded { at: self.clock, sample });
            if let Some(crash) = drive.crash.filter(|_| hit && self.profile.accel_frame.is_some()) {
                impact = Some((rows.len() - 1, self.shock(crash)));
            }
        }
        if drive.ends {
            self.clock += TimeDelta::seconds(1);
            let mut off = self.row(0.0, Sky::Open);
            off.ignition = self.profile.ignition.then_some(false);
            if let Some(crash) = drive.crash.filter(|_| self.profile.bus) {
                (off.airbag, off.ecall) = (Some(crash.airbag), Some(crash.ecall));
            }
            rows.push(Recorded {
                at: self.clock,
                sample: off,
            });
        }
        Recording {
            rows,
            end: self.clock,
            events,
            impact,
        }
    }

    fn follow(&mut self, frame: &Frame, from_km: f64) {
        self.at = frame.point;
        self.odometer_km = from_km + frame.driven_m / 1000.0 * self.wheel_gain;
        if frame.speed_ms > 1.0 {
            self.heading = frame.heading;
        }
    }

    /// How long the phone is still in the hand, ms.
    fn phone(&mut self, left_ms: u32, ms: u32, frame: &Frame, drive: &Drive<'_>, events: &mut Vec<TrueEvent>) -> u32 {
        let an_hour = if drive.hot_wired {
            0.0
        } else {
            drive.temper.phone_an_hour
        };
        let takes = frame.speed_ms > 1.0 && chance(&mut self.rng, an_hour * f64::from(ms) / 3_600_000.0);
        if !takes {
            return left_ms.saturating_sub(ms);
        }
        let held_ms = self.rng.random_range(8_000..50_000);
        let start = self.clock;
        let end = start + TimeDelta::milliseconds(i64::from(held_ms));
        events.push(TrueEvent {
            speed_kmh: frame.speed_ms * 3.6,
            ..TrueEvent::plain(EventKind::PhoneUse, start, end)
        });
        held_ms
    }

    fn missing_field(&mut self) -> Option<Missing> {
        const ALL: [Missing; 5] = [
            Missing::Hdop,
            Missing::Heading,
            Missing::Odometer,
            Missing::Accelerations,
            Missing::Limit,
        ];
        let misses = chance(&mut self.rng, self.rates.missing_field * self.profile.strays.max(0.3));
        misses.then(|| ALL[self.rng.random_range(0..ALL.len())])
    }

    fn sample(&mut self, frame: &Frame, drive: &Drive<'_>, holds_phone: bool) -> Sample {
        let mut sample = self.row(frame.speed_ms, frame.sky);
        sample.ignition = self.profile.ignition.then_some(!drive.hot_wired);
        if self.profile.heading {
            let north = 90.0 - self.heading.to_degrees();
            sample.heading_deg = Some(rounded(north.rem_euclid(360.0), 10.0) % 360.0);
        }
        if self.profile.accel_frame.is_some() {
            self.feel(
                &mut sample,
                [frame.forward_ms2, frame.left_ms2, GRAVITY_MS2],
                frame.speed_ms > 0.1,
            );
        }
        sample.speed_limit_kmh = self.profile.knows_limit.then_some(frame.limit_kmh);
        sample.phone_in_use = self.profile.knows_phone.then_some(holds_phone);
        if self.profile.bus || self.kind == DeviceKind::Obd {
            self.car.engine(&mut sample, frame, &mut self.rng);
            let troubled = drive.trouble.filter(|trouble| frame.at_ms >= trouble.from_ms + 60_000);
            sample.dtc = troubled.map(|trouble| trouble.dtc.clone());
        }
        if self.profile.bus {
            self.car.body(&mut sample, frame, drive.at_night);
            let hit = drive.crash.filter(|crash| frame.at_ms >= crash.at_ms);
            sample.airbag = Some(hit.is_some_and(|crash| crash.airbag));
            sample.ecall = Some(hit.is_some_and(|crash| crash.ecall));
            if drive.hot_wired {
                sample.belt = Some(false);
            }
        }
        sample
    }

    /// What every row has: position, speed, odometer, as far as the device has them.
    fn row(&mut self, speed_ms: f64, sky: Sky) -> Sample {
        let mut sample = Sample::at(EventTime::new(self.clock));
        let moving = speed_ms > 0.1;
        let rng = &mut self.rng;
        let mut has_fix = false;
        if let Some(fix) = self.fix.as_ref().filter(|fix| fix.is_there() && sky != Sky::None) {
            has_fix = true;
            let (lat, lon) = self.centre.degrees(fix.seen(self.at, moving, rng));
            sample.lat = Some(rounded(lat, 1e6));
            sample.lon = Some(rounded(lon, 1e6));
            match self.kind {
                DeviceKind::Phone => sample.accuracy_m = Some(rounded(4.0 * fix.hdop_now(), 10.0)),
                _ => sample.hdop = Some(rounded(fix.hdop_now(), 10.0)),
            }
            let satellites = (14.0 / fix.hdop_now().max(0.6).sqrt()).clamp(4.0, 18.0);
            sample.satellites = (self.kind != DeviceKind::Phone).then_some(rounded(satellites, 1.0));
        }
        sample.speed_kmh = match self.profile.speed {
            Speed::Wheel { step_kmh } if moving => {
                let kmh = speed_ms * 3.6 * self.wheel_gain + 0.15 * noise(rng);
                Some(rounded(kmh.max(0.0), 1.0 / step_kmh))
            }
            Speed::Wheel { .. } => Some(0.0),
            Speed::Receiver => {
                let at_rest = if moving { 1.0 } else { 0.5 };
                has_fix.then(|| rounded((speed_ms * 3.6 + 0.35 * at_rest * noise(rng)).max(0.0), 10.0))
            }
        };
        sample.odometer_km = self.odometer.step_km().map(|step_km| {
            // Steps are counted in whole numbers, so that a reading prints as it would on the dial.
            let parts = (1.0 / step_km).round();
            (self.odometer_km * parts).floor() / parts
        });
        sample
    }

    /// Accelerations in the device's axes, gravity included, with its noise.
    fn feel(&mut self, sample: &mut Sample, car_ms2: [f64; 3], moving: bool) {
        let shaking = if moving { 1.0 } else { 0.1 };
        let noisy = [
            car_ms2[0] + shaking * 0.10 * noise(&mut self.rng),
            car_ms2[1] + shaking * 0.10 * noise(&mut self.rng),
            car_ms2[2] + shaking * 0.20 * noise(&mut self.rng),
        ];
        let [x, y, z] = self.mount.turn(noisy).map(|ms2| rounded(ms2, 100.0));
        (sample.accel_x_ms2, sample.accel_y_ms2, sample.accel_z_ms2) = (Some(x), Some(y), Some(z));
    }

    /// The high-rate window of a crash, in the device's axes.
    fn shock(&mut self, crash: &Crash) -> Impact {
        let trigger = self.clock;
        crash.impact(EventTime::new(trigger), |v| self.mount.turn(v), &mut self.rng)
    }

    /// Reports of a parked car until `until`; now and then its fix wanders as if it were moving.
    pub(super) fn park_until(&mut self, until: DateTime<Utc>, events: &mut Vec<TrueEvent>) -> Vec<Recorded> {
        let mut rows = Vec::new();
        let Some(minutes) = self.profile.heartbeat_min else {
            return rows;
        };
        // The car wakes up for the drive; nothing comes in the last minutes before.
        let last = until - SHORTEST_STAY;
        while self.clock + TimeDelta::minutes(minutes) < last {
            self.clock += TimeDelta::minutes(minutes);
            let mut sample = self.row(0.0, Sky::Open);
            sample.ignition = self.profile.ignition.then_some(false);
            rows.push(Recorded { at: self.clock, sample });
            if self.fix.is_some() && chance(&mut self.rng, self.rates.parked_drift) {
                self.wander(&mut rows, events);
            }
        }
        rows
    }

    /// Drift: rows ten seconds apart, metres away from one another, with a speed that the receiver believes.
    fn wander(&mut self, rows: &mut Vec<Recorded>, events: &mut Vec<TrueEvent>) {
        let (mut east_m, mut north_m) = (0.0, 0.0);
        let start = self.clock;
        for _ in 0..self.rng.random_range(6..24) {
            self.clock += TimeDelta::seconds(10);
            east_m += 9.0 * noise(&mut self.rng);
            north_m += 9.0 * noise(&mut self.rng);
            let mut sample = self.row(0.0, Sky::Open);
            let (lat, lon) = self.centre.degrees(Point {
                x: self.at.x + east_m,
                y: self.at.y + north_m,
            });
            sample.lat = Some(rounded(lat, 1e6));
            sample.lon = Some(rounded(lon, 1e6));
            sample.hdop = Some(rounded(self.rng.random_range(3.0..9.0), 10.0));
            sample.speed_kmh = Some(rounded(self.rng.random_range(0.0..4.5), 10.0));
            sample.ignition = self.profile.ignition.then_some(false);
            rows.push(Recorded { at: self.clock, sample });
        }
        events.push(TrueEvent::plain(EventKind::ParkedDrift, start, self.clock));
    }

    /// Carried along a way with the wheels off the ground: hoisted, driven off, set down. Rows every five seconds.
    pub(super) fn carried(&mut self, depart: DateTime<Utc>, frames: &[Frame]) -> Vec<Recorded> {
        const HOISTED_MS: u32 = 60_000;
        /// Sine and cosine of the ramp's 12 degrees.
        const TILT: (f64, f64) = (0.207_911_69, 0.978_147_6);
        let mut rows = Vec::new();
        for ms in (0..HOISTED_MS).step_by(5000) {
            self.clock = depart + TimeDelta::milliseconds(i64::from(ms));
            let mut sample = self.woken(0.0, Sky::Open);
            if self.profile.accel_frame.is_some() {
                self.feel(&mut sample, [GRAVITY_MS2 * TILT.0, 0.0, GRAVITY_MS2 * TILT.1], true);
            }
            rows.push(Recorded { at: self.clock, sample });
        }
        let begins = depart + TimeDelta::milliseconds(i64::from(HOISTED_MS));
        for frame in frames.iter().filter(|frame| frame.at_ms.is_multiple_of(5000)) {
            self.clock = begins + TimeDelta::milliseconds(i64::from(frame.at_ms));
            self.at = frame.point;
            if let Some(fix) = &mut self.fix {
                fix.step(5.0, frame.speed_ms > 0.1, frame.sky, self.rates.lost_fix, &mut self.rng);
            }
            let mut sample = self.woken(frame.speed_ms, frame.sky);
            if self.profile.accel_frame.is_some() {
                self.feel(
                    &mut sample,
                    [0.6 * frame.forward_ms2, 0.6 * frame.left_ms2, GRAVITY_MS2],
                    true,
                );
            }
            rows.push(Recorded { at: self.clock, sample });
        }
        rows
    }

    /// A row of a parked car that feels itself moved.
    fn woken(&mut self, speed_ms: f64, sky: Sky) -> Sample {
        let mut sample = self.row(speed_ms, sky);
        if let Speed::Wheel { .. } = self.profile.speed {
            sample.speed_kmh = Some(0.0);
        }
        sample.ignition = self.profile.ignition.then_some(false);
        if self.profile.bus {
            sample.doors_open = Some(false);
            sample.battery_v = Some(12.5);
        }
        sample
    }
}

#[derive(Debug, Clone, Copy)]
enum Missing {
    Hdop,
    Heading,
    Odometer,
    Accelerations,
    Limit,
}

fn forget(sample: &mut Sample, missing: Option<Missing>) {
    match missing {
        Some(Missing::Hdop) => sample.hdop = None,
        Some(Missing::Heading) => sample.heading_deg = None,
        Some(Missing::Odometer) => sample.odometer_km = None,
        Some(Missing::Accelerations) => {
            (sample.accel_x_ms2, sample.accel_y_ms2, sample.accel_z_ms2) = (None, None, None);
        }
        Some(Missing::Limit) => sample.speed_limit_kmh = None,
        None => {}
    }
}
