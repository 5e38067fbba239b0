use odograph_domain::{
    features::TripFeatures,
    mileage::{DayShare, Mileage, MileageGrade},
    trip::{TripBounds, TripEnd, TripStart},
};
use uuid::Uuid;

use super::*;

const VEHICLE: VehicleId = VehicleId::from_uuid(Uuid::from_u128(1));

fn at(minute: i64) -> EventTime {
    EventTime::from_millis(1_770_000_000_000 + minute * 60_000).unwrap()
}

fn bounds(from: i64, to: i64, ended_by: TripEnd) -> TripBounds {
    TripBounds {
        start: at(from),
        end: at(to),
        started_by: TripStart::Movement,
        ended_by,
    }
}

fn trip(id: u128) -> TripId {
    TripId::from_uuid(Uuid::from_u128(id))
}

/// A trip that was shown, from one minute to another.
fn shown(id: u128, from: i64, to: i64, ended_by: TripEnd) -> StoredTrip {
    let bounds = bounds(from, to, ended_by);
    StoredTrip {
        id: trip(id),
        bounds,
        version: 1,
        content_hash: [0; 32],
        driver: None,
        start_day: bounds.start.utc().date_naive(),
        days: vec![bounds.start.utc().date_naive()],
        samples: 60,
        billable_m: 1000.0,
        grade: MileageGrade::A,
        events: None,
    }
}

fn record(id: u128, from: i64, to: i64, version: i32) -> TripRecord {
    let bounds = bounds(from, to, TripEnd::Gap);
    let day = bounds.start.utc().date_naive();
    let mileage = Mileage {
        odometer_m: None,
        speed_m: None,
        gps_m: None,
        billable_m: 2000.0,
        source: None,
        grade: MileageGrade::B,
        reasons: vec![],
        by_day: vec![DayShare { day, metres: 2000.0 }],
    };
    TripRecord {
        id: trip(id),
        vehicle: VEHICLE,
        driver: None,
        bounds,
        time_zone: chrono_tz::Tz::UTC,
        features: TripFeatures {
            plan_version: 1,
            samples: 120,
            duration_s: 600.0,
            moving_s: 600.0,
            idle_s: 0.0,
            fix_share: None,
            hdop_median: None,
            marks: BTreeMap::new(),
            mileage,
            behaviour: None,
        },
        version,
    }
}

/// Kinds with the trips they are of, and the reasons.
fn told(
    old: &[StoredTrip],
    removed: &[TripId],
    changed: &[TripRecord],
    shown_until: i64,
    why: Why,
) -> Vec<(CorrectionKind, TripId, Vec<Why>)> {
    let shown = Shown {
        vehicle: Some((at(shown_until), at(shown_until).utc().date_naive())),
        drivers: BTreeMap::new(),
    };
    let replaced = Replaced {
        vehicle: VEHICLE,
        old,
        removed,
        changed,
    };
    let corrections = replaced.corrections(&shown, &Cause::of(why));
    corrections
        .into_iter()
        .map(|correction| {
            let why = correction.cause.why.into_iter().collect();
            (correction.kind, correction.trip.unwrap(), why)
        })
        .collect()
}

#[test]
fn what_follows_is_news_and_what_turns_up_among_the_shown_is_not() {
    assert_eq!(told(&[], &[], &[record(1, 50, 60, 1)], 50, Why::NewData), []);
    assert_eq!(
        told(&[], &[], &[record(1, 30, 40, 1)], 50, Why::LateData),
        [(CorrectionKind::TripAdded, trip(1), vec![Why::LateData])]
    );
}

