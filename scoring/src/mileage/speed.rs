//! Distance by the speed sensor: a trapezoid between neighbouring readings.

use super::{each_known, reach_ms, spread};

/// The same reading for this long, while another source says otherwise, is a sensor that hangs.
const STUCK_MS: i64 = 60_000;
/// With nothing to compare it with, only this long is beyond doubt: cruise control holds whole km/h for minutes.
const STUCK_ALONE_MS: i64 = 600_000;
const STUCK_ROWS: usize = 10;

/// Metres of the interval before each row, NaN where the sensor does not cover it: readings further apart than
/// [`reach_ms`] prove nothing about the time between.
///
/// `speed_kmh` is NaN where unknown.
pub(crate) fn intervals(t_ms: &[i64], speed_kmh: &[f64]) -> Vec<f64> {
    let mut metres = vec![f64::NAN; t_ms.len()];
    let reach = reach_ms(t_ms, speed_kmh);
    each_known(speed_kmh, |from, to| {
        let dt = t_ms[to] - t_ms[from];
        if dt <= reach {
            let mean_ms = (speed_kmh[from] + speed_kmh[to]) / 2.0 / 3.6;
            spread(t_ms, &mut metres, from, to, mean_ms * dt as f64 / 1000.0);
        }
    });
    metres
}

/// Takes out the intervals of a hanging sensor: the same reading above rest again and again, while `others` (metres by
/// another source, NaN where unknown) say half of it or less, or half as much again. Returns how many rows it took.
pub(crate) fn drop_stuck(
    t_ms: &[i64],
    speed_kmh: &[f64],
    metres: &mut [f64],
    others: impl Fn(usize) -> f64 + Copy,
) -> u32 {
    let mut dropped = 0;
    let mut end = |run: Run, metres: &mut [f64]| {
        let lasted_ms = t_ms[run.to] - t_ms[run.from];
        if run.kmh > 0.0 && run.rows >= STUCK_ROWS && is_stuck(lasted_ms, run.from, run.to, metres, others) {
            metres[run.from + 1..=run.to].fill(f64::NAN);
            dropped += run.rows as u32;
        }
    };
    let mut run: Option<Run> = None;
    for (row, &kmh) in speed_kmh.iter().enumerate().filter(|(_, kmh)| !kmh.is_nan()) {
        match &mut run {
            Some(run) if run.kmh == kmh => (run.to, run.rows) = (row, run.rows + 1),
            _ => {
                let next = Run {
                    kmh,
                    from: row,
                    to: row,
                    rows: 1,
                };
                if let Some(run) = run.replace(next) {
                    end(run, metres);
                }
            }
        }
    }
    if let Some(run) = run {
        end(run, metres);
    }
    dropped
}

/// Rows that read the same, one after the other.
struct Run {
    kmh: f64,
    from: usize,
    to: usize,
    rows: usize,
}

fn is_stuck(lasted_ms: i64, from: usize, to: usize, metres: &[f64], others: impl Fn(usize) -> f64) -> bool {
    let (mut own, mut other, mut compared) = (0.0, 0.0, false);
    for (row, metres) in metres.iter().enumerate().take(to + 1).skip(from + 1) {
        let others = others(row);
        if !metres.is_nan() && !others.is_nan() {
            own += metres;
            other += others;
            compared = true;
        }
    }
    if compared {
        lasted_ms >= STUCK_MS && (other < 0.5 * own || other > 1.5 * own)
    } else {
        lasted_ms >= STUCK_ALONE_MS
    }
}
