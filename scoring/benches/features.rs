//! Trip features of made drives: the rows as they come from the journal, and the columns alone. For figures beside other
//! implementations on the full size there is `odograph bench scoring`.

use std::hint::black_box;

use chrono::TimeDelta;
use chrono_tz::Tz;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use odograph_domain::{
    batch::{AccelFrame, Gravity, RawSample},
    sample::Sample,
    time::EventTime,
    trip::{TripBounds, TripEnd, TripStart},
};
use odograph_scoring::features::{TripInput, features};

const TRIPS: usize = 20;
const SECONDS: i64 = 1200;

/// A car that speeds up, goes round a corner and stops, again and again, each a little differently.
fn drive(number: usize) -> Vec<RawSample> {
    let start = EventTime::from_millis(1_767_225_600_000).unwrap_or_else(|| unreachable!("a date of this century"));
    let (mut lat, mut lon, mut heading, mut speed_ms) = (48.0, 11.0 + number as f64 * 0.01, 0.0_f64, 0.0_f64);
    let sample = |second: i64| {
        let wanted: f64 = match (second + number as i64 * 7) % 120 {
            0..60 => 14.0,
            60..75 => 6.0,
            _ => 0.0,
        };
        let change = (wanted - speed_ms).clamp(-2.7, 1.4);
        speed_ms += change;
        let yaw = if (60..75).contains(&((second + number as i64 * 7) % 120)) {
            6.0
        } else {
            0.0
        };
        heading = (heading + yaw).rem_euclid(360.0);
        lat += speed_ms * heading.to_radians().cos() / 111_195.0;
        lon += speed_ms * heading.to_radians().sin() / 74_400.0;
        let mut sample = Sample::at(start + TimeDelta::seconds(second));
        sample.lat = Some(lat);
        sample.lon = Some(lon);
        sample.speed_kmh = Some(speed_ms * 3.6);
        sample.accel_x_ms2 = Some(change);
        sample.accel_y_ms2 = Some(speed_ms * yaw.to_radians());
        sample.accel_z_ms2 = Some(9.81);
        RawSample {
            sample,
            accel_frame: AccelFrame::Vehicle,
            gravity: Gravity::Included,
            device_rank: 0,
            driver: None,
        }
    };
    (0..SECONDS).map(sample).collect()
}

fn bench(criterion: &mut Criterion) {
    let trips: Vec<Vec<RawSample>> = (0..TRIPS).map(drive).collect();
    let inputs: Vec<TripInput<'_>> = trips
        .iter()
        .map(|samples| TripInput {
            samples,
            bounds: TripBounds {
                start: samples[0].sample.ts,
                end: samples[samples.len() - 1].sample.ts,
                started_by: TripStart::Movement,
                ended_by: TripEnd::Rest,
            },
            time_zone: Tz::Europe__Berlin,
            behaviour_allowed: true,
        })
        .collect();
    let mut group = criterion.benchmark_group("features");
    group.sample_size(10);
    group.throughput(Throughput::Elements((TRIPS as i64 * SECONDS) as u64));
    group.bench_function("rows", |b| b.iter(|| features(black_box(&inputs))));
    group.throughput(Throughput::Elements(SECONDS as u64));
    group.bench_function("one trip", |b| b.iter(|| features(black_box(&inputs[..1]))));
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
