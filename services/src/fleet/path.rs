//! A route as geometry: straights and arcs, each with the speed its driver means to take it at, and where he has to stop.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::{
    driver::Temper,
    town::{Node, Point, Road, Town},
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
}

#[derive(Debug)]
pub(super) struct Path {
    pieces: Vec<Piece>,
    /// In order of place.
    pub(super) obstacles: Vec<Obstacle>,
    pub(super) length_m: f64,
}

impl Path {
    pub(super) fn along(town: &Town, route: &[Node], temper: &Temper, rng: &mut ChaCha8Rng) -> Self {
        let mut builder = Builder {
            pieces: Vec::new(),
            obstacles: Vec::new(),
            length_m: 0.0,
        };
        let Some(&first) = route.first() else {
            return builder.finish();
        };
        let mut from = town.node(first);
        for (index, pair) in route.windows(2).enumerate() {
            let &[node, next] = pair else { continue };
            let road = Town::road(node, next);
            let corner = town.node(next);
            match route.get(index + 2) {
                Some(&after) => {
                    let bend = Bend::at(corner, from, town.node(after), road.max(Town::road(next, after)));
                    builder.straight(from, bend.starts, road, temper, rng);
                    builder.crossing(next, road, &bend, temper, rng);
                    builder.arc(&bend, road, temper, rng);
                    from = bend.ends;
                }
                None => builder.straight(from, corner, road, temper, rng),
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
                let quarter = if left {
                    std::f64::consts::FRAC_PI_2
                } else {
                    -std::f64::consts::FRAC_PI_2
                };
                (centre.towards(angle, radius), angle + quarter)
            }
        };
        Some(Place {
            point,
            heading,
            limit_kmh: piece.limit_kmh,
        })
    }

    fn advance(&self, at_m: f64, hint: &mut usize) {
        while *hint + 1 < self.pieces.len() && at_m >= self.pieces[*hint + 1].from_m {
            *hint += 1;
        }
    }

    /// The speed the driver allows himself at `at_m`, with what lies ahead in mind, m/s.
    pub(super) fn allowed_ms(&self, at_m: f64, hint: &mut usize) -> f64 {
        const LOOK_AHEAD_M: f64 = 250.0;
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
    fn at(corner: Point, from: Point, to: Point, road: Road) -> Self {
        let heading = from.heading_to(corner);
        let out = corner.heading_to(to);
        let turn = (out - heading).sin().atan2((out - heading).cos());
        let half = (turn.abs() / 2.0).tan().max(1e-6);
        // Straight on the road bends gently; a turn goes round the kerb.
        let tangent = if turn.abs() < STRAIGHT_RAD {
            0.0
        } else if turn.abs() > TURN_RAD {
            let kerb = if road == Road::Local { 10.0 } else { 15.0 };
            kerb * half
        } else {
            40.0
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

struct Builder {
    pieces: Vec<Piece>,
    obstacles: Vec<Obstacle>,
    length_m: f64,
}

impl Builder {
    fn push(&mut self, shape: Shape, length_m: f64, limit_kmh: f64, target_ms: f64, braking_ms2: f64) {
        self.pieces.push(Piece {
            shape,
            from_m: self.length_m,
            length_m,
            limit_kmh,
            target_ms,
            braking_ms2,
        });
        self.length_m += length_m;
    }

    fn straight(&mut self, from: Point, to: Point, road: Road, temper: &Temper, rng: &mut ChaCha8Rng) {
        let length_m = from.distance(to);
        let limit_kmh = road.limit_kmh();
        if let Some(hazard) = temper.hazard(self.length_m, length_m, rng) {
            self.obstacles.push(hazard);
        }
        let shape = Shape::Straight {
            from,
            heading: from.heading_to(to),
        };
        self.push(
            shape,
            length_m,
            limit_kmh,
            limit_kmh / 3.6 * temper.pace(rng),
            temper.braking_ms2(rng),
        );
    }

    fn arc(&mut self, bend: &Bend, road: Road, temper: &Temper, rng: &mut ChaCha8Rng) {
        if bend.turn.abs() < STRAIGHT_RAD {
            return;
        }
        let left = bend.turn > 0.0;
        let side = if left {
            std::f64::consts::FRAC_PI_2
        } else {
            -std::f64::consts::FRAC_PI_2
        };
        let shape = Shape::Arc {
            centre: bend.starts.towards(bend.heading + side, bend.radius),
            radius: bend.radius,
            from_angle: bend.heading - side,
            left,
        };
        let limit_kmh = road.limit_kmh();
        let grip_ms = (temper.cornering_ms2(rng) * bend.radius).sqrt();
        let target_ms = grip_ms.min(limit_kmh / 3.6 * temper.pace(rng));
        self.push(
            shape,
            bend.radius * bend.turn.abs(),
            limit_kmh,
            target_ms,
            temper.braking_ms2(rng),
        );
    }

    /// What the driver meets before a crossing.
    fn crossing(&mut self, node: Node, road: Road, bend: &Bend, temper: &Temper, rng: &mut ChaCha8Rng) {
        let (a, b) = Town::crossing(node);
        let other = if a == road { b } else { a };
        let signals = road >= Road::Arterial && other >= Road::Arterial;
        let (speed_ms, dwell_s) = if signals {
            if !rng.random_bool(0.4) {
                return;
            }
            (0.0, rng.random_range(6.0..45.0))
        } else if other > road {
            if rng.random_bool(0.35) {
                (0.0, rng.random_range(1.0..8.0))
            } else {
                (3.5, 0.0)
            }
        } else if other == road && !bend.is_turn() && rng.random_bool(0.5) {
            (6.0, 0.0)
        } else {
            return;
        };
        self.obstacles.push(Obstacle {
            at_m: (self.length_m - 2.0).max(0.0),
            speed_ms,
            braking_ms2: temper.braking_ms2(rng),
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
