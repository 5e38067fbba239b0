//! Mileage of made drives with known truth and known faults, by the whole plan.

use chrono_tz::Tz;
use odograph_domain::{
    batch::RawSample,
    features::{QualityMark, TripFeatures},
    mileage::{DistanceSource, Mileage, MileageGrade, MileageReason},
};

use crate::{
    features::{TripInput, features},
    testing::{
        at,
        drive::{Instant, Noise, full, parked, positions, put, town},
        input, one, sample,
    },
};

fn mileage(samples: &[RawSample]) -> Mileage {
    one(samples).mileage
}

fn reported(drive: &[Instant], mut change: impl FnMut(usize, &mut RawSample)) -> Vec<RawSample> {
    let report = |(i, car): (usize, &Instant)| {
        let mut raw = full(car);
        change(i, &mut raw);
        raw
    };
    drive.iter().enumerate().map(report).collect()
}

fn truth(drive: &[Instant]) -> f64 {
    drive.last().unwrap().driven_m
}

#[track_caller]
fn assert_near(mileage: &Mileage, truth_m: f64, share: f64) {
    let off = mileage.billable_m / truth_m - 1.0;
    assert!(
        off.abs() <= share,
        "{:.0} m of {truth_m:.0} m ({:+.2} %): {mileage:?}",
        mileage.billable_m,
        off * 100.0
    );
}

#[test]
fn sound_sources_agree() {
    let drive = town(1800);
    let m = mileage(&reported(&drive, |_, _| ()));
    assert_near(&m, truth(&drive), 0.001);
    assert_eq!((m.grade, m.source), (MileageGrade::A, Some(DistanceSource::Odometer)));
    assert_eq!(m.reasons, [MileageReason::SourcesAgree]);
    for source in [m.odometer_m, m.speed_m, m.gps_m] {
        assert!((source.unwrap() / truth(&drive) - 1.0).abs() < 0.01, "{m:?}");
    }
}

#[test]
fn each_source_alone() {
    let drive = town(1800);
    let odometer = mileage(&reported(&drive, |_, r| {
        (r.sample.lat, r.sample.lon, r.sample.speed_kmh, r.sample.heading_deg) = (None, None, None, None);
    }));
    assert_near(&odometer, truth(&drive), 0.001);
    let speed = mileage(&reported(&drive, |_, r| {
        (r.sample.lat, r.sample.lon, r.sample.odometer_km) = (None, None, None);
    }));
    assert_near(&speed, truth(&drive), 0.001);
    let gps = mileage(&positions(&drive, 0.0));
    assert_near(&gps, truth(&drive), 0.02);
    for m in [odometer, speed, gps] {
        assert_eq!(
            (m.grade, m.reasons),
            (MileageGrade::B, vec![MileageReason::SingleSource])
        );
    }
}

#[test]
fn noisy_positions_alone_do_not_make_the_way_longer() {
    let drive = town(1800);
    for noise_m in [1.0, 2.0, 4.0, 6.0] {
        let m = mileage(&positions(&drive, noise_m));
        assert_near(&m, truth(&drive), 0.025);
    }
}

#[test]
fn slow_sampling() {
    let drive = town(3600);
    for every in [5, 10, 30] {
        let slow: Vec<RawSample> = reported(&drive, |_, _| ()).into_iter().step_by(every).collect();
        let without_odometer = |r: &RawSample| {
            let mut r = r.clone();
            r.sample.odometer_km = None;
            r
        };
        assert_near(&mileage(&slow), truth(&drive), 0.01);
        let slow: Vec<RawSample> = slow.iter().map(without_odometer).collect();
        let m = mileage(&slow);
        assert_near(&m, truth(&drive), 0.01);
        // By position alone corners are cut, and that is all.
        let m = mileage(&positions(&drive, 2.0).into_iter().step_by(every).collect::<Vec<_>>());
        assert!(
            m.billable_m <= 1.02 * truth(&drive) && m.billable_m >= 0.85 * truth(&drive),
            "{m:?}"
        );
    }
}

