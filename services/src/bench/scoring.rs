//! Trip features of a fleet's day in memory: rows to columns, and columns to features.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use chrono::TimeDelta;
use odograph_domain::{
    batch::RawSample,
    event::BehaviourKind,
    features::{QualityMark, TripFeatures},
    sample::Sample,
    time::EventTime,
    trip::{TripBounds, TripEnd, TripStart},
};
use odograph_scoring::features::{SampleFrame, TripInput, TripMeta, features};

use super::{
    drive::{Car, Second, raw},
    world::TIME_ZONE,
};

#[derive(Debug, Clone)]
pub struct Plan {
    pub seed: u64,
    pub vehicles: usize,
    pub trips: usize,
    pub trip_s: u32,
    /// Each step is run so often; the fastest counts, as what the machine can do undisturbed.
    pub rounds: usize,
}

#[derive(Debug)]
pub struct Outcome {
    pub samples: usize,
    pub trips: usize,
    pub to_columns: Duration,
    pub to_features: Duration,
    /// Over all trips, by figure: what another implementation must come to.
    pub sums: BTreeMap<&'static str, f64>,
}

/// The first trip of the first car: a Friday evening, so that some of the driving is at night and some at the weekend.
const FIRST_MS: i64 = 1_778_263_200_000;
/// A car's trips begin this much after each other, and the cars one after the other.
const BETWEEN_TRIPS: TimeDelta = TimeDelta::hours(5);
const BETWEEN_CARS: TimeDelta = TimeDelta::seconds(37);

/// Only what is compared: position, speed and acceleration. Not rounded as devices do, which would put many values exactly
/// on a threshold, where another implementation's last digit decides.
fn bare(at: EventTime, seen: &Second) -> Sample {
    let mut sample = Sample::at(at);
    (sample.lat, sample.lon) = (Some(seen.lat), Some(seen.lon));
    sample.speed_kmh = Some(seen.speed_kmh);
    sample.accel_x_ms2 = Some(seen.accel_x_ms2);
    sample.accel_y_ms2 = Some(seen.accel_y_ms2);
    sample.accel_z_ms2 = Some(seen.accel_z_ms2);
    sample
}

fn drives(plan: &Plan) -> Result<Vec<Vec<RawSample>>> {
    let first = EventTime::from_millis(FIRST_MS).context("a time of this century")?;
    let mut drives = Vec::with_capacity(plan.vehicles * plan.trips);
    for vehicle in 0..plan.vehicles {
        let mut car = Car::new(plan.seed, vehicle as u64);
        for trip in 0..plan.trips {
            let start = first + BETWEEN_CARS * vehicle as i32 + BETWEEN_TRIPS * trip as i32;
            let at = |second: u32| start + TimeDelta::seconds(i64::from(second));
            drives.push(raw((0..plan.trip_s)
                .map(|second| bare(at(second), &car.drive()))
                .collect()));
        }
    }
    Ok(drives)
}

fn inputs(drives: &[Vec<RawSample>]) -> Vec<TripInput<'_>> {
    let bounds = |samples: &[RawSample]| {
        Some(TripBounds {
            start: samples.first()?.sample.ts,
            end: samples.last()?.sample.ts,
            started_by: TripStart::Movement,
            ended_by: TripEnd::Rest,
        })
    };
    drives
        .iter()
        .filter_map(|samples| {
            Some(TripInput {
                samples,
                bounds: bounds(samples)?,
                time_zone: TIME_ZONE,
                behaviour_allowed: true,
            })
        })
        .collect()
}

/// Runs the benchmark; with a folder, leaves the columns there for others to read.
pub fn run(plan: &Plan, write_to: Option<&Path>) -> Result<Outcome> {
    let drives = drives(plan)?;
    let inputs = inputs(&drives);
    let meta: Vec<TripMeta> = inputs.iter().map(TripMeta::from).collect();
    if let Some(folder) = write_to {
        write(folder, plan, &drives)?;
    }
    let (to_columns, frame) = fastest(plan.rounds, || SampleFrame::of_rows(&inputs))?;
    let (to_features, found) = fastest(plan.rounds, || frame.features(&meta))?;
    // Together or alone, on several cores or one: the same to the bit.
    for place in (0..inputs.len()).step_by(inputs.len() / 20 + 1) {
        let alone = features(&inputs[place..=place])?;
        ensure!(alone[0] == found[place], "trip {place} differs from itself alone");
    }
    Ok(Outcome {
        samples: frame.rows(),
        trips: inputs.len(),
        to_columns,
        to_features,
        sums: sums(&found),
    })
}

