//! The roads: a town on a grid with arterials and a ring road, a motorway past it, two villages along the motorway, and
//! country roads between them. Dense blocks narrow the sky, tunnels close it.

use std::{cmp::Reverse, collections::BinaryHeap};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::math::{atan2, cos, hypot, sin};

/// Where on Earth the town's middle lies, degrees WGS 84.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Centre {
    pub lat: f64,
    pub lon: f64,
}

/// A point on the plane, m east and north of the town's middle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Point {
    pub(super) x: f64,
    pub(super) y: f64,
}

impl Centre {
    /// Latitude and longitude in degrees. North by the length of a degree at the centre, east by that at the point's own
    /// latitude (WGS 84, series of the meridian and parallel arcs): lengths are true to about 0.1 % within 20 km.
    pub(super) fn degrees(self, point: Point) -> (f64, f64) {
        let phi = self.lat.to_radians();
        let lat = self.lat + point.y / (111_132.954 - 559.822 * cos(2.0 * phi) + 1.175 * cos(4.0 * phi));
        let phi = lat.to_radians();
        let east_m = 111_412.84 * cos(phi) - 93.5 * cos(3.0 * phi) + 0.118 * cos(5.0 * phi);
        let lon = self.lon + point.x / east_m;
        (lat, (lon + 180.0).rem_euclid(360.0) - 180.0)
    }
}

impl Point {
    pub(super) fn towards(self, heading: f64, distance: f64) -> Self {
        Self {
            x: self.x + cos(heading) * distance,
            y: self.y + sin(heading) * distance,
        }
    }

    pub(super) fn distance(self, other: Self) -> f64 {
        hypot(self.x - other.x, self.y - other.y)
    }

    /// Direction to another point: radians, 0 east, counter-clockwise.
    pub(super) fn heading_to(self, other: Self) -> f64 {
        atan2(other.y - self.y, other.x - self.x)
    }

    fn turned(self, angle: f64) -> Self {
        let (sin, cos) = (sin(angle), cos(angle));
        Self {
            x: self.x * cos - self.y * sin,
            y: self.x * sin + self.y * cos,
        }
    }
}

/// What kind of road it is; the higher has priority where two meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Road {
    Local,
    Ramp,
    Arterial,
    Ring,
    Rural,
    Motorway,
}

impl Road {
    /// The posted limit.
    pub(super) fn limit_kmh(self) -> f64 {
        match self {
            Self::Local => 30.0,
            Self::Arterial => 50.0,
            Self::Ramp => 60.0,
            Self::Ring => 80.0,
            Self::Rural => 100.0,
            Self::Motorway => 120.0,
        }
    }

    pub(super) fn has_signals(self) -> bool {
        matches!(self, Self::Arterial | Self::Ring)
    }

    pub(super) fn is_fast(self) -> bool {
        matches!(self, Self::Ramp | Self::Motorway)
    }
}

/// How much of the sky a receiver sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sky {
    Open,
    /// Between tall buildings.
    Narrow,
    /// In a tunnel.
    None,
}

/// An intersection, by its number.
pub(super) type Node = usize;

/// A road from one intersection to the next.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stretch {
    pub(super) to: Node,
    pub(super) road: Road,
    pub(super) sky: Sky,
    street: usize,
}

#[derive(Debug)]
pub(super) struct World {
    nodes: Vec<Point>,
    roads: Vec<Vec<Stretch>>,
    streets: usize,
    /// Where people live, work and shop: the town first, then the villages.
    addresses: Vec<Vec<Node>>,
}

/// A settlement on a grid, by its first intersection.
struct Grid {
    first: Node,
    columns: usize,
    rows: usize,
}

impl Grid {
    fn node(&self, row: usize, column: usize) -> Node {
        self.first + row * self.columns + column
    }
}

const TOWN: (usize, usize) = (25, 21);
const VILLAGE: (usize, usize) = (7, 6);
/// Every so many lines of the town one is an arterial.
const ARTERIAL: usize = 4;
/// The dense middle of the town, m.
const DENSE_M: f64 = 600.0;

