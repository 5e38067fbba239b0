//! A value over days.

use chrono::NaiveDate;

use super::{
    Label, Svg,
    axis::{Scale, labelled},
};
use crate::report::text::number;

const HEIGHT: f64 = 230.0;
const LEFT: f64 = 48.0;
const RIGHT: f64 = 550.0;
const TOP: f64 = 24.0;
const BOTTOM: f64 = 200.0;
const LABEL_WIDTH: f64 = 100.0;
/// Up to so many points each is a dot to point at.
const MOST_DOTS: usize = 62;

/// Points in the order of their days.
pub(crate) fn days(label: Label<'_>, unit: &str, points: &[(NaiveDate, f64)]) -> String {
    let mut svg = Svg::new(label, HEIGHT);
    let scale = Scale::over(points.iter().map(|(_, value)| *value), 5, BOTTOM, TOP);
    svg.write("tick", (2.0, 12.0), unit);
    scale.draw_rows(&mut svg, LEFT, RIGHT);
    let (Some((first, _)), Some((last, _))) = (points.first(), points.last()) else {
        return svg.finish();
    };
    let span = (*last - *first).num_days();
    let x = |day: NaiveDate| match span {
        // A single day stands in the middle.
        0 => (LEFT + RIGHT) / 2.0,
        _ => LEFT + (day - *first).num_days() as f64 / span as f64 * (RIGHT - LEFT),
    };
    svg.path("line", points.iter().map(|(day, value)| (x(*day), scale.at(*value))));
    if points.len() <= MOST_DOTS {
        for (day, value) in points {
            let says = format!("{day}: {}", number(*value, 1));
            svg.dot("dot", (x(*day), scale.at(*value)), 3.5, &says);
        }
    }
    let calendar = usize::try_from(span + 1).unwrap_or_default();
    for at in labelled(calendar, RIGHT - LEFT, LABEL_WIDTH) {
        let day = *first + chrono::Days::new(at as u64);
        let middle = x(day).clamp(LEFT + 20.0, RIGHT - 36.0);
        svg.write("tick mid", (middle, BOTTOM + 20.0), &day.to_string());
    }
    svg.finish()
}
