//! Contiguous exceedances of a series.

use super::Threshold;

/// A series is unknown between two of its values that are further apart than this.
const REACH_MS: i64 = 5000;

/// An event found in a series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Found {
    /// Row of the first value above the threshold.
    pub(crate) row: usize,
    /// A value speaks of the interval before it, so an event starts where the first of its intervals does.
    pub(crate) start_ms: i64,
    pub(crate) duration_s: f64,
    pub(crate) peak: f64,
}

/// Finds the events in `value` (NaN where unknown), which are values above zero: turn the sign for the other direction.
/// `reach_ms` is how far apart two values of the series may be, at least [`REACH_MS`].
pub(crate) fn find(t_ms: &[i64], value: &[f64], threshold: &Threshold, reach_ms: i64) -> Vec<Found> {
    let reach = reach_ms.max(REACH_MS);
    let mut found = Vec::new();
    let mut open: Option<(Found, f64)> = None;
    let mut before: Option<i64> = None;
    for row in (0..value.len()).filter(|&row| !value[row].is_nan()) {
        let (at, v) = (t_ms[row], value[row]);
        let start = before.filter(|&b| at - b <= reach).unwrap_or(at);
        let torn = before.is_some_and(|b| at - b > reach);
        before = Some(at);
        if torn || v < threshold.leave {
            close(open.take(), threshold, &mut found);
        }
        let seconds = (at - start) as f64 / 1000.0;
        match &mut open {
            Some((event, sum)) => {
                event.peak = event.peak.max(v);
                event.duration_s += seconds;
                *sum += v * seconds;
            }
            None if v >= threshold.enter => {
                open = Some((
                    Found {
                        row,
                        start_ms: start,
                        duration_s: seconds,
                        peak: v,
                    },
                    v * seconds,
                ));
            }
            None => {}
        }
    }
    close(open, threshold, &mut found);
    found
}

fn close(open: Option<(Found, f64)>, threshold: &Threshold, found: &mut Vec<Found>) {
    if let Some((event, sum)) = open
        && event.duration_s >= threshold.least_s
        && sum >= threshold.least_sum
    {
        found.push(event);
    }
}
