//! Which source is believed for which interval.

use odograph_domain::mileage::{DistanceSource, MileageGrade, MileageReason};

use super::{
    any,
    fix::{Fixes, flag},
    odometer::{self, Odometer},
    reach_ms, reach_of, speed, total,
};

/// Two sources agree within 5 % or 60 m, whichever is more, over the time both cover. Speedometers may show too much by
/// law, never too little (UNECE R39: up to 10 % + 4 km/h), but what a bus reports is nearer the truth than the dial.
const AGREE_SHARE: f64 = 0.05;
const AGREE_M: f64 = 60.0;
/// Fixes this far apart cut corners …
const SLOW_MS: i64 = 10_000;
/// … by up to this share of the way in a town, which is no contradiction.
const CUT_SHARE: f64 = 0.25;
/// Less time together than this says nothing.
const COMPARED_MS: i64 = 20_000;
/// An odometer whose step is more than this share of the trip is less precise than a source that agrees with it.
const FINE_SHARE: f64 = 0.01;
/// From so many whole steps on, an odometer that counts in kilometres is worth more than a D.
const COARSE_TICKS: u32 = 20;
/// Uncovered or bridged beyond these shares of time or distance, a trip is a C.
const GAP_SHARE: f64 = 0.05;
const GAP_MS: i64 = 30_000;
/// Covered for less than this share of its time, a trip is a D.
const PROVED_SHARE: f64 = 0.2;
/// Poor fixes beyond this share are worth a reason.
const POOR_SHARE: f64 = 0.2;

/// Everything known about one trip's distance. Rows in order of time; NaN is unknown.
#[derive(Debug)]
pub(crate) struct Evidence<'a> {
    pub(crate) fixes: Fixes<'a>,
    pub(crate) flags: &'a [u32],
    pub(crate) odometer_km: &'a [f64],
    /// By [`super::speed::intervals`].
    pub(crate) speed: &'a [f64],
    /// By [`super::gps::intervals_and_chords`], as the next.
    pub(crate) gps: &'a [f64],
    pub(crate) chord: &'a [f64],
}

/// The outcome for one trip, before it is split by days.
#[derive(Debug)]
pub(crate) struct Reconciled {
    pub(crate) odometer_m: Option<f64>,
    pub(crate) speed_m: Option<f64>,
    pub(crate) gps_m: Option<f64>,
    /// Billable metres of the interval before each row.
    pub(crate) billable: Vec<f64>,
    pub(crate) source: Option<DistanceSource>,
    pub(crate) grade: MileageGrade,
    pub(crate) reasons: Vec<MileageReason>,
    pub(crate) odometer_faults: u32,
    pub(crate) speed_faults: u32,
}

struct Sources<'a> {
    odometer: Odometer,
    odometer_stuck: u32,
    speed: Vec<f64>,
    speed_stuck: u32,
    gps: &'a [f64],
    gps_is_slow: bool,
}

impl Sources<'_> {
    fn metres(&self, source: DistanceSource) -> &[f64] {
        match source {
            DistanceSource::Odometer => &self.odometer.metres,
            DistanceSource::Speed => &self.speed,
            DistanceSource::Gps => self.gps,
        }
    }
}

/// Reconciles the sources of one trip.
pub(crate) fn reconcile(evidence: &Evidence<'_>) -> Reconciled {
    let sources = read(evidence);
    let verdict = Verdict::of(&sources, evidence.fixes.t_ms);
    let filled = fill(evidence, &sources, &verdict);
    grade(evidence, &sources, &verdict, filled)
}

/// Reads each source and takes it out where the others show that it hangs.
fn read<'a>(evidence: &Evidence<'a>) -> Sources<'a> {
    let Fixes { t_ms, speed_kmh, .. } = evidence.fixes;
    let mut odometer = odometer::read(t_ms, evidence.odometer_km, speed_kmh);
    let mut speed = evidence.speed.to_vec();
    let gps = evidence.gps;
    // A coarse odometer stands between its steps and would seem to contradict anything.
    let fine = !odometer.is_coarse();
    let other = |row: usize| {
        if gps[row].is_nan() && fine {
            odometer.metres[row]
        } else {
            gps[row]
        }
    };
    let speed_stuck = speed::drop_stuck(t_ms, speed_kmh, &mut speed, other);
    let other = |row: usize| if speed[row].is_nan() { gps[row] } else { speed[row] };
    let odometer_stuck = odometer::drop_stuck(&mut odometer, other);
    let gps_is_slow = reach_ms(t_ms, evidence.fixes.lat) > reach_of(SLOW_MS);
    Sources {
        odometer,
        odometer_stuck,
        speed,
        speed_stuck,
        gps,
        gps_is_slow,
    }
}

