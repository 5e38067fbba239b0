//! What trips were before they changed: each version that was replaced or withdrawn.

use chrono::{DateTime, Utc};
use odograph_domain::{
    event::BehaviourEvent,
    id::{TenantId, TripId},
    mileage::DayShare,
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    error::{Result, StoreError},
    session::Caller,
    tenant::{TenantStore, from_json},
    trips::{StoredRow, TripRow},
};

#[derive(Debug, Clone, PartialEq)]
pub struct TripVersion {
    pub trip: TripRow,
    /// When the next version took its place, or it was withdrawn; `None` for the one in force.
    pub replaced_at: Option<DateTime<Utc>>,
}

impl TenantStore {
    /// Every version there was of a trip, the newest first, also of one that was withdrawn.
    pub async fn trip_versions(&self, trip: TripId) -> Result<Vec<TripVersion>> {
        let mut tx = self.begin().await?;
        let current = match self.one_trip(&mut tx, trip).await {
            Ok(row) => Some(TripVersion {
                trip: row,
                replaced_at: None,
            }),
            Err(StoreError::NotFound { .. }) => None,
            Err(other) => return Err(other),
        };
        let past = past_versions(&mut tx, self.tenant_id(), trip).await?;
        tx.commit().await?;
        let versions: Vec<TripVersion> = current.into_iter().chain(past).collect();
        if versions.is_empty() {
            return Err(StoreError::NotFound { kind: "trip" });
        }
        Ok(versions)
    }
}

async fn past_versions(conn: &mut PgConnection, tenant: TenantId, trip: TripId) -> Result<Vec<TripVersion>> {
    let kept = sqlx::query!(
        "SELECT days, events, replaced_at FROM trip_history WHERE tenant_id = $1 AND trip_id = $2 ORDER BY version DESC",
        tenant.uuid(),
        trip.uuid(),
    )
    .fetch_all(&mut *conn)
    .await?;
    let rows = sqlx::query_as!(
        StoredRow,
        r#"SELECT h.trip_id AS id, h.vehicle_id, h.driver_id, h.started_at, h.ended_at, h.started_by, h.ended_by, h.time_zone,
                  h.start_day, h.version, h.derived_at, f.plan_version AS "plan_version!", f.samples AS "samples!",
                  f.duration_s AS "duration_s!", f.moving_s AS "moving_s!", f.idle_s AS "idle_s!", f.fix_share, f.hdop_median,
                  f.marks AS "marks!", f.odometer_m, f.speed_m, f.gps_m, f.billable_m AS "billable_m!", f.mileage_source,
                  f.mileage_grade AS "mileage_grade!", f.mileage_reasons AS "mileage_reasons!", f.mean_speed_kmh,
                  f.top_speed_kmh, f.night_share, f.weekend_share, f.speeding_share, f.limit_known_s, f.phone_share,
                  f.phone_known_s, f.braking_seen, f.cornering_seen
           FROM trip_history h CROSS JOIN LATERAL jsonb_populate_record(NULL::trip_features, h.features) AS f
           WHERE h.tenant_id = $1 AND h.trip_id = $2 ORDER BY h.version DESC"#,
        tenant.uuid(),
        trip.uuid(),
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .zip(kept)
        .map(|(row, kept)| {
            let days: Vec<DayShare> = from_json(kept.days, "a trip's days")?;
            let events: Vec<BehaviourEvent> = from_json(kept.events, "a trip's events")?;
            Ok(TripVersion {
                trip: row.read(days, events)?,
                replaced_at: Some(kept.replaced_at),
            })
        })
        .collect()
}

/// Keeps what these trips are now, before they are replaced or withdrawn.
pub(crate) async fn archive(conn: &mut PgConnection, caller: &Caller<'_>, trips: &[Uuid]) -> Result<()> {
    sqlx::query!(
        "INSERT INTO trip_history (tenant_id, trip_id, version, vehicle_id, driver_id, started_at, ended_at, started_by, ended_by,
                                   time_zone, start_day, derived_at, replaced_at, features, days, events)
         SELECT t.tenant_id, t.id, t.version, t.vehicle_id, t.driver_id, t.started_at, t.ended_at, t.started_by, t.ended_by,
                t.time_zone, t.start_day, t.derived_at, $3, to_jsonb(f),
                (SELECT coalesce(jsonb_agg(jsonb_build_object('day', d.day, 'metres', d.metres) ORDER BY d.day), '[]')
                 FROM trip_day d WHERE d.tenant_id = t.tenant_id AND d.trip_id = t.id),
                (SELECT coalesce(jsonb_agg(jsonb_build_object('kind', e.kind, 'ts', e.ts, 'duration_s', e.duration_s,
                                                              'peak', e.peak, 'speed_kmh', e.speed_kmh) ORDER BY e.seq), '[]')
                 FROM behaviour_event e WHERE e.tenant_id = t.tenant_id AND e.trip_id = t.id)
         FROM trip t JOIN trip_features f ON f.tenant_id = t.tenant_id AND f.trip_id = t.id
         WHERE t.tenant_id = $1 AND t.id = ANY ($2)",
        caller.tenant.uuid(),
        trips,
        caller.now,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Takes the behaviour out of what these trips were: of what they are now none may be kept any more.
pub(crate) async fn forget_behaviour(conn: &mut PgConnection, caller: &Caller<'_>, trips: &[Uuid]) -> Result<()> {
    sqlx::query!(
        "UPDATE trip_history SET events = '[]',
             features = features - '{mean_speed_kmh, top_speed_kmh, night_share, weekend_share, speeding_share, limit_known_s,
                                     phone_share, phone_known_s, braking_seen, cornering_seen}'::text[]
         WHERE tenant_id = $1 AND trip_id = ANY ($2)",
        caller.tenant.uuid(),
        trips,
    )
    .execute(conn)
    .await?;
    Ok(())
}
