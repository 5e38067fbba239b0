//! `GET /v1/fleets/{fleet}/summary`

use actix_web::web::{Data, Json};
use chrono::{NaiveDate, TimeDelta};
use odograph_domain::event::BehaviourKind;
use odograph_store::{FleetScore, FleetSummary};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::{
    auth::gate::Caller,
    extract::{
        path::{self, Segment},
        query::{Fields, Query},
    },
    problem::Problem,
    state::ApiState,
    v1::found,
};

/// Days looked at when none are named.
const DAYS: TimeDelta = TimeDelta::days(30);

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct SummaryQuery {
    /// First insured-local day, inclusive; 30 days before the last when absent.
    #[param(value_type = Option<NaiveDate>, example = "2026-01-01")]
    from: Option<String>,
    /// Last insured-local day, inclusive; today (UTC) when absent.
    #[param(value_type = Option<NaiveDate>, example = "2026-01-31")]
    to: Option<String>,
}

/// What the vehicles that are in a fleet now drove, over the trips that began on some days.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FleetSummary)]
pub(crate) struct Summary {
    fleet: Uuid,
    from: NaiveDate,
    to: NaiveDate,
    /// In the fleet now.
    #[schema(example = 24)]
    vehicles: i64,
    /// With at least one trip.
    #[schema(example = 22)]
    active_vehicles: i64,
    /// Known to have driven.
    #[schema(example = 19)]
    drivers: i64,
    #[schema(example = 812)]
    trips: i64,
    /// Billable, km.
    #[schema(example = 10_432.6)]
    distance_km: f64,
    #[schema(example = 310.5)]
    driving_hours: f64,
    /// Of the driving time; null without any.
    #[schema(example = 0.12)]
    idle_share: Option<f64>,
    /// Distance of the trips of which behaviour may be kept, km: what the events are from.
    #[schema(example = 9_870.1)]
    behaviour_km: f64,
    /// Null where no behaviour was seen.
    #[schema(example = 3.4)]
    events_per_100_km: Option<f64>,
    events: Vec<EventCount>,
    /// Null where no driver has one.
    score: Option<MeanScore>,
}

/// Behaviour events of a kind.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FleetEventCount)]
pub(crate) struct EventCount {
    #[schema(example = "harsh_braking")]
    kind: &'static str,
    #[schema(example = 96)]
    count: i64,
    #[schema(example = 0.97)]
    per_100_km: Option<f64>,
}

/// Over the drivers who drove and have a score: each one's newest up to the last day.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FleetScore)]
pub(crate) struct MeanScore {
    #[schema(example = 18)]
    drivers: i64,
    /// Weighted by the distance each drove, from 0 to 100 (best).
    #[schema(example = 81.4)]
    mean: f64,
    #[schema(example = 62.0)]
    lowest: f64,
    #[schema(example = 97.5)]
    highest: f64,
}

impl Summary {
    fn new(summary: FleetSummary, from: NaiveDate, to: NaiveDate) -> Self {
        let per_100_km = |count: i64| {
            (summary.behaviour_m > 0.0).then(|| tenths(count as f64 * 100_000.0 / summary.behaviour_m, 100.0))
        };
        let count = |kind: BehaviourKind| {
            let found = summary.events.iter().find(|(known, _)| *known == kind);
            found.map_or(0, |(_, count)| *count)
        };
        let total: i64 = summary.events.iter().map(|(_, count)| count).sum();
        Self {
            fleet: summary.fleet.uuid(),
            from,
            to,
            vehicles: summary.vehicles,
            active_vehicles: summary.active_vehicles,
            drivers: summary.drivers,
            trips: summary.trips,
            distance_km: tenths(summary.distance_m / 1000.0, 1000.0),
            driving_hours: tenths(summary.duration_s / 3600.0, 100.0),
            idle_share: (summary.duration_s > 0.0).then(|| tenths(summary.idle_s / summary.duration_s, 1000.0)),
            behaviour_km: tenths(summary.behaviour_m / 1000.0, 1000.0),
            events_per_100_km: per_100_km(total),
            events: BehaviourKind::ALL
                .iter()
                .map(|&kind| EventCount {
                    kind: kind.as_str(),
                    count: count(kind),
                    per_100_km: per_100_km(count(kind)),
                })
                .collect(),
            score: summary.score.map(|score| {
                let FleetScore {
                    drivers,
                    mean,
                    lowest,
                    highest,
                } = score;
                MeanScore {
                    drivers,
                    mean: tenths(mean, 10.0),
                    lowest,
                    highest,
                }
            }),
        }
    }
}

/// Rounded to the inverse of `parts`.
fn tenths(value: f64, parts: f64) -> f64 {
    (value * parts).round() / parts
}

#[utoipa::path(
    get,
    path = "/v1/fleets/{fleet}/summary",
    tag = "Fleets",
    summary = "What a fleet drove",
    params(("fleet" = String, Path, description = "Id or external reference", example = "acme-vans"), SummaryQuery),
    responses((status = 200, description = "The figures", body = Summary))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    fleet: Segment,
    Query(query): Query<SummaryQuery>,
) -> Result<Json<Summary>, Problem> {
    let mut fields = Fields::of_query();
    let from = fields.date("from", query.from.as_deref());
    let to = fields.date("to", query.to.as_deref());
    let to = to.unwrap_or_else(|| state.clock.now().date_naive());
    let from = from.unwrap_or(to - DAYS + TimeDelta::days(1));
    if from > to {
        fields.wrong("from", format!("wanted a day up to the last, {to}, got {from}"));
    }
    fields.finish()?;
    let name = path::id_or_ref("fleet", &fleet)?;
    let summary = found(
        caller.store(&state).fleet_summary(&name, from, to).await,
        "fleet",
        &fleet,
    )?;
    Ok(Json(Summary::new(summary, from, to)))
}
