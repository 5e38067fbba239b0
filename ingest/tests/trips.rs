//! The trip function on made-up devices and days.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use odograph_domain::{
    batch::{AccelFrame, Gravity, RawSample},
    sample::Sample,
    settings::TripSettings,
    time::EventTime,
    trip::{Trip, TripBounds, TripEnd, TripStart},
};
use odograph_ingest::{assemble::assemble, minimise::minimise};

const START_MS: i64 = 1_770_000_000_000;

/// A vehicle's day, told second by second, as a device would sample it.
struct Day {
    ms: i64,
    metres: f64,
    noise: u64,
    samples: Vec<Sample>,
}

impl Day {
    fn new() -> Self {
        Self {
            ms: START_MS,
            metres: 0.0,
            noise: 1,
            samples: Vec::new(),
        }
    }

    /// Uniform in ±1.
    fn noise(&mut self) -> f64 {
        self.noise = self
            .noise
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.noise >> 40) as f64 / f64::from(1 << 23) - 1.0
    }

    /// For `seconds`, a sample every `every_ms`, at `kmh`; `tell` decides what the device says of it.
    fn go(mut self, seconds: i64, every_ms: i64, kmh: f64, tell: impl Fn(&mut Sample, &Truth)) -> Self {
        let end = self.ms + seconds * 1000;
        while self.ms < end {
            let mut sample = Sample::at(EventTime::from_millis(self.ms).unwrap());
            let truth = Truth {
                ms: self.ms - START_MS,
                metres: self.metres,
                kmh,
                a: self.noise(),
                b: self.noise(),
            };
            tell(&mut sample, &truth);
            self.samples.push(sample);
            self.metres += kmh / 3.6 * every_ms as f64 / 1000.0;
            self.ms += every_ms;
        }
        self
    }

    fn silence(mut self, seconds: i64) -> Self {
        self.ms += seconds * 1000;
        self
    }

    fn raw(&self) -> Vec<RawSample> {
        let raw = |sample: &Sample| RawSample {
            sample: sample.clone(),
            accel_frame: AccelFrame::Vehicle,
            gravity: Gravity::Included,
            device_rank: 0,
            driver: None,
        };
        self.samples.iter().map(raw).collect()
    }

    fn trips(&self) -> Vec<TripBounds> {
        self.trips_with(&TripSettings::default())
    }

    fn trips_with(&self, settings: &TripSettings) -> Vec<TripBounds> {
        let found = assemble(&self.raw(), settings);
        let ended = found.iter().map(|found| found.trip.fall_silent().unwrap_or(found.trip));
        ended.map(|trip| trip.bounds().unwrap()).collect()
    }

    /// Start and end of each trip, s from the start of the day.
    fn seconds(&self) -> Vec<(i64, i64)> {
        let at = |ts: EventTime| (ts.millis() - START_MS) / 1000;
        self.trips().iter().map(|trip| (at(trip.start), at(trip.end))).collect()
    }
}

struct Truth {
    ms: i64,
    metres: f64,
    kmh: f64,
    a: f64,
    b: f64,
}

impl Truth {
    /// A position with errors of up to so many metres.
    fn place(&self, sample: &mut Sample, error_m: f64) {
        sample.lat = Some(48.0 + (self.metres + self.a * error_m) / 111_200.0);
        sample.lon = Some(11.0 + self.b * error_m / 74_400.0);
    }
}

fn speed(sample: &mut Sample, truth: &Truth) {
    sample.speed_kmh = Some(truth.kmh);
}

fn place(sample: &mut Sample, truth: &Truth) {
    truth.place(sample, 8.0);
}

fn near(found: &[(i64, i64)], wanted: &[(i64, i64)], tolerance_s: i64) {
    let close = |a: &(i64, i64), b: &(i64, i64)| (a.0 - b.0).abs() <= tolerance_s && (a.1 - b.1).abs() <= tolerance_s;
    let same = found.len() == wanted.len() && found.iter().zip(wanted).all(|(a, b)| close(a, b));
    assert!(same, "found {found:?}, wanted {wanted:?}");
}

