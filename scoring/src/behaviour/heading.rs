//! The heading of a car whose device knows the earth's axes and its own turning, and nothing else.
//!
//! Between turns the gyro tells how the heading changes. In a turn the acceleration points to the inside, square to the
//! car: that gives the heading itself, and the turns of a minute or two before and after hold it against the gyro's drift.

/// Turning at least this fast, rad/s, with at least this acceleration, m/s², is a turn that tells the heading.
const TURN_RADS: f64 = 0.15;
const TURN_MS2: f64 = 1.0;
/// How long a turn is remembered, s: a cheap gyro drifts some degrees in it.
const MEMORY_S: f64 = 60.0;
/// Turns must point the same way at least this well (length of the mean direction; 1 is all alike).
const LEAST_ACCORD: f64 = 0.4;

/// Sum of directions, and of their weights.
#[derive(Debug, Clone, Copy, Default)]
struct Accord {
    cos: f64,
    sin: f64,
    weight: f64,
}

impl Accord {
    fn fade(&mut self, seconds: f64) {
        let keep = (-seconds / MEMORY_S).exp();
        self.cos *= keep;
        self.sin *= keep;
        self.weight *= keep;
    }

    fn add(&mut self, angle: f64, weight: f64) {
        self.cos += weight * angle.cos();
        self.sin += weight * angle.sin();
        self.weight += weight;
    }

    fn direction(&self) -> Option<f64> {
        let sure = self.weight > 0.0 && self.cos.hypot(self.sin) >= LEAST_ACCORD * self.weight;
        sure.then(|| self.sin.atan2(self.cos))
    }
}

/// Headings in degrees clockwise from north, NaN where the turns do not tell. Inputs are low-passed: acceleration to the
/// east and north in m/s², turning about the vertical in rad/s (to the left positive); times in ms, in order.
pub(super) fn from_turns(t_ms: &[i64], east: &[f64], north: &[f64], yaw: &[f64]) -> Vec<f64> {
    let mut turned = Vec::with_capacity(t_ms.len());
    let mut angle = 0.0;
    for (row, rate) in yaw.iter().enumerate() {
        angle += rate * seconds(t_ms, row);
        turned.push(angle);
    }
    // What each turn says the heading was where the gyro began to count.
    let says = |row: usize| {
        let pull = east[row].hypot(north[row]);
        let tells = yaw[row].abs() >= TURN_RADS && pull >= TURN_MS2;
        let inside = std::f64::consts::FRAC_PI_2.copysign(yaw[row]);
        tells.then(|| {
            (
                north[row].atan2(east[row]) - inside - turned[row],
                yaw[row].abs() * pull,
            )
        })
    };
    let mut accord = Accord::default();
    let up_to = |row: usize| {
        accord.fade(seconds(t_ms, row));
        if let Some((angle, weight)) = says(row) {
            accord.add(angle, weight);
        }
        accord
    };
    let before: Vec<Accord> = (0..t_ms.len()).map(up_to).collect();
    let mut headings = vec![f64::NAN; t_ms.len()];
    let mut after = Accord::default();
    for row in (0..t_ms.len()).rev() {
        let both = Accord {
            cos: before[row].cos + after.cos,
            sin: before[row].sin + after.sin,
            weight: before[row].weight + after.weight,
        };
        if let Some(began) = both.direction() {
            headings[row] = (90.0 - (began + turned[row]).to_degrees()).rem_euclid(360.0);
        }
        if let Some((angle, weight)) = says(row) {
            after.add(angle, weight);
        }
        after.fade(seconds(t_ms, row));
    }
    headings
}

/// Since the row before, 0 at the first.
fn seconds(t_ms: &[i64], row: usize) -> f64 {
    let before = row.checked_sub(1).map_or(t_ms[row], |before| t_ms[before]);
    (t_ms[row] - before) as f64 / 1000.0
}
