//! Corrections: what was shown to the world and is something else now, and why.

use std::collections::BTreeSet;

use chrono::NaiveDate;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::{
    id::{ClientId, DriverId, PolicyId, PremiumId, TripId, VehicleId},
    mileage::MileageGrade,
    money::Money,
    outcome::named,
    time::EventTime,
};

named! {
    /// Why a part of a vehicle's history is derived anew. Whoever marks it says so, and it goes with every correction that
    /// comes of it.
    Why {
        /// Data that followed on what was known. By itself it corrects nothing: it is news.
        NewData = "new_data",
        /// Data of a time before what was known already.
        LateData = "late_data",
        /// A trip that only silence had ended went on, after others that follow it had been shown.
        TripContinued = "provisional_trip_continued",
        PolicyChanged = "policy_changed",
        AssignmentChanged = "assignment_changed",
        OwnershipChanged = "ownership_changed",
        DeviceChanged = "device_changed",
        OdometerChanged = "odometer_changed",
        SettingsChanged = "settings_changed",
        RatingPlanChanged = "rating_plan_changed",
        /// An operator asked for it: `odograph rebuild`.
        Rebuild = "rebuild",
    }
}

impl Why {
    /// Whether it is telemetry that came, and not somebody who decided something.
    pub fn is_data(self) -> bool {
        matches!(self, Self::NewData | Self::LateData | Self::TripContinued)
    }
}

named! {
    /// What a correction is of. Of a trip that stays, `trip_changed`; of trips that became one or of one that became more,
    /// each gets a correction of its own.
    CorrectionKind {
        /// A trip among others that had been shown.
        TripAdded = "trip_added",
        TripChanged = "trip_changed",
        TripWithdrawn = "trip_withdrawn",
        TripsMerged = "trips_merged",
        TripSplit = "trip_split",
        ScoresChanged = "scores_changed",
        PremiumChanged = "premium_changed",
    }
}

/// What made a window dirty. Causes of windows that merge, merge.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    pub why: BTreeSet<Why>,
    /// How many accepted batches of telemetry are part of it.
    pub batches: u32,
    /// API clients that sent them, or that made the change.
    pub clients: BTreeSet<ClientId>,
    /// In an operator's words.
    pub notes: BTreeSet<String>,
}

impl Cause {
    pub fn of(why: Why) -> Self {
        Self {
            why: BTreeSet::from([why]),
            ..Self::default()
        }
    }

    /// With the client that is behind it, where it is known.
    pub fn by(mut self, client: Option<ClientId>) -> Self {
        self.clients.extend(client);
        self
    }

    pub fn noted(mut self, note: Option<&str>) -> Self {
        self.notes.extend(note.map(str::to_owned));
        self
    }

    #[must_use]
    pub fn merged(mut self, other: Self) -> Self {
        self.why.extend(other.why);
        self.batches = self.batches.saturating_add(other.batches);
        self.clients.extend(other.clients);
        self.notes.extend(other.notes);
        self
    }
}

/// What is told of a trip.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TripFigures {
    pub trip: TripId,
    pub version: i32,
    pub start: EventTime,
    pub end: EventTime,
    /// As [`crate::trip::TripRecord::state`].
    pub state: String,
    pub driver: Option<DriverId>,
    pub samples: u32,
    pub billable_m: f64,
    pub grade: MileageGrade,
    /// Behaviour events; `None` where no behaviour is kept.
    pub events: Option<u32>,
}

/// What is told of a driver's score on a day. Without a value there is none any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScoreFigures {
    pub as_of: NaiveDate,
    pub version: i32,
    #[serde(with = "rust_decimal::serde::str_option")]
    pub value: Option<Decimal>,
}

/// What is told of a month's premium.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PremiumFigures {
    pub premium: PremiumId,
    pub version: i32,
    pub amount: Money,
    pub usage_m: i64,
    #[serde(with = "rust_decimal::serde::str_option")]
    pub score: Option<Decimal>,
    pub plan_version: i32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Figures {
    Trip(TripFigures),
    /// By day.
    Scores(Vec<ScoreFigures>),
    Premium(PremiumFigures),
}

/// What was shown and is something else now.
#[derive(Debug, Clone, PartialEq)]
pub struct Correction {
    pub kind: CorrectionKind,
    pub vehicle: Option<VehicleId>,
    pub driver: Option<DriverId>,
    pub policy: Option<PolicyId>,
    pub trip: Option<TripId>,
    /// Insured-local days it reaches over, both inclusive.
    pub from_day: NaiveDate,
    pub to_day: NaiveDate,
    /// `None` where there was nothing.
    pub before: Option<Figures>,
    /// `None` where there is nothing any more.
    pub after: Option<Figures>,
    pub cause: Cause,
}
