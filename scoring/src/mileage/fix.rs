//! Which position fixes can be believed, and where the car stood.

use super::earth::{distance_m, most_m, within};

/// What is known of a row's fix, as bits.
pub(crate) mod flag {
    /// Part of the track.
    pub(crate) const GOOD: u32 = 1;
    /// Too imprecise to use.
    pub(crate) const POOR: u32 = 2;
    /// Cannot be reached from its neighbours.
    pub(crate) const TELEPORT: u32 = 4;
    /// The position hangs while the speed sensor moves.
    pub(crate) const FROZEN: u32 = 8;
    /// Good, but the track begins anew here: what lies between it and the fix before is not known.
    pub(crate) const BREAK: u32 = 16;
    /// The car stood here, whatever the position says.
    pub(crate) const STAY: u32 = 32;
    /// First row of a stay.
    pub(crate) const STAY_START: u32 = 64;
    /// In a stay, and wandering.
    pub(crate) const DRIFT: u32 = 128;
}

/// Beyond these a fix tells where the car is, but not how far it went. HDOP above 6: "moderate" or worse on the usual
/// scale, tens of metres.
const WORST_HDOP: f64 = 6.0;
const WORST_ACCURACY_M: f64 = 50.0;

/// Faster than this between two fixes is no car, m/s (252 km/h).
const FASTEST_MS: f64 = 70.0;
/// How far a good fix may be off on top of that, m.
const SLACK_M: f64 = 25.0;
/// So many fixes that agree with each other outweigh the track before them.
const NEW_TRACK_FIXES: usize = 3;

const FROZEN_FIXES: usize = 3;
const FROZEN_KMH: f64 = 10.0;

/// A stay: that long within that radius. Slower than 1.7 m/s (or 0.8 m/s) on average; a queue that creeps still counts,
/// from stay to stay.
const STAYS: [(i64, f64); 2] = [(60_000, 50.0), (15_000, 12.0)];
/// A car that stands is within this of the middle of its stay.
const SETTLED_M: f64 = 8.0;
/// At or below this the speed sensor says rest, km/h.
const REST_KMH: f64 = 1.0;
/// At or above this the speed sensor says movement, and a short stay is not believed, km/h.
const MOVING_KMH: f64 = 5.0;
/// A fix that wanders further than this from where the car stands is drift, m.
const DRIFT_M: f64 = 10.0;
/// At rest by the speed sensor, positions may wander this far; beyond it the sensor is not believed, m.
const REST_RADIUS_M: f64 = 100.0;

/// Columns of one trip, NaN where unknown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fixes<'a> {
    pub(crate) t_ms: &'a [i64],
    pub(crate) lat: &'a [f64],
    pub(crate) lon: &'a [f64],
    pub(crate) hdop: &'a [f64],
    pub(crate) accuracy_m: &'a [f64],
    pub(crate) speed_kmh: &'a [f64],
}

/// Judges every fix: [`flag`] bits, 0 where there is none.
pub(crate) fn judge(fixes: &Fixes<'_>) -> Vec<u32> {
    let mut flags = vec![0; fixes.t_ms.len()];
    let usable = mark_poor(fixes, &mut flags);
    let usable = mark_frozen(fixes, usable, &mut flags);
    mark_teleports(fixes, &usable, &mut flags);
    let track: Vec<usize> = usable.into_iter().filter(|&row| flags[row] & flag::GOOD != 0).collect();
    mark_rests(fixes, &track, &mut flags);
    for (least_ms, radius_m) in STAYS {
        mark_stays(fixes, &track, least_ms, radius_m, &mut flags);
    }
    mark_drift(fixes, &track, &mut flags);
    flags
}

/// The rows with a usable fix. Where no fix is fine, the coarse ones have to do.
fn mark_poor(fixes: &Fixes<'_>, flags: &mut [u32]) -> Vec<usize> {
    let known = |row: &usize| !fixes.lat[*row].is_nan() && !fixes.lon[*row].is_nan();
    // Latitude and longitude of exactly 0: what a receiver without a fix sends.
    let nowhere = |row: usize| fixes.lat[row] == 0.0 && fixes.lon[row] == 0.0;
    let poor = |row: usize| fixes.hdop[row] > WORST_HDOP || fixes.accuracy_m[row] > WORST_ACCURACY_M || nowhere(row);
    let mut usable = Vec::new();
    for row in (0..flags.len()).filter(known) {
        if poor(row) {
            flags[row] = flag::POOR;
        } else {
            usable.push(row);
        }
    }
    usable
}