#[test]
fn speed_alone() {
    let day = Day::new()
        .go(60, 1000, 0.0, speed)
        .go(600, 1000, 40.0, speed)
        .go(200, 1000, 0.0, speed);
    let day = day
        .go(300, 1000, 30.0, speed)
        .go(900, 1000, 0.0, speed)
        .go(300, 1000, 30.0, speed)
        .silence(1000);
    let trips = day.go(30, 1000, 0.0, speed).trips();
    let ends: Vec<TripEnd> = trips.iter().map(|trip| trip.ended_by).collect();
    assert_eq!(ends, [TripEnd::Rest, TripEnd::Gap]);
    assert!(trips.iter().all(|trip| trip.started_by == TripStart::Movement));
}

#[test]
fn every_rate() {
    for every_ms in [100, 200, 1000, 5000, 10_000, 30_000, 60_000] {
        let day = Day::new()
            .go(600, every_ms, 0.0, speed)
            .go(1200, every_ms, 50.0, speed)
            .go(900, every_ms, 0.0, speed);
        near(&day.seconds(), &[(600, 1800)], 60);
        let day = Day::new()
            .go(600, every_ms, 0.0, place)
            .go(1200, every_ms, 50.0, place)
            .go(900, every_ms, 0.0, place);
        near(&day.seconds(), &[(600, 1800)], 60);
    }
}

#[test]
fn odometer_alone_fine_and_coarse() {
    for (step_km, every_ms, tolerance_s) in [
        (0.001, 1000, 5),
        (0.1, 1000, 20),
        (0.1, 30_000, 60),
        (1.0, 1000, 80),
        (1.0, 60_000, 130),
    ] {
        let tell = |s: &mut Sample, t: &Truth| {
            s.odometer_km = Some(12_345.0 + (t.metres / 1000.0 / step_km).floor() * step_km)
        };
        let day = Day::new()
            .go(900, every_ms, 0.0, tell)
            .go(1800, every_ms, 50.0, tell)
            .go(900, every_ms, 0.0, tell);
        near(&day.seconds(), &[(900, 2700)], tolerance_s);
    }
}

#[test]
fn a_parked_car_that_drifts_makes_no_trip() {
    for (every_ms, error_m) in [
        (1000, 8.0),
        (1000, 15.0),
        (10_000, 25.0),
        (60_000, 30.0),
        (60_000, 50.0),
    ] {
        let position_only = Day::new().go(36_000, every_ms, 0.0, |s, t| t.place(s, error_m));
        assert_eq!(position_only.seconds(), [], "{every_ms} ms, {error_m} m");
        let with_speed = Day::new().go(36_000, every_ms, 0.0, |s, t| {
            t.place(s, 3.0 * error_m);
            s.speed_kmh = Some(0.0);
        });
        assert_eq!(with_speed.seconds(), []);
        let noisy_speed = Day::new().go(36_000, every_ms, 0.0, |s, t| {
            t.place(s, error_m);
            s.speed_kmh = Some(1.5 + 1.4 * t.b);
        });
        assert_eq!(noisy_speed.seconds(), []);
    }
}

#[test]
fn a_receiver_that_changes_its_mind_is_no_trip() {
    let leap = |s: &mut Sample, t: &Truth| {
        t.place(s, 5.0);
        if t.ms / 600_000 % 2 == 1 {
            s.lat = s.lat.map(|lat| lat + 0.004);
        }
    };
    assert_eq!(Day::new().go(7200, 1000, 0.0, leap).seconds(), []);
    assert_eq!(Day::new().go(7200, 60_000, 0.0, leap).seconds(), []);
    let lone = |s: &mut Sample, t: &Truth| {
        t.place(s, 5.0);
        if t.ms % 300_000 == 0 {
            s.lat = s.lat.map(|lat| lat + 0.01);
        }
    };
    assert_eq!(Day::new().go(7200, 1000, 0.0, lone).seconds(), []);
    assert_eq!(Day::new().go(7200, 30_000, 0.0, lone).seconds(), []);
}

#[test]
fn heartbeats_between_drives() {
    let parked = |s: &mut Sample, t: &Truth| {
        t.place(s, 30.0);
        (s.speed_kmh, s.ignition) = (Some(0.0), Some(false));
    };
    let driving = |s: &mut Sample, t: &Truth| {
        t.place(s, 5.0);
        (s.speed_kmh, s.ignition) = (Some(t.kmh), Some(true));
    };
    let day = Day::new()
        .go(3600, 60_000, 0.0, parked)
        .go(20, 1000, 0.0, driving)
        .go(900, 1000, 45.0, driving);
    let day = day
        .go(7200, 60_000, 0.0, parked)
        .go(10, 1000, 0.0, driving)
        .go(600, 1000, 45.0, driving);
    let day = day.go(3600, 60_000, 0.0, parked);
    assert_eq!(day.seconds(), [(3600, 4520), (11_720, 12_330)]);
    assert!(
        day.trips()
            .iter()
            .all(|t| (t.started_by, t.ended_by) == (TripStart::IgnitionOn, TripEnd::IgnitionOff))
    );
}

