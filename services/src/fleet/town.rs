//! A town on a grid: local streets, arterials every few blocks, and a ring road.

use std::{cmp::Reverse, collections::BinaryHeap};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

const COLUMNS: usize = 25;
const ROWS: usize = 21;
/// Every so many lines one is an arterial.
const ARTERIAL: usize = 4;

/// A point on the town's plane, m east and north of its origin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Point {
    pub(super) x: f64,
    pub(super) y: f64,
}

impl Point {
    /// Latitude and longitude in degrees. The plane touches WGS 84 at the origin; over a town of ten kilometres lengths are
    /// true to better than 0.2 %.
    pub(super) fn degrees(self) -> (f64, f64) {
        const LAT: f64 = 51.0;
        const LON: f64 = 9.0;
        // Length of a degree at 51° north on the WGS 84 ellipsoid, m.
        const METRES_A_DEGREE_NORTH: f64 = 111_248.2;
        const METRES_A_DEGREE_EAST: f64 = 70_197.6;
        (
            LAT + self.y / METRES_A_DEGREE_NORTH,
            LON + self.x / METRES_A_DEGREE_EAST,
        )
    }

    pub(super) fn towards(self, heading: f64, distance: f64) -> Self {
        Self {
            x: self.x + heading.cos() * distance,
            y: self.y + heading.sin() * distance,
        }
    }

    pub(super) fn distance(self, other: Self) -> f64 {
        (self.x - other.x).hypot(self.y - other.y)
    }

    /// Direction to another point: radians, 0 east, counter-clockwise.
    pub(super) fn heading_to(self, other: Self) -> f64 {
        (other.y - self.y).atan2(other.x - self.x)
    }
}

/// What kind of road a street is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Road {
    Local,
    Arterial,
    Ring,
}

impl Road {
    pub(super) fn limit_kmh(self) -> f64 {
        match self {
            Self::Local => 30.0,
            Self::Arterial => 50.0,
            Self::Ring => 80.0,
        }
    }
}

/// An intersection, by its number.
pub(super) type Node = usize;

#[derive(Debug)]
pub(super) struct Town {
    nodes: Vec<Point>,
}

impl Town {
    pub(super) fn generate(rng: &mut ChaCha8Rng) -> Self {
        let xs = lines(COLUMNS, rng);
        let ys = lines(ROWS, rng);
        // No town lies square to the compass.
        let turn: f64 = rng.random_range(0.1..0.6);
        let mut nodes = Vec::with_capacity(COLUMNS * ROWS);
        for y in &ys {
            for x in &xs {
                let (x, y) = (x + rng.random_range(-12.0..12.0), y + rng.random_range(-12.0..12.0));
                nodes.push(Point {
                    x: x * turn.cos() - y * turn.sin(),
                    y: x * turn.sin() + y * turn.cos(),
                });
            }
        }
        Self { nodes }
    }

    pub(super) fn node(&self, node: Node) -> Point {
        self.nodes[node]
    }

    /// Somewhere off the ring road.
    pub(super) fn address(rng: &mut ChaCha8Rng) -> Node {
        rng.random_range(1..ROWS - 1) * COLUMNS + rng.random_range(1..COLUMNS - 1)
    }

    /// The road between two neighbours.
    pub(super) fn road(a: Node, b: Node) -> Road {
        if a / COLUMNS == b / COLUMNS {
            class(a / COLUMNS, ROWS)
        } else {
            class(a % COLUMNS, COLUMNS)
        }
    }

    /// The roads that meet at an intersection: along the row, and along the column.
    pub(super) fn crossing(node: Node) -> (Road, Road) {
        (class(node / COLUMNS, ROWS), class(node % COLUMNS, COLUMNS))
    }

    fn neighbours(node: Node) -> impl Iterator<Item = Node> {
        let (row, column) = (node / COLUMNS, node % COLUMNS);
        let west = (column > 0).then(|| node - 1);
        let east = (column + 1 < COLUMNS).then(|| node + 1);
        let south = (row > 0).then(|| node - COLUMNS);
        let north = (row + 1 < ROWS).then(|| node + COLUMNS);
        [west, east, south, north].into_iter().flatten()
    }

    /// The quickest way, as its driver feels it today: whole streets are a little better or worse than they are.
    pub(super) fn route(&self, from: Node, to: Node, rng: &mut ChaCha8Rng) -> Vec<Node> {
        let rows: Vec<f64> = (0..ROWS).map(|_| rng.random_range(0.85..1.15)).collect();
        let columns: Vec<f64> = (0..COLUMNS).map(|_| rng.random_range(0.85..1.15)).collect();
        let cost_ms = |a: Node, b: Node| {
            const CROSSING_S: f64 = 4.0;
            let mood = if a / COLUMNS == b / COLUMNS {
                rows[a / COLUMNS]
            } else {
                columns[a % COLUMNS]
            };
            let drive_s = self.nodes[a].distance(self.nodes[b]) / (Self::road(a, b).limit_kmh() / 3.6);
            ((drive_s + CROSSING_S) * mood * 1000.0) as u64
        };
        let mut best = vec![u64::MAX; self.nodes.len()];
        let mut before = vec![from; self.nodes.len()];
        let mut open = BinaryHeap::from([Reverse((0_u64, from))]);
        best[from] = 0;
        while let Some(Reverse((cost, node))) = open.pop() {
            if node == to {
                break;
            }
            for next in Self::neighbours(node) {
                let reached = cost + cost_ms(node, next);
                if reached < best[next] {
                    best[next] = reached;
                    before[next] = node;
                    open.push(Reverse((reached, next)));
                }
            }
        }
        let mut route = vec![to];
        let mut node = to;
        while node != from {
            node = before[node];
            route.push(node);
        }
        route.reverse();
        route
    }
}

fn class(line: usize, lines: usize) -> Road {
    if line == 0 || line == lines - 1 {
        Road::Ring
    } else if line.is_multiple_of(ARTERIAL) {
        Road::Arterial
    } else {
        Road::Local
    }
}

/// Where the streets of one direction lie, m. The ring road keeps its distance.
fn lines(count: usize, rng: &mut ChaCha8Rng) -> Vec<f64> {
    let mut at = 0.0;
    let mut lines = vec![at];
    for line in 1..count {
        let outskirts = if line == 1 || line == count - 1 { 350.0 } else { 0.0 };
        at += outskirts + rng.random_range(170.0..300.0);
        lines.push(at);
    }
    lines
}
