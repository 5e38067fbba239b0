use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use super::*;

fn spec() -> FleetSpec {
    FleetSpec {
        seed: 7,
        vehicles: 6,
        days: 7,
        // The clocks go forward within it.
        first_day: "2026-03-26".parse().unwrap(),
        time_zone: Tz::Europe__Berlin,
    }
}

fn hash(fleet: &[GeneratedVehicle]) -> String {
    let mut hash = Sha256::new();
    for vehicle in fleet {
        hash.update(format!(
            "{:?} {:?} {:?}",
            vehicle.driver, vehicle.product, vehicle.trips
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
    let fleet: Vec<_> = generate(&spec()).collect();
    assert_eq!(hash(&fleet), hash(&generate(&spec()).collect::<Vec<_>>()));
    assert_ne!(
        hash(&fleet),
        hash(&generate(&FleetSpec { seed: 8, ..spec() }).collect::<Vec<_>>())
    );
    // A larger fleet begins with the smaller one.
    let larger: Vec<_> = generate(&FleetSpec { vehicles: 8, ..spec() }).take(6).collect();
    assert_eq!(hash(&fleet), hash(&larger));
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
            assert!((0.0..120.0).contains(&after.speed_kmh.unwrap()));
            assert!((0.0..360.0).contains(&after.heading_deg.unwrap()));
        }
    }
}

#[test]
fn styles_show() {
    let mut by_style: BTreeMap<&str, Vec<(f64, f64, f64)>> = BTreeMap::new();
    for vehicle in generate(&FleetSpec {
        vehicles: 9,
        days: 14,
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
    assert_eq!(means.len(), 3);
    for pair in means.windows(2) {
        let ((harsh, speeding, phone), (more_harsh, more_speeding, more_phone)) = (pair[0], pair[1]);
        assert!(
            more_harsh > 1.5 * harsh && more_speeding >= speeding && more_phone > phone,
            "{means:?}"
        );
    }
    assert!(means[2].1 > 0.2, "{means:?}");
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
            assert!(batch.samples.len() <= 60);
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
    let spec = spec();
    for vehicle in generate(&spec) {
        assert!(!vehicle.trips.is_empty());
        for pair in vehicle.trips.windows(2) {
            assert!((pair[1].start - pair[0].end).num_minutes() >= 10);
        }
        for trip in &vehicle.trips {
            let day = trip.start.with_timezone(&spec.time_zone).date_naive();
            assert!(day >= spec.first_day && (day - spec.first_day).num_days() <= i64::from(spec.days));
            assert!((0.1..40.0).contains(&trip.distance_km), "{trip:?}");
            assert!((trip.end - trip.start).num_minutes() < 60, "{trip:?}");
        }
    }
}
