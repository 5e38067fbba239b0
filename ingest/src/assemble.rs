//! Trips are a function of the raw data: this one. `docs/science/trips.md` says why it decides as it does.
//!
//! After a trip's end the function starts again with nothing in mind, and before a trip it remembers no more than
//! [`TripSettings::memory`] and [`margin`] before the sample in hand. So it can be taken up after any trip, or that far
//! before one, and finds the same trips; [`crate::window`] stands on this.

mod motion;
mod place;

use std::ops::Range;

use chrono::{DateTime, TimeDelta, Utc};
use odograph_domain::{
    batch::RawSample,
    settings::TripSettings,
    time::EventTime,
    trip::{Trip, TripEnd, TripStart},
};

use motion::{Evidence, LOOK_BACK_MS, Motion, Motions};
pub(crate) use place::Fix;

/// A trip and the samples it is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assembled {
    pub trip: Trip,
    /// Indices into the samples given to [`assemble`].
    pub range: Range<usize>,
}

/// Movement seen in samples up to this far apart is one movement while it is not yet a trip, ms.
const HOLD_MS: i64 = LOOK_BACK_MS;
/// An ignition signal that comes back within this time has bounced, ms.
const BOUNCE_MS: i64 = 10_000;
/// A recording that ends this long after the last movement ended with the car at rest; until then its last sample is
/// where the device was switched off, ms.
const TRAILING_REST_MS: i64 = 180_000;
/// Slower than this is noise of a speed sensor at rest, km/h.
const CREEP_KMH: f64 = 1.0;
/// Rows further apart are not one manoeuvre, and a manoeuvre lasts at least this long, ms.
const MANOEUVRE_PAUSE_MS: i64 = 5_000;
const MANOEUVRE_MS: i64 = 3_000;

/// How much further than [`TripSettings::memory`] the function looks to either side to judge one sample.
pub fn margin(settings: &TripSettings) -> TimeDelta {
    TimeDelta::milliseconds(2 * LOOK_BACK_MS) + TimeDelta::seconds(2 * i64::from(settings.sustained_s))
}

/// The trips of a vehicle's samples (merged, in event-time order: [`crate::order::merge`]), in order.
///
/// A trip without evidence of its end is [`Trip::Open`]; only the last one can be.
pub fn assemble(samples: &[RawSample], settings: &TripSettings) -> Vec<Assembled> {
    let mut trips = Vec::new();
    let mut from = 0;
    while let Some(found) = next_trip(samples, from, settings) {
        from = found.range.end;
        trips.push(found);
    }
    trips
}

/// As [`assemble`], of a vehicle that changed hands at these instants (the earliest first): no trip reaches across one, and
/// the function starts again after it with nothing in mind.
pub fn assemble_between(samples: &[RawSample], handovers: &[DateTime<Utc>], settings: &TripSettings) -> Vec<Assembled> {
    let mut trips = Vec::new();
    let mut from = 0;
    for handover in handovers {
        let to = samples.partition_point(|raw| raw.sample.ts.utc() < *handover);
        if to <= from {
            continue;
        }
        let found = assemble(&samples[from..to], settings);
        let later = samples.get(to).map(|raw| raw.sample.ts);
        trips.extend(shifted(close_before(found, later, handovers, settings), from));
        from = to;
    }
    trips.extend(shifted(assemble(&samples[from..], settings), from));
    trips
}

fn shifted(trips: Vec<Assembled>, by: usize) -> impl Iterator<Item = Assembled> {
    trips.into_iter().map(move |found| Assembled {
        range: found.range.start + by..found.range.end + by,
        ..found
    })
}

