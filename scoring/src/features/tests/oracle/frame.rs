//! The frame of samples: one row a sample, all trips one below the other.

use chrono::{Offset, TimeZone};
use chrono_tz::Tz;
use odograph_domain::{
    batch::{AccelFrame, RawSample},
    sample::Sample,
};
use polars::{prelude::*, series::IsSorted};

use super::column;
use crate::{behaviour::axes::frame as axes_frame, features::TripInput};

/// An offset from UTC holds for as long as this: zones change it at whole quarter hours only.
const OFFSET_MS: i64 = 900_000;

/// A column of numbers and where it comes from.
type Reader = fn(&Sample) -> Option<f64>;

const MILEAGE: [(&str, Reader); 7] = [
    (column::LAT, |s| s.lat),
    (column::LON, |s| s.lon),
    (column::HDOP, |s| s.hdop),
    (column::ACCURACY, |s| s.accuracy_m),
    // A sensor at rest may read a little below 0.
    (column::SPEED, |s| s.speed_kmh.map(|kmh| kmh.max(0.0))),
    (column::ODOMETER, |s| s.odometer_km),
    (column::LIMIT, |s| s.speed_limit_kmh),
];

const BEHAVIOUR: [(&str, Reader); 5] = [
    (column::HEADING, |s| s.heading_deg),
    (column::ACCEL_X, |s| s.accel_x_ms2),
    (column::ACCEL_Y, |s| s.accel_y_ms2),
    (column::GYRO_Z, |s| s.gyro_z_rads),
    (column::PHONE, |s| s.phone_in_use.map(|used| f64::from(u8::from(used)))),
];

/// Builds the frame. Rows are in order of trip and time, whatever order they came in.
pub(super) fn frame(trips: &[TripInput<'_>]) -> PolarsResult<DataFrame> {
    let rows: usize = trips.iter().map(|trip| trip.samples.len()).sum();
    let mut samples: Vec<&RawSample> = Vec::with_capacity(rows);
    let mut trip_column: Vec<u32> = Vec::with_capacity(rows);
    let mut offsets: Vec<i64> = Vec::with_capacity(rows);
    for (index, trip) in (0_u32..).zip(trips) {
        let first = samples.len();
        samples.extend(trip.samples);
        if !trip.samples.is_sorted_by_key(|raw| raw.sample.ts) {
            samples[first..].sort_by_key(|raw| raw.sample.ts);
        }
        trip_column.resize(samples.len(), index);
        push_offsets(&samples[first..], trip.time_zone, &mut offsets);
    }
    let t_ms: Vec<i64> = samples.iter().map(|raw| raw.sample.ts.millis()).collect();
    let mut trip_column = Column::new(column::TRIP.into(), trip_column);
    // Groups are then slices, in order, without hashing.
    trip_column.set_sorted_flag(IsSorted::Ascending);
    let mut columns = vec![
        trip_column,
        Column::new(column::T_MS.into(), t_ms),
        Column::new(column::OFFSET_S.into(), offsets),
    ];
    columns.extend(MILEAGE.iter().chain(&BEHAVIOUR).map(|(name, read)| {
        let values: Vec<Option<f64>> = samples
            .iter()
            .map(|raw| read(&raw.sample).filter(|v| v.is_finite()))
            .collect();
        numbers(name, values)
    }));
    let frames: Vec<f64> = samples.iter().map(|raw| axes_of(raw.accel_frame)).collect();
    columns.push(Column::new(column::FRAME.into(), frames));
    DataFrame::new(rows, columns)
}

/// A column nobody sends takes no room.
fn numbers(name: &str, values: Vec<Option<f64>>) -> Column {
    if values.iter().all(Option::is_none) {
        return Column::new_scalar(name.into(), Scalar::null(DataType::Float64), values.len());
    }
    Column::new(name.into(), values)
}

fn axes_of(frame: AccelFrame) -> f64 {
    match frame {
        AccelFrame::Vehicle => axes_frame::VEHICLE,
        AccelFrame::Device => axes_frame::DEVICE,
        AccelFrame::Earth => axes_frame::EARTH,
    }
}

/// Seconds the insured's clock is ahead of UTC at each sample.
fn push_offsets(samples: &[&RawSample], zone: Tz, offsets: &mut Vec<i64>) {
    let mut cached: Option<(i64, i64)> = None;
    for raw in samples {
        let quarter = raw.sample.ts.millis().div_euclid(OFFSET_MS);
        let offset = match cached {
            Some((known, offset)) if known == quarter => offset,
            _ => i64::from(
                zone.offset_from_utc_datetime(&raw.sample.ts.utc().naive_utc())
                    .fix()
                    .local_minus_utc(),
            ),
        };
        cached = Some((quarter, offset));
        offsets.push(offset);
    }
}
