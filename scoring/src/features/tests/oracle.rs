//! The same features by polars' own means, as one lazy plan: what the kernels that go straight through a trip's columns are
//! held against, bit for bit.

mod column;
mod frame;
mod kernels;
mod plan;
mod read;

use std::sync::Arc;

use chrono::{NaiveDate, TimeDelta};
use chrono_tz::Tz;
use odograph_domain::{batch::RawSample, features::TripFeatures};
use proptest::prelude::*;

use super::plan::{any_samples, full_trip};
use crate::{
    features::{TripInput, features},
    testing::{
        drive::{full, parked, positions, town},
        input, vehicles,
    },
};

/// Days as numbers, for a column of them.
fn day_number(day: NaiveDate) -> i64 {
    (day - NaiveDate::default()).num_days()
}

fn day_from_number(number: i64) -> Option<NaiveDate> {
    NaiveDate::default().checked_add_signed(TimeDelta::try_days(number)?)
}

fn by_plan(trips: &[TripInput<'_>]) -> Vec<TripFeatures> {
    let zones: Arc<[Tz]> = trips.iter().map(|trip| trip.time_zone).collect();
    let rows = plan::plan(frame::frame(trips).unwrap(), zones).collect().unwrap();
    read::read(&rows, trips).unwrap()
}

/// To the bit: serialised numbers read back as the same.
fn assert_same(trips: &[TripInput<'_>]) {
    let text = |found: Vec<TripFeatures>| -> Vec<String> {
        found.iter().map(|trip| serde_json::to_string(trip).unwrap()).collect()
    };
    assert_eq!(text(features(trips).unwrap()), text(by_plan(trips)));
}

#[test]
fn made_drives() {
    let mut broken = full_trip(900);
    broken.drain(300..420);
    broken[100].sample.speed_kmh = Some(310.0);
    broken[500].sample.lat = Some(49.0);
    let mut odometer_only = full_trip(600);
    odometer_only.iter_mut().for_each(|raw| {
        (raw.sample.lat, raw.sample.lon, raw.sample.speed_kmh) = (None, None, None);
    });
    let trips: [Vec<RawSample>; 6] = [
        full_trip(1800),
        positions(&town(1500), 4.0),
        parked(700).iter().map(full).collect(),
        Vec::new(),
        broken,
        odometer_only,
    ];
    let mut inputs: Vec<_> = trips.iter().map(|samples| input(samples)).collect();
    inputs[1].time_zone = Tz::Pacific__Auckland;
    inputs[4].behaviour_allowed = false;
    assert_same(&inputs);
}

#[test]
fn real_drives() {
    for name in ["telemetry/nds.csv.gz", "telemetry/cmap.csv.gz"] {
        for samples in vehicles(name).into_iter().flatten().map(|(_, samples)| samples) {
            let trips: Vec<_> = samples.chunks(2500).take(20).map(input).collect();
            assert_same(&trips);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_data(one in any_samples(), other in any_samples()) {
        assert_same(&[input(&one), input(&other)]);
    }
}
