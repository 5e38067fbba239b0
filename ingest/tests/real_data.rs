//! The trip function on real recordings. They are not part of the repository: where they are absent the tests say so.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::{collections::BTreeMap, fs::File, io::Read, path::PathBuf};

use chrono::{DateTime, NaiveDateTime, Utc};
use flate2::read::GzDecoder;
use odograph_domain::{
    batch::{AccelFrame, Gravity, RawSample},
    sample::{Sample, parse_ts},
    settings::TripSettings,
    trip::TripBounds,
};
use odograph_ingest::{
    assemble::{Assembled, assemble},
    order::merge,
};

fn data(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("ODOGRAPH_TEST_DATA").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data")),
        PathBuf::from,
    );
    let path = folder.join("telemetry").join(name);
    if !path.exists() {
        eprintln!(
            "skipped: {} is not there (ODOGRAPH_TEST_DATA names the folder)",
            path.display()
        );
        return None;
    }
    Some(path)
}

fn vehicles(name: &str) -> Option<BTreeMap<String, Vec<RawSample>>> {
    let mut text = String::new();
    GzDecoder::new(File::open(data(name)?).unwrap())
        .read_to_string(&mut text)
        .unwrap();
    let mut rows = csv::Reader::from_reader(text.as_bytes());
    let names = rows.headers().unwrap().clone();
    let mut found: BTreeMap<String, Vec<RawSample>> = BTreeMap::new();
    for row in rows.records() {
        let row = row.unwrap();
        let cell = |name: &str| {
            names
                .iter()
                .position(|n| n == name)
                .and_then(|i| row.get(i))
                .unwrap_or_default()
        };
        let mut sample = Sample::at(parse_ts(cell("ts")).unwrap());
        for (name, cell) in names.iter().zip(row.iter()) {
            if !matches!(name, "ts" | "vehicle_id" | "driver_id") {
                sample.set_text(name, cell).unwrap();
            }
        }
        let raw = RawSample {
            sample,
            accel_frame: AccelFrame::Vehicle,
            gravity: Gravity::Included,
            device_rank: 0,
            driver: None,
        };
        found.entry(cell("vehicle_id").to_owned()).or_default().push(raw);
    }
    Some(
        found
            .into_iter()
            .map(|(vehicle, raw)| (vehicle, merge(raw).samples))
            .collect(),
    )
}

type Truth = Vec<(String, DateTime<Utc>, DateTime<Utc>)>;

fn truth(name: &str) -> Option<Truth> {
    let mut rows = csv::Reader::from_path(data(name)?).unwrap();
    let time = |text: &str| {
        NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S")
            .unwrap()
            .and_utc()
    };
    let rows = rows.records().map(|row| row.unwrap());
    Some(
        rows.map(|row| (row[0].to_owned(), time(&row[1]), time(&row[2])))
            .collect(),
    )
}

fn ended(trips: Vec<Assembled>) -> Vec<TripBounds> {
    let ended = trips
        .into_iter()
        .map(|found| found.trip.fall_silent().unwrap_or(found.trip));
    ended.map(|trip| trip.bounds().unwrap()).collect()
}

/// How many of the true trips were found within a minute at both ends, and how many trips are no true ones.
fn compare(vehicles: &BTreeMap<String, Vec<RawSample>>, truth: &Truth, settings: &TripSettings) -> (usize, usize) {
    let (mut matched, mut extra) = (0, 0);
    for (vehicle, samples) in vehicles {
        let found = ended(assemble(samples, settings));
        let close = |a: DateTime<Utc>, b: DateTime<Utc>| (a - b).num_seconds().abs() <= 60;
        let of_vehicle: Vec<_> = truth.iter().filter(|(name, ..)| name == vehicle).collect();
        let mut here = 0;
        for (_, start, end) in &of_vehicle {
            if found
                .iter()
                .any(|trip| close(trip.start.utc(), *start) && close(trip.end.utc(), *end))
            {
                here += 1;
            } else {
                eprintln!("missed {vehicle} {start} {end}");
            }
        }
        for trip in &found {
            if !of_vehicle
                .iter()
                .any(|(_, s, e)| close(trip.start.utc(), *s) && close(trip.end.utc(), *e))
            {
                eprintln!(
                    "extra {vehicle} {} {} {} {}",
                    trip.start, trip.end, trip.started_by, trip.ended_by
                );
            }
        }
        matched += here;
        extra += found.len() - here;
    }
    eprintln!("{matched} of {} matched, {extra} extra", truth.len());
    (matched, extra)
}

#[test]
fn the_drives_of_an_instrumented_car() {
    let (Some(vehicles), Some(truth)) = (vehicles("nds.csv.gz"), truth("nds_drives.csv")) else {
        return;
    };
    let (matched, _) = compare(&vehicles, &truth, &TripSettings::default());
    assert!(matched >= 13, "{matched} of {}", truth.len());
}

#[test]
fn a_survey_of_speeds_without_positions_cut_by_gaps() {
    let (Some(vehicles), Some(truth)) = (vehicles("cmap.csv.gz"), truth("cmap_trips.csv")) else {
        return;
    };
    let (matched, extra) = compare(
        &vehicles,
        &truth,
        &TripSettings {
            rest_s: None,
            ..TripSettings::default()
        },
    );
    assert!(matched * 100 >= truth.len() * 96, "{matched} of {}", truth.len());
    assert!(extra * 100 <= truth.len() * 5, "{extra} extra");
}

#[test]
fn a_survey_of_speeds_without_positions_by_default() {
    let (Some(vehicles), Some(truth)) = (vehicles("cmap.csv.gz"), truth("cmap_trips.csv")) else {
        return;
    };
    let (matched, extra) = compare(&vehicles, &truth, &TripSettings::default());
    assert!(matched * 100 >= truth.len() * 93, "{matched} of {}", truth.len());
    assert!(extra * 100 <= truth.len() * 8, "{extra} extra");
}

#[test]
fn three_drives_without_ignition() {
    let Some(vehicles) = vehicles("ndsbr_a.csv.gz") else {
        return;
    };
    let found = ended(assemble(&vehicles["ndsbr-a"], &TripSettings::default()));
    for trip in &found {
        eprintln!("{} {} {} {}", trip.start, trip.end, trip.started_by, trip.ended_by);
    }
    assert_eq!(found.len(), 3);
}

#[test]
fn walkers_are_not_drivers() {
    let Some(vehicles) = vehicles("goal_onfoot_driving.csv.gz") else {
        return;
    };
    let (mut driven, mut walked, mut driving, mut on_foot) = (0, 0, 0, 0);
    for samples in vehicles.values() {
        let found = assemble(samples, &TripSettings::default());
        for (index, raw) in samples.iter().enumerate() {
            let within = found.iter().any(|trip| trip.range.contains(&index));
            if raw.sample.extra["label"] == "Driving" {
                driving += 1;
                driven += usize::from(within);
            } else {
                on_foot += 1;
                walked += usize::from(within);
            }
        }
    }
    eprintln!("within trips: {driven} of {driving} fixes driving, {walked} of {on_foot} on foot");
}