/// The same position again and again while the speed sensor moves, at changing speed. If speed hangs as well, it is as
/// likely the sensor that is wrong: then the position stands.
fn mark_frozen(fixes: &Fixes<'_>, usable: Vec<usize>, flags: &mut [u32]) -> Vec<usize> {
    let mut moving = Vec::with_capacity(usable.len());
    let mut first = 0;
    while first < usable.len() {
        let at = (fixes.lat[usable[first]], fixes.lon[usable[first]]);
        let run = usable[first..]
            .iter()
            .take_while(|&&row| (fixes.lat[row], fixes.lon[row]) == at)
            .count();
        let rows = &usable[first..first + run];
        let fast: Vec<f64> = rows[1..]
            .iter()
            .map(|&row| fixes.speed_kmh[row])
            .filter(|&v| v >= FROZEN_KMH)
            .collect();
        let changes = fast.windows(2).any(|pair| pair[0] != pair[1]);
        moving.push(rows[0]);
        if fast.len() >= FROZEN_FIXES && changes {
            for &row in &rows[1..] {
                flags[row] = flag::FROZEN;
            }
        } else {
            moving.extend_from_slice(&rows[1..]);
        }
        first += run;
    }
    moving
}

/// Follows the track; a fix it cannot have reached starts a rival. Rivals that stay alone are teleports; one that goes
/// on for [`NEW_TRACK_FIXES`] becomes the track, with a break before it, and a shorter track before it was the teleport.
fn mark_teleports(fixes: &Fixes<'_>, usable: &[usize], flags: &mut [u32]) {
    let mut track: Vec<usize> = Vec::new();
    let mut rival: Vec<usize> = Vec::new();
    let mut length = 0;
    for &row in usable {
        let Some(&tail) = track.last() else {
            track.push(row);
            length = 1;
            flags[row] = flag::GOOD | flag::BREAK;
            continue;
        };
        if reachable(fixes, tail, row) {
            mark(flags, &std::mem::take(&mut rival), flag::TELEPORT);
            flags[row] = flag::GOOD;
            track.push(row);
            length += 1;
        } else if rival.last().is_some_and(|&tail| reachable(fixes, tail, row)) {
            rival.push(row);
            if rival.len() >= NEW_TRACK_FIXES {
                if length < NEW_TRACK_FIXES {
                    mark(flags, &track[track.len() - length..], flag::TELEPORT);
                }
                mark(flags, &rival, flag::GOOD);
                flags[rival[0]] |= flag::BREAK;
                length = rival.len();
                track.append(&mut rival);
            }
        } else {
            mark(flags, &rival, flag::TELEPORT);
            rival = vec![row];
        }
    }
    mark(flags, &rival, flag::TELEPORT);
}

fn mark(flags: &mut [u32], rows: &[usize], flag: u32) {
    for &row in rows {
        flags[row] = flag;
    }
}

fn reachable(fixes: &Fixes<'_>, from: usize, to: usize) -> bool {
    let seconds = (fixes.t_ms[to] - fixes.t_ms[from]) as f64 / 1000.0;
    let sensed = fixes.speed_kmh[from].max(fixes.speed_kmh[to]);
    // Over more than some seconds the speed at the ends says little about the speed between.
    let fastest = if sensed.is_nan() || seconds > 10.0 {
        FASTEST_MS
    } else {
        (sensed / 3.6 * 1.3 + 15.0).min(FASTEST_MS)
    };
    let accuracy = [from, to]
        .map(|row| fixes.accuracy_m[row])
        .into_iter()
        .filter(|a| !a.is_nan())
        .fold(0.0, f64::max);
    let reach_m = fastest * seconds + SLACK_M + accuracy;
    let (from, to) = ((fixes.lat[from], fixes.lon[from]), (fixes.lat[to], fixes.lon[to]));
    // Nearly every fix is near enough by what costs least.
    most_m(from, to) <= reach_m || distance_m(from, to) <= reach_m
}

