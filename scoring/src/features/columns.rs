//! Samples as columns: a frame of all trips one below the other, and one trip's part of it as slices.
//!
//! Unknown is NaN. A column that nobody sends is not there.

use odograph_domain::{
    batch::{AccelFrame, RawSample},
    sample::Sample,
};
use polars::prelude::*;

use super::TripInput;
use crate::behaviour::axes::frame as axes_frame;

/// Names of the frame's columns, units in them.
pub(super) mod name {
    pub(crate) const TRIP: &str = "trip";
    pub(crate) const T_MS: &str = "t_ms";
    pub(crate) const LAT: &str = "lat";
    pub(crate) const LON: &str = "lon";
    pub(crate) const HDOP: &str = "hdop";
    pub(crate) const ACCURACY: &str = "accuracy_m";
    pub(crate) const SPEED: &str = "speed_kmh";
    pub(crate) const ODOMETER: &str = "odometer_km";
    pub(crate) const LIMIT: &str = "speed_limit_kmh";
    pub(crate) const HEADING: &str = "heading_deg";
    pub(crate) const ACCEL_X: &str = "accel_x_ms2";
    pub(crate) const ACCEL_Y: &str = "accel_y_ms2";
    pub(crate) const GYRO_Z: &str = "gyro_z_rads";
    pub(crate) const PHONE: &str = "phone";
    pub(crate) const FRAME: &str = "frame";
}

/// A column of numbers and where it comes from.
type Reader = fn(&RawSample) -> Option<f64>;

const NUMBERS: [(&str, Reader); 13] = [
    (name::LAT, |raw| raw.sample.lat),
    (name::LON, |raw| raw.sample.lon),
    (name::HDOP, |raw| raw.sample.hdop),
    (name::ACCURACY, |raw| raw.sample.accuracy_m),
    (name::SPEED, |raw| speed_kmh(&raw.sample)),
    (name::ODOMETER, |raw| raw.sample.odometer_km),
    (name::LIMIT, |raw| raw.sample.speed_limit_kmh),
    (name::HEADING, |raw| raw.sample.heading_deg),
    (name::ACCEL_X, |raw| raw.sample.accel_x_ms2),
    (name::ACCEL_Y, |raw| raw.sample.accel_y_ms2),
    (name::GYRO_Z, |raw| raw.sample.gyro_z_rads),
    (name::PHONE, |raw| {
        raw.sample.phone_in_use.map(|used| f64::from(u8::from(used)))
    }),
    (name::FRAME, |raw| Some(axes_of(raw.accel_frame))),
];

/// A sensor at rest may read a little below 0.
fn speed_kmh(sample: &Sample) -> Option<f64> {
    sample.speed_kmh.map(|kmh| kmh.max(0.0))
}

fn axes_of(frame: AccelFrame) -> f64 {
    match frame {
        AccelFrame::Vehicle => axes_frame::VEHICLE,
        AccelFrame::Device => axes_frame::DEVICE,
        AccelFrame::Earth => axes_frame::EARTH,
    }
}