/// Ends the last trip if it is open and the vehicle has later samples, beyond those it was looked for in: then it was
/// a gap that ended it, or the vehicle changed hands, not silence.
pub fn close_before(
    mut trips: Vec<Assembled>,
    later: Option<EventTime>,
    handovers: &[DateTime<Utc>],
    settings: &TripSettings,
) -> Vec<Assembled> {
    if let Some(later) = later
        && let Some(last) = trips.last_mut()
        && let Trip::Open { last: end, .. } = last.trip
    {
        let gap = TimeDelta::seconds(i64::from(settings.gap_s));
        let handed_over = |at: &DateTime<Utc>| end.utc() < *at && *at <= later.utc() && *at - end.utc() <= gap;
        let by = if handovers.iter().any(handed_over) {
            TripEnd::Handover
        } else {
            TripEnd::Gap
        };
        last.trip = last.trip.close(end, by).unwrap_or(last.trip);
    }
    trips
}

/// The first trip at or after `from`, found without knowing anything before it.
fn next_trip(samples: &[RawSample], from: usize, settings: &TripSettings) -> Option<Assembled> {
    let mut motions = Motions::new(settings);
    let mut idle = Idle {
        samples,
        settings,
        from,
        ignition_on: None,
        streak: None,
    };
    for index in from..samples.len() {
        let motion = motions.next(index, &samples[index].sample);
        if let Some((start, started_by)) = idle.step(index, motion, &motions) {
            return Some(Driving::new(samples, settings, start, started_by, index, motions).until_end());
        }
    }
    None
}

fn ms(samples: &[RawSample], index: usize) -> i64 {
    samples[index].sample.ts.millis()
}

fn is_gap(samples: &[RawSample], index: usize, settings: &TripSettings) -> bool {
    index > 0 && ms(samples, index) - ms(samples, index - 1) > i64::from(settings.gap_s) * 1000
}

/// Movement that is not yet a trip.
#[derive(Debug, Clone, Copy)]
struct Streak {
    start: usize,
    last: usize,
    count: u32,
}

/// Between trips: waits for movement that lasts.
struct Idle<'a> {
    samples: &'a [RawSample],
    settings: &'a TripSettings,
    from: usize,
    /// First and last sample known of the current run with the ignition on.
    ignition_on: Option<(usize, usize)>,
    streak: Option<Streak>,
}