fn near(fixes: &Fixes<'_>, from: usize, to: usize, radius_m: f64) -> bool {
    within(
        (fixes.lat[from], fixes.lon[from]),
        (fixes.lat[to], fixes.lon[to]),
        radius_m,
    )
}

/// Rest by the speed sensor: at least two readings together, no position further off than drift goes.
fn mark_rests(fixes: &Fixes<'_>, track: &[usize], flags: &mut [u32]) {
    let rests = |row: usize| fixes.speed_kmh[row] <= REST_KMH;
    let mut first = 0;
    while first < track.len() {
        let run = track[first..].iter().take_while(|&&row| rests(row)).count();
        let rows = &track[first..first + run];
        if run >= 2 && rows.iter().all(|&row| near(fixes, rows[0], row, REST_RADIUS_M)) {
            stay(rows, flags);
        }
        first += run.max(1);
    }
}

/// A stay by position: rows that stay within the radius of the first one for long enough. Where the speed sensor
/// clearly moves, only the long stay is believed: no car moves for a minute without leaving 50 m.
fn mark_stays(fixes: &Fixes<'_>, track: &[usize], least_ms: i64, radius_m: f64, flags: &mut [u32]) {
    let heeds_sensor = radius_m < 20.0;
    // What costs least comes first.
    let belongs = |anchor: usize, row: usize| {
        flags_free(flags, row)
            && !(heeds_sensor && fixes.speed_kmh[row] >= MOVING_KMH)
            && near(fixes, anchor, row, radius_m)
    };
    let mut stays = Vec::new();
    let (mut first, mut ahead) = (0, 0);
    while first < track.len() {
        let anchor = track[first];
        ahead = ahead.max(first);
        while ahead < track.len() && fixes.t_ms[track[ahead]] - fixes.t_ms[anchor] < least_ms {
            ahead += 1;
        }
        // The row that would complete the stay tells most anchors apart at once.
        let complete = ahead < track.len() && belongs(anchor, track[ahead]);
        let run = if complete {
            track[first..].iter().take_while(|&&row| belongs(anchor, row)).count()
        } else {
            0
        };
        let settled = settled(fixes, &track[first..first + run], SETTLED_M.max(0.3 * radius_m));
        let rows = first + settled.start..first + settled.end;
        let lasts = rows.len() > 1 && fixes.t_ms[track[rows.end - 1]] - fixes.t_ms[track[rows.start]] >= least_ms / 2;
        if first + run > ahead && lasts {
            first = rows.end;
            stays.push(rows);
        } else {
            first += 1;
        }
    }
    for rows in stays {
        stay(&track[rows], flags);
    }
}

/// The rows of a stay without its ends: a car that comes or goes is within the radius for a while and does not stand.
fn settled(fixes: &Fixes<'_>, rows: &[usize], radius_m: f64) -> std::ops::Range<usize> {
    let middle = |column: &[f64]| {
        let mut values: Vec<f64> = rows.iter().map(|&row| column[row]).collect();
        let middle = values.len() / 2;
        if values.is_empty() {
            f64::NAN
        } else {
            *values.select_nth_unstable_by(middle, f64::total_cmp).1
        }
    };
    let place = (middle(fixes.lat), middle(fixes.lon));
    let stands = |row: &usize| within(place, (fixes.lat[*row], fixes.lon[*row]), radius_m);
    let first = rows.iter().position(stands).unwrap_or(0);
    let end = rows.iter().rposition(stands).map_or(0, |last| last + 1);
    first..end
}

fn flags_free(flags: &[u32], row: usize) -> bool {
    flags[row] & flag::STAY == 0
}

fn stay(rows: &[usize], flags: &mut [u32]) {
    for &row in rows {
        flags[row] |= flag::STAY;
    }
    flags[rows[0]] |= flag::STAY_START;
}

fn mark_drift(fixes: &Fixes<'_>, track: &[usize], flags: &mut [u32]) {
    let mut anchor = None;
    for &row in track {
        if flags[row] & flag::STAY_START != 0 {
            anchor = Some(row);
        }
        if let Some(anchor) = anchor
            && flags[row] & flag::STAY != 0
            && !near(fixes, anchor, row, DRIFT_M)
        {
            flags[row] |= flag::DRIFT;
        }
    }
}
