//! Behaviour events by trip, vehicle and time. They are written with their trips; see [`crate::trip_writes`].

use chrono::{DateTime, TimeDelta, Utc};
use odograph_domain::{
    event::{BehaviourEvent, BehaviourKind, Severity},
    id::{DriverId, EventId, FleetId, GroupId, TripId, VehicleId},
    time::{EventTime, Window},
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    error::{Result, StoreError},
    page::{Listed, Page},
    raw::raw_between,
    tenant::{TenantStore, named},
};

#[derive(Debug, Clone, PartialEq)]
pub struct EventRow {
    pub id: EventId,
    pub trip: TripId,
    pub vehicle: VehicleId,
    pub driver: Option<DriverId>,
    pub event: BehaviourEvent,
}

/// Which events; every condition that is given must hold.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EventFilter {
    pub trip: Option<TripId>,
    pub vehicle: Option<VehicleId>,
    pub driver: Option<DriverId>,
    pub fleet: Option<FleetId>,
    pub group: Option<GroupId>,
    pub kind: Option<BehaviourKind>,
    /// Of this severity at least.
    pub severity: Option<Severity>,
    /// Starting at or after this.
    pub from: Option<DateTime<Utc>>,
    /// Starting before this.
    pub to: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum EventOrder {
    /// By start, the latest first.
    #[default]
    StartLast,
    Start,
}

/// Latitude and longitude, degrees.
pub type Position = (f64, f64);

/// How far from an event's start the fix may lie that says where it was.
const NEAR: TimeDelta = TimeDelta::seconds(5);

struct Row {
    id: Uuid,
    trip_id: Uuid,
    vehicle_id: Uuid,
    driver_id: Option<Uuid>,
    kind: String,
    ts: DateTime<Utc>,
    duration_s: f64,
    peak: f64,
    speed_kmh: Option<f64>,
}

impl Row {
    fn read(self) -> Result<EventRow> {
        Ok(EventRow {
            id: self.id.into(),
            trip: self.trip_id.into(),
            vehicle: self.vehicle_id.into(),
            driver: self.driver_id.map(Into::into),
            event: BehaviourEvent {
                kind: named(&self.kind, BehaviourKind::parse)?,
                ts: EventTime::new(self.ts),
                duration_s: self.duration_s,
                peak: self.peak,
                speed_kmh: self.speed_kmh,
            },
        })
    }
}

/// A query for events: the rest of the `WHERE` and what follows it, and its parameters.
macro_rules! select_events {
    ([$($rest:tt)+], $($parameter:expr),* $(,)?) => {
        sqlx::query_as!(
            Row,
            "SELECT e.id, e.trip_id, e.vehicle_id, t.driver_id, e.kind, e.ts, e.duration_s, e.peak, e.speed_kmh
             FROM behaviour_event e JOIN trip t ON t.tenant_id = e.tenant_id AND t.id = e.trip_id
             WHERE e.tenant_id = $1 " $(+ $rest)+,
            $($parameter),*
        )
    };
}