/// Builds the frame. Rows are in order of trip and time, whatever order they came in.
pub(super) fn frame(trips: &[TripInput<'_>]) -> PolarsResult<DataFrame> {
    let rows: usize = trips.iter().map(|trip| trip.samples.len()).sum();
    let mut trip_column: Vec<u32> = Vec::with_capacity(rows);
    let mut t_ms: Vec<i64> = Vec::with_capacity(rows);
    let mut numbers: [Vec<f64>; NUMBERS.len()] = std::array::from_fn(|_| Vec::with_capacity(rows));
    for (index, trip) in (0_u32..).zip(trips) {
        let mut sorted: Vec<&RawSample> = Vec::new();
        if !trip.samples.is_sorted_by_key(|raw| raw.sample.ts) {
            sorted.extend(trip.samples);
            sorted.sort_by_key(|raw| raw.sample.ts);
        }
        let mut push = |raw: &RawSample| {
            t_ms.push(raw.sample.ts.millis());
            // One sample after the other, since a sample is far larger than a number.
            for (column, (_, read)) in numbers.iter_mut().zip(NUMBERS) {
                column.push(read(raw).filter(|v| v.is_finite()).unwrap_or(f64::NAN));
            }
        };
        if sorted.is_empty() {
            trip.samples.iter().for_each(&mut push);
        } else {
            sorted.into_iter().for_each(&mut push);
        }
        trip_column.resize(t_ms.len(), index);
    }
    let mut columns = vec![
        Column::new(name::TRIP.into(), trip_column),
        Column::new(name::T_MS.into(), t_ms),
    ];
    for (values, (name, _)) in numbers.into_iter().zip(NUMBERS) {
        let usual = if name == name::FRAME {
            axes_frame::VEHICLE
        } else {
            f64::NAN
        };
        if values.iter().any(|value| value.to_bits() != usual.to_bits()) {
            columns.push(Column::new(name.into(), values));
        }
    }
    DataFrame::new(rows, columns)
}

/// One trip's columns, as long as each other; NaN where unknown.
#[derive(Debug, Clone, Copy)]
pub(super) struct TripColumns<'a> {
    pub(super) t_ms: &'a [i64],
    pub(super) lat: &'a [f64],
    pub(super) lon: &'a [f64],
    pub(super) hdop: &'a [f64],
    pub(super) accuracy_m: &'a [f64],
    pub(super) speed_kmh: &'a [f64],
    pub(super) odometer_km: &'a [f64],
    pub(super) limit_kmh: &'a [f64],
    pub(super) heading_deg: &'a [f64],
    pub(super) accel_x: &'a [f64],
    pub(super) accel_y: &'a [f64],
    pub(super) gyro_z: &'a [f64],
    pub(super) phone: &'a [f64],
    pub(super) frame: &'a [f64],
}

/// A frame's columns in memory, to be cut into trips.
pub(super) struct Columns<'a> {
    trip: &'a [u32],
    t_ms: &'a [i64],
    numbers: [Option<&'a [f64]>; NUMBERS.len()],
    /// What stands for a column that is not there, as long as the longest trip.
    unknown: Vec<f64>,
    vehicle_frame: Vec<f64>,
}

impl<'a> Columns<'a> {
    pub(super) fn of(frame: &'a DataFrame) -> PolarsResult<Self> {
        let trip = frame.column(name::TRIP)?.u32()?.cont_slice()?;
        let longest = trip.chunk_by(|a, b| a == b).map(<[u32]>::len).max().unwrap_or(0);
        let mut numbers = [None; NUMBERS.len()];
        for (slot, (name, _)) in numbers.iter_mut().zip(NUMBERS) {
            if let Ok(column) = frame.column(name) {
                *slot = Some(column.f64()?.cont_slice()?);
            }
        }
        Ok(Self {
            trip,
            t_ms: frame.column(name::T_MS)?.i64()?.cont_slice()?,
            numbers,
            unknown: vec![f64::NAN; longest],
            vehicle_frame: vec![axes_frame::VEHICLE; longest],
        })
    }

    /// Each trip that has samples: its number and its columns.
    pub(super) fn trips(&self) -> Vec<(usize, TripColumns<'_>)> {
        let mut trips = Vec::new();
        let mut first = 0;
        for same in self.trip.chunk_by(|a, b| a == b) {
            let rows = first..first + same.len();
            first = rows.end;
            let column = |place: usize| {
                let instead = if place + 1 == NUMBERS.len() {
                    &self.vehicle_frame
                } else {
                    &self.unknown
                };
                self.numbers[place].map_or(&instead[..rows.len()], |column| &column[rows.clone()])
            };
            let columns = TripColumns {
                t_ms: &self.t_ms[rows.clone()],
                lat: column(0),
                lon: column(1),
                hdop: column(2),
                accuracy_m: column(3),
                speed_kmh: column(4),
                odometer_km: column(5),
                limit_kmh: column(6),
                heading_deg: column(7),
                accel_x: column(8),
                accel_y: column(9),
                gyro_z: column(10),
                phone: column(11),
                frame: column(12),
            };
            trips.push((same[0] as usize, columns));
        }
        trips
    }
}
