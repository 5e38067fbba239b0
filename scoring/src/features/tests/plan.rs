//! What the plan promises, whatever it is given.

use chrono_tz::Tz;
use odograph_domain::{batch::RawSample, features::QualityMark};
use proptest::prelude::*;

use crate::{
    features::{TripInput, features},
    testing::{
        at,
        drive::{full, parked, positions, town},
        input, one, sample,
    },
};

pub(super) fn full_trip(seconds: usize) -> Vec<RawSample> {
    town(seconds).iter().map(full).collect()
}

#[test]
fn a_trip_is_the_same_alone_and_among_others_to_the_bit() {
    let trips = [full_trip(700), positions(&town(900), 3.0), Vec::new(), full_trip(301)];
    let inputs: Vec<_> = trips.iter().map(|samples| input(samples)).collect();
    let together = features(&inputs).unwrap();
    assert_eq!(together.len(), 4);
    for (trip, found) in inputs.iter().zip(&together) {
        let alone = features(std::slice::from_ref(trip)).unwrap().remove(0);
        assert_eq!(
            serde_json::to_string(&alone).unwrap(),
            serde_json::to_string(found).unwrap()
        );
    }
    let turned: Vec<_> = inputs.iter().rev().copied().collect();
    let mut backwards = features(&turned).unwrap();
    backwards.reverse();
    assert_eq!(backwards, together);
    assert!(features(&[]).unwrap().is_empty());
}

#[test]
fn samples_out_of_order_are_put_in_order() {
    let samples = full_trip(600);
    let mut shuffled = samples.clone();
    shuffled.reverse();
    let bounds = input(&samples).bounds;
    assert_eq!(
        features(&[TripInput {
            bounds,
            ..input(&shuffled)
        }])
        .unwrap()[0],
        one(&samples)
    );
}

#[test]
fn payd_keeps_no_behaviour() {
    let samples = full_trip(600);
    let trip = features(&[TripInput {
        behaviour_allowed: false,
        ..input(&samples)
    }])
    .unwrap()
    .remove(0);
    assert!(trip.behaviour.is_none());
    assert_eq!(trip.mileage, one(&samples).mileage);
}

#[test]
fn times_and_speeds() {
    let drive = town(1800);
    let trip = one(&drive.iter().map(full).collect::<Vec<_>>());
    let b = trip.behaviour.unwrap();
    let moving = drive.iter().filter(|car| car.speed_ms > 1.0).count() as f64;
    assert_eq!((trip.samples, trip.duration_s), (1801, 1800.0));
    assert!((trip.moving_s - moving).abs() < 60.0, "{} of {moving}", trip.moving_s);
    assert!((trip.moving_s + trip.idle_s - trip.duration_s).abs() < 1e-9);
    assert!((b.top_speed_kmh - 50.4).abs() < 1e-9);
    assert!((b.mean_speed_kmh - drive.last().unwrap().driven_m / trip.moving_s * 3.6).abs() < 0.2);
    assert_eq!(trip.fix_share, Some(1.0));
    assert_eq!((b.speeding_share, b.phone_share), (None, None));
    let rest = one(&parked(600).iter().map(full).collect::<Vec<_>>());
    assert_eq!((rest.moving_s, rest.idle_s), (0.0, 600.0));
}

#[test]
fn nights_and_weekends_are_the_insureds() {
    let from = |start: &str, zone: Tz| {
        let shift = at(start) - at("2026-03-04T12:00:00Z");
        let mut samples = full_trip(7200);
        samples.iter_mut().for_each(|raw| raw.sample.ts = raw.sample.ts + shift);
        let b = features(&[TripInput {
            time_zone: zone,
            ..input(&samples)
        }])
        .unwrap()
        .remove(0)
        .behaviour
        .unwrap();
        ((b.night_share * 100.0).round() / 100.0, b.weekend_share.round())
    };
    // A Wednesday, 21:00 to 23:00 in Berlin.
    assert_eq!(from("2026-03-04T20:00:00Z", Tz::Europe__Berlin), (0.5, 0.0));
    assert_eq!(from("2026-03-04T20:00:00Z", Tz::UTC), (0.0, 0.0));
    // In summer an hour earlier.
    assert_eq!(from("2026-07-01T19:00:00Z", Tz::Europe__Berlin), (0.5, 0.0));
    // The night the clocks go forward: 04:00 to 06:00 summer time begins at 02:00 UTC. A Sunday.
    assert_eq!(from("2026-03-29T02:00:00Z", Tz::Europe__Berlin), (0.5, 1.0));
    // Saturday begins at 13:00 UTC of Friday in Auckland's winter, less an hour.
    assert_eq!(from("2026-07-03T12:00:00Z", Tz::Pacific__Auckland).1, 1.0);
    assert_eq!(from("2026-07-03T10:00:00Z", Tz::Pacific__Auckland).1, 0.0);
}