#[test]
fn ignition_without_movement_is_no_trip() {
    let on = |s: &mut Sample, _: &Truth| (s.speed_kmh, s.ignition) = (Some(0.0), Some(true));
    let off = |s: &mut Sample, _: &Truth| (s.speed_kmh, s.ignition) = (Some(0.0), Some(false));
    assert_eq!(
        Day::new()
            .go(60, 1000, 0.0, off)
            .go(1800, 1000, 0.0, on)
            .go(60, 1000, 0.0, off)
            .seconds(),
        []
    );
}

#[test]
fn a_dead_ignition_wire_loses_no_trips() {
    for wire in [true, false] {
        let tell = |s: &mut Sample, t: &Truth| (s.speed_kmh, s.ignition) = (Some(t.kmh), Some(wire));
        let day = Day::new()
            .go(3600, 1000, 0.0, tell)
            .go(600, 1000, 40.0, tell)
            .go(3600, 1000, 0.0, tell);
        let day = day.go(600, 1000, 40.0, tell).go(3600, 1000, 0.0, tell);
        near(&day.seconds(), &[(3600, 4199), (7800, 8399)], 2);
    }
}

#[test]
fn an_ignition_that_flickers_or_fails_on_the_way_ends_nothing() {
    let on = |s: &mut Sample, t: &Truth| (s.speed_kmh, s.ignition) = (Some(t.kmh), Some(true));
    let off = |s: &mut Sample, t: &Truth| (s.speed_kmh, s.ignition) = (Some(t.kmh), Some(false));
    let flicker = Day::new()
        .go(300, 1000, 40.0, on)
        .go(1, 1000, 40.0, off)
        .go(300, 1000, 40.0, on);
    assert_eq!(flicker.go(2, 1000, 0.0, off).seconds(), [(0, 601)]);
    let fails = Day::new()
        .go(300, 1000, 40.0, on)
        .go(300, 1000, 40.0, off)
        .go(900, 1000, 0.0, off);
    near(&fails.seconds(), &[(0, 599)], 1);
    // A recording that stops with the ignition, the speed of the moment in its last row.
    let stops = Day::new()
        .go(300, 1000, 40.0, on)
        .go(1, 1000, 40.0, off)
        .silence(150)
        .go(300, 1000, 40.0, on);
    assert_eq!(stops.seconds(), [(0, 300), (451, 750)]);
}

#[test]
fn a_sensor_that_is_stuck() {
    let stuck = |kmh: f64| {
        move |s: &mut Sample, t: &Truth| {
            t.place(s, 5.0);
            s.speed_kmh = Some(kmh);
        }
    };
    let zero = Day::new()
        .go(900, 1000, 0.0, stuck(0.0))
        .go(900, 1000, 50.0, stuck(0.0))
        .go(900, 1000, 0.0, stuck(0.0));
    near(&zero.seconds(), &[(900, 1800)], 60);
    assert_eq!(Day::new().go(7200, 1000, 0.0, stuck(37.5)).seconds(), []);
    let parked = Day::new()
        .go(900, 1000, 37.5, stuck(37.5))
        .go(7200, 1000, 0.0, stuck(37.5));
    near(&parked.seconds(), &[(0, 900)], 60);
    let by_odometer = |s: &mut Sample, t: &Truth| {
        (s.speed_kmh, s.odometer_km) = (Some(0.0), Some((t.metres / 10.0).floor() / 100.0));
    };
    let day = Day::new()
        .go(900, 1000, 0.0, by_odometer)
        .go(900, 1000, 50.0, by_odometer)
        .go(900, 1000, 0.0, by_odometer);
    near(&day.seconds(), &[(900, 1800)], 60);
}

#[test]
fn a_frozen_position_hides_no_drive() {
    let tell = |s: &mut Sample, t: &Truth| {
        (s.lat, s.lon) = (Some(48.0), Some(11.0));
        s.speed_kmh = Some((t.kmh + t.a).max(0.0));
    };
    let day = Day::new()
        .go(600, 1000, 0.0, |s, t| tell(s, &Truth { a: 0.0, ..*t }))
        .go(900, 1000, 50.0, tell);
    near(
        &day.go(900, 1000, 0.0, |s, t| tell(s, &Truth { a: 0.0, ..*t }))
            .seconds(),
        &[(600, 1500)],
        5,
    );
}

