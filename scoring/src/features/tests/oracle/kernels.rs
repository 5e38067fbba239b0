//! Our own kernels as expressions of the plan. Each sees one trip at a time, as slices with NaN for unknown.

use std::sync::Arc;

use chrono_tz::Tz;
use polars::prelude::*;

use super::{column as c, day_number};
use crate::{
    behaviour::{
        self, Threshold,
        axes::{self, Motion},
        event,
    },
    mileage::{
        Days, Evidence,
        fix::{self, Fixes},
        gps, odometer, reach_ms, reconcile, speed,
    },
};

type Columns<'a> = Vec<&'a [f64]>;

/// One value a row: [`fix::judge`].
pub(super) fn flags() -> Expr {
    by_row(c::FLAGS, &FIXES, |t_ms, x| {
        fix::judge(&fixes(t_ms, x)).into_iter().map(f64::from).collect()
    })
}

const FIXES: [&str; 5] = [c::LAT, c::LON, c::HDOP, c::ACCURACY, c::SPEED];
const FIXES_JUDGED: [&str; 6] = [c::LAT, c::LON, c::HDOP, c::ACCURACY, c::SPEED, c::FLAGS];

fn fixes<'a>(t_ms: &'a [i64], x: &Columns<'a>) -> Fixes<'a> {
    Fixes {
        t_ms,
        lat: x[0],
        lon: x[1],
        hdop: x[2],
        accuracy_m: x[3],
        speed_kmh: x[4],
    }
}

fn bits(flags: &[f64]) -> Vec<u32> {
    flags.iter().map(|&flags| flags as u32).collect()
}

pub(super) fn gps_m() -> Expr {
    by_row(c::GPS_M, &FIXES_JUDGED, |t_ms, x| {
        gps::intervals_and_chords(&fixes(t_ms, x), &bits(x[5])).0
    })
}

pub(super) fn chord_m() -> Expr {
    by_row(c::CHORD_M, &FIXES_JUDGED, |t_ms, x| {
        gps::intervals_and_chords(&fixes(t_ms, x), &bits(x[5])).1
    })
}

pub(super) fn odometer_m() -> Expr {
    by_row(c::ODOMETER_M, &[c::ODOMETER, c::SPEED], |t_ms, x| {
        let odometer = odometer::read(t_ms, x[0], x[1]);
        // Kilometre steps say nothing about a row.
        if odometer.is_coarse() {
            vec![f64::NAN; t_ms.len()]
        } else {
            odometer.metres
        }
    })
}

pub(super) fn speed_m() -> Expr {
    by_row(c::SPEED_M, &[c::SPEED, c::GPS_M], |t_ms, x| {
        let mut metres = speed::intervals(t_ms, x[0]);
        speed::drop_stuck(t_ms, x[0], &mut metres, |row| x[1][row]);
        metres
    })
}

const MOTION: [&str; 6] = [c::SPEED, c::HEADING, c::ACCEL_X, c::ACCEL_Y, c::GYRO_Z, c::FRAME];

fn motion<'a>(t_ms: &'a [i64], x: &Columns<'a>) -> Motion<'a> {
    Motion {
        t_ms,
        speed_kmh: x[0],
        heading_deg: x[1],
        accel_x: x[2],
        accel_y: x[3],
        gyro_z: x[4],
        frame: x[5],
    }
}

pub(super) fn along() -> Expr {
    by_row(c::ALONG, &MOTION, |t_ms, x| axes::along(&motion(t_ms, x)))
}

pub(super) fn across() -> Expr {
    by_row(c::ACROSS, &MOTION, |t_ms, x| axes::across(&motion(t_ms, x)))
}

pub(super) fn impossible() -> Expr {
    by_row(c::IMPOSSIBLE, &[c::SPEED], |t_ms, x| axes::impossible(t_ms, x[0]))
}

pub(super) fn top_kmh() -> Expr {
    by_trip(c::TOP_KMH, &[c::SPEED, c::GPS_M], |_, t_ms, x| {
        vec![axes::top_kmh(t_ms, x[0], x[1])]
    })
}

/// Numbers of an event, one after the other: start (ms), duration (s), peak, speed at the start (km/h or NaN).
pub(super) const EVENT_NUMBERS: usize = 4;

/// The events in a column, times `sign`: a flat list of [`EVENT_NUMBERS`] each.
pub(super) fn events(name: &'static str, column: &'static str, sign: f64, threshold: Threshold) -> Expr {
    by_trip(name, &[column, c::SPEED], move |_, t_ms, x| {
        let values: Vec<f64> = x[0]
            .iter()
            .map(|v| if sign == 0.0 { v.abs() } else { v * sign })
            .collect();
        let found = event::find(t_ms, &values, &threshold, reach_ms(t_ms, x[0]));
        found
            .iter()
            .flat_map(|event| event_numbers(t_ms, x[1], event))
            .collect()
    })
}

fn event_numbers(t_ms: &[i64], speed_kmh: &[f64], event: &event::Found) -> [f64; EVENT_NUMBERS] {
    let at_start = (0..=event.row)
        .rev()
        .find(|&row| !speed_kmh[row].is_nan() && t_ms[row] <= event.start_ms);
    let speed = at_start
        .filter(|&row| event.start_ms - t_ms[row] <= 5000)
        .map_or(f64::NAN, |row| speed_kmh[row]);
    [event.start_ms as f64, event.duration_s, event.peak, speed]
}

/// Speeding: km/h above the limit. A limit holds until the device names another, or for the reach of its readings.
pub(super) fn speeding_events() -> Expr {
    events(c::SPEEDING_EVENTS, c::OVER_KMH, 1.0, behaviour::SPEEDING)
}

