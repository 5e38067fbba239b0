//! A route as geometry: straights and arcs, each with the speed its driver means to take it at, and where he has to stop.

use std::f64::consts::{FRAC_PI_2, PI};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::{
    driver::Temper,
    math::{chance, tan},
    world::{Node, Point, Road, Sky, Stretch, World},
};

/// Sharper than this a bend is a turn, taken on a kerb's radius.
const TURN_RAD: f64 = 0.5;
/// Flatter than this a bend is none.
const STRAIGHT_RAD: f64 = 1e-4;

#[derive(Debug, Clone, Copy)]
enum Shape {
    Straight {
        from: Point,
        heading: f64,
    },
    /// Counter-clockwise about the centre where `left`.
    Arc {
        centre: Point,
        radius: f64,
        from_angle: f64,
        left: bool,
    },
}

#[derive(Debug, Clone, Copy)]
struct Piece {
    shape: Shape,
    /// Distance from the start of the path to the start of the piece, m.
    from_m: f64,
    length_m: f64,
    limit_kmh: f64,
    sky: Sky,
    /// What the driver will not exceed here, m/s.
    target_ms: f64,
    /// How hard he brakes for it, m/s².
    braking_ms2: f64,
}

/// Something that makes the driver slow down at a place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Obstacle {
    pub(super) at_m: f64,
    /// Speed to have fallen to there, m/s; 0 to stop.
    pub(super) speed_ms: f64,
    pub(super) braking_ms2: f64,
    /// How long to stand, s.
    pub(super) dwell_s: f64,
    /// Seen only this far ahead, m: a hazard.
    pub(super) seen_m: f64,
}

/// Where something on the path is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) point: Point,
    /// Radians, 0 east, counter-clockwise.
    pub(super) heading: f64,
    pub(super) limit_kmh: f64,
    pub(super) sky: Sky,
}

#[derive(Debug)]
pub(super) struct Path {
    pieces: Vec<Piece>,
    /// In order of place.
    pub(super) obstacles: Vec<Obstacle>,
    pub(super) length_m: f64,
}

impl Path {
    /// `traffic` is 0 on an empty road and 1 in the worst of the rush hour.
    pub(super) fn along(world: &World, route: &[Node], temper: &Temper, traffic: f64, rng: &mut ChaCha8Rng) -> Self {
        let mut builder = Builder {
            world,
            temper,
            traffic,
            pieces: Vec::new(),
            obstacles: Vec::new(),
            length_m: 0.0,
        };
        let Some(&first) = route.first() else {
            return builder.finish();
        };
        let mut from = world.node(first);
        for (index, pair) in route.windows(2).enumerate() {
            let &[node, next] = pair else { continue };
            let Some(stretch) = world.stretch(node, next) else {
                continue;
            };
            let corner = world.node(next);
            let onward = route.get(index + 2).and_then(|&after| world.stretch(next, after));
            match onward {
                Some(after) => {
                    let bend = Bend::at(corner, from, world.node(after.to), stretch.road, after.road);
                    builder.straight(from, bend.starts, &stretch, rng);
                    builder.crossing(node, next, &stretch, &bend, rng);
                    builder.arc(&bend, &stretch, rng);
                    from = bend.ends;
                }
                None => builder.straight(from, corner, &stretch, rng),
            }
        }
        builder.finish()
    }

    /// The place `at_m` along the path; `hint` is the piece of the last look-up, to start from.
    pub(super) fn place(&self, at_m: f64, hint: &mut usize) -> Option<Place> {
        self.advance(at_m, hint);
        let piece = self.pieces.get(*hint)?;
        let along = (at_m - piece.from_m).clamp(0.0, piece.length_m);
        let (point, heading) = match piece.shape {
            Shape::Straight { from, heading } => (from.towards(heading, along), heading),
            Shape::Arc {
                centre,
                radius,
                from_angle,
                left,
            } => {
                let turned = along / radius;
                let angle = if left { from_angle + turned } else { from_angle - turned };
                let quarter = if left { FRAC_PI_2 } else { -FRAC_PI_2 };
                (centre.towards(angle, radius), angle + quarter)
            }
        };
        Some(Place {
            point,
            heading,
            limit_kmh: piece.limit_kmh,
            sky: piece.sky,
        })
    }

    fn advance(&self, at_m: f64, hint: &mut usize) {
        while *hint + 1 < self.pieces.len() && at_m >= self.pieces[*hint + 1].from_m {
            *hint += 1;
        }
    }

    /// The speed the driver allows himself at `at_m`, with what lies ahead in mind, m/s.
    pub(super) fn allowed_ms(&self, at_m: f64, hint: &mut usize) -> f64 {
        const LOOK_AHEAD_M: f64 = 600.0;
        self.advance(at_m, hint);
        let Some((here, ahead)) = self.pieces[*hint..].split_first() else {
            return 0.0;
        };
        let near = ahead.iter().take_while(|piece| piece.from_m - at_m < LOOK_AHEAD_M);
        near.map(|piece| approach_ms(piece.target_ms, piece.braking_ms2, piece.from_m - at_m))
            .fold(here.target_ms, f64::min)
    }
}

/// The highest speed from which a steady braking still comes down to `speed_ms` in time, m/s.
pub(super) fn approach_ms(speed_ms: f64, braking_ms2: f64, distance_m: f64) -> f64 {
    (speed_ms * speed_ms + 2.0 * braking_ms2 * distance_m.max(0.0)).sqrt()
}

/// The arc that rounds a corner.
struct Bend {
    starts: Point,
    ends: Point,
    heading: f64,
    /// Signed, left positive, radians.
    turn: f64,
    radius: f64,
}