macro_rules! list_events {
    ($rest:tt, $tenant:expr, $filter:expr, $least:expr, $page:expr) => {
        select_events!(
            ["AND ($2::uuid IS NULL OR e.trip_id = $2) AND ($3::uuid IS NULL OR e.vehicle_id = $3)
             AND ($4::uuid IS NULL OR t.driver_id = $4)
             AND ($5::uuid IS NULL OR EXISTS (SELECT FROM fleet_reach v
                 WHERE v.tenant_id = e.tenant_id AND v.vehicle_id = e.vehicle_id AND v.fleet_id = $5
                   AND (v.starts_at IS NULL OR v.starts_at <= e.ts)
                   AND (v.ends_at IS NULL OR e.ts < v.ends_at)))
             AND ($6::uuid IS NULL OR EXISTS (SELECT FROM group_reach v
                 WHERE v.tenant_id = e.tenant_id AND v.vehicle_id = e.vehicle_id AND v.group_id = $6
                   AND (v.starts_at IS NULL OR v.starts_at <= e.ts)
                   AND (v.ends_at IS NULL OR e.ts < v.ends_at)))
             AND ($7::text IS NULL OR e.kind = $7)
             AND ($8::timestamptz IS NULL OR e.ts >= $8) AND ($9::timestamptz IS NULL OR e.ts < $9)
             AND EXISTS (SELECT FROM unnest($10::text[], $11::float8[]) AS l (kind, peak)
                 WHERE l.kind = e.kind AND e.peak >= l.peak) " $rest],
            $tenant.uuid(),
            $filter.trip.map(TripId::uuid),
            $filter.vehicle.map(VehicleId::uuid),
            $filter.driver.map(DriverId::uuid),
            $filter.fleet.map(FleetId::uuid),
            $filter.group.map(GroupId::uuid),
            $filter.kind.map(BehaviourKind::as_str),
            $filter.from,
            $filter.to,
            &$least.0 as &[&str],
            &$least.1,
            $page.at(),
            $page.id(),
            $page.fetch(),
        )
    };
}

/// The least peak by kind that a severity takes; kinds that never reach it are left out.
fn least_peaks(severity: Option<Severity>) -> (Vec<&'static str>, Vec<f64>) {
    BehaviourKind::ALL
        .iter()
        .filter_map(|kind| {
            Some((
                kind.as_str(),
                severity.map_or(Some(0.0), |severity| kind.least_peak(severity))?,
            ))
        })
        .unzip()
}

impl TenantStore {
    pub async fn events(&self, filter: EventFilter, order: EventOrder, page: Page) -> Result<Listed<EventRow>> {
        let tenant = self.tenant_id();
        let least = least_peaks(filter.severity);
        let mut tx = self.begin().await?;
        let rows = match order {
            EventOrder::StartLast => list_events!(
                "AND ($12::timestamptz IS NULL OR (e.ts, e.id) < ($12, $13)) ORDER BY e.ts DESC, e.id DESC LIMIT $14",
                tenant,
                filter,
                least,
                page
            )
            .fetch_all(&mut *tx)
            .await?,
            EventOrder::Start => {
                list_events!(
                    "AND ($12::timestamptz IS NULL OR (e.ts, e.id) > ($12, $13)) ORDER BY e.ts, e.id LIMIT $14",
                    tenant,
                    filter,
                    least,
                    page
                )
                .fetch_all(&mut *tx)
                .await?
            }
        };
        tx.commit().await?;
        let items = rows.into_iter().map(Row::read).collect::<Result<_>>()?;
        Ok(Listed::cut(&page, items, |row: &EventRow| {
            (row.event.ts.utc(), row.id.uuid())
        }))
    }

    /// One event of this vehicle.
    pub async fn event(&self, vehicle: VehicleId, event: EventId) -> Result<EventRow> {
        let mut tx = self.begin().await?;
        let row = select_events!(
            ["AND e.id = $2 AND e.vehicle_id = $3"],
            self.tenant_id().uuid(),
            event.uuid(),
            vehicle.uuid()
        )
        .fetch_optional(&mut *tx)
        .await?;
        tx.commit().await?;
        row.ok_or(StoreError::NotFound { kind: "event" })?.read()
    }

    /// Where the car was when each event of one vehicle began, as far as a fix near it says. Needs
    /// [`TenantStore::with_tracks`]; the reading is audited as one of the trips' tracks.
    pub async fn event_positions(&self, events: &[EventRow]) -> Result<Vec<Option<Position>>> {
        let mut tx = self.begin().await?;
        let positions = self.positions(&mut tx, events).await?;
        tx.commit().await?;
        Ok(positions)
    }

    async fn positions(&self, conn: &mut PgConnection, events: &[EventRow]) -> Result<Vec<Option<Position>>> {
        let times = events.iter().map(|row| row.event.ts);
        let (Some(first), Some(from), Some(to)) = (events.first(), times.clone().min(), times.max()) else {
            return Ok(Vec::new());
        };
        if events.iter().any(|row| row.vehicle != first.vehicle) {
            return Err(StoreError::Invalid {
                kind: "events",
                detail: "of more than one vehicle".into(),
            });
        }
        let caller = self.caller();
        let window = Window {
            from: EventTime::new(from.utc() - NEAR),
            to: EventTime::new(to.utc() + NEAR),
        };
        let samples = raw_between(conn, caller.raw_source(), first.vehicle, window).await?;
        let fixes: Vec<(DateTime<Utc>, Position)> = samples
            .iter()
            .filter_map(|raw| Some((raw.sample.ts.utc(), (raw.sample.lat?, raw.sample.lon?))))
            .collect();
        let mut trips: Vec<TripId> = events.iter().map(|row| row.trip).collect();
        trips.sort_unstable();
        trips.dedup();
        for trip in trips {
            caller.audit(conn, "read", "track", trip.uuid()).await?;
        }
        Ok(events.iter().map(|row| nearest(&fixes, row.event.ts.utc())).collect())
    }
}

/// The fix nearest to a time; `fixes` are in order of time.
fn nearest(fixes: &[(DateTime<Utc>, Position)], at: DateTime<Utc>) -> Option<Position> {
    let after = fixes.partition_point(|(ts, _)| *ts < at);
    let around = fixes[after.saturating_sub(1)..].iter().take(2);
    around
        .map(|(ts, position)| ((*ts - at).abs(), *position))
        .filter(|(distance, _)| *distance <= NEAR)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, position)| position)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_fix_says_where_if_it_is_near() {
        let at = |seconds: i64| DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap();
        let fixes = [(at(0), (1.0, 1.0)), (at(10), (2.0, 2.0)), (at(13), (3.0, 3.0))];
        assert_eq!(nearest(&fixes, at(2)), Some((1.0, 1.0)));
        assert_eq!(nearest(&fixes, at(8)), Some((2.0, 2.0)));
        assert_eq!(nearest(&fixes, at(12)), Some((3.0, 3.0)));
        assert_eq!(nearest(&fixes, at(18)), Some((3.0, 3.0)));
        assert_eq!(nearest(&fixes, at(19)), None);
        assert_eq!(nearest(&fixes, at(-6)), None);
        assert_eq!(nearest(&[], at(0)), None);
    }
}
