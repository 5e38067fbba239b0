//! Acceleration along and across the car, from whatever the device sends.
//!
//! Measured in the car's own axes (or turned into them from the earth's by the heading) at 4 Hz or more it is used
//! after a low-pass, freed of its tilt and kept only where the speed bears it out. Else it is derived: along from speed,
//! across from speed times yaw rate. A device that lies about unaligned tells nothing about axes.

use super::heading;

/// Fewer rows a second than this cannot tell a manoeuvre from a vibration without help, ms between rows.
const FAST_MS: i64 = 250;
/// Half the width of the low-pass: 0.5 s in all, as wide as the shortest manoeuvre.
const LOW_PASS_MS: i64 = 250;
/// Half the width over which tilt (slope, mounting, camber) is estimated.
const TILT_MS: i64 = 20_000;
/// What differs more than this from the usual is driving, not tilt, m/s².
const TILT_MS2: f64 = 1.5;
/// An axis that is usually off by more than this is not the axis it is said to be, m/s² (18° of tilt).
const WRONG_AXIS_MS2: f64 = 3.0;
/// Speed is differentiated over at least this long, a second less some jitter: receivers give one value a second, and
/// rows in between repeat it …
const BASE_MS: i64 = 950;
/// … and at most this long: over more a manoeuvre has come and gone.
const LONGEST_BASE_MS: i64 = 5000;
/// A top speed by position is held at least this long.
const TOP_MS: i64 = 3000;
/// No tyre holds more, m/s²: 1.2 g.
pub(crate) const TYRES_MS2: f64 = 12.0;
/// Below this a heading by position is noise, km/h.
const HEADING_KMH: f64 = 15.0;
/// No car turns faster, rad/s (60° a second).
const YAW_RADS: f64 = 1.05;
/// The speed of a receiver lags up to this, ms.
const LAG_MS: i64 = 1500;

/// The frame a row's accelerations are in.
pub(crate) mod frame {
    pub(crate) const VEHICLE: f64 = 0.0;
    pub(crate) const DEVICE: f64 = 1.0;
    pub(crate) const EARTH: f64 = 2.0;
}

/// Columns of one trip, NaN where unknown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Motion<'a> {
    pub(crate) t_ms: &'a [i64],
    pub(crate) speed_kmh: &'a [f64],
    pub(crate) heading_deg: &'a [f64],
    pub(crate) accel_x: &'a [f64],
    pub(crate) accel_y: &'a [f64],
    pub(crate) gyro_z: &'a [f64],
    /// One of [`frame`], as a number among numbers.
    pub(crate) frame: &'a [f64],
}

/// Longitudinal acceleration at each row, m/s², forward positive; NaN where unknown.
pub(crate) fn along(motion: &Motion<'_>) -> Vec<f64> {
    let derived = from_speed(motion.t_ms, motion.speed_kmh);
    let measured = turned(motion, |x, _| x, |east, north, sin, cos| east * sin + north * cos);
    join(motion.t_ms, measured, derived)
}

/// Lateral acceleration at each row, m/s², to the left positive; NaN where unknown.
pub(crate) fn across(motion: &Motion<'_>) -> Vec<f64> {
    let derived = from_yaw(motion);
    let measured = turned(motion, |_, y| y, |east, north, sin, cos| north * sin - east * cos);
    join(motion.t_ms, measured, derived)
}

/// One horizontal axis as measured, where it can be had: from the car's frame, or from the earth's by the heading.
fn turned(
    motion: &Motion<'_>,
    vehicle: impl Fn(f64, f64) -> f64,
    earth: impl Fn(f64, f64, f64, f64) -> f64,
) -> Vec<f64> {
    let by_turns = heading_by_turns(motion);
    let headings = by_turns.as_deref().unwrap_or(motion.heading_deg);
    let mut heading = (f64::NAN, i64::MIN);
    let row = |row: usize| {
        let (x, y) = (motion.accel_x[row], motion.accel_y[row]);
        if !headings[row].is_nan() && (motion.speed_kmh[row].is_nan() || motion.speed_kmh[row] >= 5.0) {
            heading = (headings[row].to_radians(), motion.t_ms[row]);
        }
        let of_frame = motion.frame[row];
        if of_frame == frame::VEHICLE {
            vehicle(x, y)
        } else if of_frame == frame::EARTH && motion.t_ms[row].saturating_sub(heading.1) <= 2000 {
            let (sin, cos) = heading.0.sin_cos();
            earth(x, y, sin, cos)
        } else {
            f64::NAN
        }
    };
    (0..motion.t_ms.len()).map(row).collect()
}

