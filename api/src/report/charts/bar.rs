//! Bars: one a day or a week, and pairs that compare one with everybody.

use super::{
    Label, Svg, WIDTH,
    axis::{Scale, labelled, middle},
};
use crate::report::text::number;

const HEIGHT: f64 = 230.0;
const LEFT: f64 = 48.0;
const RIGHT: f64 = 550.0;
const TOP: f64 = 24.0;
const BOTTOM: f64 = 200.0;
/// Of a label such as `05-04`, with a gap.
const LABEL_WIDTH: f64 = 54.0;

/// One bar: what is written below it, how high it is, and what it says when pointed at.
#[derive(Debug, Clone)]
pub(crate) struct Bar {
    pub(crate) label: String,
    pub(crate) value: f64,
    pub(crate) says: String,
}

pub(crate) fn columns(label: Label<'_>, unit: &str, bars: &[Bar]) -> String {
    let mut svg = Svg::new(label, HEIGHT);
    let values = bars.iter().map(|bar| bar.value).chain([0.0]);
    let scale = Scale::over(values, 5, BOTTOM, TOP);
    svg.write("tick", (2.0, 12.0), unit);
    scale.draw_rows(&mut svg, LEFT, RIGHT);
    let width = RIGHT - LEFT;
    let thick = (width / bars.len().max(1) as f64 * 0.72).clamp(0.4, 46.0);
    for (at, bar) in bars.iter().enumerate() {
        let x = middle(at, bars.len(), LEFT, width);
        // What is no number has no height.
        let value = if bar.value.is_finite() { bar.value.max(0.0) } else { 0.0 };
        let y = scale.at(value);
        svg.rect("bar", (x - thick / 2.0, y), (thick, scale.at(0.0) - y), &bar.says);
    }
    for at in labelled(bars.len(), width, LABEL_WIDTH) {
        let x = middle(at, bars.len(), LEFT, width).clamp(LEFT + 14.0, RIGHT - 20.0);
        svg.write("tick mid", (x, BOTTOM + 20.0), &bars[at].label);
    }
    svg.line("axis", (LEFT, scale.at(0.0)), (RIGHT, scale.at(0.0)));
    svg.finish()
}

/// One's own value and everybody's; `None` where it is not known.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    pub(crate) label: String,
    pub(crate) own: Option<f64>,
    pub(crate) all: Option<f64>,
}

const ROW: f64 = 64.0;

/// `write` is how a value is written beside its bar.
pub(crate) fn pairs(label: Label<'_>, pairs: &[Pair], write: impl Fn(f64) -> String) -> String {
    let mut svg = Svg::new(label, ROW * pairs.len().max(1) as f64 + 4.0);
    let values = pairs
        .iter()
        .flat_map(|pair| [pair.own, pair.all])
        .flatten()
        .chain([0.0]);
    // Room for the value after the longest bar.
    let scale = Scale::over(values, 5, 2.0, WIDTH - 110.0);
    for (at, pair) in pairs.iter().enumerate() {
        let top = ROW * at as f64;
        svg.write("row", (2.0, top + 16.0), &pair.label);
        for (row, class, value) in [(0.0, "bar", pair.own), (1.0, "bar all", pair.all)] {
            let y = top + 23.0 + row * 17.0;
            match value {
                Some(value) => {
                    let width = (scale.at(value.max(0.0)) - 2.0).max(1.5);
                    svg.rect(
                        class,
                        (2.0, y),
                        (width, 13.0),
                        &format!("{}: {}", pair.label, write(value)),
                    );
                    svg.write("tick", (width + 8.0, y + 11.0), &write(value));
                }
                None => svg.write("tick", (2.0, y + 11.0), "not known"),
            }
        }
    }
    svg.finish()
}

/// A part of a whole; the class names its colour.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) label: String,
    pub(crate) class: &'static str,
    pub(crate) value: f64,
}

/// One bar of all parts, with a legend below.
pub(crate) fn stacked(label: Label<'_>, parts: &[Part]) -> String {
    let mut svg = Svg::new(label, 40.0 + parts.len().max(1) as f64 * 22.0);
    let whole: f64 = parts.iter().map(|part| part.value.max(0.0)).sum();
    let mut x = 2.0;
    for (at, part) in parts.iter().enumerate() {
        let share = if whole > 0.0 { part.value.max(0.0) / whole } else { 0.0 };
        let width = share * (WIDTH - 4.0);
        let says = format!("{}: {} %", part.label, number(share * 100.0, 1));
        svg.rect(part.class, (x, 4.0), (width, 26.0), &says);
        x += width;
        let at = (2.0, 42.0 + at as f64 * 22.0);
        svg.rect(part.class, at, (12.0, 12.0), &part.label);
        svg.write("tick", (at.0 + 18.0, at.1 + 11.0), &says);
    }
    svg.finish()
}
