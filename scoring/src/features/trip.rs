//! One trip's features, straight from its columns: each kernel sees the whole trip, and what two of them need is computed
//! once.

use std::collections::BTreeMap;

use chrono::{Offset, TimeZone};
use chrono_tz::Tz;
use odograph_domain::{
    event::{BehaviourEvent, BehaviourKind},
    features::{BehaviourFeatures, QualityMark, TripFeatures},
    mileage::{DayShare, Mileage, MileageGrade, MileageReason},
    time::EventTime,
};

use super::{PLAN_VERSION, TripMeta, columns::TripColumns};
use crate::{
    behaviour::{
        self, Threshold,
        axes::{self, Motion},
        event,
    },
    mileage::{
        Days, Evidence, Reconciled,
        fix::{self, Fixes, flag},
        gps, odometer, reach_ms, reach_of_rows, reconcile, speed,
    },
};

/// At or above this on average the car moves, m/s: walking pace, above what drift and creeping sensors show.
const MOVING_MS: f64 = 1.0;
const DAY_S: i64 = 86_400;
/// An offset from UTC holds for as long as this: zones change it at whole quarter hours only.
const OFFSET_MS: i64 = 900_000;
/// Acceleration counts as seen where it is known for this share of the moving time.
const SEEN_SHARE: f64 = 0.5;
/// Speed at the start of an event is that of the last reading not older than this.
const SPEED_AGE_MS: i64 = 5000;

/// What a trip without samples has: its duration.
pub(super) fn nothing(meta: &TripMeta) -> TripFeatures {
    TripFeatures {
        plan_version: PLAN_VERSION,
        samples: 0,
        duration_s: duration_s(meta),
        moving_s: 0.0,
        idle_s: 0.0,
        fix_share: None,
        hdop_median: None,
        marks: BTreeMap::new(),
        mileage: Mileage {
            odometer_m: None,
            speed_m: None,
            gps_m: None,
            billable_m: 0.0,
            source: None,
            grade: MileageGrade::D,
            reasons: vec![MileageReason::NoEvidence],
            by_day: Vec::new(),
        },
        behaviour: None,
    }
}

fn duration_s(meta: &TripMeta) -> f64 {
    (meta.bounds.end - meta.bounds.start).num_milliseconds() as f64 / 1000.0
}

pub(super) fn features(x: &TripColumns<'_>, meta: &TripMeta) -> TripFeatures {
    let fixes = Fixes {
        t_ms: x.t_ms,
        lat: x.lat,
        lon: x.lon,
        hdop: x.hdop,
        accuracy_m: x.accuracy_m,
        speed_kmh: x.speed_kmh,
    };
    let flags = fix::judge(&fixes);
    let (gps, chord) = gps::intervals_and_chords(&fixes, &flags);
    let speed = speed::intervals(x.t_ms, x.speed_kmh);
    let reconciled = reconcile(&Evidence {
        fixes,
        flags: &flags,
        odometer_km: x.odometer_km,
        speed: &speed,
        gps: &gps,
        chord: &chord,
    });
    let motion = Motion {
        t_ms: x.t_ms,
        speed_kmh: x.speed_kmh,
        heading_deg: x.heading_deg,
        accel_x: x.accel_x,
        accel_y: x.accel_y,
        gyro_z: x.gyro_z,
        frame: x.frame,
    };
    // Where behaviour may not be kept it is not even looked at.
    let sensed = meta.behaviour_allowed.then(|| Sensed {
        along: axes::along(&motion),
        across: axes::across(&motion),
        over_kmh: x
            .speed_kmh
            .iter()
            .zip(x.limit_kmh)
            .map(|(speed, limit)| speed - limit)
            .collect(),
    });
    let times = Times::of(x, &moved(x, speed, &gps, &chord), sensed.as_ref(), meta.time_zone);
    let counts = Counts::of(x, &flags);
    TripFeatures {
        plan_version: PLAN_VERSION,
        samples: x.t_ms.len() as u32,
        duration_s: duration_s(meta),
        moving_s: times.moving_s(),
        idle_s: times.idle_ms as f64 / 1000.0,
        fix_share: (counts.positions > 0 && counts.evidence > 0)
            .then(|| f64::from(counts.good) / f64::from(counts.evidence)),
        hdop_median: median(x.hdop),
        marks: counts.marks(x, &reconciled),
        mileage: mileage(x.t_ms, reconciled, meta.time_zone),
        behaviour: sensed.map(|sensed| behaviour(x, &gps, &sensed, &times)),
    }
}

