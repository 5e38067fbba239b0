//! Distance by position: the track smoothed as far as its noise asks for, standing where the car stood.
//!
//! Noise makes a track longer: fixes a second apart with 4 m of independent noise make a car at 50 km/h go a tenth too
//! far. The track is smoothed by a Kalman filter with constant velocity and the Rauch–Tung–Striebel pass back
//! (Rauch, Tung and Striebel 1965), with the noise measured from the track itself, so that a smooth track stays as it is.

use super::{
    earth::{distance_m, offset_m},
    fix::{Fixes, flag},
    reach_of_rows, spread,
};

/// Acceleration noise of the motion model, m/s²: ordinary driving in town.
const AGILITY_MS2: f64 = 1.5;
/// Fixes further apart in time are not smoothed: there the noise is small beside the distance.
const SMOOTHED_MS: i64 = 5000;
const LEAST_NOISE_M: f64 = 0.3;
/// From the median of magnitudes to the standard deviation of a normal distribution.
const NORMAL_OF_MEDIAN: f64 = 1.4826;
/// A bend is half the second difference: its deviation is √6 / 2 times that of the noise.
const BEND_OF_NOISE: f64 = 1.224_744_871;
const MOST_NOISE_M: f64 = 15.0;
/// A straight line across a hole shorter than this is drift, m.
const LEAST_CHORD_M: f64 = 50.0;

/// Metres of the interval before each row by the fixes that `flags` (of [`super::fix::judge`]) call good, NaN where the track
/// has a hole; and, across holes of the track and NaN elsewhere, the straight line, the least the car can have gone, shared
/// among the rows in the hole. What lies before a break of the track is not known, so it has none.
pub(crate) fn intervals_and_chords(fixes: &Fixes<'_>, flags: &[u32]) -> (Vec<f64>, Vec<f64>) {
    let (segments, holes) = segments(fixes, flags);
    let mut metres = vec![f64::NAN; flags.len()];
    for segment in segments {
        measure_segment(fixes, flags, &segment, &mut metres);
    }
    (metres, chords(fixes, &holes))
}

fn chords(fixes: &Fixes<'_>, holes: &[(usize, usize)]) -> Vec<f64> {
    let mut chord = vec![f64::NAN; fixes.t_ms.len()];
    for &(from, to) in holes {
        let metres = distance_m((fixes.lat[from], fixes.lon[from]), (fixes.lat[to], fixes.lon[to]));
        // Nearer than drift goes, the car may not have moved at all.
        spread(
            fixes.t_ms,
            &mut chord,
            from,
            to,
            if metres < LEAST_CHORD_M { 0.0 } else { metres },
        );
    }
    chord
}

/// The rows of each stretch of track without a hole, and the holes between them.
fn segments(fixes: &Fixes<'_>, flags: &[u32]) -> (Vec<Vec<usize>>, Vec<(usize, usize)>) {
    let good = |row: usize| flags[row] & flag::GOOD != 0;
    let reach = reach_of_rows(fixes.t_ms, good);
    let (mut segments, mut holes) = (Vec::new(), Vec::new());
    let mut segment: Vec<usize> = Vec::new();
    for row in (0..flags.len()).filter(|&row| good(row)) {
        if let Some(&before) = segment.last() {
            let breaks = flags[row] & flag::BREAK != 0;
            let hole = fixes.t_ms[row] - fixes.t_ms[before] > reach;
            if hole && !breaks {
                holes.push((before, row));
            }
            if hole || breaks {
                segments.push(std::mem::take(&mut segment));
            }
        }
        segment.push(row);
    }
    segments.push(segment);
    (segments, holes)
}

/// Measures one stretch.
fn measure_segment(fixes: &Fixes<'_>, flags: &[u32], rows: &[usize], metres: &mut [f64]) {
    let mut east = Vec::with_capacity(rows.len());
    let mut north = Vec::with_capacity(rows.len());
    let (mut e, mut n) = (0.0, 0.0);
    for (place, &row) in rows.iter().enumerate() {
        if place > 0 {
            let before = rows[place - 1];
            let step = offset_m((fixes.lat[before], fixes.lon[before]), (fixes.lat[row], fixes.lon[row]));
            e += step.0;
            n += step.1;
        }
        east.push(e);
        north.push(n);
    }
    let seconds: Vec<f64> = rows
        .iter()
        .map(|&row| (fixes.t_ms[row] - fixes.t_ms[rows[0]]) as f64 / 1000.0)
        .collect();
    hold_stays(rows, flags, &mut east, &mut north);
    let noise_m = noise(&seconds, [&east, &north]).min(MOST_NOISE_M);
    if noise_m > LEAST_NOISE_M {
        smooth(&seconds, &mut [&mut east, &mut north], noise_m);
        hold_stays(rows, flags, &mut east, &mut north);
    }
    for place in 1..rows.len() {
        let step = (east[place] - east[place - 1]).hypot(north[place] - north[place - 1]);
        spread(fixes.t_ms, metres, rows[place - 1], rows[place], step);
    }
}