impl World {
    pub(super) fn generate(rng: &mut ChaCha8Rng) -> Self {
        let mut world = Self {
            nodes: Vec::new(),
            roads: Vec::new(),
            streets: 0,
            addresses: Vec::new(),
        };
        let town = world.settle(TOWN, Point { x: 0.0, y: 0.0 }, town_line, rng);
        let (width, height) = (
            world.nodes[town.node(0, TOWN.0 - 1)].x,
            world.nodes[town.node(TOWN.1 - 1, 0)].y,
        );
        let west = world.settle(VILLAGE, Point { x: -10_500.0, y: 0.0 }, village_line, rng);
        let east = world.settle(
            VILLAGE,
            Point {
                x: width + 8_500.0,
                y: 0.0,
            },
            village_line,
            rng,
        );
        let motorway = world.chain((-12_500.0, width + 12_500.0), -750.0, 60.0, Road::Motorway, rng);
        for column in [2, TOWN.0 / 2, TOWN.0 - 3] {
            world.ramp(town.node(0, column), &motorway);
        }
        for village in [&west, &east] {
            world.ramp(village.node(0, VILLAGE.0 / 2), &motorway);
        }
        // Country roads from the villages to the ring.
        let (half, middle) = (TOWN.1 / 2, VILLAGE.1 / 2);
        world.country(west.node(middle, VILLAGE.0 - 1), town.node(half, 0), rng);
        world.country(town.node(half, TOWN.0 - 1), east.node(middle, 0), rng);
        world.close_sky(
            &town,
            &motorway,
            Point {
                x: width / 2.0,
                y: height / 2.0,
            },
            rng,
        );
        // No town lies square to the compass.
        let turn: f64 = rng.random_range(0.1..0.6);
        for node in &mut world.nodes {
            let centred = Point {
                x: node.x - width / 2.0,
                y: node.y - height / 2.0,
            };
            *node = centred.turned(turn);
        }
        world
    }

    pub(super) fn node(&self, node: Node) -> Point {
        self.nodes[node]
    }

    /// Somewhere people go to: four of five in the town, away from its ring road.
    pub(super) fn address(&self, rng: &mut ChaCha8Rng) -> Node {
        let places = match rng.random_range(0..10) {
            0 => &self.addresses[1],
            1 => &self.addresses[2],
            _ => &self.addresses[0],
        };
        places[rng.random_range(0..places.len())]
    }

    /// The road between two neighbours.
    pub(super) fn stretch(&self, from: Node, to: Node) -> Option<Stretch> {
        self.roads[from].iter().copied().find(|stretch| stretch.to == to)
    }

    /// The roads that leave an intersection.
    pub(super) fn leaving(&self, node: Node) -> &[Stretch] {
        &self.roads[node]
    }

