//! Axes whose ticks are round numbers, and whose labels do not touch.

use super::Svg;

/// A linear scale between round numbers.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scale {
    pub(super) low: f64,
    pub(super) high: f64,
    step: f64,
    /// Where `low` and `high` are drawn.
    from: f64,
    to: f64,
}

impl Scale {
    /// Takes in all values, with `most` steps at most, each 1, 2 or 5 times a power of ten.
    pub(super) fn over(values: impl IntoIterator<Item = f64>, most: usize, from: f64, to: f64) -> Self {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.into_iter().filter(|value| value.is_finite()) {
            (low, high) = (low.min(value), high.max(value));
        }
        if low > high {
            (low, high) = (0.0, 1.0);
        }
        if high - low <= f64::EPSILON * high.abs().max(1.0) {
            // All the same: a bit of room on both sides, but not below zero for the sake of it.
            let room = if high == 0.0 { 1.0 } else { (high.abs() * 0.1).max(1e-9) };
            (low, high) = (if low >= 0.0 { (low - room).max(0.0) } else { low - room }, high + room);
        }
        let step = round_step((high - low) / most.max(1) as f64);
        Self {
            low: (low / step).floor() * step,
            high: (high / step).ceil() * step,
            step,
            from,
            to,
        }
    }

    pub(super) fn at(&self, value: f64) -> f64 {
        let value = if value.is_finite() {
            value.clamp(self.low, self.high)
        } else {
            self.low
        };
        self.from + (value - self.low) / (self.high - self.low) * (self.to - self.from)
    }

    pub(super) fn ticks(&self) -> impl Iterator<Item = f64> {
        let (low, step) = (self.low, self.step);
        let count = ((self.high - self.low) / step).round() as usize;
        (0..=count).map(move |at| low + at as f64 * step)
    }

    /// Decimals that tell two ticks apart.
    pub(super) fn decimals(&self) -> usize {
        (0..6)
            .find(|&decimals| self.step * 10f64.powi(decimals) >= 0.999)
            .unwrap_or(6) as usize
    }

    /// Grid lines across, each with its value to the left.
    pub(super) fn draw_rows(&self, svg: &mut Svg, left: f64, right: f64) {
        for tick in self.ticks() {
            let y = self.at(tick);
            svg.line("grid", (left, y), (right, y));
            svg.write(
                "tick end",
                (left - 6.0, y + 4.0),
                &crate::report::text::number(tick, self.decimals()),
            );
        }
    }
}

/// The next 1, 2 or 5 times a power of ten from `least` up.
fn round_step(least: f64) -> f64 {
    let power = 10f64.powf(least.log10().floor());
    let factor = [1.0, 2.0, 5.0]
        .into_iter()
        .find(|factor| factor * power >= least * 0.999_999);
    factor.unwrap_or(10.0) * power
}

/// Which of `count` places are labelled so that labels `label_width` wide do not touch on `width`: every n-th, from the first.
pub(super) fn labelled(count: usize, width: f64, label_width: f64) -> impl Iterator<Item = usize> {
    let room = (width / label_width).floor().max(1.0) as usize;
    (0..count).step_by(count.div_ceil(room).max(1))
}

/// Where the middle of the n-th of `count` equal places lies.
pub(super) fn middle(at: usize, count: usize, left: f64, width: f64) -> f64 {
    left + width * (at as f64 + 0.5) / count.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round() {
        let ticks = |values: &[f64]| {
            Scale::over(values.iter().copied(), 5, 0.0, 100.0)
                .ticks()
                .collect::<Vec<_>>()
        };
        assert_eq!(ticks(&[0.0, 83.0]), [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
        assert_eq!(ticks(&[]), [0.0, 0.2, 0.4, 0.6000000000000001, 0.8, 1.0]);
        assert_eq!(ticks(&[0.0, 0.0]).last(), Some(&1.0));
        assert_eq!(ticks(&[80.0, 80.0]).first(), Some(&70.0));
    }

    #[test]
    fn labels_have_room() {
        assert_eq!(labelled(7, 480.0, 60.0).count(), 7);
        assert_eq!(
            labelled(1000, 480.0, 60.0).collect::<Vec<_>>(),
            [0, 125, 250, 375, 500, 625, 750, 875]
        );
        assert_eq!(labelled(0, 480.0, 60.0).count(), 0);
    }
}