#[test]
fn a_stuck_odometer_does_not_shorten_the_way() {
    let drive = town(1800);
    let stuck_at = 12_345.678 + drive[600].driven_m / 1000.0;
    let m = mileage(&reported(&drive, |i, r| {
        if i > 600 {
            r.sample.odometer_km = Some(stuck_at);
        }
    }));
    assert_near(&m, truth(&drive), 0.02);
    assert!(m.reasons.contains(&MileageReason::OdometerStuck), "{m:?}");
}

#[test]
fn jumps_and_running_backwards_do_not_bill() {
    let drive = town(1800);
    for (name, by_km) in [
        (MileageReason::OdometerJump, 250.0),
        (MileageReason::OdometerBackwards, -250.0),
    ] {
        let shifted = |i: usize, r: &mut RawSample| {
            if i > 900 {
                r.sample.odometer_km = r.sample.odometer_km.map(|km| km + by_km);
            }
        };
        let m = mileage(&reported(&drive, shifted));
        assert_near(&m, truth(&drive), 0.01);
        assert!(m.reasons.contains(&name), "{m:?}");
        // With nothing else to go by, all but the one interval is still known.
        let alone = mileage(&reported(&drive, |i, r| {
            shifted(i, r);
            (r.sample.lat, r.sample.lon, r.sample.speed_kmh) = (None, None, None);
        }));
        assert_near(&alone, truth(&drive), 0.01);
        assert_eq!(alone.grade, MileageGrade::C, "{alone:?}");
    }
}

#[test]
fn glitches_of_the_odometer_do_not_bill() {
    let drive = town(1800);
    let m = mileage(&reported(&drive, |i, r| {
        if i % 100 == 50 {
            r.sample.odometer_km = Some(if i % 200 == 50 { 0.0 } else { 999_999.0 });
        }
    }));
    assert_near(&m, truth(&drive), 0.01);
}

#[test]
fn kilometre_steps_are_not_billed_where_something_finer_is_known() {
    let drive = town(1800);
    let coarse = |r: &mut RawSample| r.sample.odometer_km = r.sample.odometer_km.map(f64::floor);
    let m = mileage(&reported(&drive, |_, r| coarse(r)));
    assert_near(&m, truth(&drive), 0.01);
    assert!(m.reasons.contains(&MileageReason::OdometerCoarse));
    let alone = mileage(&reported(&drive, |_, r| {
        coarse(r);
        (r.sample.lat, r.sample.lon, r.sample.speed_kmh) = (None, None, None);
    }));
    assert!(
        alone.billable_m <= truth(&drive) && alone.billable_m >= truth(&drive) - 2000.0,
        "{alone:?}"
    );
    assert_eq!((alone.grade, alone.source), (MileageGrade::D, None));
    // A car that rolls over a full kilometre in its yard has not driven one.
    let yard = mileage(&reported(&drive[..40], |i, r| {
        r.sample.odometer_km = Some(if i < 20 { 41_000.0 } else { 41_001.0 });
        (r.sample.lat, r.sample.lon, r.sample.speed_kmh) = (None, None, None);
    }));
    assert_eq!(yard.billable_m, 0.0);
}

#[test]
fn an_odometer_that_runs_wild_is_outvoted() {
    let drive = town(1800);
    let m = mileage(&reported(&drive, |_, r| {
        r.sample.odometer_km = r.sample.odometer_km.map(|km| km * 1.3 - 3700.0)
    }));
    assert_near(&m, truth(&drive), 0.01);
    assert_eq!(m.source, Some(DistanceSource::Speed));
    assert!(m.reasons.contains(&MileageReason::SourcesDisagree));
}

#[test]
fn of_two_that_quarrel_the_lower_is_billed() {
    let drive = town(1800);
    let m = mileage(&reported(&drive, |_, r| {
        r.sample.odometer_km = None;
        r.sample.speed_kmh = r.sample.speed_kmh.map(|v| v * 1.5);
    }));
    assert_near(&m, truth(&drive), 0.02);
    assert_eq!((m.grade, m.source), (MileageGrade::C, Some(DistanceSource::Gps)));
}