/// How the car was driven at each row; NaN where unknown.
struct Sensed {
    along: Vec<f64>,
    across: Vec<f64>,
    over_kmh: Vec<f64>,
}

/// Metres since the row before, by the source that is best for *when* the car moved.
fn moved(x: &TripColumns<'_>, by_speed: Vec<f64>, gps: &[f64], chord: &[f64]) -> Vec<f64> {
    let mut moved = by_speed;
    speed::drop_stuck(x.t_ms, x.speed_kmh, &mut moved, |row| gps[row]);
    fill(&mut moved, gps);
    if moved.iter().skip(1).any(|metres| metres.is_nan()) {
        let odometer = odometer::read(x.t_ms, x.odometer_km, x.speed_kmh);
        // Kilometre steps say nothing about a row.
        if !odometer.is_coarse() {
            fill(&mut moved, &odometer.metres);
        }
        fill(&mut moved, chord);
    }
    moved
}

fn fill(values: &mut [f64], others: &[f64]) {
    for (value, other) in values.iter_mut().zip(others) {
        if value.is_nan() {
            *value = *other;
        }
    }
}

/// Time by what the car did in it, ms, and how far it moved while it moved.
#[derive(Default)]
struct Times {
    moving_ms: i64,
    idle_ms: i64,
    /// Whole micrometres: integers add up to the same in any order.
    moved_um: i64,
    night_ms: i64,
    weekend_ms: i64,
    limit_known_ms: i64,
    speeding_ms: i64,
    phone_known_ms: i64,
    phone_ms: i64,
    along_ms: i64,
    across_ms: i64,
}

impl Times {
    fn of(x: &TripColumns<'_>, moved: &[f64], sensed: Option<&Sensed>, zone: Tz) -> Self {
        let mut times = Self::default();
        let mut clock = LocalClock::new(zone);
        for (row, &metres) in moved.iter().enumerate().skip(1) {
            let dt = x.t_ms[row] - x.t_ms[row - 1];
            if dt <= 0 || metres.is_nan() {
                continue;
            }
            if metres / (dt as f64 / 1000.0) < MOVING_MS {
                times.idle_ms += dt;
                continue;
            }
            times.moving_ms += dt;
            times.moved_um = times.moved_um.saturating_add((metres * 1e6) as i64);
            let Some(sensed) = sensed else { continue };
            let when = |holds: bool| if holds { dt } else { 0 };
            let (night, weekend) = clock.at(x.t_ms[row]);
            times.night_ms += when(night);
            times.weekend_ms += when(weekend);
            times.limit_known_ms += when(!sensed.over_kmh[row].is_nan());
            times.speeding_ms += when(sensed.over_kmh[row] > behaviour::SPEEDING_TOLERANCE_KMH);
            times.phone_known_ms += when(!x.phone[row].is_nan());
            times.phone_ms += when(x.phone[row] > 0.5);
            times.along_ms += when(!sensed.along[row].is_nan());
            times.across_ms += when(!sensed.across[row].is_nan());
        }
        times
    }

    fn moving_s(&self) -> f64 {
        self.moving_ms as f64 / 1000.0
    }
}

/// The insured's clock.
struct LocalClock {
    zone: Tz,
    quarter: i64,
    offset_s: i64,
}

impl LocalClock {
    fn new(zone: Tz) -> Self {
        Self {
            zone,
            quarter: i64::MIN,
            offset_s: 0,
        }
    }