impl Idle<'_> {
    fn step(&mut self, index: usize, motion: Motion, motions: &Motions) -> Option<(usize, TripStart)> {
        let sample = &self.samples[index].sample;
        if index > self.from && is_gap(self.samples, index, self.settings) {
            self.ignition_on = None;
            self.streak = None;
        }
        match sample.ignition {
            // A signal last heard of too long ago cannot say that this is the same run.
            Some(true) => {
                let now = ms(self.samples, index);
                let known = self
                    .ignition_on
                    .filter(|(_, last)| now - ms(self.samples, *last) <= HOLD_MS);
                self.ignition_on = Some((known.map_or(index, |(first, _)| first), index));
            }
            Some(false) => self.ignition_on = None,
            None => {}
        }
        let (since, by) = match motion {
            Motion::Moving { since, by } => (since, by),
            Motion::Rest => {
                self.streak = None;
                return None;
            }
            Motion::Creeping | Motion::Unknown => return None,
        };
        let now = ms(self.samples, index);
        let fresh = Streak {
            start: since,
            last: index,
            count: 1,
        };
        let streak = match self.streak {
            Some(streak) if now - ms(self.samples, streak.last) <= HOLD_MS => Streak {
                last: index,
                count: streak.count + 1,
                ..streak
            },
            _ => fresh,
        };
        self.streak = Some(streak);
        let lasted_ms = now - ms(self.samples, streak.start);
        let seen_often = by == Evidence::Odometer || streak.count >= 2;
        let earliest = now - HOLD_MS - i64::from(self.settings.sustained_s) * 1000;
        let start = (streak.start..=index).find(|i| ms(self.samples, *i) >= earliest)?;
        let confirmed = motions.confirms(ms(self.samples, start), by, sample);
        if lasted_ms < i64::from(self.settings.sustained_s) * 1000 || !seen_often || !confirmed {
            return None;
        }
        Some(self.beginning(start))
    }

    /// With the ignition where little time passed between it and the first movement, else with the movement or the
    /// manoeuvring before it: out of the yard, a stop at the gate, off.
    fn beginning(&self, moved: usize) -> (usize, TripStart) {
        let patience_ms = i64::from(self.settings.rest_s.unwrap_or(self.settings.gap_s)) * 1000;
        let earliest = ms(self.samples, moved) - patience_ms;
        match self.ignition_on {
            Some((on, _)) if on <= moved && ms(self.samples, on) > earliest => (on, TripStart::IgnitionOn),
            _ => (self.manoeuvred_from(moved, earliest), TripStart::Movement),
        }
    }

    /// The earliest manoeuvre that leads up to `moved` without a gap.
    fn manoeuvred_from(&self, moved: usize, earliest: i64) -> usize {
        let mut start = moved;
        let mut run = Manoeuvre {
            first: moved,
            last: moved,
            peak_kmh: self.settings.moving_kmh,
        };
        for index in (self.from..moved).rev() {
            if ms(self.samples, index) <= earliest || is_gap(self.samples, index + 1, self.settings) {
                break;
            }
            let sample = &self.samples[index].sample;
            let Some(kmh) = sample.speed_kmh else { continue };
            if kmh < CREEP_KMH {
                continue;
            }
            if ms(self.samples, run.first) - ms(self.samples, index) > MANOEUVRE_PAUSE_MS {
                run = Manoeuvre {
                    first: index,
                    last: index,
                    peak_kmh: kmh,
                };
            }
            run = Manoeuvre {
                first: index,
                peak_kmh: run.peak_kmh.max(kmh),
                ..run
            };
            // A receiver's speed is noisy at rest, a wheel's is not.
            let least_kmh = self.settings.moving_kmh * if sample.lat.is_some() { 1.0 } else { 0.5 };
            let lasted_ms = ms(self.samples, run.last) - ms(self.samples, run.first);
            if run.peak_kmh >= least_kmh && (run.last == moved || lasted_ms >= MANOEUVRE_MS) {
                start = run.first;
            }
        }
        start
    }
}

/// Slow movement too short to be a trip.
#[derive(Debug, Clone, Copy)]
struct Manoeuvre {
    first: usize,
    last: usize,
    peak_kmh: f64,
}

/// Within a trip: waits for its end.
struct Driving<'a> {
    samples: &'a [RawSample],
    settings: &'a TripSettings,
    start: usize,
    started_by: TripStart,
    /// The sample at which the trip was certain; those before it are known to be movement.
    certain: usize,
    motions: Motions,
    ignition: Option<bool>,
    last_moving: usize,
    /// Last sample that said anything about movement.
    last_informed: usize,
}

impl<'a> Driving<'a> {
    fn new(
        samples: &'a [RawSample],
        settings: &'a TripSettings,
        start: usize,
        started_by: TripStart,
        certain: usize,
        motions: Motions,
    ) -> Self {
        let ignition = samples[start..=certain]
            .iter()
            .rev()
            .find_map(|raw| raw.sample.ignition);
        Self {
            samples,
            settings,
            start,
            started_by,
            certain,
            motions,
            ignition,
            last_moving: certain,
            last_informed: certain,
        }
    }

