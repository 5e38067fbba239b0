//! Distance by the odometer: differences, each one only where the car could have driven it in the time.

use super::{FASTEST_MS, each_known, reach_ms, spread};

/// An odometer that counts in steps this long or longer says little about one trip.
const COARSE_M: f64 = 500.0;
/// Slack of a plausible difference beyond the odometer's own step.
const SLACK_M: f64 = 20.0;
/// Across a hole at least this speed is plausible, m/s (90 km/h).
const HOLE_MS: f64 = 25.0;
/// Standing still this far while another source moves is an odometer that is stuck.
const STUCK_M: f64 = 200.0;
/// The steps odometers count in, coarsest first.
const STEPS_M: [f64; 8] = [10_000.0, 1000.0, 500.0, 100.0, 50.0, 10.0, 5.0, 1.0];

/// What an odometer says about a trip.
#[derive(Debug, Default)]
pub(crate) struct Odometer {
    /// Metres of the interval before each row, NaN where it says nothing.
    pub(crate) metres: Vec<f64>,
    /// The step it counts in, metres; 0 where it is finer than a metre or never moved.
    pub(crate) step_m: f64,
    /// Increments seen.
    pub(crate) ticks: u32,
    pub(crate) backwards: u32,
    pub(crate) jumps: u32,
}

impl Odometer {
    pub(crate) fn is_coarse(&self) -> bool {
        self.step_m >= COARSE_M
    }

    /// What whole steps prove: the first one seen ends a step begun before the trip, so it does not count.
    pub(crate) fn proved_m(&self) -> f64 {
        f64::from(self.ticks.saturating_sub(1)) * self.step_m
    }

    pub(crate) fn total_m(&self) -> Option<f64> {
        super::total(&self.metres)
    }
}

/// Reads an odometer. A reading the car could not have reached in the time is left out when the one after it goes on
/// from before (a glitch); else the odometer goes on from there (a jump, an exchanged cluster) and the difference does
/// not count.
///
/// `odometer_km` and `speed_kmh` are NaN where unknown; speed only bounds what is plausible.
pub(crate) fn read(t_ms: &[i64], odometer_km: &[f64], speed_kmh: &[f64]) -> Odometer {
    let known: Vec<usize> = (0..t_ms.len()).filter(|&row| !odometer_km[row].is_nan()).collect();
    let mut odometer = Odometer {
        metres: vec![f64::NAN; t_ms.len()],
        step_m: step_m(odometer_km),
        ..Odometer::default()
    };
    let reach = reach_ms(t_ms, odometer_km);
    let top = speed_kmh.iter().copied().filter(|v| !v.is_nan()).reduce(f64::max);
    let step = odometer.step_m;
    let judge = |from: usize, to: usize| {
        let metres = (odometer_km[to] - odometer_km[from]) * 1000.0;
        let hole = t_ms[to] - t_ms[from] > reach;
        let fastest = if hole {
            across_hole_ms(top)
        } else {
            fastest_ms(&speed_kmh[from..=to])
        };
        let most = fastest * (t_ms[to] - t_ms[from]) as f64 / 1000.0 + step + SLACK_M;
        if metres < -0.5 {
            Judged::Backwards
        } else if metres > most {
            Judged::Jump
        } else {
            Judged::Sound(metres.max(0.0))
        }
    };
    let mut at = 0;
    for next in 1..known.len() {
        let (from, to) = (known[at], known[next]);
        let fault = match judge(from, to) {
            Judged::Sound(metres) => {
                odometer.ticks += u32::from(metres > 0.5 * step.max(1.0));
                spread(t_ms, &mut odometer.metres, from, to, metres);
                at = next;
                continue;
            }
            fault => fault,
        };
        odometer.backwards += u32::from(matches!(fault, Judged::Backwards));
        odometer.jumps += u32::from(matches!(fault, Judged::Jump));
        let glitch = known.get(next + 1).is_some_and(|&after| {
            matches!(judge(from, after), Judged::Sound(_)) && !matches!(judge(to, after), Judged::Sound(_))
        });
        if !glitch {
            at = next;
        }
    }
    odometer
}

#[derive(Debug)]
enum Judged {
    Sound(f64),
    Backwards,
    Jump,
}

/// The fastest the car may have gone between two readings, m/s, by the speeds around it.
fn fastest_ms(speed_kmh: &[f64]) -> f64 {
    let fastest = speed_kmh.iter().copied().filter(|v| !v.is_nan()).reduce(f64::max);
    fastest.map_or(FASTEST_MS, |kmh| (kmh / 3.6 * 1.3 + 8.0).min(FASTEST_MS))
}

/// The fastest it may have been on average across a hole, m/s: about as fast as it was ever seen on this trip, and at
/// least as fast as a road out of town.
fn across_hole_ms(top_kmh: Option<f64>) -> f64 {
    top_kmh.map_or(FASTEST_MS, |kmh| (kmh / 3.6 * 1.2).clamp(HOLE_MS, FASTEST_MS))
}

/// The step the readings come in: the coarsest that divides every difference.
fn step_m(odometer_km: &[f64]) -> f64 {
    let mut differences = Vec::new();
    each_known(odometer_km, |from, to| {
        let metres = ((odometer_km[to] - odometer_km[from]) * 1000.0).abs();
        if metres > 1e-3 {
            differences.push(metres);
        }
    });
    let divides = |step: f64| {
        differences
            .iter()
            .all(|metres| (metres / step - (metres / step).round()).abs() < 1e-4)
    };
    if differences.is_empty() {
        return 0.0;
    }
    STEPS_M.into_iter().find(|&step| divides(step)).unwrap_or(0.0)
}

/// Takes out the intervals in which the odometer stands while `others` (metres by another source, NaN where unknown)
/// move further than its step explains. Returns how many rows it took.
pub(crate) fn drop_stuck(odometer: &mut Odometer, others: impl Fn(usize) -> f64) -> u32 {
    let limit = STUCK_M.max(1.5 * odometer.step_m);
    let mut dropped = 0;
    let mut from = 0;
    let rows = odometer.metres.len();
    while from < rows {
        let mut to = from;
        let mut moved = 0.0;
        while to < rows && odometer.metres[to] == 0.0 {
            moved += Some(others(to)).filter(|metres| !metres.is_nan()).unwrap_or(0.0);
            to += 1;
        }
        if moved > limit {
            odometer.metres[from..to].fill(f64::NAN);
            dropped += (to - from) as u32;
        }
        from = to.max(from + 1);
    }
    dropped
}
