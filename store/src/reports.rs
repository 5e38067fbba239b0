//! What reports are made of: sums over the trips of a span of days. A trip counts for the insured-local day it began on.

use chrono::{DateTime, NaiveDate, Utc};
use odograph_domain::{
    event::BehaviourKind,
    id::{DriverId, FleetId, VehicleId},
    mileage::{DistanceSource, MileageGrade, MileageReason},
    policy::Policy,
};
use rust_decimal::Decimal;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    error::Result,
    policies::policy_by_id,
    tenant::{TenantStore, named},
};

/// Whose trips.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    Driver(DriverId),
    /// Of the vehicles that are in the fleet now.
    Fleet(FleetId),
    Everybody,
}

/// The trips a report is about; both days inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    pub whose: Whose,
    pub from: NaiveDate,
    pub to: NaiveDate,
}

impl Span {
    fn driver(&self) -> Option<Uuid> {
        match self.whose {
            Whose::Driver(driver) => Some(driver.uuid()),
            _ => None,
        }
    }

    fn fleet(&self) -> Option<Uuid> {
        match self.whose {
            Whose::Fleet(fleet) => Some(fleet.uuid()),
            _ => None,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrivenDay {
    pub day: NaiveDate,
    pub trips: i64,
    pub metres: i64,
    pub moving_s: i64,
    pub idle_s: i64,
}

/// Trips that began in an hour of the week, by the insured's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrivenHour {
    /// 1 is Monday.
    pub weekday: i32,
    pub hour: i32,
    pub trips: i64,
    pub metres: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MileageShare {
    pub grade: MileageGrade,
    /// `None` where nothing could be proved.
    pub source: Option<DistanceSource>,
    pub trips: i64,
    pub metres: i64,
}

/// Sums over the trips whose behaviour may be kept; `None` of a share where it could not be observed.
#[derive(Debug, Clone, PartialEq)]
pub struct DrivenBehaviour {
    pub trips: i64,
    /// During which braking and accelerating, or cornering, could be seen.
    pub braking_metres: i64,
    pub cornering_metres: i64,
    pub top_speed_kmh: f64,
    /// Shares of the moving time.
    pub night_share: Option<f64>,
    pub speeding_share: Option<f64>,
    pub phone_share: Option<f64>,
    /// Events that reach their threshold, by kind.
    pub events: Vec<(BehaviourKind, i64)>,
}

impl DrivenBehaviour {
    pub fn count(&self, kind: BehaviourKind) -> i64 {
        let counts = self.events.iter().filter(|(known, _)| *known == kind);
        counts.map(|(_, count)| count).sum()
    }

    /// Events per 100 km during which they could be seen; `None` where they never could, and of what is no manoeuvre.
    pub fn per_100_km(&self, kind: BehaviourKind) -> Option<f64> {
        let metres = match kind {
            BehaviourKind::HarshBraking | BehaviourKind::HarshAcceleration => self.braking_metres,
            BehaviourKind::HarshCornering => self.cornering_metres,
            BehaviourKind::Speeding | BehaviourKind::PhoneUse => 0,
        };
        (metres > 0).then(|| self.count(kind) as f64 * 100_000.0 / metres as f64)
    }
}

/// What the figures were made from.
#[derive(Debug, Clone, PartialEq)]
pub struct DrivenFrom {
    pub vehicles: i64,
    pub drivers: i64,
    pub time_zones: Vec<String>,
    /// Versions of the feature plan: the lowest and the highest.
    pub plan_versions: Option<(i16, i16)>,
    pub derived_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Driven {
    /// In order; days without a trip are not there.
    pub days: Vec<DrivenDay>,
    pub hours: Vec<DrivenHour>,
    pub mileage: Vec<MileageShare>,
    /// In how many trips each reason for a grade was found, the most frequent first.
    pub mileage_reasons: Vec<(MileageReason, i64)>,
    /// `None` where no behaviour may be kept of any trip.
    pub behaviour: Option<DrivenBehaviour>,
    pub from: DrivenFrom,
}

/// One driver's or vehicle's part.
#[derive(Debug, Clone, PartialEq)]
pub struct Member<Id> {
    pub id: Id,
    pub external_ref: Option<String>,
    pub trips: i64,
    pub metres: i64,
    pub moving_s: i64,
    pub idle_s: i64,
    /// Metres of trips whose harsh manoeuvres could be seen; 0 where none may be kept.
    pub behaviour_metres: i64,
    /// Harsh braking, acceleration and cornering that reach their threshold.
    pub harsh_events: i64,
    /// Of drivers: the last score of a day driven within the span.
    pub score: Option<Decimal>,
}

/// From which peak on an event counts, by kind.
pub type Thresholds = Vec<(BehaviourKind, f64)>;

fn columns(thresholds: &Thresholds) -> (Vec<&'static str>, Vec<f64>) {
    thresholds.iter().map(|(kind, least)| (kind.as_str(), *least)).unzip()
}

const HARSH: [BehaviourKind; 3] = [
    BehaviourKind::HarshBraking,
    BehaviourKind::HarshAcceleration,
    BehaviourKind::HarshCornering,
];

/// A query over the trips of a span as `t` and their features as `f`: what is selected, what follows the condition, and
/// further parameters from `$6` on.
macro_rules! over_trips {
    ($row:ident, $select:literal, $joins:literal, $rest:literal, $tenant:expr, $span:expr $(, $more:expr)* $(,)?) => {
        sqlx::query_as!(
            $row,
            "SELECT " + $select
                + " FROM trip t JOIN trip_features f ON f.tenant_id = t.tenant_id AND f.trip_id = t.id " + $joins
                + " WHERE t.tenant_id = $1 AND t.start_day BETWEEN $2 AND $3
                      AND ($4::uuid IS NULL OR t.driver_id = $4)
                      AND ($5::uuid IS NULL OR EXISTS (SELECT FROM fleet_reach m
                          WHERE m.tenant_id = $1 AND m.vehicle_id = t.vehicle_id AND m.fleet_id = $5
                            AND (m.starts_at IS NULL OR m.starts_at <= t.started_at)
                            AND (m.ends_at IS NULL OR t.started_at < m.ends_at))) " + $rest,
            $tenant,
            $span.from,
            $span.to,
            $span.driver(),
            $span.fleet(),
            $($more),*
        )
    };
}

impl TenantStore {
    /// Everything about the trips of a span but who drove them.
    pub async fn driven(&self, span: &Span, thresholds: &Thresholds) -> Result<Driven> {
        let mut tx = self.begin().await?;
        let tenant = self.tenant_id().uuid();
        let driven = Driven {
            days: days(&mut tx, tenant, span).await?,
            hours: hours(&mut tx, tenant, span).await?,
            mileage: mileage(&mut tx, tenant, span).await?,
            mileage_reasons: mileage_reasons(&mut tx, tenant, span).await?,
            behaviour: behaviour(&mut tx, tenant, span, thresholds).await?,
            from: driven_from(&mut tx, tenant, span).await?,
        };
        tx.commit().await?;
        Ok(driven)
    }

    /// How everybody of a span drives: what one is compared with.
    pub async fn driven_behaviour(&self, span: &Span, thresholds: &Thresholds) -> Result<Option<DrivenBehaviour>> {
        let mut tx = self.begin().await?;
        let behaviour = behaviour(&mut tx, self.tenant_id().uuid(), span, thresholds).await?;
        tx.commit().await?;
        Ok(behaviour)
    }

    /// The drivers of a span's trips, who drove farthest first. Trips of nobody known are left out.
    pub async fn members_by_driver(&self, span: &Span, thresholds: &Thresholds) -> Result<Vec<Member<DriverId>>> {
        let mut tx = self.begin().await?;
        let tenant = self.tenant_id().uuid();
        let (kinds, least) = columns(&harsh(thresholds));
        let rows = over_trips!(
            MemberRow,
            r#"t.driver_id AS "id!", min(d.external_ref) AS external_ref, count(*) AS "trips!",
               round(sum(f.billable_m))::bigint AS "metres!", round(sum(f.moving_s))::bigint AS "moving_s!",
               round(sum(f.idle_s))::bigint AS "idle_s!",
               coalesce(round(sum(f.billable_m) FILTER (WHERE f.braking_seen)), 0)::bigint AS "behaviour_metres!",
               coalesce(sum(e.harsh), 0)::bigint AS "harsh_events!",
               (SELECT s.value FROM score s WHERE s.tenant_id = $1 AND s.driver_id = t.driver_id
                    AND s.as_of BETWEEN $2 AND max(t.start_day) ORDER BY s.as_of DESC LIMIT 1) AS score"#,
            "JOIN driver d ON d.tenant_id = t.tenant_id AND d.id = t.driver_id
             LEFT JOIN LATERAL (
                SELECT count(*) AS harsh FROM behaviour_event b
                JOIN unnest($6::text[], $7::float8[]) AS k (kind, least) ON k.kind = b.kind AND b.peak >= k.least
                WHERE b.tenant_id = t.tenant_id AND b.trip_id = t.id AND f.braking_seen) e ON true",
            "GROUP BY t.driver_id ORDER BY 4 DESC, t.driver_id",
            tenant,
            span,
            &kinds as &[&str],
            &least,
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(rows.into_iter().map(MemberRow::read).collect())
    }

    /// Policies whose main driver this is or was at some time: their stretches say when.
    pub async fn policies_of_driver(&self, driver: DriverId) -> Result<Vec<Policy>> {
        let mut tx = self.begin().await?;
        let ids = sqlx::query_scalar!(
            "SELECT p.id FROM policy p
             WHERE p.tenant_id = $1 AND (p.main_driver_id = $2 OR EXISTS (
                 SELECT FROM policy_change c WHERE c.tenant_id = $1 AND c.policy_id = p.id AND c.main_driver_id = $2))
             ORDER BY p.starts_on, p.id",
            self.tenant_id().uuid(),
            driver.uuid(),
        )
        .fetch_all(&mut *tx)
        .await?;
        let mut policies = Vec::new();
        for id in ids {
            policies.push(policy_by_id(&mut tx, self.tenant_id(), id.into()).await?);
        }
        tx.commit().await?;
        Ok(policies)
    }

    /// The vehicles of a span's trips, which drove farthest first.
    pub async fn members_by_vehicle(&self, span: &Span, thresholds: &Thresholds) -> Result<Vec<Member<VehicleId>>> {
        let mut tx = self.begin().await?;
        let tenant = self.tenant_id().uuid();
        let (kinds, least) = columns(&harsh(thresholds));
        let rows = over_trips!(
            MemberRow,
            r#"t.vehicle_id AS "id!", min(v.external_ref) AS external_ref, count(*) AS "trips!",
               round(sum(f.billable_m))::bigint AS "metres!", round(sum(f.moving_s))::bigint AS "moving_s!",
               round(sum(f.idle_s))::bigint AS "idle_s!",
               coalesce(round(sum(f.billable_m) FILTER (WHERE f.braking_seen)), 0)::bigint AS "behaviour_metres!",
               coalesce(sum(e.harsh), 0)::bigint AS "harsh_events!", NULL::numeric AS score"#,
            "JOIN vehicle v ON v.tenant_id = t.tenant_id AND v.id = t.vehicle_id
             LEFT JOIN LATERAL (
                SELECT count(*) AS harsh FROM behaviour_event b
                JOIN unnest($6::text[], $7::float8[]) AS k (kind, least) ON k.kind = b.kind AND b.peak >= k.least
                WHERE b.tenant_id = t.tenant_id AND b.trip_id = t.id AND f.braking_seen) e ON true",
            "GROUP BY t.vehicle_id ORDER BY 4 DESC, t.vehicle_id",
            tenant,
            span,
            &kinds as &[&str],
            &least,
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(rows.into_iter().map(MemberRow::read).collect())
    }
}

fn harsh(thresholds: &Thresholds) -> Thresholds {
    let kept = thresholds.iter().filter(|(kind, _)| HARSH.contains(kind));
    kept.copied().collect()
}

struct MemberRow {
    id: Uuid,
    external_ref: Option<String>,
    trips: i64,
    metres: i64,
    moving_s: i64,
    idle_s: i64,
    behaviour_metres: i64,
    harsh_events: i64,
    score: Option<Decimal>,
}

impl MemberRow {
    fn read<Id: From<Uuid>>(self) -> Member<Id> {
        Member {
            id: self.id.into(),
            external_ref: self.external_ref,
            trips: self.trips,
            metres: self.metres,
            moving_s: self.moving_s,
            idle_s: self.idle_s,
            behaviour_metres: self.behaviour_metres,
            harsh_events: self.harsh_events,
            score: self.score,
        }
    }
}

async fn days(conn: &mut PgConnection, tenant: Uuid, span: &Span) -> Result<Vec<DrivenDay>> {
    Ok(over_trips!(
        DrivenDay,
        r#"t.start_day AS day, count(*) AS "trips!", round(sum(f.billable_m))::bigint AS "metres!",
           round(sum(f.moving_s))::bigint AS "moving_s!", round(sum(f.idle_s))::bigint AS "idle_s!""#,
        "",
        "GROUP BY t.start_day ORDER BY t.start_day",
        tenant,
        span,
    )
    .fetch_all(conn)
    .await?)
}

async fn hours(conn: &mut PgConnection, tenant: Uuid, span: &Span) -> Result<Vec<DrivenHour>> {
    Ok(over_trips!(
        DrivenHour,
        r#"extract(isodow FROM t.started_at AT TIME ZONE t.time_zone)::int AS "weekday!",
           extract(hour FROM t.started_at AT TIME ZONE t.time_zone)::int AS "hour!",
           count(*) AS "trips!", round(sum(f.billable_m))::bigint AS "metres!""#,
        "",
        "GROUP BY 1, 2 ORDER BY 1, 2",
        tenant,
        span,
    )
    .fetch_all(conn)
    .await?)
}

struct MileageRow {
    mileage_grade: String,
    mileage_source: Option<String>,
    trips: i64,
    metres: i64,
}

async fn mileage(conn: &mut PgConnection, tenant: Uuid, span: &Span) -> Result<Vec<MileageShare>> {
    let rows = over_trips!(
        MileageRow,
        r#"f.mileage_grade, f.mileage_source, count(*) AS "trips!", round(sum(f.billable_m))::bigint AS "metres!""#,
        "",
        "GROUP BY f.mileage_grade, f.mileage_source ORDER BY f.mileage_grade, f.mileage_source",
        tenant,
        span,
    )
    .fetch_all(conn)
    .await?;
    let read = |row: MileageRow| {
        let source = row.mileage_source.as_deref();
        Ok(MileageShare {
            grade: named(&row.mileage_grade, MileageGrade::parse)?,
            source: source.map(|name| named(name, DistanceSource::parse)).transpose()?,
            trips: row.trips,
            metres: row.metres,
        })
    };
    rows.into_iter().map(read).collect()
}

struct NamedCount {
    name: String,
    count: i64,
}

async fn mileage_reasons(conn: &mut PgConnection, tenant: Uuid, span: &Span) -> Result<Vec<(MileageReason, i64)>> {
    let rows = over_trips!(
        NamedCount,
        r#"r.name AS "name!", count(*) AS "count!""#,
        "CROSS JOIN LATERAL unnest(f.mileage_reasons) AS r (name)",
        "GROUP BY r.name ORDER BY 2 DESC, r.name",
        tenant,
        span,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| Ok((named(&row.name, MileageReason::parse)?, row.count)))
        .collect()
}

struct BehaviourSums {
    trips: i64,
    braking_metres: i64,
    cornering_metres: i64,
    top_speed_kmh: Option<f64>,
    night_share: Option<f64>,
    speeding_share: Option<f64>,
    phone_share: Option<f64>,
}

async fn behaviour(
    conn: &mut PgConnection,
    tenant: Uuid,
    span: &Span,
    thresholds: &Thresholds,
) -> Result<Option<DrivenBehaviour>> {
    let sums = over_trips!(
        BehaviourSums,
        r#"count(*) AS "trips!",
           coalesce(round(sum(f.billable_m) FILTER (WHERE f.braking_seen)), 0)::bigint AS "braking_metres!",
           coalesce(round(sum(f.billable_m) FILTER (WHERE f.cornering_seen)), 0)::bigint AS "cornering_metres!",
           max(f.top_speed_kmh) AS top_speed_kmh,
           sum(f.night_share * f.moving_s) / NULLIF(sum(f.moving_s), 0) AS night_share,
           sum(f.speeding_share * f.limit_known_s)
               / NULLIF(sum(f.limit_known_s) FILTER (WHERE f.speeding_share IS NOT NULL), 0) AS speeding_share,
           sum(f.phone_share * f.phone_known_s)
               / NULLIF(sum(f.phone_known_s) FILTER (WHERE f.phone_share IS NOT NULL), 0) AS phone_share"#,
        "",
        "AND f.mean_speed_kmh IS NOT NULL",
        tenant,
        span,
    )
    .fetch_one(&mut *conn)
    .await?;
    if sums.trips == 0 {
        return Ok(None);
    }
    let (kinds, least) = columns(thresholds);
    let counts = over_trips!(
        NamedCount,
        r#"b.kind AS "name!", count(*) AS "count!""#,
        "JOIN behaviour_event b ON b.tenant_id = t.tenant_id AND b.trip_id = t.id
         JOIN unnest($6::text[], $7::float8[]) AS k (kind, least) ON k.kind = b.kind AND b.peak >= k.least",
        "GROUP BY b.kind ORDER BY b.kind",
        tenant,
        span,
        &kinds as &[&str],
        &least,
    )
    .fetch_all(conn)
    .await?;
    let events = counts
        .into_iter()
        .map(|row| Ok((named(&row.name, BehaviourKind::parse)?, row.count)))
        .collect::<Result<_>>()?;
    Ok(Some(DrivenBehaviour {
        trips: sums.trips,
        braking_metres: sums.braking_metres,
        cornering_metres: sums.cornering_metres,
        top_speed_kmh: sums.top_speed_kmh.unwrap_or_default(),
        night_share: sums.night_share,
        speeding_share: sums.speeding_share,
        phone_share: sums.phone_share,
        events,
    }))
}

struct FromRow {
    vehicles: i64,
    drivers: i64,
    time_zones: Vec<String>,
    lowest: Option<i16>,
    highest: Option<i16>,
    derived_at: Option<DateTime<Utc>>,
}

async fn driven_from(conn: &mut PgConnection, tenant: Uuid, span: &Span) -> Result<DrivenFrom> {
    let row = over_trips!(
        FromRow,
        r#"count(DISTINCT t.vehicle_id) AS "vehicles!", count(DISTINCT t.driver_id) AS "drivers!",
           coalesce(array_agg(DISTINCT t.time_zone), '{}') AS "time_zones!",
           min(f.plan_version) AS lowest, max(f.plan_version) AS highest, max(t.derived_at) AS derived_at"#,
        "",
        "",
        tenant,
        span,
    )
    .fetch_one(conn)
    .await?;
    Ok(DrivenFrom {
        vehicles: row.vehicles,
        drivers: row.drivers,
        time_zones: row.time_zones,
        plan_versions: row.lowest.zip(row.highest),
        derived_at: row.derived_at,
    })
}