#[test]
fn columns_that_come_at_different_rates() {
    // Position and speed once a second on rows of their own, acceleration 20 times a second on others.
    let drive = town(600);
    let mut samples: Vec<RawSample> = Vec::new();
    for car in &drive {
        samples.push(full(car));
        samples.extend((1..20).map(|i| {
            sample(car.s + f64::from(i) / 20.0, |s| {
                (s.accel_x_ms2, s.accel_y_ms2) = (Some(0.1), Some(-0.1))
            })
        }));
    }
    let mixed = one(&samples);
    let plain = one(&drive.iter().map(full).collect::<Vec<_>>());
    assert!((mixed.mileage.billable_m - plain.mileage.billable_m).abs() < 1.0);
    assert_eq!(mixed.mileage.grade, plain.mileage.grade);
    assert!(
        (mixed.moving_s - plain.moving_s).abs() < 30.0,
        "{} {}",
        mixed.moving_s,
        plain.moving_s
    );
    assert_eq!(mixed.fix_share, Some(1.0));
    assert!(mixed.behaviour.unwrap().events.is_empty());
}

#[test]
fn marks_count_what_is_wrong() {
    let mut samples = full_trip(600);
    samples[100].sample.speed_kmh = Some(300.0);
    samples[200].sample.odometer_km = Some(0.0);
    samples.drain(300..400);
    let marks = one(&samples).marks;
    assert_eq!(marks[&QualityMark::ImpossibleAcceleration], 2);
    assert_eq!(marks[&QualityMark::OdometerFault], 1);
    assert_eq!(marks[&QualityMark::Hole], 1);
}

fn any_sample() -> impl Strategy<Value = (i64, [Option<f64>; 9])> {
    let number = |range: std::ops::Range<f64>| prop::option::of(range);
    let lat = prop::option::of(-90.0..90.0_f64);
    let lon = -180.0..180.0_f64;
    (
        0_i64..4000,
        lat,
        lon,
        number(0.0..400.0),
        number(0.0..360.0),
        number(0.0..1e6),
        number(-80.0..80.0),
        number(0.0..99.0),
    )
        .prop_map(|(s, lat, lon, speed, heading, odometer, accel, hdop)| {
            (
                s,
                [
                    lat,
                    lat.map(|_| lon),
                    speed,
                    heading,
                    odometer,
                    accel,
                    accel,
                    hdop,
                    speed,
                ],
            )
        })
}

/// A trip of anything that ingest lets through.
pub(super) fn any_samples() -> impl Strategy<Value = Vec<RawSample>> {
    prop::collection::vec(any_sample(), 0..60).prop_map(|made| {
        let made = made.into_iter().map(|(s, values)| {
            sample(s as f64, |sample| {
                let [lat, lon, speed, heading, odometer, x, y, hdop, limit] = values;
                (sample.lat, sample.lon, sample.speed_kmh, sample.heading_deg) = (lat, lon, speed, heading);
                (sample.odometer_km, sample.accel_x_ms2, sample.accel_y_ms2) = (odometer, x, y);
                (sample.hdop, sample.speed_limit_kmh) = (hdop, limit.map(|v| v / 2.0));
            })
        });
        let mut samples: Vec<RawSample> = made.collect();
        samples.sort_by_key(|raw| raw.sample.ts);
        samples
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Anything that ingest lets through: no panic, no figure that is not a number, nothing billed out of nothing.
    #[test]
    fn any_data_gives_sound_figures(samples in any_samples()) {
        let trip = one(&samples);
        let json = serde_json::to_value(&trip).unwrap();
        prop_assert_eq!(serde_json::from_value::<odograph_domain::features::TripFeatures>(json).unwrap(), trip.clone());
        let sum: f64 = trip.mileage.by_day.iter().map(|day| day.metres).sum();
        prop_assert!(trip.mileage.billable_m >= 0.0 && (sum - trip.mileage.billable_m).abs() < 1e-3);
        prop_assert!(trip.mileage.billable_m <= 112.0 * trip.duration_s + 2000.0, "{:?}", trip.mileage);
        prop_assert!(trip.moving_s + trip.idle_s <= trip.duration_s + 1e-9);
        let Some(b) = trip.behaviour else {
            prop_assert!(samples.is_empty());
            return Ok(());
        };
        for share in [Some(b.night_share), Some(b.weekend_share), b.speeding_share, b.phone_share].into_iter().flatten() {
            prop_assert!((0.0..=1.0).contains(&share));
        }
    }
}