/// Puts every fix of a stay at its middle.
fn hold_stays(rows: &[usize], flags: &[u32], east: &mut [f64], north: &mut [f64]) {
    let mut first = 0;
    while first < rows.len() {
        if flags[rows[first]] & flag::STAY == 0 {
            first += 1;
            continue;
        }
        let goes_on = |row: &&usize| flags[**row] & (flag::STAY | flag::STAY_START) == flag::STAY;
        let run = 1 + rows[first + 1..].iter().take_while(goes_on).count();
        for axis in [&mut *east, &mut *north] {
            let middle = axis[first..first + run].iter().sum::<f64>() / run as f64;
            axis[first..first + run].fill(middle);
        }
        first += run;
    }
}

/// Standard deviation of the noise, m, of the axis that has more of it.
fn noise(seconds: &[f64], axes: [&[f64]; 2]) -> f64 {
    let mut bends = [Vec::with_capacity(seconds.len()), Vec::with_capacity(seconds.len())];
    for i in 1..seconds.len().saturating_sub(1) {
        let around = seconds[i + 1] - seconds[i - 1];
        if around * 1000.0 > 2.0 * SMOOTHED_MS as f64 {
            continue;
        }
        let share = (seconds[i] - seconds[i - 1]) / around;
        for (axis, bends) in axes.iter().zip(&mut bends) {
            if axis[i] != axis[i - 1] || axis[i] != axis[i + 1] {
                bends.push((axis[i] - (axis[i - 1] + share * (axis[i + 1] - axis[i - 1]))).abs());
            }
        }
    }
    let [east, north] = bends.map(noise_of_bends);
    east.max(north)
}

/// Standard deviation of one axis' noise, m: from second differences, which straight driving leaves at zero and noise at
/// √6 times its own deviation. Robust (median), so that manoeuvres do not pass for noise.
fn noise_of_bends(mut bends: Vec<f64>) -> f64 {
    if bends.len() < 5 {
        return 0.0;
    }
    let middle = bends.len() / 2;
    // Below the least noise that counts, how far below does not matter.
    let small = |bend: &&f64| **bend < 0.9 * LEAST_NOISE_M * BEND_OF_NOISE / NORMAL_OF_MEDIAN;
    if bends.iter().filter(small).count() > middle {
        return 0.0;
    }
    let (_, median, _) = bends.select_nth_unstable_by(middle, f64::total_cmp);
    *median * NORMAL_OF_MEDIAN / (6.0_f64.sqrt() / 2.0)
}

/// Variance of position, covariance of position and velocity, variance of velocity.
type Covariance = [f64; 3];
/// What of the differences of position and velocity goes into each: two rows.
type SmootherGain = [f64; 4];

/// State of the filter at a fix: position and velocity of each axis, and the covariance, which the axes share.
#[derive(Debug, Clone, Copy)]
struct State {
    position: [f64; 2],
    velocity: [f64; 2],
    p: Covariance,
}

/// Constant-velocity Kalman filter forward, Rauch–Tung–Striebel pass back, both axes at once.
fn smooth(seconds: &[f64], axes: &mut [&mut Vec<f64>; 2], noise_m: f64) {
    let r = noise_m * noise_m;
    let mut model = Model::default();
    let mut states: Vec<State> = Vec::with_capacity(seconds.len());
    // What each state was before its own fix was seen.
    let mut predicted: Vec<State> = Vec::with_capacity(seconds.len());
    for i in 0..seconds.len() {
        let seen = [axes[0][i], axes[1][i]];
        let state = match states.last() {
            None => State {
                position: seen,
                velocity: [0.0; 2],
                p: [r, 0.0, 900.0],
            },
            Some(before) => {
                let ahead = model.predict(before, seconds[i] - seconds[i - 1]);
                predicted.push(ahead);
                model.update(&ahead, seen, r)
            }
        };
        if i == 0 {
            predicted.push(state);
        }
        states.push(state);
    }
    let mut after = match states.last() {
        Some(last) => *last,
        None => return,
    };
    for i in (0..states.len()).rev() {
        if i + 1 < states.len() {
            after = model.look_back(&states[i], &predicted[i + 1], &after, seconds[i + 1] - seconds[i]);
        }
        axes[0][i] = after.position[0];
        axes[1][i] = after.position[1];
    }
}

