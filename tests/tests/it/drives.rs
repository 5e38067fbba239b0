//! Real drives, sent the way live batches go and read back: are they found, and how long are they?

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use odograph_domain::{id::TenantId, policy::Product, time::Window, trip::TripRecord};
use odograph_store::TripFilter;
use odograph_tests::{
    data,
    platform::{Insured, Platform},
    snapshot::every,
    telemetry::{Rows, utc},
};

/// How far apart a trip and a true drive may begin, and end.
const TOLERANCE: TimeDelta = TimeDelta::seconds(60);

/// A drive as whoever recorded it cut it.
#[derive(Debug, Clone, PartialEq)]
struct Drive {
    vehicle: String,
    start: DateTime<Utc>,
    end: DateTime<Utc>,
    distance_km: f64,
}

fn drives(truth: &Rows) -> Vec<Drive> {
    let drive = |row: &Vec<String>| Drive {
        vehicle: row[0].clone(),
        start: utc(&row[1]),
        end: utc(&row[2]),
        distance_km: row[3].parse().expect("a distance"),
    };
    truth.rows.iter().map(drive).collect()
}

/// The tenant's trips with the names of their vehicles, in order of time.
async fn trips(platform: &Platform, tenant: TenantId) -> Vec<(String, TripRecord)> {
    let store = platform.store(tenant);
    let mut trips = Vec::new();
    for vehicle in every(async |page| store.vehicles(page).await).await {
        let filter = TripFilter {
            vehicle: Some(vehicle.id),
            ..TripFilter::default()
        };
        let name = vehicle.external_ref.expect("a reference").to_string();
        for row in every(async |page| store.trips(filter.clone(), page).await).await {
            trips.push((name.clone(), row.record));
        }
    }
    trips.sort_by_key(|(name, trip)| (name.clone(), trip.bounds.start));
    trips
}

/// One to one: pairs of a drive and a trip of the same vehicle whose ends are both within the tolerance. Drives of a
/// vehicle do not overlap, so that taking them in order of time finds the most pairs.
fn matched<'a>(drives: &'a [Drive], trips: &'a [(String, TripRecord)]) -> Vec<(&'a Drive, &'a TripRecord)> {
    let mut free: Vec<_> = trips.iter().collect();
    let mut pairs = Vec::new();
    for drive in drives {
        let near = |a: DateTime<Utc>, b: DateTime<Utc>| (a - b).abs() <= TOLERANCE;
        let found = free.iter().position(|(vehicle, trip)| {
            let Window { from, to } = trip.bounds.window();
            *vehicle == drive.vehicle && near(from.utc(), drive.start) && near(to.utc(), drive.end)
        });
        if let Some(at) = found {
            pairs.push((drive, &free.remove(at).1));
        }
    }
    pairs
}

fn billable_km(trips: &[(String, TripRecord)]) -> f64 {
    trips
        .iter()
        .map(|(_, trip)| trip.features.mileage.billable_m / 1000.0)
        .sum()
}

/// What usage was charged by, over all policies.
async fn charged_km(platform: &Platform, tenant: TenantId) -> f64 {
    let store = platform.store(tenant);
    let (first, last) = (
        "1990-01-01".parse().expect("a day"),
        "2100-01-01".parse().expect("a day"),
    );
    let mut metres = 0;
    for record in every(async |page| store.policies(Default::default(), page).await).await {
        let usage = store
            .usage_by_policy(record.policy.id, first, last)
            .await
            .expect("usage");
        metres += usage.iter().map(|day| day.metres).sum::<i64>();
    }
    metres as f64 / 1000.0
}

pub(crate) async fn insure_all(platform: &Platform, tenant: TenantId, rows: &Rows, time_zone: Tz) {
    let place = rows.column("vehicle_id");
    let insured = |vehicle: &str| Insured {
        vehicle: vehicle.to_owned(),
        driver: rows
            .filter(|row| row[place] == vehicle)
            .names("driver_id")
            .first()
            .map_or_else(|| format!("{vehicle}-driver"), |name| (*name).to_owned()),
        product: Product::Phyd,
        time_zone,
        starts_on: rows.first_day(vehicle).expect("a first row") - TimeDelta::days(1),
    };
    let insured: Vec<_> = rows.names("vehicle_id").into_iter().map(insured).collect();
    platform.insure(tenant, &insured).await;
}

