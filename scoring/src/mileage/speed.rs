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
pub(crate) fn drop_stuck(t_ms: &[i64], speed_kmh: &[f64], metres: &mut [f64], others: &[f64]) -> u32 {
    let known: Vec<usize> = (0..t_ms.len()).filter(|&row| !speed_kmh[row].is_nan()).collect();
    let mut dropped = 0;
    let mut first = 0;
    while first < known.len() {
        let value = speed_kmh[known[first]];
        let run = known[first..]
            .iter()
            .take_while(|&&row| speed_kmh[row] == value)
            .count();
        let (from, to) = (known[first], known[first + run - 1]);
        if value > 0.0 && run >= STUCK_ROWS && is_stuck(t_ms[to] - t_ms[from], from, to, metres, others) {
            metres[from + 1..=to].fill(f64::NAN);
            dropped += run as u32;
        }
        first += run;
    }
    dropped
}

fn is_stuck(lasted_ms: i64, from: usize, to: usize, metres: &[f64], others: &[f64]) -> bool {
    let (mut own, mut other, mut compared) = (0.0, 0.0, false);
    for row in from + 1..=to {
        if !metres[row].is_nan() && !others[row].is_nan() {
            own += metres[row];
            other += others[row];
            compared = true;
        }
    }
    if compared {
        lasted_ms >= STUCK_MS && (other < 0.5 * own || other > 1.5 * own)
    } else {
        lasted_ms >= STUCK_ALONE_MS
    }
}
