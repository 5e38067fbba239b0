//! Trips: written by whoever derives them, read by everybody else.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, NaiveDate, Utc};
use odograph_domain::{
    batch::RawSample,
    event::{BehaviourEvent, BehaviourKind},
    features::{BehaviourFeatures, TripFeatures},
    id::{DriverId, FleetId, GroupId, TenantId, TripId, VehicleId},
    mileage::{DayShare, DistanceSource, Mileage, MileageGrade, MileageReason},
    time::{EventTime, Window},
    trip::{TripBounds, TripEnd, TripRecord, TripStart},
};
use sha2::{Digest, Sha256};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    contexts::zone,
    error::{Result, StoreError},
    page::{Listed, Order, Page},
    raw::raw_between,
    tenant::{TenantStore, from_json, named},
};

#[derive(Debug, Clone, PartialEq)]
pub struct TripRow {
    pub record: TripRecord,
    pub derived_at: DateTime<Utc>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct TripFilter {
    pub vehicle: Option<VehicleId>,
    pub driver: Option<DriverId>,
    /// Trips that end at or after this.
    pub from: Option<DateTime<Utc>>,
    /// Trips that start before this.
    pub to: Option<DateTime<Utc>>,
    pub fleet: Option<FleetId>,
    pub group: Option<GroupId>,
    /// Trips that start on these insured-local days; the first inclusive, the second not.
    pub days: (Option<NaiveDate>, Option<NaiveDate>),
    /// `closed` or `provisional`.
    pub state: Option<String>,
    /// Billable metres at least.
    pub min_distance_m: Option<f64>,
    /// Derived at or after this.
    pub changed_since: Option<DateTime<Utc>>,
}

/// What trips can be sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TripKey {
    Start,
    /// The time they were derived as they are.
    DerivedAt,
}

/// What whoever derives anew must know of a trip that is there.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredTrip {
    pub id: TripId,
    pub bounds: TripBounds,
    pub version: i32,
    /// See [`content_hash`].
    pub content_hash: [u8; 32],
    pub driver: Option<DriverId>,
    /// Insured-local day of the start.
    pub start_day: NaiveDate,
    /// Insured-local days it has metres on.
    pub days: Vec<NaiveDate>,
    pub samples: u32,
    pub billable_m: f64,
    pub grade: MileageGrade,
    /// Behaviour events; `None` where no behaviour is kept.
    pub events: Option<u32>,
}

impl StoredTrip {
    /// `provisional` or `closed`, as in [`odograph_domain::trip::TripRecord::state`].
    pub fn is_provisional(&self) -> bool {
        self.bounds.ended_by == TripEnd::Silence
    }
}

/// SHA-256 over what a trip says, its id and version aside: equal hashes, nothing changed.
pub fn content_hash(trip: &TripRecord) -> [u8; 32] {
    let meaning = (
        &trip.vehicle,
        &trip.driver,
        &trip.bounds,
        trip.time_zone.name(),
        &trip.features,
    );
    // Plain data with text keys: it cannot fail to serialise.
    Sha256::digest(serde_json::to_vec(&meaning).unwrap_or_default()).into()
}

pub(crate) struct StoredRow {
    pub(crate) id: Uuid,
    pub(crate) vehicle_id: Uuid,
    pub(crate) driver_id: Option<Uuid>,
    pub(crate) started_at: DateTime<Utc>,
    pub(crate) ended_at: DateTime<Utc>,
    pub(crate) started_by: String,
    pub(crate) ended_by: String,
    pub(crate) time_zone: String,
    pub(crate) start_day: NaiveDate,
    pub(crate) version: i32,
    pub(crate) derived_at: DateTime<Utc>,
    pub(crate) plan_version: i16,
    pub(crate) samples: i32,
    pub(crate) duration_s: f64,
    pub(crate) moving_s: f64,
    pub(crate) idle_s: f64,
    pub(crate) fix_share: Option<f64>,
    pub(crate) hdop_median: Option<f64>,
    pub(crate) marks: serde_json::Value,
    pub(crate) odometer_m: Option<f64>,
    pub(crate) speed_m: Option<f64>,
    pub(crate) gps_m: Option<f64>,
    pub(crate) billable_m: f64,
    pub(crate) mileage_source: Option<String>,
    pub(crate) mileage_grade: String,
    pub(crate) mileage_reasons: Vec<String>,
    pub(crate) mean_speed_kmh: Option<f64>,
    pub(crate) top_speed_kmh: Option<f64>,
    pub(crate) night_share: Option<f64>,
    pub(crate) weekend_share: Option<f64>,
    pub(crate) speeding_share: Option<f64>,
    pub(crate) limit_known_s: Option<f64>,
    pub(crate) phone_share: Option<f64>,
    pub(crate) phone_known_s: Option<f64>,
    pub(crate) braking_seen: Option<bool>,
    pub(crate) cornering_seen: Option<bool>,
}