    /// The quickest way, as its driver feels it today: whole streets are a little better or worse than they are. Empty
    /// where there is none.
    pub(super) fn route(&self, from: Node, to: Node, rng: &mut ChaCha8Rng) -> Vec<Node> {
        const CROSSING_S: f64 = 4.0;
        let moods: Vec<f64> = (0..self.streets).map(|_| rng.random_range(0.85..1.15)).collect();
        let cost_ms = |from: Node, stretch: &Stretch| {
            let drive_s = self.nodes[from].distance(self.nodes[stretch.to]) / (stretch.road.limit_kmh() / 3.6);
            ((drive_s + CROSSING_S) * moods[stretch.street] * 1000.0) as u64
        };
        let mut best = vec![u64::MAX; self.nodes.len()];
        let mut before = vec![from; self.nodes.len()];
        let mut open = BinaryHeap::from([Reverse((0_u64, from))]);
        best[from] = 0;
        while let Some(Reverse((cost, node))) = open.pop() {
            if node == to {
                break;
            }
            for stretch in &self.roads[node] {
                let reached = cost + cost_ms(node, stretch);
                if reached < best[stretch.to] {
                    best[stretch.to] = reached;
                    before[stretch.to] = node;
                    open.push(Reverse((reached, stretch.to)));
                }
            }
        }
        if best[to] == u64::MAX {
            return Vec::new();
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

    fn add(&mut self, at: Point) -> Node {
        self.nodes.push(at);
        self.roads.push(Vec::new());
        self.nodes.len() - 1
    }

    fn street(&mut self) -> usize {
        self.streets += 1;
        self.streets - 1
    }

    fn join(&mut self, a: Node, b: Node, road: Road, street: usize) {
        for (from, to) in [(a, b), (b, a)] {
            let sky = Sky::Open;
            self.roads[from].push(Stretch { to, road, sky, street });
        }
    }

    /// Streets on a grid, and addresses inside it.
    fn settle(
        &mut self,
        (columns, rows): (usize, usize),
        corner: Point,
        class: fn(usize, usize) -> Road,
        rng: &mut ChaCha8Rng,
    ) -> Grid {
        let outskirts_m = if class(0, columns) == Road::Ring { 350.0 } else { 0.0 };
        let xs = lines(columns, outskirts_m, rng);
        let ys = lines(rows, outskirts_m, rng);
        let grid = Grid {
            first: self.nodes.len(),
            columns,
            rows,
        };
        for y in &ys {
            for x in &xs {
                let (x, y) = (x + rng.random_range(-12.0..12.0), y + rng.random_range(-12.0..12.0));
                self.add(Point {
                    x: corner.x + x,
                    y: corner.y + y,
                });
            }
        }
        for row in 0..rows {
            let street = self.street();
            for column in 1..columns {
                self.join(
                    grid.node(row, column - 1),
                    grid.node(row, column),
                    class(row, rows),
                    street,
                );
            }
        }
        for column in 0..columns {
            let street = self.street();
            for row in 1..rows {
                self.join(
                    grid.node(row - 1, column),
                    grid.node(row, column),
                    class(column, columns),
                    street,
                );
            }
        }
        let inside = (1..grid.rows - 1).flat_map(|row| (1..grid.columns - 1).map(move |column| (row, column)));
        self.addresses
            .push(inside.map(|(row, column)| grid.node(row, column)).collect());
        grid
    }

    /// A road of its own from west to east, that wanders a little.
    fn chain(&mut self, (from, to): (f64, f64), y: f64, wander_m: f64, road: Road, rng: &mut ChaCha8Rng) -> Vec<Node> {
        const STEP_M: f64 = 1300.0;
        let pieces = ((to - from) / STEP_M).ceil() as usize;
        let nodes: Vec<Node> = (0..=pieces)
            .map(|piece| {
                let x = from + (to - from) * piece as f64 / pieces as f64;
                let y = y + rng.random_range(-wander_m..wander_m);
                self.add(Point { x, y })
            })
            .collect();
        let street = self.street();
        for pair in nodes.windows(2) {
            self.join(pair[0], pair[1], road, street);
        }
        nodes
    }

    /// Joins an intersection to the motorway, at the next of its nodes that is far enough along for a slip road.
    fn ramp(&mut self, from: Node, motorway: &[Node]) {
        let at = self.nodes[from];
        let away = |node: &Node| (self.nodes[*node].distance(at) - 800.0).abs();
        let nearest = motorway.iter().copied().min_by(|a, b| away(a).total_cmp(&away(b)));
        if let Some(node) = nearest {
            let street = self.street();
            self.join(from, node, Road::Ramp, street);
        }
    }

    fn country(&mut self, from: Node, to: Node, rng: &mut ChaCha8Rng) {
        const STEP_M: f64 = 1100.0;
        const WANDER_M: f64 = 80.0;
        let (a, b) = (self.nodes[from], self.nodes[to]);
        let pieces = (a.distance(b) / STEP_M).ceil() as usize;
        let street = self.street();
        let mut last = from;
        for piece in 1..pieces {
            let share = piece as f64 / pieces as f64;
            let node = self.add(Point {
                x: a.x + (b.x - a.x) * share,
                y: a.y + (b.y - a.y) * share + rng.random_range(-WANDER_M..WANDER_M),
            });
            self.join(last, node, Road::Rural, street);
            last = node;
        }
        self.join(last, to, Road::Rural, street);
    }

    /// Narrows the sky in the middle of the town and closes it in two tunnels: under the ring and on the motorway.
    fn close_sky(&mut self, town: &Grid, motorway: &[Node], middle: Point, rng: &mut ChaCha8Rng) {
        for node in town.first..town.node(town.rows - 1, town.columns - 1) {
            for index in 0..self.roads[node].len() {
                let to = self.nodes[self.roads[node][index].to];
                if self.nodes[node].distance(middle).max(to.distance(middle)) < DENSE_M {
                    self.roads[node][index].sky = Sky::Narrow;
                }
            }
        }
        let column = rng.random_range(4..town.columns - 5);
        let ring = (town.node(town.rows - 1, column), town.node(town.rows - 1, column + 1));
        let place = rng.random_range(motorway.len() / 3..motorway.len() * 2 / 3);
        for (a, b) in [ring, (motorway[place], motorway[place + 1])] {
            for (from, to) in [(a, b), (b, a)] {
                for stretch in self.roads[from].iter_mut().filter(|stretch| stretch.to == to) {
                    stretch.sky = Sky::None;
                }
            }
        }
    }
}

fn town_line(line: usize, lines: usize) -> Road {
    if line == 0 || line == lines - 1 {
        Road::Ring
    } else if line.is_multiple_of(ARTERIAL) {
        Road::Arterial
    } else {
        Road::Local
    }
}

fn village_line(line: usize, lines: usize) -> Road {
    if line == lines / 2 { Road::Arterial } else { Road::Local }
}

/// Where the streets of one direction lie, m. A ring road keeps its distance.
fn lines(count: usize, outskirts_m: f64, rng: &mut ChaCha8Rng) -> Vec<f64> {
    let mut at = 0.0;
    let mut lines = vec![at];
    for line in 1..count {
        let outskirts = if line == 1 || line == count - 1 {
            outskirts_m
        } else {
            0.0
        };
        at += outskirts + rng.random_range(170.0..300.0);
        lines.push(at);
    }
    lines
}