/// The last answer to a question that is asked again and again: covariances depend on the times between fixes alone, and
/// settle after some fixes of an even rate.
#[derive(Debug, Default)]
struct Last<Q, A>(Option<(Q, A)>);

impl<Q: PartialEq + Copy, A: Copy> Last<Q, A> {
    fn of(&mut self, question: Q, answer: impl FnOnce() -> A) -> A {
        match self.0 {
            Some((last, known)) if last == question => known,
            _ => self.0.insert((question, answer())).1,
        }
    }
}

/// The motion model and what it came to last.
#[derive(Debug, Default)]
struct Model {
    predicted: Last<(Covariance, f64), Covariance>,
    updated: Last<Covariance, ([f64; 2], Covariance)>,
    looked_back: Last<(Covariance, Covariance, f64), Option<SmootherGain>>,
}

impl Model {
    fn predict(&mut self, state: &State, dt: f64) -> State {
        let covariance = || {
            let q = AGILITY_MS2 * AGILITY_MS2;
            let [p, c, v] = state.p;
            [
                p + 2.0 * dt * c + dt * dt * v + q * dt.powi(4) / 4.0,
                c + dt * v + q * dt.powi(3) / 2.0,
                v + q * dt * dt,
            ]
        };
        State {
            position: std::array::from_fn(|a| state.position[a] + dt * state.velocity[a]),
            velocity: state.velocity,
            p: self.predicted.of((state.p, dt), covariance),
        }
    }

    /// `r`, the variance of a fix, is the same each time.
    fn update(&mut self, ahead: &State, seen: [f64; 2], r: f64) -> State {
        let gains_and_covariance = || {
            let [p, c, v] = ahead.p;
            let (gain_position, gain_velocity) = (p / (p + r), c / (p + r));
            let left = [
                (1.0 - gain_position) * p,
                (1.0 - gain_position) * c,
                v - gain_velocity * c,
            ];
            ([gain_position, gain_velocity], left)
        };
        let ([gain_position, gain_velocity], left) = self.updated.of(ahead.p, gains_and_covariance);
        let off: [f64; 2] = std::array::from_fn(|a| seen[a] - ahead.position[a]);
        State {
            position: std::array::from_fn(|a| ahead.position[a] + gain_position * off[a]),
            velocity: std::array::from_fn(|a| ahead.velocity[a] + gain_velocity * off[a]),
            p: left,
        }
    }

    /// The smoothed state at a fix, from its filtered one, the prediction made from it and the smoothed state after it.
    fn look_back(&mut self, state: &State, ahead: &State, after: &State, dt: f64) -> State {
        let gains = || {
            let [p, c, v] = state.p;
            let [ap, ac, av] = ahead.p;
            let det = ap * av - ac * ac;
            // P Fᵀ, then times the inverse of the predicted covariance.
            let (m11, m12, m21, m22) = (p + dt * c, c, c + dt * v, v);
            (det > 0.0).then(|| {
                [
                    (m11 * av - m12 * ac) / det,
                    (m12 * ap - m11 * ac) / det,
                    (m21 * av - m22 * ac) / det,
                    (m22 * ap - m21 * ac) / det,
                ]
            })
        };
        let Some([g11, g12, g21, g22]) = self.looked_back.of((state.p, ahead.p, dt), gains) else {
            return *state;
        };
        let off_p: [f64; 2] = std::array::from_fn(|a| after.position[a] - ahead.position[a]);
        let off_v: [f64; 2] = std::array::from_fn(|a| after.velocity[a] - ahead.velocity[a]);
        State {
            position: std::array::from_fn(|a| state.position[a] + g11 * off_p[a] + g12 * off_v[a]),
            velocity: std::array::from_fn(|a| state.velocity[a] + g21 * off_p[a] + g22 * off_v[a]),
            p: state.p,
        }
    }
}