    fn until_end(mut self) -> Assembled {
        for index in self.certain + 1..self.samples.len() {
            if is_gap(self.samples, index, self.settings) {
                return self.end(self.end_of_recording(index - 1), TripEnd::Gap);
            }
            let sample = &self.samples[index].sample;
            let was_on = self.ignition == Some(true);
            self.ignition = sample.ignition.or(self.ignition);
            let now = ms(self.samples, index);
            match self.motions.next(index, sample) {
                Motion::Moving { .. } | Motion::Creeping => {
                    self.last_moving = index;
                    self.last_informed = index;
                }
                Motion::Rest => {
                    self.last_informed = index;
                    let rest_ms = now - ms(self.samples, self.last_moving);
                    if self
                        .settings
                        .rest_s
                        .is_some_and(|rest_s| rest_ms >= i64::from(rest_s) * 1000)
                    {
                        return self.end(self.last_moving, TripEnd::Rest);
                    }
                }
                Motion::Unknown => {
                    let silent_ms = now - ms(self.samples, self.last_informed);
                    if silent_ms > i64::from(self.settings.gap_s) * 1000 {
                        return self.end(self.last_informed, TripEnd::Gap);
                    }
                }
            }
            if was_on && sample.ignition == Some(false) && !self.goes_on(index) {
                return self.end(index, TripEnd::IgnitionOff);
            }
        }
        let end = self.end_of_recording(self.samples.len() - 1);
        let start_ts = self.samples[self.start].sample.ts;
        let last = self.samples[end].sample.ts;
        let trip = Trip::Open {
            start: start_ts,
            started_by: self.started_by,
            last,
        };
        Assembled {
            trip,
            range: self.start..end + 1,
        }
    }

    /// Where a trip ends whose recording stops at `last`. With the rest rule off a rest is part of the trip however
    /// long it is, and must stay so: later data is compared with the end given here.
    fn end_of_recording(&self, last: usize) -> usize {
        let trailing_ms = ms(self.samples, last) - ms(self.samples, self.last_moving);
        let rested = self.settings.rest_s.is_some() && trailing_ms > TRAILING_REST_MS;
        if rested { self.last_moving } else { last }
    }

    /// Whether the ignition's fall at `off` is a fault of the wire: it comes back at once, or the car moves on without
    /// a pause in the recording.
    fn goes_on(&self, off: usize) -> bool {
        let off_ms = ms(self.samples, off);
        let mut motions = self.motions.clone();
        let mut last_ms = off_ms;
        let longest_pause_ms = self.usual_pause_ms(off);
        if self.last_moving < off && off_ms - ms(self.samples, self.last_moving) > longest_pause_ms {
            // At rest: only a bounce can undo it.
            return self.bounces(off);
        }
        for index in off + 1..self.samples.len() {
            let now = ms(self.samples, index);
            if now - last_ms > longest_pause_ms {
                break;
            }
            match motions.next(index, &self.samples[index].sample) {
                Motion::Moving { .. } | Motion::Creeping => {}
                Motion::Unknown => continue,
                Motion::Rest => break,
            }
            last_ms = now;
            if now - off_ms >= i64::from(self.settings.sustained_s) * 1000 {
                return true;
            }
        }
        self.bounces(off)
    }

    fn bounces(&self, off: usize) -> bool {
        let until = ms(self.samples, off) + BOUNCE_MS;
        let soon = self.samples[off + 1..]
            .iter()
            .take_while(|raw| raw.sample.ts.millis() <= until);
        soon.filter_map(|raw| raw.sample.ignition).any(|on| on)
    }

    /// Three times the longest of the last pauses between samples, within 5 s to 60 s: a longer one is a break in the
    /// recording.
    fn usual_pause_ms(&self, index: usize) -> i64 {
        let first = index.saturating_sub(8).max(self.start);
        let longest = (first + 1..=index)
            .map(|i| ms(self.samples, i) - ms(self.samples, i - 1))
            .max();
        (3 * longest.unwrap_or(0)).clamp(5_000, 60_000)
    }

    fn end(&self, end: usize, ended_by: TripEnd) -> Assembled {
        // The last sample of a trip that moved before it was certain may lie before `certain`, never before `start`.
        let ts = |index: usize| -> EventTime { self.samples[index].sample.ts };
        let open = Trip::Open {
            start: ts(self.start),
            started_by: self.started_by,
            last: ts(end),
        };
        let trip = open.close(ts(end), ended_by).unwrap_or(open);
        Assembled {
            trip,
            range: self.start..end + 1,
        }
    }
}
