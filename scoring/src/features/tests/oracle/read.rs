//! From the plan's rows to features.

use std::collections::BTreeMap;

use odograph_domain::{
    event::{BehaviourEvent, BehaviourKind},
    features::{BehaviourFeatures, QualityMark, TripFeatures},
    mileage::{DayShare, DistanceSource, Mileage, MileageGrade, MileageReason},
    time::EventTime,
};
use polars::prelude::*;

use super::{column as c, day_from_number, kernels};
use crate::features::{PLAN_VERSION, TripInput};

/// Acceleration counts as seen where it is known for this share of the moving time.
const SEEN_SHARE: f64 = 0.5;

/// Features of every trip; one without samples has no row in the plan.
pub(super) fn read(rows: &DataFrame, trips: &[TripInput<'_>]) -> PolarsResult<Vec<TripFeatures>> {
    let mut row_of = vec![None; trips.len()];
    for (row, trip) in rows.column(c::TRIP)?.u32()?.iter().enumerate() {
        if let Some(place) = trip.and_then(|trip| row_of.get_mut(trip as usize)) {
            *place = Some(row);
        }
    }
    let of_trip = |(trip, row): (&TripInput<'_>, Option<usize>)| match row {
        Some(row) => Row { rows, row }.features(trip),
        None => Ok(nothing(trip)),
    };
    trips.iter().zip(row_of).map(of_trip).collect()
}

fn duration_s(trip: &TripInput<'_>) -> f64 {
    (trip.bounds.end - trip.bounds.start).num_milliseconds() as f64 / 1000.0
}

fn nothing(trip: &TripInput<'_>) -> TripFeatures {
    TripFeatures {
        plan_version: PLAN_VERSION,
        samples: 0,
        duration_s: duration_s(trip),
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

struct Row<'a> {
    rows: &'a DataFrame,
    row: usize,
}

impl Row<'_> {
    fn features(&self, trip: &TripInput<'_>) -> PolarsResult<TripFeatures> {
        let numbers = self.list(c::MILEAGE)?;
        let share = |part: f64, whole: f64| (whole > 0.0).then(|| part / whole);
        let positions = self.number(c::POSITIONS)?;
        let fix_share = share(self.number(c::GOOD)?, self.number(c::EVIDENCE_ROWS)?).filter(|_| positions > 0.0);
        Ok(TripFeatures {
            plan_version: PLAN_VERSION,
            samples: self.number(c::SAMPLES)? as u32,
            duration_s: duration_s(trip),
            moving_s: self.seconds(c::MOVING_MS)?,
            idle_s: self.seconds(c::IDLE_MS)?,
            fix_share,
            hdop_median: self.rows.column(c::HDOP_MEDIAN)?.f64()?.get(self.row),
            marks: self.marks(&numbers)?,
            mileage: mileage(&numbers),
            behaviour: trip.behaviour_allowed.then(|| self.behaviour()).transpose()?,
        })
    }

    fn marks(&self, mileage: &[f64]) -> PolarsResult<BTreeMap<QualityMark, u32>> {
        let counts = [
            (QualityMark::Teleport, self.number(c::TELEPORTS)?),
            (QualityMark::ImpossibleAcceleration, self.number(c::IMPOSSIBLE)?),
            (QualityMark::Drift, self.number(c::DRIFTS)?),
            (QualityMark::FrozenPosition, self.number(c::FROZEN)?),
            (QualityMark::OdometerFault, mileage[7]),
            (QualityMark::FrozenSpeed, mileage[8]),
            (QualityMark::Hole, mileage[9]),
            (QualityMark::PoorFix, self.number(c::POOR)?),
        ];
        Ok(counts
            .into_iter()
            .filter(|(_, count)| *count > 0.0)
            .map(|(mark, count)| (mark, count as u32))
            .collect())
    }

    fn behaviour(&self) -> PolarsResult<BehaviourFeatures> {
        let moving_s = self.seconds(c::MOVING_MS)?;
        let limit_known_s = self.seconds(c::LIMIT_KNOWN_MS)?;
        let phone_known_s = self.seconds(c::PHONE_KNOWN_MS)?;
        let known = |part: f64, whole: f64| (whole > 0.0).then(|| part / whole);
        let share = |part: f64| known(part, moving_s).unwrap_or(0.0);
        let moved_m = self.number(c::MOVED_UM)? / 1e6;
        Ok(BehaviourFeatures {
            mean_speed_kmh: known(moved_m, moving_s).unwrap_or(0.0) * 3.6,
            top_speed_kmh: self.list(c::TOP_KMH)?.first().copied().unwrap_or(0.0),
            night_share: share(self.seconds(c::NIGHT_MS)?),
            weekend_share: share(self.seconds(c::WEEKEND_MS)?),
            speeding_share: known(self.seconds(c::SPEEDING_MS)?, limit_known_s),
            limit_known_s,
            phone_share: known(self.seconds(c::PHONE_MS)?, phone_known_s),
            phone_known_s,
            braking_seen: moving_s > 0.0 && self.seconds(c::ALONG_MS)? >= SEEN_SHARE * moving_s,
            cornering_seen: moving_s > 0.0 && self.seconds(c::ACROSS_MS)? >= SEEN_SHARE * moving_s,
            events: self.events()?,
        })
    }

    fn events(&self) -> PolarsResult<Vec<BehaviourEvent>> {
        let columns = [
            (BehaviourKind::HarshBraking, c::BRAKING_EVENTS),
            (BehaviourKind::HarshAcceleration, c::ACCELERATION_EVENTS),
            (BehaviourKind::HarshCornering, c::CORNERING_EVENTS),
            (BehaviourKind::Speeding, c::SPEEDING_EVENTS),
            (BehaviourKind::PhoneUse, c::PHONE_EVENTS),
        ];
        let mut events = Vec::new();
        for (kind, column) in columns {
            for numbers in self.list(column)?.chunks_exact(kernels::EVENT_NUMBERS) {
                if let Some(ts) = EventTime::from_millis(numbers[0] as i64) {
                    let speed_kmh = (!numbers[3].is_nan()).then_some(numbers[3]);
                    events.push(BehaviourEvent {
                        kind,
                        ts,
                        duration_s: numbers[1],
                        peak: numbers[2],
                        speed_kmh,
                    });
                }
            }
        }
        events.sort_by_key(|event| (event.ts, event.kind));
        Ok(events)
    }

    fn number(&self, name: &str) -> PolarsResult<f64> {
        Ok(self
            .rows
            .column(name)?
            .get(self.row)?
            .try_extract::<f64>()
            .unwrap_or(0.0))
    }

    fn seconds(&self, name: &str) -> PolarsResult<f64> {
        Ok(self.number(name)? / 1000.0)
    }

    fn list(&self, name: &str) -> PolarsResult<Vec<f64>> {
        let Some(values) = self.rows.column(name)?.list()?.get_as_series(self.row) else {
            return Ok(Vec::new());
        };
        Ok(values.f64()?.iter().map(|value| value.unwrap_or(f64::NAN)).collect())
    }
}

/// The numbers that [`kernels::mileage`] wrote.
fn mileage(numbers: &[f64]) -> Mileage {
    let optional = |metres: f64| (!metres.is_nan()).then_some(metres);
    let reasons = numbers[6] as u32;
    let day = |pair: &[f64]| {
        Some(DayShare {
            day: day_from_number(pair[0] as i64)?,
            metres: pair[1] / 1e6,
        })
    };
    Mileage {
        odometer_m: optional(numbers[0]),
        speed_m: optional(numbers[1]),
        gps_m: optional(numbers[2]),
        billable_m: numbers[3] / 1e6,
        source: optional(numbers[4])
            .and_then(|place| DistanceSource::ALL.get(place as usize))
            .copied(),
        grade: MileageGrade::ALL
            .get(numbers[5] as usize)
            .copied()
            .unwrap_or(MileageGrade::D),
        reasons: MileageReason::ALL
            .iter()
            .copied()
            .filter(|&reason| reasons & (1 << reason as u32) != 0)
            .collect(),
        by_day: numbers[kernels::MILEAGE_NUMBERS..]
            .chunks_exact(2)
            .filter_map(day)
            .collect(),
    }
}
