//! Arithmetic that gives the same digits on every machine: the pure-Rust `libm` where the platform's own functions may
//! differ in the last bit, and noise without any.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

pub(super) use libm::{atan2, cos, exp, hypot, log as ln, sin, tan};

/// Noise of mean 0 and standard deviation 1, within ±3.5: the sum of four uniform numbers.
pub(super) fn noise(rng: &mut ChaCha8Rng) -> f64 {
    let sum: f64 = (0..4).map(|_| rng.random::<f64>()).sum();
    (sum - 2.0) * 3.0_f64.sqrt()
}

/// To a fraction: `rounded(x, 100.0)` has two decimals, and no more digits than that in JSON.
pub(super) fn rounded(value: f64, parts: f64) -> f64 {
    // Without a negative zero, which would print as one.
    (value * parts).round() / parts + 0.0
}

/// An event of this probability, whatever the arithmetic that made it.
pub(super) fn chance(rng: &mut ChaCha8Rng, p: f64) -> bool {
    rng.random_bool(p.clamp(0.0, 1.0))
}

/// Waiting time of a Poisson process of rate 1.
pub(super) fn exponential(rng: &mut ChaCha8Rng) -> f64 {
    -ln(1.0 - rng.random::<f64>())
}

/// Gamma of this shape and mean (Marsaglia and Tsang 2000, *ACM TOMS* 26:363; shapes below 1 by their boost).
pub(super) fn gamma(shape: f64, mean: f64, rng: &mut ChaCha8Rng) -> f64 {
    let boost = if shape < 1.0 {
        exp(ln(1.0 - rng.random::<f64>()) / shape)
    } else {
        1.0
    };
    let d = if shape < 1.0 { shape + 1.0 } else { shape } - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let x = normal(rng);
        let v = (1.0 + c * x).powi(3);
        if v <= 0.0 {
            continue;
        }
        let u = 1.0 - rng.random::<f64>();
        if ln(u) < 0.5 * x * x + d - d * v + d * ln(v) {
            return d * v * boost * mean / shape;
        }
    }
}

/// Standard normal by Box and Muller: the tails matter where sizes of claims are drawn.
fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let radius = (2.0 * exponential(rng)).sqrt();
    radius * cos(2.0 * std::f64::consts::PI * rng.random::<f64>())
}