/// A walk around a parked car: 2 m of noise, and a wander that goes tens of metres off and comes back.
fn wander(seconds: usize, speed_kmh: Option<f64>) -> Vec<RawSample> {
    let mut noise = Noise(3);
    let (mut e, mut n) = (0.0, 0.0);
    let fix = |car: &Instant| {
        e += noise.normal() * 1.0 - e * 0.01;
        n += noise.normal() * 1.0 - n * 0.01;
        let at = (e + noise.normal() * 2.0, n + noise.normal() * 2.0);
        sample(car.s, |s| {
            put(s, at.0, at.1);
            s.speed_kmh = speed_kmh;
        })
    };
    parked(seconds).iter().map(fix).collect()
}

#[test]
fn a_parked_car_does_not_drive() {
    for speed in [None, Some(0.0), Some(0.6)] {
        let m = mileage(&wander(1200, speed));
        assert!(
            m.billable_m < if speed.is_none() { 60.0 } else { 1.0 },
            "{speed:?}: {m:?}"
        );
    }
    assert_eq!(mileage(&reported(&parked(1200), |_, _| ())).billable_m, 0.0);
}

#[test]
fn teleports_do_not_bill() {
    let drive = town(1800);
    let mut noise = Noise(5);
    let mut fixes = positions(&drive, 1.0);
    for raw in fixes.iter_mut().skip(1) {
        if noise.uniform() < 0.02 {
            put(&mut raw.sample, 5000.0 + 500.0 * noise.normal(), -4000.0);
        }
    }
    let found = one(&fixes);
    assert_near(&found.mileage, truth(&drive), 0.03);
    assert!(found.mileage.reasons.contains(&MileageReason::GpsTeleport));
    assert!(found.marks[&QualityMark::Teleport] > 10);
    // A receiver that starts up elsewhere, and one that ends there.
    for shifted in [0..5, 1796..1801] {
        let mut fixes = positions(&drive, 1.0);
        fixes[shifted]
            .iter_mut()
            .for_each(|raw| raw.sample.lat = raw.sample.lat.map(|lat| lat + 1.0));
        assert_near(&mileage(&fixes), truth(&drive), 0.03);
    }
}

#[test]
fn a_frozen_position_falls_back_on_speed() {
    let drive = town(1800);
    let (lat, lon) = {
        let s = full(&drive[600]).sample;
        (s.lat, s.lon)
    };
    let found = one(&reported(&drive, |i, r| {
        r.sample.odometer_km = None;
        if (600..700).contains(&i) {
            (r.sample.lat, r.sample.lon) = (lat, lon);
        }
    }));
    assert_near(&found.mileage, truth(&drive), 0.01);
    assert!(found.marks[&QualityMark::FrozenPosition] > 50, "{:?}", found.marks);
}

fn with_hole(drive: &[Instant], hole: std::ops::Range<usize>, change: impl Fn(&mut RawSample)) -> Vec<RawSample> {
    let mut samples = reported(drive, |_, r| change(r));
    samples.drain(hole);
    samples
}

#[test]
fn holes_bill_what_is_proved() {
    let drive = town(1800);
    let (from, to) = (600, 840);
    let inside = drive[to].driven_m - drive[from - 1].driven_m;
    let chord = (drive[to].east_m - drive[from - 1].east_m).hypot(drive[to].north_m - drive[from - 1].north_m);
    // The odometer counted on.
    let m = mileage(&with_hole(&drive, from..to, |_| ()));
    assert_near(&m, truth(&drive), 0.01);
    // Position proves the straight line, no more.
    let m = mileage(&with_hole(&drive, from..to, |r| r.sample.odometer_km = None));
    assert_near(&m, truth(&drive) - inside + chord, 0.02);
    assert_eq!(m.grade, MileageGrade::C);
    assert!(m.reasons.contains(&MileageReason::GpsGap) && m.reasons.contains(&MileageReason::SpeedGap));
    // Speed at the ends proves nothing.
    let m = mileage(&with_hole(&drive, from..to, |r| {
        (r.sample.odometer_km, r.sample.lat, r.sample.lon) = (None, None, None);
    }));
    assert_near(&m, truth(&drive) - inside, 0.02);
    assert_eq!(m.grade, MileageGrade::C);
}

