use std::collections::BTreeMap;

use odograph_domain::{
    event::BehaviourEvent,
    mileage::{Mileage, MileageGrade},
};
use proptest::prelude::*;

use super::*;
use crate::testing::{after, noon};

fn trip(km: f64, brakings: usize) -> TripFeatures {
    let event = |i: usize| BehaviourEvent {
        kind: BehaviourKind::HarshBraking,
        ts: after(noon(), i as f64),
        duration_s: 1.0,
        peak: 4.0,
        speed_kmh: Some(50.0),
    };
    TripFeatures {
        plan_version: 1,
        samples: 100,
        duration_s: km * 90.0,
        moving_s: km * 72.0,
        idle_s: km * 18.0,
        fix_share: Some(1.0),
        hdop_median: None,
        marks: BTreeMap::new(),
        mileage: Mileage {
            odometer_m: None,
            speed_m: None,
            gps_m: Some(km * 1000.0),
            billable_m: km * 1000.0,
            source: None,
            grade: MileageGrade::B,
            reasons: Vec::new(),
            by_day: Vec::new(),
        },
        behaviour: Some(BehaviourFeatures {
            mean_speed_kmh: 50.0,
            top_speed_kmh: 80.0,
            night_share: 0.1,
            weekend_share: 0.0,
            speeding_share: Some(0.05),
            limit_known_s: km * 60.0,
            phone_share: None,
            phone_known_s: 0.0,
            braking_seen: true,
            cornering_seen: true,
            events: (0..brakings).map(event).collect(),
        }),
    }
}

fn day(n: u64) -> NaiveDate {
    "2026-03-01".parse::<NaiveDate>().unwrap() + Days::new(n)
}

fn score(trips: &[(NaiveDate, TripFeatures)]) -> Option<Score> {
    let borrowed: Vec<_> = trips.iter().map(|(day, trip)| (*day, trip)).collect();
    ExpertScore::new().score(day(30), &borrowed)
}

#[test]
fn weights_sum_to_a_hundred_and_an_average_driver_is_in_the_middle_of_the_upper_half() {
    assert_eq!(FACTORS.iter().map(|factor| factor.weight).sum::<f64>(), 100.0);
    let average = Array2::from_shape_vec((1, 6), FACTORS.iter().map(|f| f.average).collect()).unwrap();
    let scores: Array1<f64> = ExpertWeights.predict(&average);
    assert_eq!(scores[0], 81.4);
}

#[test]
fn too_little_driving_has_no_score_and_neither_has_driving_outside_the_window() {
    assert!(score(&[]).is_none());
    assert!(score(&[(day(30), trip(19.9, 0))]).is_none());
    assert!(score(&[(day(30), trip(20.0, 0))]).is_some());
    assert!(score(&[(day(31), trip(100.0, 0))]).is_none());
    let windows_first = day(30) - Days::new(89);
    assert!(score(&[(windows_first, trip(100.0, 0))]).is_some());
    assert!(score(&[(windows_first - Days::new(1), trip(100.0, 0))]).is_none());
}

#[test]
fn trips_without_behaviour_do_not_count() {
    let mut payd = trip(100.0, 0);
    payd.behaviour = None;
    assert!(score(&[(day(1), payd)]).is_none());
}

#[test]
fn reasons_add_up_and_say_what_could_not_be_seen() {
    let score = score(&[(day(1), trip(400.0, 80))]).unwrap();
    let points: Decimal = score.reasons.iter().map(|reason| reason.points).sum();
    assert_eq!(Decimal::ONE_HUNDRED + points, score.value);
    assert_eq!(score.reasons[0].code, "harsh_braking");
    assert_eq!(score.reasons[0].value, 20.0);
    assert!(score.reasons.is_sorted_by_key(|reason| reason.points));
    let phone = score.reasons.iter().find(|reason| reason.code == "phone_use").unwrap();
    assert!(phone.text.contains("could not observe phone use"), "{}", phone.text);
    assert_eq!(phone.points, Decimal::new(-23, 1));
}

#[test]
fn little_driving_is_drawn_towards_the_average() {
    let braking = |km: f64, events: usize| {
        let score = score(&[(day(1), trip(km, events))]).unwrap();
        score
            .reasons
            .iter()
            .find(|reason| reason.code == "harsh_braking")
            .unwrap()
            .points
    };
    // The same rate of 20 per 100 km costs more the longer it is seen.
    assert!(braking(20.0, 4) > braking(200.0, 40));
    assert!(braking(200.0, 40) > braking(2000.0, 400));
    // And none at all brings more.
    assert!(braking(20.0, 0) < braking(2000.0, 0));
}

#[test]
fn events_below_the_scoring_threshold_are_recorded_and_do_not_count() {
    let mut mild = trip(100.0, 10);
    mild.behaviour
        .as_mut()
        .unwrap()
        .events
        .iter_mut()
        .for_each(|event| event.peak = 3.0);
    assert_eq!(
        score(&[(day(1), mild)]).unwrap().value,
        score(&[(day(1), trip(100.0, 0))]).unwrap().value
    );
}

#[test]
fn the_documentation_shows_the_table() {
    let mut table = String::from("| factor | unit | weight | average | worst |\n|---|---|---|---|---|\n");
    for f in &FACTORS {
        table += &format!(
            "| `{}` | {} | {} | {} | {} |\n",
            f.code, f.unit, f.weight, f.average, f.worst
        );
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/science/score.md");
    let page = std::fs::read_to_string(path).unwrap();
    assert!(page.contains(&table), "docs/science/score.md must contain\n\n{table}");
}

proptest! {
    #[test]
    fn the_order_of_trips_does_not_matter(
        made in prop::collection::vec((0_u64..30, 1.0..80.0_f64, 0_usize..9), 1..12),
        seed in any::<u64>(),
    ) {
        let trips: Vec<_> = made.iter().map(|&(d, km, n)| (day(d), trip(km, n))).collect();
        let mut shuffled = trips.clone();
        // Fisher–Yates by a small generator: any permutation will do.
        let mut state = seed;
        for i in (1..shuffled.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            shuffled.swap(i, (state >> 33) as usize % (i + 1));
        }
        prop_assert_eq!(score(&trips), score(&shuffled));
    }

    #[test]
    fn more_events_never_raise_the_score(
        made in prop::collection::vec((0_u64..30, 1.0..80.0_f64, 0_usize..9), 1..12),
        which in any::<prop::sample::Index>(),
        more in 1_usize..20,
    ) {
        let trips: Vec<_> = made.iter().map(|&(d, km, n)| (day(d), trip(km, n))).collect();
        let mut harsher = trips.clone();
        let (d, km, n) = made[which.index(made.len())];
        harsher[which.index(made.len())] = (day(d), trip(km, n + more));
        match (score(&trips), score(&harsher)) {
            (Some(before), Some(after)) => {
                prop_assert!(after.value <= before.value);
                prop_assert!(after.value >= Decimal::ZERO && before.value <= Decimal::ONE_HUNDRED);
            }
            (before, after) => prop_assert_eq!(before.is_some(), after.is_some()),
        }
    }
}
