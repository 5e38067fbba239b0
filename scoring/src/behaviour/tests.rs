//! Events in made motions, and in the development data where it is there.

use odograph_domain::{
    batch::{AccelFrame, Gravity, RawSample},
    event::{BehaviourEvent, BehaviourKind},
};

use super::{BRAKING, event};
use crate::testing::{data, drive, one, sample};

fn events(samples: &[RawSample]) -> Vec<BehaviourEvent> {
    one(samples).behaviour.unwrap().events
}

fn kinds(samples: &[RawSample]) -> Vec<BehaviourKind> {
    events(samples).iter().map(|event| event.kind).collect()
}

/// Speed by time: steady at 54 km/h, from 60 s on changing at `rate` for `lasts` s; `hz` rows a second for two minutes.
fn speeds(hz: u32, rate: f64, lasts: f64) -> Vec<(f64, f64, f64)> {
    let row = |i: u32| {
        let t = f64::from(i) / f64::from(hz);
        let braked = (t - 60.0).clamp(0.0, lasts);
        let accelerates = t > 60.0 && t <= 60.0 + lasts;
        (t, 15.0 + rate * braked, if accelerates { rate } else { 0.0 })
    };
    (0..120 * hz).map(row).collect()
}

fn by_speed(hz: u32, rate: f64, lasts: f64) -> Vec<RawSample> {
    speeds(hz, rate, lasts)
        .iter()
        .map(|&(t, v, _)| sample(t, |s| s.speed_kmh = Some(v * 3.6)))
        .collect()
}

#[test]
fn braking_by_speed_at_any_rate() {
    for hz in [1, 2, 5, 10] {
        let found = events(&by_speed(hz, -4.0, 3.0));
        assert_eq!(found.len(), 1, "{hz} Hz: {found:?}");
        let event = &found[0];
        assert_eq!(event.kind, BehaviourKind::HarshBraking);
        assert!((event.peak - 4.0).abs() < 0.3, "{hz} Hz: {event:?}");
        assert!((2.0..=4.5).contains(&event.duration_s), "{hz} Hz: {event:?}");
        assert!((event.speed_kmh.unwrap() - 54.0).abs() < 9.0, "{hz} Hz: {event:?}");
        assert!(events(&by_speed(hz, -2.0, 5.0)).is_empty(), "{hz} Hz");
    }
}

#[test]
fn acceleration_by_speed() {
    assert_eq!(kinds(&by_speed(1, 3.5, 3.0)), [BehaviourKind::HarshAcceleration]);
}

#[test]
fn one_wrong_speed_is_no_event() {
    let mut samples = by_speed(1, 0.0, 0.0);
    samples[50].sample.speed_kmh = Some(30.0);
    samples[70].sample.speed_kmh = Some(0.0);
    samples[90].sample.speed_kmh = Some(200.0);
    assert!(events(&samples).is_empty());
}

#[test]
fn every_30_s_nothing_harsh_can_be_seen() {
    let slow: Vec<RawSample> = drive::town(3600).iter().step_by(30).map(drive::full).collect();
    let behaviour = one(&slow).behaviour.unwrap();
    assert!(!behaviour.braking_seen && !behaviour.cornering_seen);
    assert!(behaviour.events.is_empty());
}

#[test]
fn cornering_by_heading_and_speed() {
    // 15 m/s and 20° a second: 5.2 m/s² for four seconds, over north.
    let turn = |i: i32| {
        let turned = f64::from((i - 60).clamp(0, 4)) * 20.0;
        sample(f64::from(i), |s| {
            s.speed_kmh = Some(54.0);
            s.heading_deg = Some((330.0 + turned) % 360.0);
        })
    };
    let found = events(&(0..120).map(turn).collect::<Vec<_>>());
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].kind, BehaviourKind::HarshCornering);
    assert!((found[0].peak - 5.24).abs() < 0.1, "{found:?}");
}

#[test]
fn ordinary_town_driving_has_no_events() {
    let samples: Vec<RawSample> = drive::town(1800).iter().map(drive::full).collect();
    let behaviour = one(&samples).behaviour.unwrap();
    assert!(behaviour.events.is_empty(), "{:?}", behaviour.events);
    assert!(behaviour.braking_seen && behaviour.cornering_seen);
}

/// 50 Hz in the car's axes, on a slope, with vibration; speed once a second.
fn measured(rate: f64, lasts: f64, shock: bool) -> Vec<RawSample> {
    let mut noise = drive::Noise(11);
    let row = |(i, &(t, v, a)): (usize, &(f64, f64, f64))| {
        sample(t, |s| {
            let kerb = if shock && (3000..3004).contains(&i) { -12.0 } else { 0.0 };
            s.accel_x_ms2 = Some(a + 0.6 + noise.normal() * 0.8 + kerb);
            s.accel_y_ms2 = Some(noise.normal() * 0.8);
            s.accel_z_ms2 = Some(9.8);
            if i % 50 == 0 {
                s.speed_kmh = Some(v * 3.6);
            }
        })
    };
    speeds(50, rate, lasts).iter().enumerate().map(row).collect()
}