#[test]
fn an_odometer_that_jumps_within_a_hole_does_not_bill() {
    let drive = town(1800);
    let mut samples = with_hole(&drive, 600..840, |_| ());
    for raw in &mut samples[600..] {
        raw.sample.odometer_km = raw.sample.odometer_km.map(|km| km + 9.0);
    }
    // 9 km in four minutes could be driven, but not between places that are this near.
    let m = mileage(&samples);
    assert!(m.billable_m < truth(&drive) * 1.01, "{m:?}");
}

#[test]
fn in_a_tunnel_speed_goes_on() {
    let drive = town(1800);
    let m = mileage(&reported(&drive, |i, r| {
        r.sample.odometer_km = None;
        if (600..720).contains(&i) {
            (r.sample.lat, r.sample.lon) = (None, None);
        }
    }));
    assert_near(&m, truth(&drive), 0.01);
}

#[test]
fn a_hanging_speed_sensor_does_not_bill() {
    // Parked for ten minutes with the sensor at 50 km/h, then a drive.
    let mut samples = reported(&parked(599), |_, r| {
        (r.sample.speed_kmh, r.sample.odometer_km) = (Some(50.0), None);
    });
    let drive = town(1200);
    samples.extend(drive.iter().map(|car| {
        let mut raw = full(&Instant {
            s: car.s + 600.0,
            ..*car
        });
        raw.sample.odometer_km = None;
        raw
    }));
    let found = one(&samples);
    assert_near(&found.mileage, truth(&drive), 0.02);
    assert!(
        found.mileage.reasons.contains(&MileageReason::SpeedStuck),
        "{:?}",
        found.mileage
    );
}

#[test]
fn poor_fixes_are_no_track() {
    let drive = town(1800);
    let found = one(&reported(&drive, |_, r| {
        (r.sample.hdop, r.sample.speed_kmh, r.sample.odometer_km) = (Some(20.0), None, None);
    }));
    assert_eq!((found.mileage.billable_m, found.mileage.grade), (0.0, MileageGrade::D));
    assert_eq!(found.fix_share, Some(0.0));
}

#[test]
fn nothing_known_bills_nothing() {
    let bare: Vec<RawSample> = (0..100).map(|i| sample(f64::from(i), |_| ())).collect();
    for samples in [&bare[..], &bare[..1], &[]] {
        let m = mileage(samples);
        assert_eq!((m.billable_m, m.grade, m.source), (0.0, MileageGrade::D, None));
        assert_eq!(m.reasons, [MileageReason::NoEvidence]);
    }
}

#[test]
fn days_are_the_insureds_and_sum_to_the_whole() {
    let drive = town(3600);
    let shift = at("2026-03-04T22:40:00Z") - at("2026-03-04T12:00:00Z");
    let samples = reported(&drive, |_, r| r.sample.ts = r.sample.ts + shift);
    let of = |zone: Tz| -> TripFeatures {
        features(&[TripInput {
            time_zone: zone,
            ..input(&samples)
        }])
        .unwrap()
        .remove(0)
    };
    // Midnight in Berlin is 23:00 UTC: 1,200 s into the drive.
    let days = of(Tz::Europe__Berlin).mileage.by_day;
    assert_eq!(
        days.iter().map(|d| d.day.to_string()).collect::<Vec<_>>(),
        ["2026-03-04", "2026-03-05"]
    );
    assert!((days[0].metres - drive[1200].driven_m).abs() < 1.0, "{days:?}");
    let tokyo = of(Tz::Asia__Tokyo).mileage;
    assert_eq!(tokyo.by_day.len(), 1);
    for m in [tokyo, of(Tz::Europe__Berlin).mileage] {
        let sum: f64 = m.by_day.iter().map(|d| d.metres).sum();
        assert!((sum - m.billable_m).abs() < 1e-6);
    }
}