/// Headings out of acceleration and turning, where no device names them and the axes are the earth's.
fn heading_by_turns(motion: &Motion<'_>) -> Option<Vec<f64>> {
    let knows = |&row: &usize| {
        motion.frame[row] == frame::EARTH && !motion.accel_x[row].is_nan() && !motion.gyro_z[row].is_nan()
    };
    let rows: Vec<usize> = (0..motion.t_ms.len()).filter(knows).collect();
    if rows.is_empty() || motion.heading_deg.iter().any(|heading| !heading.is_nan()) {
        return None;
    }
    let times: Vec<i64> = rows.iter().map(|&row| motion.t_ms[row]).collect();
    let calm = |column: &[f64]| {
        let values: Vec<f64> = rows.iter().map(|&row| column[row]).collect();
        low_pass(&times, &values)
    };
    let still = median(&calm(motion.gyro_z));
    let yaw: Vec<f64> = calm(motion.gyro_z).iter().map(|rate| rate - still).collect();
    let mut headings = vec![f64::NAN; motion.t_ms.len()];
    for (&row, found) in rows.iter().zip(heading::from_turns(
        &times,
        &calm(motion.accel_x),
        &calm(motion.accel_y),
        &yaw,
    )) {
        headings[row] = found;
    }
    Some(headings)
}

/// The best of measured and derived.
fn join(t_ms: &[i64], measured: Vec<f64>, derived: Vec<f64>) -> Vec<f64> {
    let rows: Vec<usize> = (0..t_ms.len()).filter(|&row| !measured[row].is_nan()).collect();
    let Some(step_ms) = median_step(t_ms, &rows) else {
        return derived;
    };
    let derives = derived.iter().any(|a| !a.is_nan());
    let fast = step_ms <= FAST_MS;
    if !fast && derives {
        return derived;
    }
    let times: Vec<i64> = rows.iter().map(|&row| t_ms[row]).collect();
    let values: Vec<f64> = rows.iter().map(|&row| measured[row]).collect();
    let usual = median(&values);
    if usual.abs() > WRONG_AXIS_MS2 {
        return derived;
    }
    let level = without_tilt(&times, &values, usual);
    let calm = if fast { low_pass(&times, &level) } else { opened(&level) };
    let mut joined = if derives {
        derived.clone()
    } else {
        vec![f64::NAN; t_ms.len()]
    };
    let support = Support::new(t_ms, &derived);
    for (place, &row) in rows.iter().enumerate() {
        joined[row] = support.limit(calm[place], times[place]);
    }
    joined
}

/// Whether the speed at each row cannot have come from the reading before it: more than tyres hold. 1 or 0.
pub(crate) fn impossible(t_ms: &[i64], speed_kmh: &[f64]) -> Vec<f64> {
    let mut impossible = vec![0.0; t_ms.len()];
    let rows: Vec<usize> = (0..t_ms.len()).filter(|&row| !speed_kmh[row].is_nan()).collect();
    let speeds: Vec<f64> = rows.iter().map(|&row| speed_kmh[row] / 3.6).collect();
    derive(t_ms, &rows, &speeds, |row, rate, _| {
        impossible[row] = f64::from(u8::from(rate.abs() > TYRES_MS2))
    });
    impossible
}

