//! What the tests of several modules need: made trips and, where it is there, the development data.

pub(crate) mod drive;

use std::{collections::BTreeMap, fs::File, io::Read, path::PathBuf};

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use flate2::read::GzDecoder;
use odograph_domain::{
    batch::{AccelFrame, Gravity, RawSample},
    features::TripFeatures,
    sample::{Sample, parse_ts},
    time::EventTime,
    trip::{TripBounds, TripEnd, TripStart},
};

use crate::features::{TripInput, features};

pub(crate) fn at(text: &str) -> EventTime {
    parse_ts(text).unwrap()
}

/// A weekday noon.
pub(crate) fn noon() -> EventTime {
    at("2026-03-04T12:00:00Z")
}

pub(crate) fn after(start: EventTime, seconds: f64) -> EventTime {
    start + TimeDelta::milliseconds((seconds * 1000.0).round() as i64)
}

pub(crate) fn raw(sample: Sample) -> RawSample {
    RawSample {
        sample,
        accel_frame: AccelFrame::Vehicle,
        gravity: Gravity::Included,
        device_rank: 0,
        driver: None,
    }
}

/// A sample so many seconds after [`noon`].
pub(crate) fn sample(seconds: f64, set: impl FnOnce(&mut Sample)) -> RawSample {
    let mut sample = Sample::at(after(noon(), seconds));
    set(&mut sample);
    raw(sample)
}

pub(crate) fn bounds(samples: &[RawSample]) -> TripBounds {
    let time = |raw: Option<&RawSample>| raw.map_or(noon(), |raw| raw.sample.ts);
    let (start, end) = (time(samples.first()), time(samples.last()));
    TripBounds {
        start,
        end,
        started_by: TripStart::Movement,
        ended_by: TripEnd::Rest,
    }
}

pub(crate) fn input(samples: &[RawSample]) -> TripInput<'_> {
    TripInput {
        samples,
        bounds: bounds(samples),
        time_zone: Tz::UTC,
        behaviour_allowed: true,
    }
}

pub(crate) fn one(samples: &[RawSample]) -> TripFeatures {
    features(&[input(samples)]).unwrap().remove(0)
}

/// A file of the development data, `None` (and said so) where it is absent. Plain or gzip.
pub(crate) fn data(name: &str) -> Option<Vec<BTreeMap<String, String>>> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../shared/data")
        .join(name);
    let Ok(mut file) = File::open(&path) else {
        eprintln!("skipped: {} is not there", path.display());
        return None;
    };
    let mut text = String::new();
    if name.ends_with(".gz") {
        GzDecoder::new(file).read_to_string(&mut text).unwrap();
    } else {
        file.read_to_string(&mut text).unwrap();
    }
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    Some(reader.deserialize().map(Result::unwrap).collect())
}

/// Samples of a canonical file, by vehicle.
pub(crate) fn vehicles(name: &str) -> Option<BTreeMap<String, Vec<RawSample>>> {
    let mut vehicles: BTreeMap<String, Vec<RawSample>> = BTreeMap::new();
    for row in data(name)? {
        let mut sample = Sample::at(at(&row["ts"]));
        for (field, text) in row
            .iter()
            .filter(|(field, _)| !["ts", "vehicle_id", "driver_id"].contains(&field.as_str()))
        {
            sample.set_text(field, text).unwrap();
        }
        vehicles.entry(row["vehicle_id"].clone()).or_default().push(raw(sample));
    }
    for samples in vehicles.values_mut() {
        samples.sort_by_key(|raw| raw.sample.ts);
        samples.dedup_by_key(|raw| raw.sample.ts);
    }
    Some(vehicles)
}

/// Start and end of a row of a truth file, written without zone.
pub(crate) fn span(row: &BTreeMap<String, String>) -> (EventTime, EventTime) {
    let time = |name: &str| -> DateTime<Utc> { format!("{}Z", row[name].replace(' ', "T")).parse().unwrap() };
    (EventTime::new(time("start")), EventTime::new(time("end")))
}

pub(crate) fn within(samples: &[RawSample], from: EventTime, to: EventTime) -> &[RawSample] {
    let first = samples.partition_point(|raw| raw.sample.ts < from);
    let last = samples.partition_point(|raw| raw.sample.ts <= to);
    &samples[first..last]
}
