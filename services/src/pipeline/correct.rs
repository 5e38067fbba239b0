//! What of a derivation corrects what was shown, and what is only news. Pure.
//!
//! Event time decides. A vehicle's history has been shown up to the end of its last trip: what comes after it is news, what
//! changes before it is a correction. A driver's scores have been shown up to the day of its last trip, over all vehicles; a
//! month has been shown once a trip of a later month has. What nobody could take for final yet, the score of today or of a
//! month's end to come, the premium of the month that is being driven, grows with each trip: that is usage, unless the trip
//! itself is a correction, or somebody changed a policy, an assignment or the like.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use odograph_domain::{
    correction::{Cause, Correction, CorrectionKind, Figures, ScoreFigures, TripFigures, Why},
    id::{DriverId, TripId, VehicleId},
    policy::Month,
    time::EventTime,
    trip::TripRecord,
};
use odograph_store::{ScoreChange, StoredTrip};

/// How far what was shown reaches, before a derivation.
#[derive(Debug, Clone, Default)]
pub struct Shown {
    /// End of the vehicle's last trip, and the insured-local day it started on.
    pub vehicle: Option<(EventTime, NaiveDate)>,
    /// Day on which a driver's last trip started, over all vehicles.
    pub drivers: BTreeMap<DriverId, NaiveDate>,
}

/// Trips of a window that were replaced, and what by.
#[derive(Debug)]
pub struct Replaced<'a> {
    pub vehicle: VehicleId,
    pub old: &'a [StoredTrip],
    pub removed: &'a [TripId],
    /// What differs from before, or was not there.
    pub changed: &'a [TripRecord],
}

impl Replaced<'_> {
    /// The corrections among the changes.
    pub fn corrections(&self, shown: &Shown, cause: &Cause) -> Vec<Correction> {
        let shown_until = shown.vehicle.map(|(end, _)| end);
        let mut corrections = Vec::new();
        for record in self.changed {
            let before = self.old.iter().find(|trip| trip.id == record.id);
            let correction = match before {
                Some(before) => self.of_changed(before, record, shown_until, cause),
                None => self.of_new(record, shown_until, cause),
            };
            corrections.extend(correction);
        }
        let gone = self.old.iter().filter(|trip| self.removed.contains(&trip.id));
        corrections.extend(gone.map(|trip| self.of_gone(trip, cause)));
        corrections
    }

    fn of_changed(
        &self,
        before: &StoredTrip,
        record: &TripRecord,
        shown_until: Option<EventTime>,
        cause: &Cause,
    ) -> Option<Correction> {
        let window = before.bounds.window();
        let merged = self
            .old
            .iter()
            .any(|trip| self.removed.contains(&trip.id) && trip.bounds.window().overlaps(record.bounds.window()));
        let split = self
            .changed
            .iter()
            .any(|other| self.is_new(other) && other.bounds.window().overlaps(window));
        let goes_on = before.is_provisional()
            && before.bounds.start == record.bounds.start
            && before.bounds.end <= record.bounds.end
            && cause.why.iter().all(|why| why.is_data());
        let last = shown_until.is_none_or(|end| end <= before.bounds.end) || before.bounds.end == record.bounds.end;
        if goes_on && last && !merged && !split {
            return None;
        }
        let kind = match (merged, split) {
            (true, _) => CorrectionKind::TripsMerged,
            (false, true) => CorrectionKind::TripSplit,
            (false, false) => CorrectionKind::TripChanged,
        };
        let mut cause = cause.clone();
        if goes_on && !last {
            cause.why.insert(Why::TripContinued);
        }
        Some(self.correction(kind, record.id, Some(before), Some(record), cause))
    }

    fn of_new(&self, record: &TripRecord, shown_until: Option<EventTime>, cause: &Cause) -> Option<Correction> {
        let window = record.bounds.window();
        if let Some(whole) = self.old.iter().find(|trip| trip.bounds.window().overlaps(window)) {
            let kind = CorrectionKind::TripSplit;
            return Some(self.correction(kind, record.id, Some(whole), Some(record), cause.clone()));
        }
        let among_shown = shown_until.is_some_and(|end| record.bounds.start < end);
        among_shown.then(|| self.correction(CorrectionKind::TripAdded, record.id, None, Some(record), cause.clone()))
    }

    fn of_gone(&self, trip: &StoredTrip, cause: &Cause) -> Correction {
        let window = trip.bounds.window();
        let into = self
            .changed
            .iter()
            .find(|record| record.bounds.window().overlaps(window));
        let kind = match into {
            Some(_) => CorrectionKind::TripsMerged,
            None => CorrectionKind::TripWithdrawn,
        };
        self.correction(kind, trip.id, Some(trip), into, cause.clone())
    }

    fn is_new(&self, record: &TripRecord) -> bool {
        self.old.iter().all(|trip| trip.id != record.id)
    }

    fn correction(
        &self,
        kind: CorrectionKind,
        trip: TripId,
        before: Option<&StoredTrip>,
        after: Option<&TripRecord>,
        cause: Cause,
    ) -> Correction {
        let old_days = before
            .into_iter()
            .flat_map(|trip| trip.days.iter().copied().chain([trip.start_day]));
        let new_days = after.into_iter().flat_map(|record| {
            let driven = record.features.mileage.by_day.iter().map(|share| share.day);
            driven.chain([record.local_day()])
        });
        let (mut from_day, mut to_day) = (NaiveDate::MAX, NaiveDate::MIN);
        for day in old_days.chain(new_days) {
            (from_day, to_day) = (from_day.min(day), to_day.max(day));
        }
        let driver = after.map_or_else(|| before.and_then(|trip| trip.driver), |record| record.driver);
        Correction {
            kind,
            vehicle: Some(self.vehicle),
            driver,
            policy: None,
            trip: Some(trip),
            from_day,
            to_day,
            before: before.map(|trip| Figures::Trip(figures_before(trip))),
            after: after.map(|record| Figures::Trip(figures_after(record))),
            cause,
        }
    }
}