/// The highest speed, km/h, that is no single reading's; by `metres` of position where no speed is known.
pub(crate) fn top_kmh(t_ms: &[i64], speed_kmh: &[f64], metres: &[f64]) -> f64 {
    let known: Vec<f64> = speed_kmh.iter().copied().filter(|v| !v.is_nan()).collect();
    if !known.is_empty() {
        return median_of_three(&known).into_iter().fold(0.0, f64::max);
    }
    let mut top: f64 = 0.0;
    let (mut from, mut sum) = (0, 0.0);
    for row in 1..t_ms.len() {
        if metres[row].is_nan() {
            (from, sum) = (row, 0.0);
            continue;
        }
        sum += metres[row];
        while from + 1 < row && t_ms[row] - t_ms[from + 1] >= TOP_MS {
            from += 1;
            sum -= metres[from];
        }
        let dt = t_ms[row] - t_ms[from];
        if dt >= TOP_MS {
            top = top.max(sum / (dt as f64 / 1000.0) * 3.6);
        }
    }
    top
}

/// What speed and heading say, to hold a measurement against.
struct Support {
    times: Vec<i64>,
    values: Vec<f64>,
}

impl Support {
    fn new(t_ms: &[i64], derived: &[f64]) -> Self {
        let rows: Vec<usize> = (0..t_ms.len()).filter(|&row| !derived[row].is_nan()).collect();
        Self {
            times: rows.iter().map(|&row| t_ms[row]).collect(),
            values: rows.iter().map(|&row| derived[row]).collect(),
        }
    }

    /// A measurement, no greater than twice what was derived in the same direction about that time, plus 1 m/s². Where
    /// nothing was derived it stands alone.
    fn limit(&self, measured: f64, at_ms: i64) -> f64 {
        let from = self.times.partition_point(|&t| t < at_ms - LAG_MS);
        let to = self.times.partition_point(|&t| t <= at_ms + LAG_MS);
        if from == to {
            return measured;
        }
        let sign = measured.signum();
        let most = self.values[from..to].iter().map(|v| v * sign).fold(0.0, f64::max);
        sign * measured.abs().min(2.0 * most + 1.0)
    }
}

/// Acceleration by speed: the slope over at least [`BASE_MS`], after a median of three that takes out single readings
/// no car could give.
fn from_speed(t_ms: &[i64], speed_kmh: &[f64]) -> Vec<f64> {
    let rows: Vec<usize> = (0..t_ms.len()).filter(|&row| !speed_kmh[row].is_nan()).collect();
    let speeds: Vec<f64> = rows.iter().map(|&row| speed_kmh[row] / 3.6).collect();
    let mut slope = vec![f64::NAN; t_ms.len()];
    derive(t_ms, &rows, &median_of_three(&speeds), |row, rate, _| {
        if rate.abs() <= TYRES_MS2 {
            slope[row] = rate;
        }
    });
    slope
}

/// Lateral acceleration as speed times yaw rate: by gyro where it is aligned, else by the change of heading.
fn from_yaw(motion: &Motion<'_>) -> Vec<f64> {
    let mut lateral = vec![f64::NAN; motion.t_ms.len()];
    let mut speed = (f64::NAN, i64::MIN);
    let mut rows = Vec::new();
    let mut headings = Vec::new();
    let mut speeds = Vec::new();
    for (row, slot) in lateral.iter_mut().enumerate() {
        if !motion.speed_kmh[row].is_nan() {
            speed = (motion.speed_kmh[row] / 3.6, motion.t_ms[row]);
        }
        if motion.t_ms[row].saturating_sub(speed.1) > 2000 {
            continue;
        }
        let yaw = motion.gyro_z[row];
        if !yaw.is_nan() && motion.frame[row] != frame::DEVICE {
            *slot = speed.0 * yaw.clamp(-YAW_RADS, YAW_RADS);
        } else if !motion.heading_deg[row].is_nan() {
            rows.push(row);
            headings.push(motion.heading_deg[row]);
            speeds.push(speed.0);
        }
    }
    derive(
        motion.t_ms,
        &rows,
        &median_of_three(&unwrapped(&headings)),
        |row, rate, place| {
            let slower = speeds[place.0].min(speeds[place.1]);
            // Clockwise headings: a turn to the left lowers them.
            let yaw = -rate.to_radians();
            let sound = slower * 3.6 >= HEADING_KMH && yaw.abs() <= YAW_RADS;
            let value = if sound { slower * yaw } else { 0.0 };
            lateral[row] = if value.abs() <= TYRES_MS2 { value } else { 0.0 };
        },
    );
    lateral
}