fn told(drives: &[Drive], trips: &[(String, TripRecord)]) -> String {
    let pairs = matched(drives, trips);
    let missed = drives
        .iter()
        .filter(|drive| !pairs.iter().any(|(found, _)| found == drive));
    let extra = trips
        .iter()
        .filter(|(_, trip)| !pairs.iter().any(|(_, found)| found.id == trip.id));
    let missed: Vec<_> = missed
        .map(|d| format!("missed {} {} – {}", d.vehicle, d.start, d.end))
        .collect();
    let extra: Vec<_> = extra
        .map(|(vehicle, trip)| format!("extra {vehicle} {} – {}", trip.bounds.start, trip.bounds.end))
        .collect();
    format!("{}\n{}", missed.join("\n"), extra.join("\n"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instrumented_cars_drives_are_found_and_billed() {
    let (Some(telemetry), Some(truth)) = (data("telemetry/nds.csv.gz"), data("telemetry/nds_drives.csv")) else {
        return;
    };
    let (rows, drives) = (Rows::read(&telemetry), drives(&Rows::read(&truth)));
    assert_eq!(drives.len(), 14);
    let device_km: f64 = drives.iter().map(|drive| drive.distance_km).sum();
    let mut platform = Platform::start().await;
    platform.work();
    let without_odometer = rows
        .without("odometer_km")
        .write_gzip(platform.folder(), "no-odometer.csv.gz");
    for (name, file, most) in [("whole", telemetry, 0.03), ("no-odometer", without_odometer, 0.04)] {
        let tenant = platform.tenant(name).await;
        insure_all(&platform, tenant, &rows, Tz::America__Chicago).await;
        let summary = platform.import(tenant, &file).await;
        assert_eq!(summary.rows, rows.rows.len() as u64, "{summary}");
        let outcomes = platform.outcomes(tenant).await;
        assert!(outcomes.balances() && outcomes.accepted == summary.rows, "{outcomes:?}");

        let trips = trips(&platform, tenant).await;
        let found = matched(&drives, &trips).len();
        println!(
            "{name}: {found} of 14 drives, {} trips, {:.3} km of {device_km:.3}",
            trips.len(),
            billable_km(&trips)
        );
        assert!(found >= 13, "{name}: {found} of 14 drives\n{}", told(&drives, &trips));
        let off = billable_km(&trips) / device_km - 1.0;
        assert!(
            off.abs() <= most,
            "{name}: {:.3} km billable of {device_km:.3}: {off:+.4}",
            billable_km(&trips)
        );
        let charged = charged_km(&platform, tenant).await;
        assert!(
            (charged - billable_km(&trips)).abs() < 0.05,
            "{name}: {charged} km charged"
        );
    }
    platform.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn household_vehicles_trips_are_found_by_speed_alone() {
    let (Some(telemetry), Some(truth)) = (data("telemetry/cmap.csv.gz"), data("telemetry/cmap_trips.csv")) else {
        return;
    };
    let (rows, drives) = (Rows::read(&telemetry), drives(&Rows::read(&truth)));
    assert_eq!(drives.len(), 110);
    let mut platform = Platform::start().await;
    platform.work();
    let cases = [
        ("gaps only", r#"{"trip":{"rest_s":null}}"#, 0.96, 0.05),
        ("default", "{}", 0.93, 0.08),
    ];
    for (name, settings, least, most_extra) in cases {
        let tenant = platform.tenant_with(name, settings).await;
        insure_all(&platform, tenant, &rows, Tz::America__Chicago).await;
        let summary = platform.import(tenant, &telemetry).await;
        assert_eq!(summary.rows, rows.rows.len() as u64, "{summary}");

        let trips = trips(&platform, tenant).await;
        let pairs = matched(&drives, &trips);
        let share = pairs.len() as f64 / drives.len() as f64;
        let extra = (trips.len() - pairs.len()) as f64 / drives.len() as f64;
        let error = |(drive, trip): &(&Drive, &TripRecord)| {
            (trip.features.mileage.billable_m / 1000.0 / drive.distance_km - 1.0).abs()
        };
        let mut errors: Vec<f64> = pairs.iter().map(error).collect();
        errors.sort_by(f64::total_cmp);
        let median = errors[errors.len() / 2];
        println!(
            "{name}: {} of 110 matched, {} trips, median error {median:.5}",
            pairs.len(),
            trips.len()
        );
        assert!(share >= least, "{name}: {share:.3} matched\n{}", told(&drives, &trips));
        assert!(
            extra <= most_extra,
            "{name}: {extra:.3} extra\n{}",
            told(&drives, &trips)
        );
        assert!(median < 0.01, "{name}: median distance error {median:.4}");
    }
    platform.end().await;
}