    /// Whether it is night, 22:00 to 05:00, and whether Saturday or Sunday.
    fn at(&mut self, t_ms: i64) -> (bool, bool) {
        let quarter = t_ms.div_euclid(OFFSET_MS);
        if quarter != self.quarter {
            let utc = EventTime::from_millis(t_ms)
                .map(|at| at.utc().naive_utc())
                .unwrap_or_default();
            let offset = self.zone.offset_from_utc_datetime(&utc).fix();
            (self.quarter, self.offset_s) = (quarter, i64::from(offset.local_minus_utc()));
        }
        let local_s = t_ms.div_euclid(1000) + self.offset_s;
        let second = local_s.rem_euclid(DAY_S);
        // The first of January 1970 was a Thursday.
        let from_sunday = (local_s.div_euclid(DAY_S) + 4).rem_euclid(7);
        (
            !(5 * 3600..22 * 3600).contains(&second),
            from_sunday == 0 || from_sunday == 6,
        )
    }
}

/// Rows by what is known of them and what is wrong with them.
#[derive(Default)]
struct Counts {
    evidence: u32,
    positions: u32,
    good: u32,
    poor: u32,
    teleports: u32,
    frozen: u32,
    drifts: u32,
}

impl Counts {
    fn of(x: &TripColumns<'_>, flags: &[u32]) -> Self {
        let mut counts = Self::default();
        for (row, &flags) in flags.iter().enumerate() {
            let position = !x.lat[row].is_nan();
            counts.positions += u32::from(position);
            counts.evidence += u32::from(position || !x.speed_kmh[row].is_nan() || !x.odometer_km[row].is_nan());
            let marked = |bit: u32| u32::from(flags & bit != 0);
            counts.good += marked(flag::GOOD);
            counts.poor += marked(flag::POOR);
            counts.teleports += marked(flag::TELEPORT);
            counts.frozen += marked(flag::FROZEN);
            counts.drifts += marked(flag::DRIFT);
        }
        counts
    }

    fn marks(&self, x: &TripColumns<'_>, reconciled: &Reconciled) -> BTreeMap<QualityMark, u32> {
        let impossible = axes::impossible(x.t_ms, x.speed_kmh);
        let counts = [
            (QualityMark::Teleport, self.teleports),
            (
                QualityMark::ImpossibleAcceleration,
                impossible.iter().filter(|&&mark| mark > 0.0).count() as u32,
            ),
            (QualityMark::Drift, self.drifts),
            (QualityMark::FrozenPosition, self.frozen),
            (QualityMark::OdometerFault, reconciled.odometer_faults),
            (QualityMark::FrozenSpeed, reconciled.speed_faults),
            (QualityMark::Hole, holes(x.t_ms)),
            (QualityMark::PoorFix, self.poor),
        ];
        counts.into_iter().filter(|(_, count)| *count > 0).collect()
    }
}

/// Stretches without any sample, longer than the reach of the trip's usual interval.
fn holes(t_ms: &[i64]) -> u32 {
    let reach = reach_of_rows(t_ms, |_| true);
    t_ms.windows(2).filter(|pair| pair[1] - pair[0] > reach).count() as u32
}

/// The middle one; of an even number halfway between the two.
fn median(values: &[f64]) -> Option<f64> {
    let mut known: Vec<f64> = values.iter().copied().filter(|value| !value.is_nan()).collect();
    if known.is_empty() {
        return None;
    }
    let odd = known.len() % 2 == 1;
    let below = (known.len() - 1) / 2;
    let (_, lower, above) = known.select_nth_unstable_by(below, f64::total_cmp);
    let lower = *lower;
    match above.iter().copied().min_by(f64::total_cmp) {
        Some(upper) if !odd && upper != lower => Some(0.5 * (upper - lower) + lower),
        _ => Some(lower),
    }
}