/// The slope at each row over the shortest base that is long enough; `found` gets row, slope a second and the two places.
fn derive(t_ms: &[i64], rows: &[usize], values: &[f64], mut found: impl FnMut(usize, f64, (usize, usize))) {
    let mut base = 0;
    for place in 1..rows.len() {
        let at = t_ms[rows[place]];
        while base + 1 < place && at - t_ms[rows[base + 1]] >= BASE_MS {
            base += 1;
        }
        let dt = at - t_ms[rows[base]];
        if (BASE_MS..=LONGEST_BASE_MS).contains(&dt) {
            found(
                rows[place],
                (values[place] - values[base]) / (dt as f64 / 1000.0),
                (base, place),
            );
        }
    }
}

/// Headings without the step from 360 to 0.
fn unwrapped(headings: &[f64]) -> Vec<f64> {
    let mut turn = 0.0;
    let mut before = None;
    let unwrap = |&heading: &f64| {
        if let Some(before) = before {
            let step: f64 = heading - before;
            turn += if step > 180.0 {
                -360.0
            } else if step < -180.0 {
                360.0
            } else {
                0.0
            };
        }
        before = Some(heading);
        heading + turn
    };
    headings.iter().map(unwrap).collect()
}

fn median_of_three(values: &[f64]) -> Vec<f64> {
    let mut calm = values.to_vec();
    for (place, around) in values.windows(3).enumerate() {
        let (a, b, c) = (around[0], around[1], around[2]);
        calm[place + 1] = a.max(b).min(a.min(b).max(c));
    }
    calm
}

/// A single value is worth no more than the greater of its neighbours: at low rates one reading alone is a shock.
fn opened(values: &[f64]) -> Vec<f64> {
    let open = |place: usize| {
        let value = values[place];
        let beside = [place.checked_sub(1), Some(place + 1)].into_iter().flatten();
        let most = beside
            .filter_map(|p| values.get(p))
            .map(|v| v * value.signum())
            .fold(0.0, f64::max);
        value.signum() * value.abs().min(most)
    };
    (0..values.len()).map(open).collect()
}

/// Takes away what the axis shows without driving: the running mean of what is near the usual value.
fn without_tilt(t_ms: &[i64], values: &[f64], usual: f64) -> Vec<f64> {
    let near: Vec<f64> = values.iter().map(|v| (v - usual).clamp(-TILT_MS2, TILT_MS2)).collect();
    let tilt = running_mean(t_ms, &near, TILT_MS);
    values.iter().zip(tilt).map(|(v, tilt)| v - usual - tilt).collect()
}

fn low_pass(t_ms: &[i64], values: &[f64]) -> Vec<f64> {
    running_mean(t_ms, values, LOW_PASS_MS)
}

/// Mean over the rows within so many ms either side.
fn running_mean(t_ms: &[i64], values: &[f64], half_ms: i64) -> Vec<f64> {
    let mut sums = Vec::with_capacity(values.len() + 1);
    sums.push(0.0);
    for value in values {
        sums.push(sums[sums.len() - 1] + value);
    }
    let (mut from, mut to) = (0, 0);
    let mean = |&at: &i64| {
        while t_ms[from] < at - half_ms {
            from += 1;
        }
        while to < t_ms.len() && t_ms[to] <= at + half_ms {
            to += 1;
        }
        (sums[to] - sums[from]) / (to - from) as f64
    };
    t_ms.iter().map(mean).collect()
}

fn median_step(t_ms: &[i64], rows: &[usize]) -> Option<i64> {
    let steps = || rows.windows(2).map(|pair| t_ms[pair[1]] - t_ms[pair[0]]);
    let first = steps().next()?;
    if steps().all(|step| step == first) {
        return Some(first);
    }
    let mut steps: Vec<i64> = steps().collect();
    let middle = steps.len() / 2;
    Some(*steps.select_nth_unstable(middle).1)
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    let middle = sorted.len() / 2;
    if sorted.is_empty() {
        0.0
    } else {
        *sorted.select_nth_unstable_by(middle, f64::total_cmp).1
    }
}