#[test]
fn braking_as_measured_at_50_hz() {
    let found = events(&measured(-4.5, 2.0, false));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        (found[0].peak - 4.5).abs() < 0.8 && (found[0].duration_s - 2.0).abs() < 0.6,
        "{found:?}"
    );
}

#[test]
fn a_kerb_is_no_event_with_speed_or_without() {
    let kerb = measured(0.0, 0.0, true);
    assert!(events(&kerb).is_empty(), "{:?}", events(&kerb));
    let mut alone = kerb;
    alone.iter_mut().for_each(|raw| raw.sample.speed_kmh = None);
    assert!(events(&alone).is_empty(), "{:?}", events(&alone));
}

#[test]
fn acceleration_alone_is_enough() {
    let mut alone = measured(-4.5, 2.0, false);
    alone.iter_mut().for_each(|raw| raw.sample.speed_kmh = None);
    assert_eq!(kinds(&alone), [BehaviourKind::HarshBraking]);
}

#[test]
fn axes_of_an_unaligned_device_tell_nothing() {
    let mut samples = measured(-4.5, 2.0, false);
    for raw in &mut samples {
        raw.accel_frame = AccelFrame::Device;
        raw.sample.speed_kmh = None;
    }
    assert!(events(&samples).is_empty());
    // Nor do axes that are not what they are said to be: gravity on y.
    let mut samples = measured(0.0, 0.0, false);
    for raw in &mut samples {
        (raw.sample.accel_y_ms2, raw.sample.speed_kmh) = (Some(-9.6), None);
    }
    assert!(events(&samples).is_empty());
}

#[test]
fn earth_axes_are_turned_by_the_heading() {
    // Driving east-south-east (120°) and braking at 4.5 m/s².
    let mut samples = measured(-4.5, 2.0, false);
    let (sin, cos) = 120.0_f64.to_radians().sin_cos();
    for raw in &mut samples {
        let (along, left) = (raw.sample.accel_x_ms2.unwrap() - 0.6, raw.sample.accel_y_ms2.unwrap());
        raw.accel_frame = AccelFrame::Earth;
        raw.gravity = Gravity::Removed;
        raw.sample.accel_x_ms2 = Some(along * sin - left * cos);
        raw.sample.accel_y_ms2 = Some(along * cos + left * sin);
        raw.sample.heading_deg = Some(120.0);
    }
    assert_eq!(kinds(&samples), [BehaviourKind::HarshBraking]);
}

#[test]
fn a_wobble_around_the_threshold_is_one_event() {
    let t_ms: Vec<i64> = (0..10).map(|i| i * 1000).collect();
    let values = [0.0, 2.6, 2.3, 2.7, 2.1, 2.8, 0.0, 2.4, 2.4, 0.0];
    let found = event::find(&t_ms, &values, &BRAKING, 0);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].start_ms, found[0].duration_s, found[0].peak), (0, 5.0, 2.8));
}

#[test]
fn speeding_and_phone() {
    let row = |i: i32| {
        sample(f64::from(i), |s| {
            s.speed_kmh = Some(68.0);
            s.speed_limit_kmh = Some(if (100..130).contains(&i) { 50.0 } else { 70.0 });
            s.phone_in_use = Some((200..240).contains(&i));
        })
    };
    let behaviour = one(&(0..=300).map(row).collect::<Vec<_>>()).behaviour.unwrap();
    let found: Vec<_> = behaviour
        .events
        .iter()
        .map(|e| (e.kind, e.duration_s, e.peak))
        .collect();
    assert_eq!(
        found,
        [
            (BehaviourKind::Speeding, 30.0, 18.0),
            (BehaviourKind::PhoneUse, 40.0, 1.0)
        ]
    );
    assert!((behaviour.speeding_share.unwrap() - 0.1).abs() < 1e-9);
    assert!((behaviour.phone_share.unwrap() - 40.0 / 300.0).abs() < 1e-9);
    assert_eq!((behaviour.limit_known_s, behaviour.phone_known_s), (300.0, 300.0));
}

