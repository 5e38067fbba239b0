//! A week by hours: the fuller a cell, the more.

use super::{Label, Svg, WIDTH};
use crate::report::text::weekday;

const LEFT: f64 = 40.0;
const TOP: f64 = 22.0;
const CELL: f64 = (WIDTH - LEFT - 4.0) / 24.0;
/// Shades above none.
const SHADES: f64 = 5.0;

/// A cell of the week: weekday (1 is Monday), hour, value, and what it says.
pub(crate) type Cell = (i32, i32, f64, String);

pub(crate) fn week(label: Label<'_>, cells: &[Cell]) -> String {
    let mut svg = Svg::new(label, TOP + 7.0 * CELL + 4.0);
    for hour in (0..24).step_by(3) {
        let x = LEFT + hour as f64 * CELL;
        svg.write("tick", (x, TOP - 7.0), &format!("{hour:02}:00"));
    }
    let most = cells
        .iter()
        .map(|cell| cell.2)
        .filter(|value| value.is_finite())
        .fold(0.0, f64::max);
    for day in 1..=7 {
        let y = TOP + f64::from(day - 1) * CELL;
        svg.write("tick", (2.0, y + CELL * 0.7), &weekday(day)[..3]);
        for hour in 0..24 {
            let here = cells.iter().find(|cell| (cell.0, cell.1) == (day, hour));
            let value = here.map_or(0.0, |cell| cell.2);
            let shade = match most > 0.0 && value > 0.0 {
                true => (value / most * SHADES).ceil().clamp(1.0, SHADES) as u8,
                false => 0,
            };
            let nothing = || format!("{} {hour:02}:00: none", weekday(day));
            let says = here.map_or_else(nothing, |cell| cell.3.clone());
            let at = (LEFT + f64::from(hour) * CELL, y);
            svg.rect(&format!("heat h{shade}"), at, (CELL - 1.5, CELL - 1.5), &says);
        }
    }
    svg.finish()
}