#[test]
fn a_provisional_trip_that_goes_on_is_news_unless_others_follow_it() {
    let old = [shown(1, 0, 10, TripEnd::Silence)];
    let goes_on = [record(1, 0, 20, 2)];
    assert_eq!(told(&old, &[], &goes_on, 10, Why::NewData), []);
    assert_eq!(told(&old, &[], &goes_on, 10, Why::LateData), []);
    // It got its end, nothing else: that is news even when others follow.
    assert_eq!(told(&old, &[], &[record(1, 0, 10, 2)], 90, Why::NewData), []);
    assert_eq!(
        told(&old, &[], &goes_on, 90, Why::LateData),
        [(
            CorrectionKind::TripChanged,
            trip(1),
            vec![Why::LateData, Why::TripContinued]
        )]
    );
    // Somebody decided something: its changes are not driving.
    assert_eq!(
        told(&old, &[], &goes_on, 10, Why::PolicyChanged),
        [(CorrectionKind::TripChanged, trip(1), vec![Why::PolicyChanged])]
    );
    // It ends earlier, or began otherwise: that is not going on.
    for changed in [record(1, 0, 9, 2), record(1, 1, 20, 2)] {
        assert_eq!(told(&old, &[], &[changed], 10, Why::NewData).len(), 1);
    }
    let closed = [shown(1, 0, 10, TripEnd::Gap)];
    assert_eq!(told(&closed, &[], &goes_on, 10, Why::NewData).len(), 1);
}

#[test]
fn trips_that_part_merge_or_go_are_told_each() {
    let two = [shown(1, 0, 10, TripEnd::Gap), shown(2, 20, 30, TripEnd::Gap)];
    let merged = told(&two, &[trip(2)], &[record(1, 0, 30, 2)], 30, Why::LateData);
    let why = || vec![Why::LateData];
    assert_eq!(
        merged,
        [
            (CorrectionKind::TripsMerged, trip(1), why()),
            (CorrectionKind::TripsMerged, trip(2), why())
        ]
    );
    let one = [shown(1, 0, 30, TripEnd::Gap)];
    let parts = [record(1, 0, 10, 2), record(3, 20, 30, 1)];
    assert_eq!(
        told(&one, &[], &parts, 30, Why::LateData),
        [
            (CorrectionKind::TripSplit, trip(1), why()),
            (CorrectionKind::TripSplit, trip(3), why())
        ]
    );
    assert_eq!(
        told(&one, &[trip(1)], &[], 30, Why::Rebuild),
        [(CorrectionKind::TripWithdrawn, trip(1), vec![Why::Rebuild])]
    );
}

#[test]
fn scores_are_corrected_where_they_had_been_shown_for_good() {
    let day = |day: u32| NaiveDate::from_ymd_opt(2026, 3, day).unwrap();
    let change = |as_of, before, after| ScoreChange { as_of, before, after };
    let (old, new) = (Some((1, "80".parse().unwrap())), Some((2, "70".parse().unwrap())));
    let changes = [
        change(day(2), None, new),
        change(day(3), old, new),
        change(day(9), old, None),
        change(day(31), old, new),
    ];
    let driver = DriverId::from_uuid(Uuid::from_u128(7));
    let days = |shown_until, corrects| {
        let cause = Cause::of(Why::NewData);
        let told = scores(driver, VEHICLE, &changes, shown_until, corrects, &cause)?;
        let Some(Figures::Scores(after)) = told.after else {
            return None;
        };
        let after: Vec<_> = after
            .iter()
            .map(|score| (score.as_of, score.version, score.value.is_some()))
            .collect();
        Some((told.from_day, told.to_day, after))
    };
    assert_eq!(days(None, false), None);
    assert_eq!(days(Some(day(3)), false), None, "the day's own score grows");
    let past = vec![(day(3), 2, true), (day(9), 1, false)];
    assert_eq!(days(Some(day(20)), false), Some((day(3), day(9), past.clone())));
    let all = past.into_iter().chain([(day(31), 2, true)]).collect();
    assert_eq!(days(None, true), Some((day(3), day(31), all)));
}

#[test]
fn a_month_is_over_once_a_later_one_is_driven() {
    let month: Month = "2026-03".parse().unwrap();
    let driven = |day: &str| Shown {
        vehicle: None,
        drivers: [(DriverId::from_uuid(Uuid::from_u128(7)), day.parse().unwrap())].into(),
    };
    assert!(!month_was_over(month, &Shown::default()));
    assert!(!month_was_over(month, &driven("2026-03-31")));
    assert!(month_was_over(month, &driven("2026-04-01")));
    assert!(corrects(&[], &Cause::of(Why::PolicyChanged)) && !corrects(&[], &Cause::of(Why::LateData)));
}
