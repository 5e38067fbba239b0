//! Corrections: what was told before and is something else now, with before, after and why.

pub(crate) mod get;
pub(crate) mod list;

use chrono::{DateTime, NaiveDate, Utc};
use odograph_domain::correction;
use odograph_store::CorrectionRow;
use rust_decimal::Decimal;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::premiums::Money;
use crate::{access::Scope, auth::gate::Caller};

/// A correction of something that had been shown.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Correction {
    id: Uuid,
    /// `trip_added`, `trip_changed`, `trip_withdrawn`, `trips_merged`, `trip_split`, `scores_changed` or `premium_changed`.
    #[schema(example = "trip_changed")]
    kind: &'static str,
    /// When it was made.
    at: DateTime<Utc>,
    vehicle: Option<Uuid>,
    driver: Option<Uuid>,
    policy: Option<Uuid>,
    trip: Option<Uuid>,
    /// First and last insured-local day it reaches over.
    from_day: NaiveDate,
    to_day: NaiveDate,
    /// Null where there was nothing.
    before: Option<Figures>,
    /// Null where there is nothing any more.
    after: Option<Figures>,
    /// The scope it takes to see `before` and `after`, where the token lacks it and they are left out.
    #[schema(example = "premiums:read")]
    hidden_without: Option<&'static str>,
    cause: Cause,
}

/// Why something was derived anew. Several reasons where several came together.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Cause {
    /// `new_data`, `late_data`, `provisional_trip_continued`, `policy_changed`, `assignment_changed`, `ownership_changed`,
    /// `device_changed`, `odometer_changed`, `settings_changed`, `rating_plan_changed`, `rebuild`.
    #[schema(example = json!(["late_data"]))]
    why: Vec<&'static str>,
    /// Accepted batches of telemetry that are part of it.
    #[schema(example = 1)]
    batches: u32,
    /// API clients that sent them, or that made the change.
    clients: Vec<Uuid>,
    /// In an operator's words.
    notes: Vec<String>,
}

/// Figures of the one kind that the correction is of.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct Figures {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    trip: Option<TripFigures>,
    /// By day.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    scores: Option<Vec<ScoreFigures>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    premium: Option<PremiumFigures>,
}

/// A trip as it was shown. Everything about it: `GET /v1/trips/{trip}/versions`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TripFigures {
    /// Of merged trips, after: the one it went into. Of a part that was split off, before: the one it was part of.
    trip: Uuid,
    #[schema(example = 2)]
    version: i32,
    start: DateTime<Utc>,
    end: DateTime<Utc>,
    #[schema(example = "closed")]
    state: String,
    driver: Option<Uuid>,
    #[schema(example = 1240)]
    samples: u32,
    /// Billable distance, m.
    #[schema(example = 12_431.7)]
    distance_m: f64,
    #[schema(example = "A")]
    grade: &'static str,
    /// Behaviour events; null where no behaviour is kept.
    #[schema(example = 3)]
    events: Option<u32>,
}

/// A driver's score of a day as it was shown. All of it: `GET /v1/drivers/{driver}/scores?all_versions=true`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ScoreFigures {
    as_of: NaiveDate,
    #[schema(example = 2)]
    version: i32,
    /// Null where there is none any more.
    #[schema(example = "87.4")]
    value: Option<Decimal>,
}

/// A month's premium as it was shown. With its trace: `GET /v1/premiums/{premium}`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PremiumFigures {
    premium: Uuid,
    #[schema(example = 2)]
    version: i32,
    amount: Money,
    /// Whole metres driven on covered days.
    #[schema(example = 812_500)]
    usage_m: i64,
    #[schema(example = "87.4")]
    score: Option<Decimal>,
    #[schema(example = 1)]
    rating_plan_version: i32,
}

impl Correction {
    /// As far as the caller may see it.
    fn shown_to(caller: &Caller, row: CorrectionRow) -> Self {
        let CorrectionRow { id, correction, at } = row;
        let needed = match &correction.before.as_ref().or(correction.after.as_ref()) {
            Some(correction::Figures::Scores(_)) => Some(Scope::ScoresRead),
            Some(correction::Figures::Premium(_)) => Some(Scope::PremiumsRead),
            Some(correction::Figures::Trip(_)) | None => None,
        };
        let hidden = needed.filter(|scope| !caller.may(*scope));
        let figures = |figures: Option<correction::Figures>| figures.filter(|_| hidden.is_none()).map(Figures::from);
        Self {
            id: id.uuid(),
            kind: correction.kind.as_str(),
            at,
            vehicle: correction.vehicle.map(Into::into),
            driver: correction.driver.map(Into::into),
            policy: correction.policy.map(Into::into),
            trip: correction.trip.map(Into::into),
            from_day: correction.from_day,
            to_day: correction.to_day,
            before: figures(correction.before),
            after: figures(correction.after),
            hidden_without: hidden.map(Scope::as_str),
            cause: correction.cause.into(),
        }
    }
}

impl From<correction::Cause> for Cause {
    fn from(cause: correction::Cause) -> Self {
        Self {
            why: cause.why.into_iter().map(correction::Why::as_str).collect(),
            batches: cause.batches,
            clients: cause.clients.into_iter().map(Into::into).collect(),
            notes: cause.notes.into_iter().collect(),
        }
    }
}

impl From<correction::Figures> for Figures {
    fn from(figures: correction::Figures) -> Self {
        let mut told = Self::default();
        match figures {
            correction::Figures::Trip(trip) => told.trip = Some(trip.into()),
            correction::Figures::Scores(scores) => {
                told.scores = Some(scores.into_iter().map(ScoreFigures::from).collect());
            }
            correction::Figures::Premium(premium) => told.premium = Some(premium.into()),
        }
        told
    }
}

impl From<correction::TripFigures> for TripFigures {
    fn from(trip: correction::TripFigures) -> Self {
        Self {
            trip: trip.trip.uuid(),
            version: trip.version,
            start: trip.start.utc(),
            end: trip.end.utc(),
            state: trip.state,
            driver: trip.driver.map(Into::into),
            samples: trip.samples,
            distance_m: trip.billable_m,
            grade: trip.grade.as_str(),
            events: trip.events,
        }
    }
}

impl From<correction::ScoreFigures> for ScoreFigures {
    fn from(score: correction::ScoreFigures) -> Self {
        Self {
            as_of: score.as_of,
            version: score.version,
            value: score.value,
        }
    }
}

impl From<correction::PremiumFigures> for PremiumFigures {
    fn from(premium: correction::PremiumFigures) -> Self {
        Self {
            premium: premium.premium.uuid(),
            version: premium.version,
            amount: premium.amount.into(),
            usage_m: premium.usage_m,
            score: premium.score,
            rating_plan_version: premium.plan_version,
        }
    }
}