fn figures_before(trip: &StoredTrip) -> TripFigures {
    TripFigures {
        trip: trip.id,
        version: trip.version,
        start: trip.bounds.start,
        end: trip.bounds.end,
        state: trip.bounds.state().to_owned(),
        driver: trip.driver,
        samples: trip.samples,
        billable_m: trip.billable_m,
        grade: trip.grade,
        events: trip.events,
    }
}

fn figures_after(record: &TripRecord) -> TripFigures {
    let behaviour = record.features.behaviour.as_ref();
    TripFigures {
        trip: record.id,
        version: record.version,
        start: record.bounds.start,
        end: record.bounds.end,
        state: record.state().to_owned(),
        driver: record.driver,
        samples: record.features.samples,
        billable_m: record.features.mileage.billable_m,
        grade: record.features.mileage.grade,
        events: behaviour.map(|behaviour| behaviour.events.len() as u32),
    }
}

/// Whether a derivation does more than follow new driving: it corrected trips, or somebody decided something.
pub fn corrects(trips: &[Correction], cause: &Cause) -> bool {
    !trips.is_empty() || cause.why.iter().any(|why| !why.is_data())
}

/// The correction that a change of a driver's scores amounts to, if any of them was more than provisional.
pub fn scores(
    driver: DriverId,
    vehicle: VehicleId,
    changes: &[ScoreChange],
    shown_until: Option<NaiveDate>,
    corrects: bool,
    cause: &Cause,
) -> Option<Correction> {
    let corrected: Vec<&ScoreChange> = changes
        .iter()
        .filter(|change| change.before.is_some())
        .filter(|change| corrects || shown_until.is_some_and(|day| change.as_of < day))
        .collect();
    let (first, last) = (corrected.first()?.as_of, corrected.last()?.as_of);
    let told = |figure: fn(&ScoreChange) -> Option<(i32, rust_decimal::Decimal)>| {
        let scores = corrected.iter().map(|change| {
            let (version, value) = match figure(change) {
                Some((version, value)) => (version, Some(value)),
                None => (change.before.map_or(0, |(version, _)| version), None),
            };
            ScoreFigures {
                as_of: change.as_of,
                version,
                value,
            }
        });
        Some(Figures::Scores(scores.collect()))
    };
    Some(Correction {
        kind: CorrectionKind::ScoresChanged,
        vehicle: Some(vehicle),
        driver: Some(driver),
        policy: None,
        trip: None,
        from_day: first,
        to_day: last,
        before: told(|change| change.before),
        after: told(|change| change.after),
        cause: cause.clone(),
    })
}

/// Whether a month's premium had been shown as that of a whole month.
pub fn month_was_over(month: Month, shown: &Shown) -> bool {
    let days = shown.drivers.values().copied().chain(shown.vehicle.map(|(_, day)| day));
    days.max().is_some_and(|day| month.end() <= day)
}

#[cfg(test)]
mod tests;