#[test]
fn a_ferry_and_a_tow_truck_are_no_drives() {
    let carried = |s: &mut Sample, t: &Truth| {
        t.place(s, 5.0);
        (s.speed_kmh, s.ignition, s.odometer_km) = (Some(t.kmh), Some(false), Some(500.0));
    };
    assert_eq!(
        Day::new()
            .go(600, 10_000, 0.0, carried)
            .go(3600, 10_000, 30.0, carried)
            .seconds(),
        []
    );
}

#[test]
fn rows_of_mixed_rates() {
    let mixed = |s: &mut Sample, t: &Truth| match t.ms / 100 % 100 {
        0 => s.speed_kmh = Some(t.kmh),
        50 => t.place(s, 5.0),
        _ => s.accel_x_ms2 = Some(t.a),
    };
    let day = Day::new()
        .go(600, 100, 0.0, mixed)
        .go(600, 100, 50.0, mixed)
        .go(600, 100, 0.0, mixed);
    near(&day.seconds(), &[(600, 1200)], 15);
}

#[test]
fn a_tunnel_and_a_jam_are_part_of_the_trip() {
    let dark = |_: &mut Sample, _: &Truth| ();
    let tunnel = Day::new()
        .go(300, 1000, 80.0, place)
        .go(240, 1000, 80.0, dark)
        .go(300, 1000, 80.0, place);
    near(&tunnel.seconds(), &[(0, 839)], 30);
    let jam = Day::new()
        .go(300, 1000, 60.0, speed)
        .go(900, 1000, 3.0, speed)
        .go(300, 1000, 60.0, speed);
    near(&jam.seconds(), &[(0, 1499)], 1);
    let jam = Day::new()
        .go(300, 1000, 60.0, place)
        .go(900, 1000, 6.0, place)
        .go(300, 1000, 60.0, place);
    near(&jam.seconds(), &[(0, 1499)], 30);
}

#[test]
fn manoeuvres_before_the_first_stretch_belong_to_it() {
    let day = Day::new()
        .go(600, 1000, 0.0, speed)
        .go(8, 1000, 4.0, speed)
        .go(90, 1000, 0.0, speed);
    near(&day.go(600, 1000, 50.0, speed).seconds(), &[(600, 1297)], 1);
}

#[test]
fn settings_are_followed() {
    let day = Day::new()
        .go(300, 1000, 50.0, speed)
        .go(400, 1000, 0.0, speed)
        .go(300, 1000, 50.0, speed);
    assert_eq!(day.trips().len(), 2);
    assert_eq!(
        day.trips_with(&TripSettings {
            rest_s: None,
            ..TripSettings::default()
        })
        .len(),
        1
    );
    assert_eq!(
        day.trips_with(&TripSettings {
            rest_s: Some(600),
            ..TripSettings::default()
        })
        .len(),
        1
    );
    let day = Day::new()
        .go(300, 1000, 50.0, speed)
        .silence(200)
        .go(300, 1000, 50.0, speed);
    assert_eq!(day.trips().len(), 1);
    assert_eq!(
        day.trips_with(&TripSettings {
            gap_s: 120,
            ..TripSettings::default()
        })
        .len(),
        2
    );
}

#[test]
fn a_vehicle_without_behaviour_has_the_same_trips() {
    let tell = |s: &mut Sample, t: &Truth| {
        t.place(s, 5.0);
        (s.speed_kmh, s.accel_x_ms2, s.engine_rpm) = (Some(t.kmh), Some(t.a), Some(900.0));
    };
    let day = Day::new()
        .go(600, 1000, 0.0, tell)
        .go(600, 1000, 50.0, tell)
        .go(900, 1000, 0.0, tell);
    let mut kept = day.raw();
    kept.iter_mut().for_each(|raw| minimise(&mut raw.sample, false));
    assert_eq!(
        assemble(&kept, &TripSettings::default()),
        assemble(&day.raw(), &TripSettings::default())
    );
}

#[test]
fn a_trip_under_way_is_open() {
    let found = assemble(&Day::new().go(600, 1000, 50.0, speed).raw(), &TripSettings::default());
    assert!(matches!(found[0].trip, Trip::Open { .. }));
    assert_eq!(found[0].range, 0..600);
}