fn mileage(t_ms: &[i64], reconciled: Reconciled, zone: Tz) -> Mileage {
    let mut days = Days::new(zone);
    for row in 1..t_ms.len() {
        days.add(t_ms[row - 1], t_ms[row], reconciled.billable[row]);
    }
    let shares: Vec<(chrono::NaiveDate, f64)> = days
        .finish()
        .iter()
        .map(|share| (share.day, (share.metres * 1e6).round()))
        .collect();
    // From 0: the sum of nothing would be -0.
    let billable_um = shares.iter().fold(0.0, |sum, (_, um)| sum + um);
    let mut reasons = reconciled.reasons;
    reasons.sort_unstable_by_key(|reason| *reason as u32);
    Mileage {
        odometer_m: reconciled.odometer_m,
        speed_m: reconciled.speed_m,
        gps_m: reconciled.gps_m,
        billable_m: billable_um / 1e6,
        source: reconciled.source,
        grade: reconciled.grade,
        reasons,
        by_day: shares
            .into_iter()
            .map(|(day, um)| DayShare { day, metres: um / 1e6 })
            .collect(),
    }
}

fn behaviour(x: &TripColumns<'_>, gps: &[f64], sensed: &Sensed, times: &Times) -> BehaviourFeatures {
    let moving_s = times.moving_s();
    let seconds = |ms: i64| ms as f64 / 1000.0;
    let known = |part: f64, whole: f64| (whole > 0.0).then(|| part / whole);
    let share = |part: i64| known(seconds(part), moving_s).unwrap_or(0.0);
    let limit_known_s = seconds(times.limit_known_ms);
    let phone_known_s = seconds(times.phone_known_ms);
    BehaviourFeatures {
        mean_speed_kmh: known(times.moved_um as f64 / 1e6, moving_s).unwrap_or(0.0) * 3.6,
        top_speed_kmh: axes::top_kmh(x.t_ms, x.speed_kmh, gps),
        night_share: share(times.night_ms),
        weekend_share: share(times.weekend_ms),
        speeding_share: known(seconds(times.speeding_ms), limit_known_s),
        limit_known_s,
        phone_share: known(seconds(times.phone_ms), phone_known_s),
        phone_known_s,
        braking_seen: moving_s > 0.0 && seconds(times.along_ms) >= SEEN_SHARE * moving_s,
        cornering_seen: moving_s > 0.0 && seconds(times.across_ms) >= SEEN_SHARE * moving_s,
        events: events(x, sensed),
    }
}

fn events(x: &TripColumns<'_>, sensed: &Sensed) -> Vec<BehaviourEvent> {
    let braking: Vec<f64> = sensed.along.iter().map(|along| -along).collect();
    let cornering: Vec<f64> = sensed.across.iter().map(|across| across.abs()).collect();
    let kinds: [(BehaviourKind, &[f64], Threshold); 5] = [
        (BehaviourKind::HarshBraking, &braking, behaviour::BRAKING),
        (BehaviourKind::HarshAcceleration, &sensed.along, behaviour::ACCELERATION),
        (BehaviourKind::HarshCornering, &cornering, behaviour::CORNERING),
        (BehaviourKind::Speeding, &sensed.over_kmh, behaviour::SPEEDING),
        (BehaviourKind::PhoneUse, x.phone, behaviour::PHONE),
    ];
    let mut events = Vec::new();
    for (kind, values, threshold) in kinds {
        // Most trips have nothing of most kinds.
        if !values.iter().any(|value| *value >= threshold.enter) {
            continue;
        }
        for found in event::find(x.t_ms, values, &threshold, reach_ms(x.t_ms, values)) {
            if let Some(ts) = EventTime::from_millis(found.start_ms) {
                events.push(BehaviourEvent {
                    kind,
                    ts,
                    duration_s: found.duration_s,
                    peak: found.peak,
                    speed_kmh: speed_at(x, &found),
                });
            }
        }
    }
    events.sort_by_key(|event| (event.ts, event.kind));
    events
}

fn speed_at(x: &TripColumns<'_>, found: &event::Found) -> Option<f64> {
    let at_start = (0..=found.row)
        .rev()
        .find(|&row| !x.speed_kmh[row].is_nan() && x.t_ms[row] <= found.start_ms)?;
    (found.start_ms - x.t_ms[at_start] <= SPEED_AGE_MS).then(|| x.speed_kmh[at_start])
}
