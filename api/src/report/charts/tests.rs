//! Whatever is drawn, every coordinate is a number and lies within the view box.

use chrono::{Days, NaiveDate};

use super::{Label, bar, heat, line, map};

const LABEL: Label<'_> = Label {
    id: "x",
    title: "a <title>",
    description: "a & description",
};

/// Small, large, negative, absurd.
const VALUES: [f64; 9] = [0.0, 1.0, -3.0, 0.001, 17.3, 1e9, f64::NAN, f64::INFINITY, 5e-324];

/// A sequence without a pattern, the same each time.
fn values(count: usize) -> impl Iterator<Item = f64> {
    let next = |seed: &mut u64| {
        *seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        Some((*seed >> 40) as f64 / 1000.0)
    };
    std::iter::successors(Some(count as u64 + 7), |seed| Some(*seed))
        .scan(count as u64 + 7, move |seed, _| next(seed))
        .take(count)
}

/// Numbers of the attributes that place something.
fn coordinates(svg: &str) -> Vec<(char, f64)> {
    let mut found = Vec::new();
    for (name, axis) in [
        ("x", 'x'),
        ("x1", 'x'),
        ("x2", 'x'),
        ("cx", 'x'),
        ("y", 'y'),
        ("y1", 'y'),
        ("y2", 'y'),
        ("cy", 'y'),
    ] {
        for part in svg.split(&format!(" {name}=\"")).skip(1) {
            let number = part.split('"').next().unwrap_or_default();
            found.push((axis, number.parse().unwrap_or_else(|_| panic!("{name}={number:?}"))));
        }
    }
    for name in ["width", "height"] {
        for part in svg.split(&format!(" {name}=\"")).skip(1) {
            let number: f64 = part.split('"').next().unwrap_or_default().parse().unwrap();
            assert!(number >= 0.0, "{name} {number}");
        }
    }
    for part in svg.split("points=\"").skip(1) {
        for point in part.split('"').next().unwrap_or_default().split_whitespace() {
            let (x, y) = point.split_once(',').unwrap();
            found.extend([('x', x.parse().unwrap()), ('y', y.parse().unwrap())]);
        }
    }
    found
}

fn sound(svg: &str) {
    let frame = svg.split("viewBox=\"0 0 ").nth(1).unwrap();
    let mut sides = frame
        .split('"')
        .next()
        .unwrap()
        .split(' ')
        .map(|side| side.parse::<f64>().unwrap());
    let (width, height) = (sides.next().unwrap(), sides.next().unwrap());
    for (axis, value) in coordinates(svg) {
        let most = if axis == 'x' { width } else { height };
        assert!(
            (-0.1..=most + 0.1).contains(&value),
            "{axis} {value} is not within {most}: {svg:.2000}"
        );
    }
    assert!(!svg.contains("NaN") && !svg.contains("inf"));
    assert!(svg.contains("a &lt;title&gt;") && svg.contains("a &amp; description"));
    assert_eq!(svg.matches('<').count(), svg.matches('>').count());
}

fn bars(values: impl Iterator<Item = f64>) -> Vec<bar::Bar> {
    let bar = |value: f64| bar::Bar {
        label: "05-04".to_owned(),
        value,
        says: "<b>".to_owned(),
    };
    values.map(bar).collect()
}

#[test]
fn columns_lie_within_the_frame() {
    for count in [0, 1, 2, 31, 366, 1000] {
        sound(&bar::columns(LABEL, "km", &bars(values(count))));
    }
    sound(&bar::columns(LABEL, "km", &bars(VALUES.into_iter())));
    for value in VALUES {
        sound(&bar::columns(LABEL, "km", &bars([value].into_iter())));
    }
}

#[test]
fn pairs_and_parts_lie_within_the_frame() {
    let pair = |own, all| bar::Pair {
        label: "<i>".to_owned(),
        own,
        all,
    };
    let write = |value: f64| format!("{value:.1}");
    sound(&bar::pairs(LABEL, &[], write));
    sound(&bar::pairs(
        LABEL,
        &[pair(None, None), pair(Some(0.0), Some(0.0))],
        |_| "0".to_owned(),
    ));
    let many: Vec<_> = values(40).map(|value| pair(Some(value), Some(value / 3.0))).collect();
    sound(&bar::pairs(LABEL, &many, |_| "v".to_owned()));
    let part = |value| bar::Part {
        label: "A".to_owned(),
        class: "grade-a",
        value,
    };
    for parts in [vec![], vec![part(0.0)], vec![part(1.0)], values(9).map(part).collect()] {
        sound(&bar::stacked(LABEL, &parts));
    }
}

#[test]
fn lines_lie_within_the_frame() {
    let first = NaiveDate::from_ymd_opt(2026, 5, 1).unwrap();
    for count in [0, 1, 2, 90, 1000] {
        let points: Vec<_> = values(count)
            .enumerate()
            .map(|(at, value)| (first + Days::new(at as u64), value))
            .collect();
        sound(&line::days(LABEL, "score", &points));
    }
    let odd: Vec<_> = VALUES
        .into_iter()
        .enumerate()
        .map(|(at, value)| (first + Days::new(at as u64 * 90), value))
        .collect();
    sound(&line::days(LABEL, "score", &odd));
}

#[test]
fn weeks_lie_within_the_frame_and_have_a_cell_an_hour() {
    let cells: Vec<heat::Cell> = (0..168)
        .zip(values(168))
        .map(|(at, value)| (at / 24 + 1, at % 24, value, "x".to_owned()))
        .collect();
    for cells in [&cells[..0], &cells[..1], &cells[..]] {
        let svg = heat::week(LABEL, cells);
        sound(&svg);
        assert_eq!(svg.matches("class=\"heat").count(), 168);
    }
}

#[test]
fn sketches_lie_within_the_frame() {
    let around = |lat: f64, lon: f64, spread: f64| -> Vec<[f64; 2]> {
        let offsets: Vec<f64> = values(1000).map(|value| (value % 1.0 - 0.5) * spread).collect();
        offsets.chunks(2).map(|pair| [lat + pair[0], lon + pair[1]]).collect()
    };
    for trips in [
        vec![],
        vec![vec![]],
        vec![vec![[52.5, 13.4]]],
        vec![around(52.5, 13.4, 0.2), around(52.6, 13.1, 0.01)],
        vec![around(-89.9, 179.0, 0.1)],
        vec![around(0.0, 0.0, 150.0)],
        vec![vec![[f64::NAN, 1.0], [95.0, 1.0], [1.0, 1.0]]],
    ] {
        sound(&map::sketch(LABEL, &trips));
    }
}