/// Who may be billed from, best first, and whether they bear each other out.
#[derive(Debug)]
struct Verdict {
    order: Vec<DistanceSource>,
    agree: bool,
    disagree: bool,
}

impl Verdict {
    fn of(sources: &Sources, t_ms: &[i64]) -> Self {
        use DistanceSource::{Gps, Odometer, Speed};
        let usable = |source: &DistanceSource| {
            any(sources.metres(*source)) && (*source != Odometer || !sources.odometer.is_coarse())
        };
        let candidates: Vec<DistanceSource> = [Odometer, Speed, Gps].into_iter().filter(usable).collect();
        let compare = |a, b| compare(sources, t_ms, a, b);
        let (mut agree, mut disagree) = (false, false);
        let mut votes = vec![(0, 0); candidates.len()];
        for (i, &a) in candidates.iter().enumerate() {
            for (j, &b) in candidates.iter().enumerate().skip(i + 1) {
                let same = compare(a, b);
                agree |= same == Some(true);
                disagree |= same == Some(false);
                for place in [i, j] {
                    votes[place].0 += u8::from(same == Some(true));
                    votes[place].1 += u8::from(same == Some(false));
                }
            }
        }
        let outvoted = |place: usize| votes[place].0 == 0 && votes[place].1 > 0;
        let mut order: Vec<DistanceSource> = Vec::new();
        if agree {
            order.extend(
                (0..candidates.len())
                    .filter(|&place| !outvoted(place))
                    .map(|place| candidates[place]),
            );
            if !sources.odometer_is_fine() && order.len() > 1 && order[0] == Odometer {
                order.rotate_left(1);
            }
        } else if disagree {
            // Nobody bears anybody out: the insured does not pay for the quarrel.
            order.extend(lowest(sources, &candidates));
        } else {
            order = candidates;
        }
        Self { order, agree, disagree }
    }
}

impl Sources<'_> {
    fn odometer_is_fine(&self) -> bool {
        self.odometer.step_m <= FINE_SHARE * self.odometer.total_m().unwrap_or(0.0)
    }
}

/// Whether two sources agree over the time both cover; `None` where that is too little.
fn compare(sources: &Sources, t_ms: &[i64], a: DistanceSource, b: DistanceSource) -> Option<bool> {
    let (a_m, b_m) = (sources.metres(a), sources.metres(b));
    let (mut total_a, mut total_b, mut together_ms) = (0.0, 0.0, 0);
    for row in (1..t_ms.len()).filter(|&row| !a_m[row].is_nan() && !b_m[row].is_nan()) {
        total_a += a_m[row];
        total_b += b_m[row];
        together_ms += t_ms[row] - t_ms[row - 1];
    }
    if together_ms < COMPARED_MS {
        return None;
    }
    let slack = if [a, b].contains(&DistanceSource::Odometer) {
        sources.odometer.step_m
    } else {
        0.0
    };
    if sources.gps_is_slow && b == DistanceSource::Gps && total_b < total_a {
        return Some(total_b >= (1.0 - CUT_SHARE) * total_a - AGREE_M - slack);
    }
    Some((total_a - total_b).abs() <= (AGREE_SHARE * f64::max(total_a, total_b)).max(AGREE_M + slack))
}

/// The source that says least over the time all of them cover.
fn lowest(sources: &Sources, candidates: &[DistanceSource]) -> Option<DistanceSource> {
    let rows = sources.speed.len();
    let common: Vec<usize> = (0..rows)
        .filter(|&row| candidates.iter().all(|source| !sources.metres(*source)[row].is_nan()))
        .collect();
    let metres = |source: &DistanceSource| common.iter().map(|&row| sources.metres(*source)[row]).sum::<f64>();
    candidates
        .iter()
        .copied()
        .min_by(|a, b| metres(a).total_cmp(&metres(b)))
}

