use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use sha2::{Digest, Sha256};

use super::*;

/// Sent badly by devices that are right: what is recorded can be held against what was driven.
fn spec() -> FleetSpec {
    FleetSpec {
        rates: Rates {
            frozen_clock: 0.0,
            jumping_clock: 0.0,
            missing_field: 0.0,
            ..Rates::default()
        },
        // The clocks go forward within it.
        ..FleetSpec::days(7, 6, "2026-03-26".parse().unwrap(), 7, Tz::Europe__Berlin)
    }
}

fn mixed() -> FleetSpec {
    FleetSpec {
        mix: Mix::default(),
        rates: Rates::default(),
        vehicles: 20,
        period: Period::Days {
            first_day: "2026-03-28".parse().unwrap(),
            days: 2,
        },
        ..spec()
    }
}

fn hash(fleet: &[GeneratedVehicle]) -> String {
    let mut hash = Sha256::new();
    for vehicle in fleet {
        hash.update(format!(
            "{:?} {:?} {:?} {:?} {:?} {:?} {:?}",
            vehicle.driver,
            vehicle.device,
            vehicle.product,
            vehicle.trips,
            vehicle.events,
            vehicle.claims,
            vehicle.happened
        ));
        for batch in &vehicle.batches {
            hash.update(batch.sent_at.to_string());
            hash.update(vehicle.body(batch).unwrap());
        }
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A vehicle's samples, each once, in order of time.
fn samples(vehicle: &GeneratedVehicle) -> BTreeMap<i64, Sample> {
    vehicle
        .batches
        .iter()
        .flat_map(|batch| &batch.samples)
        .map(|sample| (sample.ts.millis(), sample.clone()))
        .collect()
}

fn haversine_m(a: (f64, f64), b: (f64, f64)) -> f64 {
    let (lat_a, lat_b) = (a.0.to_radians(), b.0.to_radians());
    let (lat, lon) = (lat_b - lat_a, (b.1 - a.1).to_radians());
    let h = (lat / 2.0).sin().powi(2) + lat_a.cos() * lat_b.cos() * (lon / 2.0).sin().powi(2);
    2.0 * 6_371_008.8 * h.sqrt().asin()
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    let fleet: Vec<_> = generate(&mixed()).collect();
    assert_eq!(hash(&fleet), hash(&generate(&mixed()).collect::<Vec<_>>()));
    assert_ne!(
        hash(&fleet),
        hash(&generate(&FleetSpec { seed: 8, ..mixed() }).collect::<Vec<_>>())
    );
    // A larger fleet begins with the smaller one, and a vehicle needs no other.
    let larger = Fleet::new(FleetSpec {
        vehicles: 30,
        ..mixed()
    });
    assert_eq!(hash(&fleet[5..6]), hash(&[larger.vehicle(5)]));
}

#[test]
fn what_is_sent_agrees_with_what_was_driven() {
    let (mut true_m, mut gps_m, mut odometer_m, mut speed_m) = (0.0, 0.0, 0.0, 0.0);
    for vehicle in generate(&spec()) {
        let samples = samples(&vehicle);
        for trip in &vehicle.trips {
            let rows: Vec<_> = samples
                .range(trip.start.timestamp_millis()..=trip.end.timestamp_millis())
                .collect();
            assert_eq!(
                rows.len() as i64,
                (trip.end - trip.start).num_seconds() + 1,
                "a row a second"
            );
            assert!(rows[..rows.len() - 1].iter().all(|(_, row)| row.ignition == Some(true)));
            assert_eq!(rows[rows.len() - 1].1.ignition, Some(false));
            let fixes: Vec<_> = rows.iter().filter_map(|(_, row)| row.lat.zip(row.lon)).collect();
            gps_m += fixes.windows(2).map(|pair| haversine_m(pair[0], pair[1])).sum::<f64>();
            speed_m += rows.iter().filter_map(|(_, row)| row.speed_kmh).sum::<f64>() / 3.6;
            odometer_m += (rows[rows.len() - 1].1.odometer_km.unwrap() - rows[0].1.odometer_km.unwrap()) * 1000.0;
            true_m += trip.distance_km * 1000.0;
        }
    }
    for (source, metres) in [("gps", gps_m), ("odometer", odometer_m), ("speed", speed_m)] {
        let error: f64 = metres / true_m - 1.0;
        assert!(error.abs() < 0.01, "{source}: {error:+.4} of {true_m:.0} m");
    }
}

#[test]
fn motion_obeys_physics() {
    for vehicle in generate(&spec()) {
        for pair in samples(&vehicle).values().collect::<Vec<_>>().windows(2) {
            let &[before, after] = pair else { unreachable!() };
            if after.ignition != Some(true) || (after.ts - before.ts).num_seconds() != 1 {
                continue;
            }
            let change_ms2 = (after.speed_kmh.unwrap() - before.speed_kmh.unwrap()) / 3.6;
            let felt_ms2 = after.accel_x_ms2.unwrap();
            assert!(change_ms2.abs() < 8.5, "{change_ms2} m/s² at {}", after.ts);
            assert!(
                (felt_ms2 - change_ms2).abs() < 0.8,
                "feels {felt_ms2}, is {change_ms2} m/s² at {}",
                after.ts
            );
            assert!(after.accel_y_ms2.unwrap().abs() < 7.0, "{:?}", after.accel_y_ms2);
            assert!((after.accel_z_ms2.unwrap() - 9.8).abs() < 1.0);
            assert!((0.0..180.0).contains(&after.speed_kmh.unwrap()));
            assert!((0.0..360.0).contains(&after.heading_deg.unwrap()));
        }
    }
}

#[test]
fn styles_show() {
    let mut by_style: BTreeMap<&str, Vec<(f64, f64, f64)>> = BTreeMap::new();
    let first_day = "2026-03-26".parse().unwrap();
    for vehicle in generate(&FleetSpec {
        vehicles: 10,
        period: Period::Days { first_day, days: 10 },
        ..spec()
    }) {
        let km: f64 = vehicle.trips.iter().map(|trip| trip.distance_km).sum();
        let rows: Vec<_> = samples(&vehicle)
            .into_values()
            .filter(|row| row.ignition == Some(true))
            .collect();
        let count = |test: &dyn Fn(&Sample) -> bool| rows.iter().filter(|row| test(row)).count() as f64;
        let moving = count(&|row| row.speed_kmh > Some(5.0));
        let harsh = count(&|row| row.accel_x_ms2.unwrap().abs() > 3.2 || row.accel_y_ms2.unwrap().abs() > 4.0);
        let speeding = count(&|row| row.speed_kmh.unwrap() > row.speed_limit_kmh.unwrap() * 1.08);
        let phone = count(&|row| row.phone_in_use == Some(true));
        println!(
            "{} {:?}: {} trips, {km:.0} km, {} rows, harsh {:.2} /km, speeding {:.3}, phone {:.3}",
            vehicle.driver.name,
            vehicle.driver.style,
            vehicle.trips.len(),
            rows.len(),
            harsh / km,
            speeding / moving,
            phone / moving
        );
        let style = match vehicle.driver.style {
            Style::Calm => "1 calm",
            Style::Average => "2 average",
            Style::Aggressive => "3 aggressive",
            other => other.as_str(),
        };
        by_style
            .entry(style)
            .or_default()
            .push((harsh / km, speeding / moving, phone / moving));
    }
    let means: Vec<_> = by_style
        .values()
        .map(|all| {
            let mean = |of: fn(&(f64, f64, f64)) -> f64| all.iter().map(of).sum::<f64>() / all.len() as f64;
            (
                mean(|figures| figures.0),
                mean(|figures| figures.1),
                mean(|figures| figures.2),
            )
        })
        .collect();
    assert_eq!(means.len(), 6);
    for pair in means[..3].windows(2) {
        let ((harsh, speeding, phone), (more_harsh, more_speeding, more_phone)) = (pair[0], pair[1]);
        assert!(
            more_harsh > 1.2 * harsh && more_speeding >= speeding && more_phone > phone,
            "{means:?}"
        );
    }
    let (distracted, speeder) = (means[3], means[5]);
    assert!(
        means[2].1 > 0.1 && speeder.1 > means[2].1 && speeder.0 < means[2].0,
        "{means:?}"
    );
    assert!(
        distracted.2 > 1.4 * means[2].2 && means[2].0 > 5.0 * means[1].0,
        "{means:?}"
    );
}

#[test]
fn sending_repeats_and_reorders_but_a_batch_stays_the_same() {
    let (mut batches, mut repeated, mut out_of_order, mut drifting) = (0, 0, 0, 0);
    for vehicle in generate(&spec()) {
        let mut seen: BTreeMap<&str, Vec<u8>> = BTreeMap::new();
        let mut newest = i64::MIN;
        for batch in &vehicle.batches {
            batches += 1;
            let body = vehicle.body(batch).unwrap();
            repeated += usize::from(seen.get(batch.batch_id.as_str()).is_some_and(|before| *before == body));
            assert!(
                seen.insert(&batch.batch_id, body.clone())
                    .is_none_or(|before| before == body)
            );
            let first = batch.samples[0].ts.millis();
            out_of_order += usize::from(first < newest);
            newest = newest.max(first);
            assert!(batch.samples.iter().all(|sample| sample.ts.utc() < batch.sent_at));
            assert!(batch.samples.len() <= 150);
        }
        assert!(vehicle.batches.is_sorted_by_key(|batch| batch.sent_at));
        let distinct: BTreeSet<_> = vehicle
            .batches
            .iter()
            .flat_map(|batch| &batch.samples)
            .map(|sample| sample.ts.millis())
            .collect();
        assert_eq!(distinct.len(), samples(&vehicle).len());
        drifting += samples(&vehicle)
            .values()
            .filter(|row| row.ignition == Some(false) && row.speed_kmh > Some(0.0))
            .count();
    }
    assert!(
        repeated > 5 && out_of_order > 5 && drifting > 5,
        "{batches} {repeated} {out_of_order} {drifting}"
    );
}

#[test]
fn trips_are_apart_and_within_the_days_asked_for() {
    let spec = mixed();
    let (begins, ends) = spec.period.bounds(spec.time_zone);
    let (mut trips, mut km) = (0, 0.0);
    for vehicle in generate(&spec) {
        for pair in vehicle.trips.windows(2) {
            assert!((pair[1].start - pair[0].end).num_minutes() >= 9);
        }
        for trip in &vehicle.trips {
            // The last drives may end after midnight.
            assert!(trip.start >= begins && trip.start <= ends + TimeDelta::hours(12));
            assert!((0.1..60.0).contains(&trip.distance_km), "{trip:?}");
            assert!((trip.end - trip.start).num_minutes() < 60, "{trip:?}");
        }
        trips += vehicle.trips.len();
        km += vehicle.trips.iter().map(|trip| trip.distance_km).sum::<f64>();
    }
    assert!(trips > 40, "{trips}");
    assert!((3.0..15.0).contains(&(km / trips as f64)), "{km} km in {trips} trips");
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

#[test]
fn in_a_short_span_everybody_is_on_his_way() {
    let start = at("2026-05-04T08:00:00Z");
    let spec = FleetSpec {
        vehicles: 15,
        mix: Mix::default(),
        rates: Rates::CLEAN,
        period: Period::Span { start, seconds: 300 },
        ..spec()
    };
    for vehicle in generate(&spec) {
        let km: f64 = vehicle.trips.iter().map(|trip| trip.distance_km).sum();
        assert!(km > 0.7, "{} drove {km} km", vehicle.external_ref);
        let rows = samples(&vehicle);
        assert!(rows.len() > 200, "{} sent {} rows", vehicle.external_ref, rows.len());
        let last = start + TimeDelta::seconds(300);
        assert!(rows.values().all(|row| (start..last).contains(&row.ts.utc())));
    }
}

#[test]
fn devices_are_as_good_as_they_are_declared() {
    for kind in DeviceKind::ALL {
        let spec = FleetSpec {
            vehicles: 3,
            mix: Mix::only(kind),
            ..mixed()
        };
        let rows: Vec<Sample> = generate(&spec)
            .flat_map(|vehicle| samples(&vehicle).into_values())
            .collect();
        let share =
            |test: &dyn Fn(&Sample) -> bool| rows.iter().filter(|row| test(row)).count() as f64 / rows.len() as f64;
        let position = share(&|row| row.lat.is_some() && row.lon.is_some());
        let (speed, ignition) = (
            share(&|row| row.speed_kmh.is_some()),
            share(&|row| row.ignition.is_some()),
        );
        let (bus, felt) = (
            share(&|row| row.belt.is_some()),
            share(&|row| row.accel_x_ms2.is_some()),
        );
        println!(
            "{kind:?}: {position:.3} {speed:.3} {ignition:.3} {bus:.3} {felt:.3} of {}",
            rows.len()
        );
        assert_eq!(position > 0.5, kind != DeviceKind::Mileage);
        assert!(speed > 0.9, "{kind:?}");
        assert_eq!(ignition == 1.0, kind != DeviceKind::Phone);
        assert_eq!(bus > 0.9, kind == DeviceKind::Builtin);
        assert_eq!(felt > 0.9, kind != DeviceKind::Mileage);
        if matches!(kind, DeviceKind::Obd | DeviceKind::Mileage) {
            assert!(rows.iter().all(|row| {
                row.speed_kmh
                    .is_none_or(|kmh| kmh.fract() == 0.0 || row.ignition == Some(false))
            }));
        }
    }
}

#[test]
fn anywhere_on_earth() {
    for (lat, lon) in [(-33.9, 151.2), (64.1, -21.9), (-17.8, 179.99)] {
        let centre = Centre { lat, lon };
        let spec = FleetSpec {
            centre,
            vehicles: 2,
            mix: Mix::only(DeviceKind::Builtin),
            ..mixed()
        };
        for vehicle in generate(&spec) {
            let rows: Vec<Sample> = samples(&vehicle).into_values().collect();
            let fixes: Vec<_> = rows.iter().filter_map(|row| row.lat.zip(row.lon)).collect();
            assert!(fixes.iter().all(|(lat, lon)| lat.abs() <= 90.0 && lon.abs() <= 180.0));
            let metres: f64 = vehicle.trips.iter().map(|trip| trip.distance_km * 1000.0).sum();
            let steps = fixes
                .windows(2)
                .map(|pair| haversine_m(pair[0], pair[1]))
                .filter(|m| *m < 2000.0);
            let off = steps.sum::<f64>() / metres - 1.0;
            // Drift of a parked car is in the one and not in the other.
            assert!((-0.03..0.15).contains(&off), "{lat} {lon}: {off:+.4} of {metres}");
        }
    }
}

#[test]
fn claims_follow_how_somebody_drives() {
    let spec = FleetSpec {
        vehicles: 400,
        claims_history_years: 40.0,
        ..FleetSpec::days(3, 400, "2026-05-04".parse().unwrap(), 0, Tz::UTC)
    };
    let (mut by_style, mut expected): (BTreeMap<Style, (f64, f64)>, f64) = Default::default();
    let (mut claims, mut cost, mut mean_cost) = (0.0, 0.0, 0.0);
    for vehicle in generate(&spec) {
        let risk = vehicle.driver.risk;
        let seen = by_style.entry(vehicle.driver.style).or_default();
        seen.0 += vehicle.claims.len() as f64;
        seen.1 += risk.annual_km * spec.claims_history_years;
        expected += risk.claims_a_km * risk.annual_km * spec.claims_history_years;
        claims += vehicle.claims.len() as f64;
        cost += vehicle.claims.iter().map(|claim| claim.severity).sum::<f64>();
        mean_cost += risk.mean_severity * vehicle.claims.len() as f64;
        assert!(vehicle.claims.iter().all(|claim| claim.history) && vehicle.trips.is_empty());
    }
    assert!((claims / expected - 1.0).abs() < 0.12, "{claims} of {expected}");
    assert!((cost / mean_cost - 1.0).abs() < 0.2, "{cost} of {mean_cost}");
    let frequency = |style: Style| by_style[&style].0 / by_style[&style].1;
    println!("{claims} claims, {by_style:?}");
    assert!(frequency(Style::Aggressive) > 1.7 * frequency(Style::Average));
    assert!(frequency(Style::Calm) < frequency(Style::Average));
    assert!(frequency(Style::Distracted) > 1.3 * frequency(Style::Average));
}

fn with(scenario: &str) -> GeneratedVehicle {
    let spec = FleetSpec {
        scenarios: vec![serde_json::from_str(scenario).unwrap()],
        rates: Rates::CLEAN,
        vehicles: 2,
        mix: Mix::only(DeviceKind::Builtin),
        ..mixed()
    };
    let fleet = Fleet::new(spec.clone());
    // The others do not notice.
    let undisturbed = Fleet::new(FleetSpec {
        scenarios: Vec::new(),
        ..spec
    });
    assert_eq!(fleet.vehicle(0), undisturbed.vehicle(0));
    fleet.vehicle(1)
}

#[test]
fn a_crash_looks_like_one() {
    let vehicle =
        with(r#"{"kind":"crash","vehicle":2,"at":"2026-03-29T11:00:00Z","delta_v_kmh":36,"direction_deg":30}"#);
    let happened = vehicle.happened.clone().unwrap();
    assert!(
        (0..900).contains(&(happened.at - at("2026-03-29T11:00:00Z")).num_seconds()),
        "{happened:?}"
    );
    let shocks: Vec<_> = vehicle.batches.iter().flat_map(|batch| &batch.impacts).collect();
    let &[impact] = &shocks[..] else {
        panic!("{} shocks", shocks.len())
    };
    assert_eq!(impact.trigger_ts.utc(), happened.at);
    // The pulse's area is the change of speed, in the direction asked for.
    let area = |axis: usize| impact.accel_ms2[80..124].iter().map(|row| row[axis]).sum::<f64>() / impact.rate_hz;
    let delta_v_kmh = area(0).hypot(area(1)) * 3.6;
    assert!(
        (delta_v_kmh - happened.delta_v_kmh.unwrap()).abs() < 4.0,
        "{delta_v_kmh} {happened:?}"
    );
    assert!(area(0) < 0.0 && area(1) > 0.0, "{} {}", area(0), area(1));
    let rows = samples(&vehicle);
    let before = rows.range(..happened.at.timestamp_millis()).next_back().unwrap().1;
    assert!(before.speed_kmh > Some(20.0) && before.airbag == Some(false));
    let after: Vec<_> = rows
        .range(happened.at.timestamp_millis()..)
        .map(|(_, row)| row)
        .collect();
    assert!(
        after
            .iter()
            .take(60)
            .all(|row| row.airbag == Some(true) && row.ecall == Some(true))
    );
    // It slides to a halt and stays there.
    assert!(after.iter().skip(6).all(|row| row.speed_kmh == Some(0.0)));
    assert!(after.len() < 300, "{}", after.len());
}

#[test]
fn a_towed_car_moves_without_its_wheels() {
    let vehicle = with(r#"{"kind":"theft","vehicle":2,"at":"2026-03-29T01:30:00Z","how":"towed"}"#);
    let happened = vehicle.happened.clone().unwrap();
    let rows = samples(&vehicle);
    let carried: Vec<_> = rows
        .range(happened.at.timestamp_millis()..=happened.ended_at.timestamp_millis())
        .map(|(_, row)| row)
        .collect();
    let fixes: Vec<_> = carried.iter().filter_map(|row| row.lat.zip(row.lon)).collect();
    assert!(haversine_m(fixes[0], fixes[fixes.len() - 1]) > 200.0);
    assert!(
        carried
            .iter()
            .all(|row| row.ignition == Some(false) && row.speed_kmh == Some(0.0))
    );
    let odometers: BTreeSet<_> = carried.iter().map(|row| row.odometer_km.unwrap().to_bits()).collect();
    assert_eq!(odometers.len(), 1);
    assert!(carried[0].accel_x_ms2.unwrap() > 1.5, "hoisted");
    assert!(
        vehicle.trips.iter().all(|trip| trip.end <= happened.at),
        "towed is not driven"
    );
    let driven = with(r#"{"kind":"theft","vehicle":2,"at":"2026-03-29T01:30:00Z","how":"driven"}"#);
    let happened = driven.happened.clone().unwrap();
    let rows = samples(&driven);
    let moved: Vec<_> = rows
        .range(happened.at.timestamp_millis()..)
        .map(|(_, row)| row)
        .collect();
    assert!(moved.iter().all(|row| row.ignition == Some(false)) && moved.iter().any(|row| row.speed_kmh > Some(20.0)));
}

#[test]
fn a_breakdown_shows_before_it_stops_the_car() {
    let vehicle = with(
        r#"{"kind":"breakdown","vehicle":"demo-vehicle-002","at":"2026-03-29T11:00:00Z","cause":"cooling","minutes":4}"#,
    );
    let happened = vehicle.happened.clone().unwrap();
    assert_eq!(happened.dtc.as_deref().map(<[String]>::len), Some(2));
    let rows = samples(&vehicle);
    let sick: Vec<_> = rows
        .range(happened.at.timestamp_millis()..)
        .map(|(_, row)| row)
        .collect();
    let hottest = sick.iter().filter_map(|row| row.coolant_c).fold(0.0, f64::max);
    assert!(hottest > 100.0, "{hottest} °C");
    assert!(sick.iter().any(|row| {
        row.dtc
            .as_ref()
            .is_some_and(|codes| codes.contains(&"P0217".to_owned()))
    }));
    assert!(sick.iter().rev().take(200).all(|row| row.speed_kmh == Some(0.0)));
    let charging = with(r#"{"kind":"breakdown","vehicle":2,"at":"2026-03-29T11:00:00Z","cause":"charging"}"#);
    let happened = charging.happened.clone().unwrap();
    let rows = samples(&charging);
    let lowest = rows
        .range(happened.at.timestamp_millis()..)
        .filter(|(_, row)| row.ignition == Some(true))
        .filter_map(|(_, row)| row.battery_v)
        .fold(99.0, f64::min);
    assert!(lowest < 12.3, "{lowest} V");
}

#[test]
fn a_scenario_that_does_not_read_is_told_by_its_field() {
    for (text, named) in [
        (
            r#"{"schema":1,"scenarios":[{"kind":"crash","vehicle":1,"at":"2026-05-04T08:00:00Z","delta_v":3}]}"#,
            "delta_v",
        ),
        (r#"{"schema":2,"scenarios":[]}"#, "version 1"),
        (r#"{"schema":1,"scenarioes":[]}"#, "scenarioes"),
        (r#"{"schema":1,"scenarios":[{"kind":"explosion"}]}"#, "explosion"),
        (
            r#"{"schema":1,"scenarios":[{"kind":"theft","vehicle":1,"at":"yesterday","how":"towed"}]}"#,
            "input",
        ),
    ] {
        let error = serde_json::from_str::<ScenarioFile>(text).unwrap_err().to_string();
        assert!(error.contains(named), "{error}");
    }
    let slow: Scenario =
        serde_json::from_str(r#"{"kind":"crash","vehicle":1,"at":"2026-05-04T08:00:00Z","delta_v_kmh":1}"#).unwrap();
    assert!(slow.check().unwrap_err().contains("delta_v_kmh"));
    assert!(
        Rates {
            late: 1.5,
            ..Rates::CLEAN
        }
        .check()
        .unwrap_err()
        .contains("late")
    );
}