/// The phone over potholes, with its axes as they are (5 rows a second, speed once a second).
fn potholes(trip: &str) -> Option<Vec<RawSample>> {
    let rows = data(&format!("crash/{trip}.csv.gz"))?;
    let number = |row: &std::collections::BTreeMap<String, String>, name: &str| row[name].parse::<f64>().unwrap();
    let start = number(&rows[0], "timestamp");
    let mut samples: Vec<RawSample> = Vec::new();
    for row in &rows {
        let mut raw = sample(number(row, "timestamp") - start, |s| {
            (s.lat, s.lon) = (Some(number(row, "latitude")), Some(number(row, "longitude")));
            s.speed_kmh = Some(f64::max(0.0, number(row, "speed")) * 3.6);
            s.accel_x_ms2 = Some(number(row, "accelerometerX") * 9.81);
            s.accel_y_ms2 = Some(number(row, "accelerometerY") * 9.81);
            s.accel_z_ms2 = Some(number(row, "accelerometerZ") * 9.81);
        });
        raw.accel_frame = AccelFrame::Device;
        // The first file has whole seconds only, five rows in each.
        if let Some(before) = samples.last().filter(|before| before.sample.ts >= raw.sample.ts) {
            raw.sample.ts = before.sample.ts + chrono::TimeDelta::milliseconds(200);
        }
        samples.push(raw);
    }
    Some(samples)
}

#[test]
fn potholes_are_no_harsh_events() {
    for trip in ["pothole_trip1", "pothole_trip2", "pothole_trip3"] {
        let Some(samples) = potholes(trip) else { return };
        let mut smooth = samples.clone();
        for raw in &mut smooth {
            (raw.sample.accel_x_ms2, raw.sample.accel_y_ms2, raw.sample.accel_z_ms2) = (None, None, None);
        }
        // What there is comes from speed, and as much of it as without the shocks.
        assert_eq!(events(&samples), events(&smooth), "{trip}");
        // With the shocks on the axes of the car, and nothing to hold them against: x is across, z along this phone.
        let mut alone = samples.clone();
        for raw in &mut alone {
            raw.accel_frame = AccelFrame::Vehicle;
            let s = &mut raw.sample;
            (s.accel_x_ms2, s.accel_y_ms2) = (s.accel_z_ms2.map(|z| -z), s.accel_x_ms2);
            s.accel_z_ms2 = Some(9.81);
        }
        let found = events(&alone);
        let harsh = found.iter().filter(|e| e.kind != BehaviourKind::HarshCornering).count();
        eprintln!(
            "{trip}: {} by speed, {harsh} along and {} in all as measured",
            events(&smooth).len(),
            found.len()
        );
        assert!(harsh <= events(&smooth).len() + 2, "{trip}: {found:?}");
    }
}

/// What the driver was asked to do, from and to which second.
type Staged = Vec<(String, f64, f64)>;

/// The phone's earth axes and gyro, no speed, no heading: all has to come from the turns.
fn staged(trip: &str) -> Option<(Vec<RawSample>, Staged)> {
    let rows = data(&format!("harsh/{trip}.csv.gz"))?;
    let truth = data(&format!("harsh/{trip}_truth.csv"))?;
    let to_sample = |row: &std::collections::BTreeMap<String, String>| {
        let number = |name: &str| row[name].parse::<f64>().ok();
        let mut raw = sample(number("t_s").unwrap(), |s| {
            (s.accel_x_ms2, s.accel_y_ms2) = (number("accel_east_ms2"), number("accel_north_ms2"));
            (s.accel_z_ms2, s.gyro_z_rads) = (number("accel_up_ms2"), number("gyro_z_rads"));
        });
        (raw.accel_frame, raw.gravity) = (AccelFrame::Earth, Gravity::Removed);
        raw
    };
    let spans = truth.iter().map(|row| {
        (
            row["event"].clone(),
            row["start_s"].parse().unwrap(),
            row["end_s"].parse().unwrap(),
        )
    });
    Some((rows.iter().map(to_sample).collect(), spans.collect()))
}

#[test]
fn staged_harsh_events_are_found_and_calm_ones_are_not() {
    for trip in ["trip_17", "trip_20"] {
        let Some((samples, truth)) = staged(trip) else { return };
        let found = events(&samples);
        let at = |e: &BehaviourEvent| (e.ts - crate::testing::noon()).as_seconds_f64();
        for (staged, from, to) in &truth {
            let overlaps = |e: &&BehaviourEvent| at(e) < to + 0.5 && at(e) + e.duration_s > from - 0.5;
            let kinds: Vec<BehaviourKind> = found.iter().filter(overlaps).map(|e| e.kind).collect();
            match staged.as_str() {
                // The signal swings back after a stop, so acceleration may follow.
                "harsh_brake" => assert_eq!(kinds[0], BehaviourKind::HarshBraking, "{trip} at {from} s"),
                "none" => assert!(kinds.is_empty(), "{trip} at {from} s: {kinds:?}"),
                _ => {}
            }
        }
    }
}