/// Metres by interval, and where they came from.
#[derive(Debug, Default)]
struct Filled {
    billable: Vec<f64>,
    by_source: [f64; 3],
    bridged_m: f64,
    bridged_ms: i64,
    uncovered_ms: i64,
    longest_uncovered_ms: i64,
}

fn fill(evidence: &Evidence<'_>, sources: &Sources, verdict: &Verdict) -> Filled {
    let t_ms = evidence.fixes.t_ms;
    let mut filled = Filled {
        billable: vec![0.0; t_ms.len()],
        ..Filled::default()
    };
    let mut uncovered_ms = 0;
    let gps_counts = verdict.order.contains(&DistanceSource::Gps);
    let order: Vec<(DistanceSource, &[f64])> = verdict
        .order
        .iter()
        .map(|&source| (source, sources.metres(source)))
        .collect();
    for row in 1..t_ms.len() {
        let chord = evidence.chord[row];
        let proved = |&&(source, metres): &&(DistanceSource, &[f64])| {
            // Across a hole in the track an odometer must fit the straight line.
            let fits = || source != DistanceSource::Odometer || chord.is_nan() || fits_chord(evidence, sources, row);
            !metres[row].is_nan() && fits()
        };
        match order.iter().find(proved) {
            Some(&(source, metres)) => {
                uncovered_ms = 0;
                filled.billable[row] = metres[row];
                filled.by_source[source as usize] += metres[row];
            }
            None if gps_counts && !chord.is_nan() => {
                filled.bridged_m += chord;
                filled.bridged_ms += t_ms[row] - t_ms[row - 1];
                filled.by_source[2] += chord;
                filled.billable[row] = chord;
                uncovered_ms = 0;
            }
            None => {
                let dt = t_ms[row] - t_ms[row - 1];
                uncovered_ms += dt;
                filled.uncovered_ms += dt;
                filled.longest_uncovered_ms = filled.longest_uncovered_ms.max(uncovered_ms);
            }
        }
    }
    filled
}

/// Whether the odometer across the hole this row lies in is plausible beside the straight line: not shorter, and, where
/// no speed bounds it already, not so much longer that only a jump explains it.
fn fits_chord(evidence: &Evidence<'_>, sources: &Sources, row: usize) -> bool {
    let bridged = |&r: &usize| !evidence.chord[r].is_nan();
    let before = (1..row).rev().take_while(bridged).count();
    let after = (row..evidence.chord.len()).take_while(bridged).count();
    let span = row - before..row + after;
    let chord: f64 = span.clone().map(|r| evidence.chord[r]).sum();
    let odometer: f64 = span.map(|r| sources.odometer.metres[r]).filter(|m| !m.is_nan()).sum();
    let slack = 100.0 + sources.odometer.step_m;
    let bounded = any(&sources.speed);
    odometer >= 0.95 * chord - slack && (bounded || odometer <= 3.0 * chord + 1000.0 + slack)
}

fn grade(evidence: &Evidence<'_>, sources: &Sources, verdict: &Verdict, filled: Filled) -> Reconciled {
    let t_ms = evidence.fixes.t_ms;
    let duration_ms = t_ms.last().zip(t_ms.first()).map_or(0, |(last, first)| last - first);
    let mut out = Reconciled {
        odometer_m: sources.odometer.total_m(),
        speed_m: total(&sources.speed),
        gps_m: total(sources.gps),
        source: main_source(&filled, verdict),
        grade: MileageGrade::D,
        reasons: reasons(evidence, sources, verdict, &filled, duration_ms),
        odometer_faults: sources.odometer.backwards + sources.odometer.jumps + sources.odometer_stuck,
        speed_faults: sources.speed_stuck,
        billable: filled.billable,
    };
    if out.source.is_none() && sources.odometer.is_coarse() {
        bill_whole_steps(evidence, &sources.odometer, &mut out);
        return out;
    }
    let billed: f64 = out.billable.iter().sum();
    let covered = 1.0 - filled.uncovered_ms as f64 / duration_ms.max(1) as f64;
    let in_part = filled.longest_uncovered_ms > GAP_MS && 1.0 - covered > GAP_SHARE;
    let bridged = filled.bridged_m > GAP_SHARE * billed
        || (filled.bridged_ms > GAP_MS && filled.bridged_ms as f64 > GAP_SHARE * duration_ms as f64);
    let faulty = out.odometer_faults + out.speed_faults > 0;
    out.grade = if out.source.is_none() || covered < PROVED_SHARE {
        MileageGrade::D
    } else if verdict.disagree || in_part || bridged || (faulty && !verdict.agree) {
        MileageGrade::C
    } else if verdict.agree {
        MileageGrade::A
    } else {
        MileageGrade::B
    };
    if out.grade == MileageGrade::D {
        out.source = None;
    }
    out
}