/// Numbers of a trip's mileage before its days: see `read`.
pub(super) const MILEAGE_NUMBERS: usize = 10;

/// Mileage of a trip: a flat list of [`MILEAGE_NUMBERS`], then day number and micrometres of each day.
pub(super) fn mileage(zones: Arc<[Tz]>) -> Expr {
    let inputs = [
        c::LAT,
        c::LON,
        c::HDOP,
        c::ACCURACY,
        c::SPEED,
        c::FLAGS,
        c::ODOMETER,
        c::GPS_M,
        c::CHORD_M,
    ];
    by_trip(c::MILEAGE, &inputs, move |trip, t_ms, x| {
        let flags = bits(x[5]);
        let speed = speed::intervals(t_ms, x[4]);
        let evidence = Evidence {
            fixes: fixes(t_ms, x),
            flags: &flags,
            odometer_km: x[6],
            speed: &speed,
            gps: x[7],
            chord: x[8],
        };
        let reconciled = reconcile(&evidence);
        let zone = zones.get(trip).copied().unwrap_or(Tz::UTC);
        let mut days = Days::new(zone);
        for row in 1..t_ms.len() {
            days.add(t_ms[row - 1], t_ms[row], reconciled.billable[row]);
        }
        let shares: Vec<(i64, f64)> = days
            .finish()
            .iter()
            .map(|share| (day_number(share.day), (share.metres * 1e6).round()))
            .collect();
        // From 0: the sum of nothing would be -0.
        let billable_um = shares.iter().fold(0.0, |sum, (_, um)| sum + um);
        let reasons = reconciled
            .reasons
            .iter()
            .fold(0_u32, |bits, &reason| bits | 1 << reason as u32);
        let optional = |metres: Option<f64>| metres.unwrap_or(f64::NAN);
        let mut numbers = vec![
            optional(reconciled.odometer_m),
            optional(reconciled.speed_m),
            optional(reconciled.gps_m),
            billable_um,
            reconciled.source.map_or(f64::NAN, |source| f64::from(source as u8)),
            f64::from(reconciled.grade as u8),
            f64::from(reasons),
            f64::from(reconciled.odometer_faults),
            f64::from(reconciled.speed_faults),
            holes(t_ms),
        ];
        numbers.extend(shares.iter().flat_map(|&(day, um)| [day as f64, um]));
        numbers
    })
}

/// Stretches without any sample, longer than the reach of the trip's usual interval.
fn holes(t_ms: &[i64]) -> f64 {
    let reach = reach_ms(t_ms, &vec![1.0; t_ms.len()]);
    t_ms.windows(2).filter(|pair| pair[1] - pair[0] > reach).count() as f64
}

/// A kernel that gives a value for each row. Not `map_multiple`: the plan may cut the rows of a mapped expression
/// anywhere, and these need whole trips.
fn by_row(
    name: &'static str,
    inputs: &[&str],
    kernel: impl Fn(&[i64], &Columns<'_>) -> Vec<f64> + Send + Sync + 'static,
) -> Expr {
    let whole = move |columns: &mut [Column]| {
        let (trips, t_ms, values) = slices(columns)?;
        let mut out: Vec<Option<f64>> = Vec::with_capacity(t_ms.len());
        let mut first = 0;
        for trip in trips.chunk_by(|a, b| a == b) {
            let rows = first..first + trip.len();
            let columns: Columns<'_> = values.iter().map(|column| &column[rows.clone()]).collect();
            out.extend(
                kernel(&t_ms[rows.clone()], &columns)
                    .into_iter()
                    .map(|v| (!v.is_nan()).then_some(v)),
            );
            first = rows.end;
        }
        Ok(Column::new(name.into(), out))
    };
    apply_multiple(
        whole,
        arguments(inputs),
        move |_, _| Ok(Field::new(name.into(), DataType::Float64)),
        false,
    )
    .alias(name)
}

/// A kernel that gives some values for a trip, whose place among the trips it is told: a list in the aggregate.
fn by_trip(
    name: &'static str,
    inputs: &[&str],
    kernel: impl Fn(usize, &[i64], &Columns<'_>) -> Vec<f64> + Send + Sync + 'static,
) -> Expr {
    let group = move |columns: &mut [Column]| {
        let (trips, t_ms, values) = slices(columns)?;
        let trip = trips.first().map_or(0, |&trip| trip as usize);
        let columns: Columns<'_> = values.iter().map(Vec::as_slice).collect();
        Ok(Column::new(name.into(), kernel(trip, &t_ms, &columns)))
    };
    apply_multiple(
        group,
        arguments(inputs),
        move |_, _| Ok(Field::new(name.into(), DataType::Float64)),
        false,
    )
    .alias(name)
}

fn arguments(inputs: &[&str]) -> Vec<Expr> {
    [c::TRIP, c::T_MS].iter().chain(inputs).map(|name| col(*name)).collect()
}

type Slices = (Vec<u32>, Vec<i64>, Vec<Vec<f64>>);

fn slices(columns: &[Column]) -> PolarsResult<Slices> {
    let trips = columns[0].u32()?.iter().map(Option::unwrap_or_default).collect();
    let t_ms = columns[1].i64()?.iter().map(Option::unwrap_or_default).collect();
    let values = columns[2..].iter().map(floats).collect::<PolarsResult<_>>()?;
    Ok((trips, t_ms, values))
}

/// The numbers of a column, NaN where null.
fn floats(column: &Column) -> PolarsResult<Vec<f64>> {
    let numbers = column.f64()?;
    if numbers.null_count() == 0 {
        return Ok(numbers.into_no_null_iter().collect());
    }
    Ok(numbers.iter().map(|value| value.unwrap_or(f64::NAN)).collect())
}