fn fastest<T, E>(rounds: usize, work: impl Fn() -> Result<T, E>) -> Result<(Duration, T), E> {
    let mut best: Option<(Duration, T)> = None;
    for _ in 0..rounds.max(1) {
        let since = Instant::now();
        let made = work()?;
        let took = since.elapsed();
        if best.as_ref().is_none_or(|(least, _)| took < *least) {
            best = Some((took, made));
        }
    }
    match best {
        Some(best) => Ok(best),
        None => work().map(|made| (Duration::MAX, made)),
    }
}

fn sums(found: &[TripFeatures]) -> BTreeMap<&'static str, f64> {
    let mut sums = BTreeMap::new();
    let mut add = |name, value: f64| *sums.entry(name).or_insert(0.0) += value;
    for trip in found {
        add("samples", f64::from(trip.samples));
        add("duration_s", trip.duration_s);
        add("moving_s", trip.moving_s);
        add("idle_s", trip.idle_s);
        add("speed_m", trip.mileage.speed_m.unwrap_or(0.0));
        add("gps_m", trip.mileage.gps_m.unwrap_or(0.0));
        add("billable_m", trip.mileage.billable_m);
        add("insured_days", trip.mileage.by_day.len() as f64);
        for mark in [
            QualityMark::Teleport,
            QualityMark::ImpossibleAcceleration,
            QualityMark::Hole,
        ] {
            add(mark.as_str(), f64::from(trip.marks.get(&mark).copied().unwrap_or(0)));
        }
        let Some(behaviour) = &trip.behaviour else { continue };
        add("top_speed_kmh", behaviour.top_speed_kmh);
        add("mean_speed_kmh", behaviour.mean_speed_kmh);
        add("night_share", behaviour.night_share);
        add("weekend_share", behaviour.weekend_share);
        for kind in [
            BehaviourKind::HarshBraking,
            BehaviourKind::HarshAcceleration,
            BehaviourKind::HarshCornering,
        ] {
            let of_kind = behaviour.events.iter().filter(|event| event.kind == kind);
            add(kind.as_str(), of_kind.clone().count() as f64);
            add(
                match kind {
                    BehaviourKind::HarshBraking => "harsh_braking_peaks",
                    BehaviourKind::HarshAcceleration => "harsh_acceleration_peaks",
                    _ => "harsh_cornering_peaks",
                },
                of_kind.map(|event| event.peak).sum(),
            );
        }
    }
    sums
}

type Reader = fn(&Sample) -> Option<f64>;

/// One file a column, little-endian, without a header.
fn write(folder: &Path, plan: &Plan, drives: &[Vec<RawSample>]) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let column = |name: &str, value: &dyn Fn(usize, &RawSample) -> [u8; 8]| {
        let bytes: Vec<u8> = drives
            .iter()
            .enumerate()
            .flat_map(|(trip, samples)| samples.iter().flat_map(move |raw| value(trip, raw)))
            .collect();
        fs::write(folder.join(name), bytes).with_context(|| format!("cannot write {name}"))
    };
    column("vehicle.i64", &|trip, _| ((trip / plan.trips) as i64).to_le_bytes())?;
    column("trip.i64", &|trip, _| (trip as i64).to_le_bytes())?;
    column("ts_ms.i64", &|_, raw| raw.sample.ts.millis().to_le_bytes())?;
    let numbers: [(&str, Reader); 6] = [
        ("lat.f64", |s| s.lat),
        ("lon.f64", |s| s.lon),
        ("speed_kmh.f64", |s| s.speed_kmh),
        ("accel_x_ms2.f64", |s| s.accel_x_ms2),
        ("accel_y_ms2.f64", |s| s.accel_y_ms2),
        ("accel_z_ms2.f64", |s| s.accel_z_ms2),
    ];
    for (name, read) in numbers {
        column(name, &|_, raw| read(&raw.sample).unwrap_or(f64::NAN).to_le_bytes())?;
    }
    Ok(())
}
