//! Whether the vehicle moves, sample by sample, from whatever the device tells: speed, odometer, position.
//!
//! Looks back only, and at most [`LOOK_BACK_MS`]: what is older cannot matter, so the judgement can be taken up
//! anywhere in the data. Where the past is missing the answer errs towards rest, never towards movement. Uses fields of
//! the mileage class only: a vehicle whose behaviour may not be kept has the same trips.

use std::collections::VecDeque;

use odograph_domain::{sample::Sample, settings::TripSettings};

use super::place::Fix;

/// How far back any judgement reaches, ms.
pub(super) const LOOK_BACK_MS: i64 = 150_000;
/// For how long a known speed speaks for rows without one (mixed rates), ms.
const SPEED_HOLD_MS: i64 = 30_000;
/// Fixes are compared as the first of each of these slots of absolute time, ms: the choice does not depend on where the
/// data starts, and the work not on the rate.
const SLOT_MS: i64 = 5_000;
/// Displacement is measured over at least and, where fixes are dense enough, at most this long, ms.
const BASELINE_MS: i64 = 8_000;
const LONGEST_BASELINE_MS: i64 = 45_000;
/// Share of the moving threshold from which a queue of cars is still moving.
const CREEPING: f64 = 0.4;
/// Nothing on wheels and public roads is faster, km/h.
const FASTEST_KMH: f64 = 300.0;
/// An odometer may step this much at once (whole kilometres are common), km.
const COARSEST_STEP_KM: f64 = 1.1;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Evidence {
    Speed,
    Odometer,
    Position,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Motion {
    /// Moving, and since which sample.
    Moving {
        since: usize,
        by: Evidence,
    },
    /// Displaced, too slowly to begin a trip and enough to go on with one.
    Creeping,
    Rest,
    /// This row says nothing about it.
    Unknown,
}

#[derive(Debug, Clone, Copy)]
struct Anchor {
    at_ms: i64,
    index: usize,
    fix: Fix,
    /// Metres from the anchor before.
    step_m: f64,
}

#[derive(Debug, Clone, Copy)]
struct Reading {
    at_ms: i64,
    index: usize,
    km: f64,
}

/// The recent past of one vehicle.
#[derive(Debug, Clone)]
pub(super) struct Motions {
    moving_kmh: f64,
    /// Time and km/h of the last row that has a speed.
    speed: Option<(i64, f64)>,
    /// Times of the last rows whose speed was the same to the last bit.
    same_speed: VecDeque<i64>,
    ignition: Option<(i64, bool)>,
    anchors: VecDeque<Anchor>,
    odometer: Option<Reading>,
    /// The reading at which the odometer last changed.
    tick: Option<Reading>,
    /// Odometer steps: (time, km).
    ticks: VecDeque<(i64, f64)>,
}

impl Motions {
    pub(super) fn new(settings: &TripSettings) -> Self {
        Self {
            moving_kmh: settings.moving_kmh,
            speed: None,
            same_speed: VecDeque::new(),
            ignition: None,
            anchors: VecDeque::new(),
            odometer: None,
            tick: None,
            ticks: VecDeque::new(),
        }
    }

    /// Judges the next sample.
    pub(super) fn next(&mut self, index: usize, sample: &Sample) -> Motion {
        let now = sample.ts.millis();
        self.forget(now - LOOK_BACK_MS);
        let by_odometer = sample
            .odometer_km
            .map(|km| self.by_odometer(Reading { at_ms: now, index, km }));
        let fix = Fix::of(sample);
        if let Some(on) = sample.ignition {
            self.ignition = Some((now, on));
        }
        let motion = match sample.speed_kmh {
            Some(kmh) => {
                self.note_speed(now, kmh);
                self.by_speed(now, index, kmh, fix.as_ref())
            }
            None if self.speed.is_some_and(|(at, _)| now - at <= SPEED_HOLD_MS) => Motion::Unknown,
            None => without_speed(by_odometer, fix.map(|fix| self.by_position(now, &fix))),
        };
        if let Some(fix) = fix {
            self.note_fix(now, index, fix);
        }
        let moving = matches!(motion, Motion::Moving { .. } | Motion::Creeping);
        if moving && self.carried() { Motion::Rest } else { motion }
    }

    /// Whether movement that began at `since_ms` is beyond doubt at this sample. Speed and odometer are taken at their
    /// word, except a speed that has not changed by a bit; that, and a position alone, must have led somewhere.
    pub(super) fn confirms(&self, since_ms: i64, by: Evidence, sample: &Sample) -> bool {
        let frozen = self.same_speed.len() >= 3 && self.same_speed.front().is_some_and(|first| *first <= since_ms);
        let Some(fix) = Fix::of(sample) else {
            return by != Evidence::Position;
        };
        let doubtful = by == Evidence::Position || (by == Evidence::Speed && frozen);
        let first = self.anchors.iter().find(|anchor| anchor.at_ms >= since_ms);
        match first {
            _ if !doubtful => true,
            None => false,
            Some(first) => {
                let (net_m, path_m, ..) = self.way(first, &fix);
                let least_m = if by == Evidence::Position { 100.0 } else { 0.0 };
                net_m >= first.fix.noise_m(&fix).max(least_m) && net_m >= 0.5 * path_m
            }
        }
    }

    fn forget(&mut self, before: i64) {
        while self.same_speed.front().is_some_and(|at| *at < before) {
            self.same_speed.pop_front();
        }
        while self.ticks.front().is_some_and(|(at, _)| *at < before) {
            self.ticks.pop_front();
        }
        while self.anchors.front().is_some_and(|anchor| anchor.at_ms < before) {
            self.anchors.pop_front();
        }
        self.speed = self.speed.filter(|(at, _)| *at >= before);
        self.ignition = self.ignition.filter(|(at, _)| *at >= before);
        self.odometer = self.odometer.filter(|reading| reading.at_ms >= before);
        self.tick = self.tick.filter(|reading| reading.at_ms >= before);
    }

    fn note_speed(&mut self, now: i64, kmh: f64) {
        if self.speed.is_none_or(|(_, last)| last.to_bits() != kmh.to_bits()) {
            self.same_speed.clear();
        }
        self.same_speed.push_back(now);
        self.speed = Some((now, kmh));
    }

    fn note_fix(&mut self, now: i64, index: usize, fix: Fix) {
        let last = self.anchors.back();
        if last.is_some_and(|last| last.at_ms.div_euclid(SLOT_MS) == now.div_euclid(SLOT_MS)) {
            return;
        }
        let step_m = last.map_or(0.0, |last| last.fix.distance_m(&fix));
        self.anchors.push_back(Anchor {
            at_ms: now,
            index,
            fix,
            step_m,
        });
    }

    fn by_speed(&self, now: i64, index: usize, kmh: f64, fix: Option<&Fix>) -> Motion {
        if kmh >= self.moving_kmh {
            return match self.stuck_while_parked(now, kmh, fix) {
                true => Motion::Rest,
                false => Motion::Moving {
                    since: index,
                    by: Evidence::Speed,
                },
            };
        }
        let driving = self.stuck_while_driving(now, fix);
        driving.unwrap_or(if self.creeps(kmh, fix) {
            Motion::Creeping
        } else {
            Motion::Rest
        })
    }

    /// A queue that moves at walking pace. A receiver's speed is noisy at rest, so where there is a position or an
    /// odometer it must have advanced too.
    fn creeps(&self, kmh: f64, fix: Option<&Fix>) -> bool {
        if kmh < CREEPING * self.moving_kmh {
            return false;
        }
        let displaced = |fix: &Fix| {
            self.anchors
                .front()
                .is_some_and(|first| first.fix.distance_m(fix) >= first.fix.noise_m(fix))
        };
        match (self.odometer, fix) {
            (Some(_), _) => !self.ticks.is_empty(),
            (None, Some(fix)) => displaced(fix),
            (None, None) => true,
        }
    }

    /// A speed that does not change by a bit while the position stays where it is: a frozen sensor, not a drive.
    fn stuck_while_parked(&self, now: i64, kmh: f64, fix: Option<&Fix>) -> bool {
        let (Some(&since), Some(fix)) = (self.same_speed.front(), fix) else {
            return false;
        };
        if self.same_speed.len() < 3 || now - since < 20_000 {
            return false;
        }
        // The newest fix against which the claim is large enough to be refuted; all after it must lie close too.
        for anchor in self.anchors.iter().rev().take_while(|anchor| anchor.at_ms >= since) {
            let most = anchor.fix.noise_m(fix);
            if anchor.fix.distance_m(fix) > most {
                return false;
            }
            let claimed_m = kmh / 3.6 * (now - anchor.at_ms) as f64 / 1000.0;
            if now - anchor.at_ms >= 20_000 && claimed_m >= 4.0 * most {
                return true;
            }
        }
        false
    }

    /// A speed that stays the same below the threshold while odometer or position advance beyond doubt.
    fn stuck_while_driving(&self, now: i64, fix: Option<&Fix>) -> Option<Motion> {
        let since = *self.same_speed.front()?;
        if self.same_speed.len() < 3 || now - since < 30_000 {
            return None;
        }
        let advanced_km: f64 = self.ticks.iter().filter(|(at, _)| *at > since).map(|(_, km)| km).sum();
        let last_tick = self.tick.filter(|tick| tick.at_ms == now);
        if advanced_km * 3_600_000.0 / (now - since) as f64 >= 2.0 * self.moving_kmh
            && let Some(tick) = last_tick
        {
            return Some(Motion::Moving {
                since: tick.index,
                by: Evidence::Odometer,
            });
        }
        // An odometer that is there and stands still agrees with the speed: the position drifts.
        if self.odometer.is_some() && advanced_km == 0.0 {
            return None;
        }
        let fix = fix?;
        self.recent(now, 60_000, 4)
            .filter(|anchor| anchor.at_ms >= since && now - anchor.at_ms >= 30_000)
            .find_map(|anchor| {
                let (net_m, path_m, largest_m, steps) = self.way(anchor, fix);
                let straight = steps >= 3 && net_m >= 0.7 * path_m && largest_m <= 0.6 * net_m;
                let kmh = net_m * 3600.0 / (now - anchor.at_ms) as f64;
                let far = net_m >= 200.0 && net_m >= 3.0 * anchor.fix.noise_m(fix);
                (straight && far && (2.0 * self.moving_kmh..=FASTEST_KMH).contains(&kmh)).then_some(Motion::Moving {
                    since: anchor.index,
                    by: Evidence::Position,
                })
            })
    }

    /// Anchors, the newest first: those within `most_ms`, and at least `least` of them however far apart they are. A
    /// longer baseline would see movement long after the car has stopped.
    fn recent(&self, now: i64, most_ms: i64, least: usize) -> impl Iterator<Item = &Anchor> {
        let wanted = move |(n, anchor): &(usize, &Anchor)| *n < least || now - anchor.at_ms <= most_ms;
        self.anchors
            .iter()
            .rev()
            .enumerate()
            .take_while(wanted)
            .map(|(_, anchor)| anchor)
    }

    /// From an anchor over those after it to a fix: net, path, largest step (m) and number of steps.
    fn way(&self, from: &Anchor, fix: &Fix) -> (f64, f64, f64, usize) {
        let (mut path_m, mut largest_m, mut steps) = (0.0, 0.0_f64, 1);
        let mut last = &from.fix;
        for anchor in self.anchors.iter().filter(|anchor| anchor.at_ms > from.at_ms) {
            path_m += anchor.step_m;
            largest_m = largest_m.max(anchor.step_m);
            steps += 1;
            last = &anchor.fix;
        }
        let step_m = last.distance_m(fix);
        (from.fix.distance_m(fix), path_m + step_m, largest_m.max(step_m), steps)
    }

    fn by_odometer(&mut self, reading: Reading) -> Motion {
        let last = self.odometer.replace(reading);
        let Some(last) = last else { return Motion::Unknown };
        let step_km = reading.km - last.km;
        let kmh = |since: Reading| step_km * 3_600_000.0 / (reading.at_ms - since.at_ms).max(1) as f64;
        if step_km < 0.0 || (step_km > COARSEST_STEP_KM && kmh(last) > FASTEST_KMH) {
            // Backwards or a leap: a new start for what follows, no movement by itself.
            self.tick = None;
            return Motion::Unknown;
        }
        if step_km == 0.0 {
            let between_ticks = self.ticks.back().is_some_and(|(at, km)| {
                let patience_ms = km / self.moving_kmh.max(1.0) * 3_600_000.0;
                ((reading.at_ms - at) as f64) < patience_ms
            });
            return if between_ticks { Motion::Unknown } else { Motion::Rest };
        }
        let since_tick = self.tick.filter(|tick| kmh(*tick) >= self.moving_kmh);
        let since = since_tick.or_else(|| (kmh(last) >= self.moving_kmh).then_some(last));
        self.tick = Some(reading);
        self.ticks.push_back((reading.at_ms, step_km));
        match since {
            Some(since) => Motion::Moving {
                since: since.index,
                by: Evidence::Odometer,
            },
            None => Motion::Rest,
        }
    }

    /// Net displacement beyond noise, over 8 s to 45 s (longer where fixes are further apart).
    fn by_position(&self, now: i64, fix: &Fix) -> Motion {
        let mut slow = false;
        let mut any = false;
        let old_enough = |anchor: &&Anchor| now - anchor.at_ms >= BASELINE_MS;
        for anchor in self.recent(now, LONGEST_BASELINE_MS, 2).filter(old_enough) {
            any = true;
            let (net_m, path_m, largest_m, steps) = self.way(anchor, fix);
            let kmh = net_m * 3600.0 / (now - anchor.at_ms) as f64;
            if net_m < anchor.fix.noise_m(fix) || kmh > FASTEST_KMH {
                continue;
            }
            // A leap and then nothing is a receiver changing its mind; wandering to and fro is drift.
            let steady = steps == 1 || (largest_m <= 0.8 * net_m && net_m >= 0.5 * path_m);
            if steady && kmh >= 2.0 * self.moving_kmh {
                return Motion::Moving {
                    since: anchor.index,
                    by: Evidence::Position,
                };
            }
            slow |= steady && kmh >= self.moving_kmh;
        }
        match (any, slow) {
            (false, _) => Motion::Unknown,
            (true, true) => Motion::Creeping,
            (true, false) => Motion::Rest,
        }
    }

    /// On a ferry, a train or a tow truck: ignition off and the odometer stands while the receiver moves.
    fn carried(&self) -> bool {
        self.ignition.is_some_and(|(_, on)| !on) && self.odometer.is_some() && self.ticks.is_empty()
    }
}

/// The odometer first; where it does not show movement the position may.
fn without_speed(odometer: Option<Motion>, position: Option<Motion>) -> Motion {
    match (odometer, position) {
        (Some(moving @ Motion::Moving { .. }), _) | (_, Some(moving @ Motion::Moving { .. })) => moving,
        (_, Some(Motion::Creeping)) => Motion::Creeping,
        (Some(Motion::Unknown) | None, Some(position)) => position,
        (Some(odometer), _) => odometer,
        (None, None) => Motion::Unknown,
    }
}