impl Bend {
    fn at(corner: Point, from: Point, to: Point, road: Road, onto: Road) -> Self {
        let heading = from.heading_to(corner);
        let out = corner.heading_to(to);
        let turn = between(heading, out);
        let half = tan(turn.abs() / 2.0).max(1e-6);
        // Straight on the road bends gently; a turn goes round the kerb, a slip road round its loop.
        let fastest = road.max(onto);
        let tangent = if turn.abs() < STRAIGHT_RAD {
            0.0
        } else if turn.abs() <= TURN_RAD {
            if fastest >= Road::Rural { 200.0 } else { 40.0 }
        } else if road.is_fast() && onto.is_fast() {
            60.0 * half
        } else if fastest == Road::Local {
            10.0 * half
        } else {
            15.0 * half
        };
        let tangent = tangent.min(0.3 * from.distance(corner)).min(0.3 * corner.distance(to));
        Self {
            starts: corner.towards(heading, -tangent),
            ends: corner.towards(out, tangent),
            heading,
            turn,
            radius: tangent / half,
        }
    }

    fn is_turn(&self) -> bool {
        self.turn.abs() > TURN_RAD
    }
}

/// From one direction to another, radians within ±π, left positive.
fn between(from: f64, to: f64) -> f64 {
    (to - from + PI).rem_euclid(2.0 * PI) - PI
}

struct Builder<'a> {
    world: &'a World,
    temper: &'a Temper,
    traffic: f64,
    pieces: Vec<Piece>,
    obstacles: Vec<Obstacle>,
    length_m: f64,
}

impl Builder<'_> {
    fn push(&mut self, shape: Shape, length_m: f64, stretch: &Stretch, target_ms: f64, braking_ms2: f64) {
        self.pieces.push(Piece {
            shape,
            from_m: self.length_m,
            length_m,
            limit_kmh: stretch.road.limit_kmh(),
            sky: stretch.sky,
            target_ms,
            braking_ms2,
        });
        self.length_m += length_m;
    }

    /// What the driver wants on a stretch, as far as the others let him, m/s.
    fn pace_ms(&self, road: Road, rng: &mut ChaCha8Rng) -> f64 {
        let held_up = if road == Road::Local { 0.0 } else { 0.4 * self.traffic };
        road.limit_kmh() / 3.6 * self.temper.pace(rng) * (1.0 - held_up * rng.random::<f64>())
    }

    fn straight(&mut self, from: Point, to: Point, stretch: &Stretch, rng: &mut ChaCha8Rng) {
        let length_m = from.distance(to);
        if let Some(hazard) = self.temper.hazard(self.length_m, length_m, rng) {
            self.obstacles.push(hazard);
        }
        let shape = Shape::Straight {
            from,
            heading: from.heading_to(to),
        };
        let (target_ms, braking_ms2) = (self.pace_ms(stretch.road, rng), self.temper.braking_ms2(rng));
        self.push(shape, length_m, stretch, target_ms, braking_ms2);
    }

    fn arc(&mut self, bend: &Bend, stretch: &Stretch, rng: &mut ChaCha8Rng) {
        if bend.turn.abs() < STRAIGHT_RAD {
            return;
        }
        let left = bend.turn > 0.0;
        let side = if left { FRAC_PI_2 } else { -FRAC_PI_2 };
        let shape = Shape::Arc {
            centre: bend.starts.towards(bend.heading + side, bend.radius),
            radius: bend.radius,
            from_angle: bend.heading - side,
            left,
        };
        let grip_ms = (self.temper.cornering_ms2(rng) * bend.radius).sqrt();
        let target_ms = grip_ms.min(self.pace_ms(stretch.road, rng));
        let braking_ms2 = self.temper.braking_ms2(rng);
        self.push(shape, bend.radius * bend.turn.abs(), stretch, target_ms, braking_ms2);
    }

    /// The most important of the roads that cross, or that the driver turns into.
    fn other_road(&self, from: Node, node: Node, heading: f64) -> Option<Road> {
        let at = self.world.node(node);
        let across = |stretch: &&Stretch| {
            let turn = between(heading, at.heading_to(self.world.node(stretch.to)));
            stretch.to != from && turn.abs() > TURN_RAD
        };
        let leaving = self.world.leaving(node).iter();
        leaving.filter(across).map(|stretch| stretch.road).max()
    }

    /// What the driver meets before a crossing.
    fn crossing(&mut self, from: Node, node: Node, stretch: &Stretch, bend: &Bend, rng: &mut ChaCha8Rng) {
        let road = stretch.road;
        let Some(other) = self.other_road(from, node, bend.heading) else {
            return;
        };
        if other == Road::Motorway || road == Road::Motorway {
            // A lane to merge from, a lane to leave by.
            return;
        }
        let (speed_ms, dwell_s) = if road.has_signals() && other.has_signals() {
            if !chance(rng, 0.4 + 0.2 * self.traffic) {
                return;
            }
            (0.0, rng.random_range(6.0..45.0))
        } else if other > road {
            if chance(rng, 0.35 + 0.2 * self.traffic) {
                (0.0, rng.random_range(1.0..8.0))
            } else {
                (3.5, 0.0)
            }
        } else if other == road && !bend.is_turn() && chance(rng, 0.5) {
            (6.0, 0.0)
        } else {
            return;
        };
        self.obstacles.push(Obstacle {
            at_m: (self.length_m - 2.0).max(0.0),
            speed_ms,
            braking_ms2: self.temper.braking_ms2(rng),
            dwell_s,
            seen_m: f64::INFINITY,
        });
    }

    fn finish(self) -> Path {
        Path {
            pieces: self.pieces,
            obstacles: self.obstacles,
            length_m: self.length_m,
        }
    }
}
