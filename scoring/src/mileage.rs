//! Billable mileage: odometer, speed and position reconciled into one figure, with its grade and the reasons for it.
//!
//! Every source gives metres for each interval between two rows of a trip, or nothing. A source that contradicts itself
//! is taken out where it does; sources are compared only where both say something; then each interval takes its metres
//! from the best source that covers it. See `docs/science/mileage.md`.

mod day;
mod earth;
pub(crate) mod fix;
pub(crate) mod gps;
pub(crate) mod odometer;
mod reconcile;
pub(crate) mod speed;
#[cfg(test)]
mod tests;

pub(crate) use day::Days;
pub(crate) use reconcile::{Evidence, Reconciled, reconcile};

/// Faster than this on average no car gets from one reading to the next, m/s (252 km/h).
const FASTEST_MS: f64 = 70.0;
/// An interval is covered where readings are no further apart than 2.5 times the usual distance between them …
const REACH: f64 = 2.5;
/// … within these bounds: a device that sends every 30 s is no worse a witness than it says.
const REACH_MS: (i64, i64) = (10_000, 90_000);

/// How far apart two readings of a source may be and still tell about the time between, ms.
pub(crate) fn reach_ms(t_ms: &[i64], values: &[f64]) -> i64 {
    reach_of_rows(t_ms, |row| !values[row].is_nan())
}

/// The same for readings that are known in some rows.
pub(crate) fn reach_of_rows(t_ms: &[i64], known: impl Fn(usize) -> bool) -> i64 {
    let mut before = None;
    let steps = t_ms.iter().enumerate().filter(|(row, _)| known(*row));
    let steps = steps.filter_map(|(_, &at)| before.replace(at).map(|before: i64| at - before));
    // Most devices keep to one interval.
    let mut first = None;
    let mut others = Vec::new();
    let mut alike = 0;
    for step in steps {
        let usual = *first.get_or_insert(step);
        if others.is_empty() && step == usual {
            alike += 1;
        } else {
            others.push(step);
        }
    }
    let Some(first) = first else {
        return REACH_MS.0;
    };
    if others.is_empty() {
        return reach_of(first);
    }
    let mut steps = others;
    steps.resize(steps.len() + alike, first);
    let middle = steps.len() / 2;
    let (_, median, _) = steps.select_nth_unstable(middle);
    reach_of(*median)
}

/// The reach of readings that usually are so far apart, ms.
fn reach_of(usual_ms: i64) -> i64 {
    ((usual_ms as f64 * REACH) as i64).clamp(REACH_MS.0, REACH_MS.1)
}

/// Calls with each row that has a value and the next one that has.
fn each_known(values: &[f64], mut pair: impl FnMut(usize, usize)) {
    let mut before = None;
    for row in (0..values.len()).filter(|&row| !values[row].is_nan()) {
        if let Some(before) = before {
            pair(before, row);
        }
        before = Some(row);
    }
}

/// Shares the metres between two rows among the intervals between them, in proportion to time.
fn spread(t_ms: &[i64], metres: &mut [f64], from: usize, to: usize, amount: f64) {
    let whole = (t_ms[to] - t_ms[from]) as f64;
    for row in from + 1..=to {
        let share = if whole > 0.0 {
            (t_ms[row] - t_ms[row - 1]) as f64 / whole
        } else {
            1.0 / (to - from) as f64
        };
        metres[row] = amount * share;
    }
}

/// Whether anything is known.
fn any(metres: &[f64]) -> bool {
    metres.iter().any(|metres| !metres.is_nan())
}

/// Sum of what is known, `None` where nothing is.
fn total(metres: &[f64]) -> Option<f64> {
    metres.iter().copied().filter(|m| !m.is_nan()).reduce(|a, b| a + b)
}
