//! Behaviour events: where in a trip somebody drove harshly, too fast, or with the telephone in hand.

pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod of_trip;
pub(crate) mod of_vehicle;

use chrono::{DateTime, TimeDelta, Utc};
use odograph_domain::event::{BehaviourKind, Severity};
use odograph_store::{EventRow, Position};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{extract::query::Fields, problem::shown};

/// A behaviour event.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BehaviourEvent)]
pub(crate) struct Event {
    /// Stays as long as the event is found, however often its trip is derived.
    id: Uuid,
    vehicle: Uuid,
    trip: Uuid,
    /// Null where nothing says who drove.
    driver: Option<Uuid>,
    /// `harsh_braking`, `harsh_acceleration`, `harsh_cornering`, `speeding` or `phone_use`.
    #[schema(example = "harsh_braking")]
    kind: &'static str,
    /// `low`, `medium` or `high`, by the peak. Scores look at the peak itself.
    #[schema(example = "medium")]
    severity: &'static str,
    /// Start of the event.
    ts: DateTime<Utc>,
    end: DateTime<Utc>,
    #[schema(example = 1.4)]
    duration_s: f64,
    /// Largest magnitude: of an acceleration, or of the speed above the limit. 1 for phone use.
    #[schema(example = 4.2)]
    peak: f64,
    /// Of the peak: `m/s2` or `km/h`; null for phone use.
    #[schema(example = "m/s2")]
    peak_unit: Option<&'static str>,
    /// At the start, where known.
    #[schema(example = 48.2)]
    speed_kmh: Option<f64>,
    /// Where it began. Left out without the scope `tracks:read`, in lists over several trips, and where no fix is near.
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<Place>,
}

/// WGS 84, degrees.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Position)]
pub(crate) struct Place {
    #[schema(example = 52.52)]
    lat: f64,
    #[schema(example = 13.405)]
    lon: f64,
}

impl Event {
    fn new(row: EventRow, position: Option<Position>) -> Self {
        let EventRow {
            id,
            trip,
            vehicle,
            driver,
            event,
        } = row;
        let ts = event.ts.utc();
        Self {
            id: id.uuid(),
            vehicle: vehicle.uuid(),
            trip: trip.uuid(),
            driver: driver.map(|driver| driver.uuid()),
            kind: event.kind.as_str(),
            severity: event.severity().as_str(),
            ts,
            end: ts + TimeDelta::milliseconds((event.duration_s * 1000.0).round() as i64),
            duration_s: event.duration_s,
            peak: event.peak,
            peak_unit: event.kind.unit(),
            speed_kmh: event.speed_kmh,
            position: position.map(|(lat, lon)| Place { lat, lon }),
        }
    }

    fn without_position(row: EventRow) -> Self {
        Self::new(row, None)
    }
}

/// What lists of events are narrowed by.
struct Narrowed {
    kind: Option<BehaviourKind>,
    severity: Option<Severity>,
    from: Option<DateTime<Utc>>,
    to: Option<DateTime<Utc>>,
}

impl Narrowed {
    fn read(
        fields: &mut Fields,
        kind: Option<&str>,
        severity: Option<&str>,
        from: Option<&str>,
        to: Option<&str>,
    ) -> Self {
        let kinds = BehaviourKind::ALL.iter().map(|kind| kind.as_str());
        let (from, to) = (fields.instant("from", from), fields.instant("to", to));
        fields.ordered(from.as_ref(), to.as_ref());
        let severities = Severity::ALL.iter().map(|severity| severity.as_str());
        Self {
            kind: one_of(fields, "kind", kind, BehaviourKind::parse, kinds),
            severity: one_of(fields, "min_severity", severity, Severity::parse, severities),
            from,
            to,
        }
    }
}

/// One of some names.
pub(crate) fn one_of<T>(
    fields: &mut Fields,
    field: &str,
    given: Option<&str>,
    parse: impl Fn(&str) -> Option<T>,
    names: impl Iterator<Item = &'static str>,
) -> Option<T> {
    let given = given?;
    let value = parse(given);
    if value.is_none() {
        let names: Vec<_> = names.collect();
        fields.wrong(
            field,
            format!("wanted one of {}, got {:?}", names.join(", "), shown(given)),
        );
    }
    value
}