/// A query for whole trips: `WHERE` and what follows it, and its parameters.
macro_rules! select_trips {
    ([$($rest:tt)+], $($parameter:expr),* $(,)?) => {
        sqlx::query_as!(
            StoredRow,
            "SELECT t.id, t.vehicle_id, t.driver_id, t.started_at, t.ended_at, t.started_by, t.ended_by, t.time_zone,
                    t.start_day, t.version, t.derived_at, f.plan_version, f.samples, f.duration_s, f.moving_s, f.idle_s,
                    f.fix_share, f.hdop_median, f.marks, f.odometer_m, f.speed_m, f.gps_m, f.billable_m, f.mileage_source,
                    f.mileage_grade, f.mileage_reasons, f.mean_speed_kmh, f.top_speed_kmh, f.night_share, f.weekend_share,
                    f.speeding_share, f.limit_known_s, f.phone_share, f.phone_known_s, f.braking_seen, f.cornering_seen
             FROM trip t JOIN trip_features f ON f.tenant_id = t.tenant_id AND f.trip_id = t.id " $(+ $rest)+,
            $($parameter),*
        )
    };
}

pub(crate) use select_trips;

/// [`select_trips`] by a filter, after a cursor in one of the orders.
macro_rules! list_trips {
    ($rest:tt, $tenant:expr, $filter:expr, $page:expr) => {
        select_trips!(
            ["WHERE t.tenant_id = $1 AND ($2::uuid IS NULL OR t.vehicle_id = $2) AND ($3::uuid IS NULL OR t.driver_id = $3)
               AND ($4::timestamptz IS NULL OR t.ended_at >= $4) AND ($5::timestamptz IS NULL OR t.started_at < $5)
               AND ($9::uuid IS NULL OR EXISTS (SELECT FROM fleet_reach v
                   WHERE v.tenant_id = t.tenant_id AND v.vehicle_id = t.vehicle_id AND v.fleet_id = $9
                   AND (v.starts_at IS NULL OR v.starts_at <= t.started_at)
                   AND (v.ends_at IS NULL OR t.started_at < v.ends_at)))
               AND ($10::uuid IS NULL OR EXISTS (SELECT FROM group_reach v
                   WHERE v.tenant_id = t.tenant_id AND v.vehicle_id = t.vehicle_id AND v.group_id = $10
                   AND (v.starts_at IS NULL OR v.starts_at <= t.started_at)
                   AND (v.ends_at IS NULL OR t.started_at < v.ends_at)))
               AND ($11::date IS NULL OR t.start_day >= $11) AND ($12::date IS NULL OR t.start_day < $12)
               AND ($13::text IS NULL OR t.state = $13) AND ($14::float8 IS NULL OR f.billable_m >= $14)
               AND ($15::timestamptz IS NULL OR t.derived_at >= $15) " $rest],
            $tenant.uuid(),
            $filter.vehicle.map(VehicleId::uuid),
            $filter.driver.map(DriverId::uuid),
            $filter.from,
            $filter.to,
            $page.at(),
            $page.id(),
            $page.fetch(),
            $filter.fleet.map(FleetId::uuid),
            $filter.group.map(GroupId::uuid),
            $filter.days.0,
            $filter.days.1,
            $filter.state,
            $filter.min_distance_m,
            $filter.changed_since,
        )
    };
}

impl StoredRow {
    pub(crate) fn read(self, days: Vec<DayShare>, events: Vec<BehaviourEvent>) -> Result<TripRow> {
        let derived_at = self.derived_at;
        let record = TripRecord {
            id: self.id.into(),
            vehicle: self.vehicle_id.into(),
            driver: self.driver_id.map(Into::into),
            bounds: bounds(self.started_at, self.ended_at, &self.started_by, &self.ended_by)?,
            time_zone: zone(&self.time_zone)?,
            version: self.version,
            features: self.features(days, events)?,
        };
        Ok(TripRow { record, derived_at })
    }

    fn features(self, by_day: Vec<DayShare>, events: Vec<BehaviourEvent>) -> Result<TripFeatures> {
        let behaviour = self.behaviour(events);
        let reasons = self
            .mileage_reasons
            .iter()
            .map(|name| named(name, MileageReason::parse));
        Ok(TripFeatures {
            plan_version: u16::try_from(self.plan_version).map_err(StoreError::corrupt)?,
            samples: u32::try_from(self.samples).map_err(StoreError::corrupt)?,
            duration_s: self.duration_s,
            moving_s: self.moving_s,
            idle_s: self.idle_s,
            fix_share: self.fix_share,
            hdop_median: self.hdop_median,
            mileage: Mileage {
                odometer_m: self.odometer_m,
                speed_m: self.speed_m,
                gps_m: self.gps_m,
                billable_m: self.billable_m,
                source: self
                    .mileage_source
                    .as_deref()
                    .map(|name| named(name, DistanceSource::parse))
                    .transpose()?,
                grade: named(&self.mileage_grade, MileageGrade::parse)?,
                reasons: reasons.collect::<Result<_>>()?,
                by_day,
            },
            marks: from_json(self.marks, "a trip's quality marks")?,
            behaviour,
        })
    }

    fn behaviour(&self, events: Vec<BehaviourEvent>) -> Option<BehaviourFeatures> {
        Some(BehaviourFeatures {
            mean_speed_kmh: self.mean_speed_kmh?,
            top_speed_kmh: self.top_speed_kmh?,
            night_share: self.night_share?,
            weekend_share: self.weekend_share?,
            speeding_share: self.speeding_share,
            limit_known_s: self.limit_known_s?,
            phone_share: self.phone_share,
            phone_known_s: self.phone_known_s?,
            braking_seen: self.braking_seen?,
            cornering_seen: self.cornering_seen?,
            events,
        })
    }
}

fn bounds(start: DateTime<Utc>, end: DateTime<Utc>, started_by: &str, ended_by: &str) -> Result<TripBounds> {
    Ok(TripBounds {
        start: EventTime::new(start),
        end: EventTime::new(end),
        started_by: named(started_by, TripStart::parse)?,
        ended_by: named(ended_by, TripEnd::parse)?,
    })
}

/// Rows with their days and, if asked for, their events, in the rows' order.
async fn complete(
    conn: &mut PgConnection,
    tenant: TenantId,
    rows: Vec<StoredRow>,
    with_events: bool,
) -> Result<Vec<TripRow>> {
    let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
    let mut days = days_of(conn, tenant, &ids).await?;
    let mut events = if with_events {
        events_of(conn, tenant, &ids).await?
    } else {
        HashMap::new()
    };
    rows.into_iter()
        .map(|row| {
            let (days, events) = (days.remove(&row.id), events.remove(&row.id));
            row.read(days.unwrap_or_default(), events.unwrap_or_default())
        })
        .collect()
}

async fn days_of(conn: &mut PgConnection, tenant: TenantId, trips: &[Uuid]) -> Result<HashMap<Uuid, Vec<DayShare>>> {
    let rows = sqlx::query!(
        "SELECT trip_id, day, metres FROM trip_day WHERE tenant_id = $1 AND trip_id = ANY ($2) ORDER BY day",
        tenant.uuid(),
        trips,
    )
    .fetch_all(conn)
    .await?;
    let mut days: HashMap<Uuid, Vec<DayShare>> = HashMap::new();
    for row in rows {
        days.entry(row.trip_id).or_default().push(DayShare {
            day: row.day,
            metres: row.metres,
        });
    }
    Ok(days)
}

async fn events_of(
    conn: &mut PgConnection,
    tenant: TenantId,
    trips: &[Uuid],
) -> Result<HashMap<Uuid, Vec<BehaviourEvent>>> {
    let rows = sqlx::query!(
        "SELECT trip_id, kind, ts, duration_s, peak, speed_kmh FROM behaviour_event
         WHERE tenant_id = $1 AND trip_id = ANY ($2) ORDER BY trip_id, seq",
        tenant.uuid(),
        trips,
    )
    .fetch_all(conn)
    .await?;
    let mut events: HashMap<Uuid, Vec<BehaviourEvent>> = HashMap::new();
    for row in rows {
        events.entry(row.trip_id).or_default().push(BehaviourEvent {
            kind: named(&row.kind, BehaviourKind::parse)?,
            ts: EventTime::new(row.ts),
            duration_s: row.duration_s,
            peak: row.peak,
            speed_kmh: row.speed_kmh,
        });
    }
    Ok(events)
}

impl TenantStore {
    /// Newest start first. Their events are left out: [`TenantStore::trip`] has them.
    pub async fn trips(&self, filter: TripFilter, page: Page) -> Result<Listed<TripRow>> {
        self.find_trips(filter, Order::descending(TripKey::Start), page).await
    }

    /// As [`TenantStore::trips`], in another order.
    pub async fn find_trips(&self, filter: TripFilter, order: Order<TripKey>, page: Page) -> Result<Listed<TripRow>> {
        let tenant = self.tenant_id();
        let mut tx = self.begin().await?;
        let rows = match (order.by, order.descending) {
            (TripKey::Start, true) => {
                list_trips!(
                    "AND ($6::timestamptz IS NULL OR (t.started_at, t.id) < ($6, $7))
                     ORDER BY t.started_at DESC, t.id DESC LIMIT $8",
                    tenant,
                    filter,
                    page
                )
                .fetch_all(&mut *tx)
                .await?
            }
            (TripKey::Start, false) => {
                list_trips!(
                    "AND ($6::timestamptz IS NULL OR (t.started_at, t.id) > ($6, $7))
                     ORDER BY t.started_at, t.id LIMIT $8",
                    tenant,
                    filter,
                    page
                )
                .fetch_all(&mut *tx)
                .await?
            }
            (TripKey::DerivedAt, true) => {
                list_trips!(
                    "AND ($6::timestamptz IS NULL OR (t.derived_at, t.id) < ($6, $7))
                     ORDER BY t.derived_at DESC, t.id DESC LIMIT $8",
                    tenant,
                    filter,
                    page
                )
                .fetch_all(&mut *tx)
                .await?
            }
            (TripKey::DerivedAt, false) => {
                list_trips!(
                    "AND ($6::timestamptz IS NULL OR (t.derived_at, t.id) > ($6, $7))
                     ORDER BY t.derived_at, t.id LIMIT $8",
                    tenant,
                    filter,
                    page
                )
                .fetch_all(&mut *tx)
                .await?
            }
        };
        let items = complete(&mut tx, tenant, rows, false).await?;
        tx.commit().await?;
        Ok(Listed::cut(&page, items, |row: &TripRow| {
            let at = match order.by {
                TripKey::Start => row.record.bounds.start.utc(),
                TripKey::DerivedAt => row.derived_at,
            };
            (at, row.record.id.uuid())
        }))
    }

    pub async fn trip(&self, trip: TripId) -> Result<TripRow> {
        let mut tx = self.begin().await?;
        let row = self.one_trip(&mut tx, trip).await?;
        tx.commit().await?;
        Ok(row)
    }

    pub(crate) async fn one_trip(&self, conn: &mut PgConnection, trip: TripId) -> Result<TripRow> {
        let tenant = self.tenant_id();
        let row = select_trips!(["WHERE t.tenant_id = $1 AND t.id = $2"], tenant.uuid(), trip.uuid())
            .fetch_optional(&mut *conn)
            .await?;
        let rows = row.into_iter().collect();
        complete(conn, tenant, rows, true)
            .await?
            .pop()
            .ok_or(StoreError::NotFound { kind: "trip" })
    }

    /// A trip's raw samples, as they came. Needs [`TenantStore::with_tracks`]; the reading is audited.
    pub async fn track(&self, trip: TripId) -> Result<Vec<RawSample>> {
        let caller = self.caller();
        let mut tx = self.begin().await?;
        let record = self.one_trip(&mut tx, trip).await?.record;
        let window = record.bounds.window();
        let samples = raw_between(&mut tx, caller.raw_source(), record.vehicle, window).await?;
        caller.audit(&mut tx, "read", "track", trip.uuid()).await?;
        tx.commit().await?;
        Ok(samples)
    }
}

/// Trips of a vehicle that overlap a window, by start.
pub(crate) async fn trips_overlapping(
    conn: &mut PgConnection,
    tenant: TenantId,
    vehicle: VehicleId,
    window: Window,
) -> Result<Vec<StoredTrip>> {
    let rows = sqlx::query!(
        r#"SELECT t.id, t.driver_id, t.started_at, t.ended_at, t.started_by, t.ended_by, t.version, t.content_hash, t.start_day,
                  f.samples, f.billable_m, f.mileage_grade,
                  CASE WHEN f.braking_seen IS NULL THEN NULL
                       ELSE (SELECT count(*) FROM behaviour_event e WHERE e.tenant_id = t.tenant_id AND e.trip_id = t.id)
                  END AS events
           FROM trip t JOIN trip_features f ON f.tenant_id = t.tenant_id AND f.trip_id = t.id
           WHERE t.tenant_id = $1 AND t.vehicle_id = $2 AND t.started_at <= $4 AND t.ended_at >= $3
           ORDER BY t.started_at, t.id"#,
        tenant.uuid(),
        vehicle.uuid(),
        window.from.utc(),
        window.to.utc(),
    )
    .fetch_all(&mut *conn)
    .await?;
    let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
    let mut days: BTreeMap<Uuid, Vec<NaiveDate>> = BTreeMap::new();
    for (trip, shares) in days_of(conn, tenant, &ids).await? {
        days.insert(trip, shares.into_iter().map(|share| share.day).collect());
    }
    rows.into_iter()
        .map(|row| {
            Ok(StoredTrip {
                id: row.id.into(),
                bounds: bounds(row.started_at, row.ended_at, &row.started_by, &row.ended_by)?,
                version: row.version,
                content_hash: row
                    .content_hash
                    .try_into()
                    .map_err(|_| StoreError::corrupt("a trip's hash"))?,
                driver: row.driver_id.map(Into::into),
                start_day: row.start_day,
                days: days.remove(&row.id).unwrap_or_default(),
                samples: u32::try_from(row.samples).map_err(StoreError::corrupt)?,
                billable_m: row.billable_m,
                grade: named(&row.mileage_grade, MileageGrade::parse)?,
                events: row.events.map(u32::try_from).transpose().map_err(StoreError::corrupt)?,
            })
        })
        .collect()
}

/// A driver's trips over all vehicles by start, each with the insured-local day it started on; both days inclusive.
pub(crate) async fn driver_trips(
    conn: &mut PgConnection,
    tenant: TenantId,
    driver: DriverId,
    from: NaiveDate,
    to: NaiveDate,
) -> Result<Vec<(NaiveDate, TripFeatures)>> {
    let rows = select_trips!(
        [
            "WHERE t.tenant_id = $1 AND t.driver_id = $2 AND t.start_day BETWEEN $3 AND $4
         ORDER BY t.started_at, t.vehicle_id"
        ],
        tenant.uuid(),
        driver.uuid(),
        from,
        to,
    )
    .fetch_all(&mut *conn)
    .await?;
    let days: Vec<NaiveDate> = rows.iter().map(|row| row.start_day).collect();
    let trips = complete(conn, tenant, rows, true).await?;
    Ok(days
        .into_iter()
        .zip(trips.into_iter().map(|trip| trip.record.features))
        .collect())
}