/// The source of most metres; at rest, the one that says so.
fn main_source(filled: &Filled, verdict: &Verdict) -> Option<DistanceSource> {
    let most = |a: &&DistanceSource, b: &&DistanceSource| {
        filled.by_source[**a as usize].total_cmp(&filled.by_source[**b as usize])
    };
    // `max_by` takes the last of equals; the best source is the first.
    verdict.order.iter().rev().max_by(most).copied()
}

/// An odometer that counts in kilometres, and nothing else: whole steps begun and ended within the trip are proved.
fn bill_whole_steps(evidence: &Evidence<'_>, odometer: &Odometer, out: &mut Reconciled) {
    let seen: f64 = odometer.total_m().unwrap_or(0.0);
    let proved = odometer.proved_m().min(seen);
    for row in 1..evidence.fixes.t_ms.len() {
        let metres = odometer.metres[row];
        out.billable[row] = if metres.is_nan() || seen <= 0.0 {
            0.0
        } else {
            metres * proved / seen
        };
    }
    if odometer.ticks >= COARSE_TICKS {
        out.grade = MileageGrade::C;
        out.source = Some(DistanceSource::Odometer);
    }
}

fn reasons(
    evidence: &Evidence<'_>,
    sources: &Sources,
    verdict: &Verdict,
    filled: &Filled,
    duration_ms: i64,
) -> Vec<MileageReason> {
    use MileageReason as R;
    let seen = |flag: u32| evidence.flags.iter().filter(|&&f| f & flag != 0).count();
    let gap = |metres: &[f64]| {
        let missing = |row: &usize| metres[*row].is_nan();
        let ms: i64 = (1..metres.len()).filter(missing).map(|row| gap_ms(evidence, row)).sum();
        any(metres) && ms > GAP_MS && ms as f64 > GAP_SHARE * duration_ms as f64
    };
    let fixes = seen(flag::GOOD) + seen(flag::POOR) + seen(flag::TELEPORT) + seen(flag::FROZEN);
    let odometer = &sources.odometer;
    let alone = !verdict.order.is_empty() || odometer.ticks > 0;
    let found = [
        (R::NoEvidence, verdict.order.is_empty() && !any(&odometer.metres)),
        (R::SourcesAgree, verdict.agree),
        (R::SourcesDisagree, verdict.disagree),
        (R::SingleSource, alone && !(verdict.agree || verdict.disagree)),
        (R::OdometerStuck, sources.odometer_stuck > 0),
        (R::OdometerJump, odometer.jumps > 0),
        (R::OdometerBackwards, odometer.backwards > 0),
        (R::OdometerCoarse, odometer.is_coarse()),
        (R::SpeedStuck, sources.speed_stuck > 0),
        (R::SpeedGap, gap(&sources.speed)),
        (R::GpsGap, filled.bridged_m > 0.0 || gap(sources.gps)),
        (R::GpsDrift, seen(flag::DRIFT) > 0),
        (R::GpsTeleport, seen(flag::TELEPORT) > 0),
        (
            R::PoorFix,
            fixes > 0 && seen(flag::POOR) as f64 > POOR_SHARE * fixes as f64,
        ),
    ];
    found
        .into_iter()
        .filter(|(_, found)| *found)
        .map(|(reason, _)| reason)
        .collect()
}

fn gap_ms(evidence: &Evidence<'_>, row: usize) -> i64 {
    evidence.fixes.t_ms[row] - evidence.fixes.t_ms[row - 1]
}
