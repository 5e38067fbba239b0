//! Charts as SVG text. Each says in words what it shows (title and description), draws in a view box of its own, and takes its
//! colours from the page's classes, so that light, dark and print need no second drawing.

mod axis;
pub(crate) mod bar;
pub(crate) mod heat;
pub(crate) mod line;
pub(crate) mod map;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use super::text::esc;

/// Width of every chart's view box.
pub(super) const WIDTH: f64 = 560.0;

/// What a chart is called and says, for whoever does not see it; `id` is unique on the page.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Label<'a> {
    pub(crate) id: &'a str,
    pub(crate) title: &'a str,
    pub(crate) description: &'a str,
}

/// An SVG that is being drawn.
struct Svg {
    text: String,
}

impl Svg {
    fn new(label: Label<'_>, height: f64) -> Self {
        let Label { id, title, description } = label;
        let (id, title, description) = (esc(id), esc(title), esc(description));
        let text = format!(
            "<svg class=\"chart\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-labelledby=\"{id}-t {id}-d\">\
             <title id=\"{id}-t\">{title}</title><desc id=\"{id}-d\">{description}</desc>"
        );
        Self { text }
    }

    fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let ((x1, y1), (x2, y2)) = (from, to);
        self.push(format_args!(
            "<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>"
        ));
    }

    /// With a tooltip, which is also what a screen reader says of it.
    fn rect(&mut self, class: &str, at: (f64, f64), size: (f64, f64), says: &str) {
        let ((x, y), (width, height)) = (at, size);
        self.push(format_args!(
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\">\
             <title>{}</title></rect>",
            esc(says)
        ));
    }

    fn dot(&mut self, class: &str, at: (f64, f64), radius: f64, says: &str) {
        let (x, y) = at;
        self.push(format_args!(
            "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\"><title>{}</title></circle>",
            esc(says)
        ));
    }

    fn path(&mut self, class: &str, points: impl IntoIterator<Item = (f64, f64)>) {
        self.push(format_args!("<polyline class=\"{class}\" points=\""));
        for (at, (x, y)) in points.into_iter().enumerate() {
            let space = if at > 0 { " " } else { "" };
            self.push(format_args!("{space}{x:.1},{y:.1}"));
        }
        self.text.push_str("\"/>");
    }

    fn write(&mut self, class: &str, at: (f64, f64), text: &str) {
        let (x, y) = at;
        self.push(format_args!(
            "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{}</text>",
            esc(text)
        ));
    }

    fn push(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing into a text cannot fail.
        let _ = self.text.write_fmt(text);
    }

    fn finish(mut self) -> String {
        self.text.push_str("</svg>");
        self.text
    }
}
