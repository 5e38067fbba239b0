//! Writing trips: old ones out, new ones in, with their features, days and events.

use std::collections::HashMap;

use chrono::{DateTime, NaiveDate, Utc};
use odograph_domain::{
    features::{BehaviourFeatures, TripFeatures},
    id::{DriverId, TenantId, TripId},
    trip::TripRecord,
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    error::Result,
    session::Caller,
    tenant::to_json,
    trip_history::{archive, forget_behaviour},
    trips::content_hash,
};

/// Removes trips and writes others; one written under an id that is there replaces it.
pub(crate) async fn put_trips(
    conn: &mut PgConnection,
    caller: &Caller<'_>,
    removed: &[TripId],
    upsert: &[TripRecord],
) -> Result<()> {
    // One of version 1 replaces none.
    let replaced = upsert.iter().filter(|trip| trip.version > 1).map(|trip| trip.id);
    let gone: Vec<Uuid> = removed.iter().copied().chain(replaced).map(TripId::uuid).collect();
    let mut known = EventIds::new();
    if !gone.is_empty() {
        known = event_ids(conn, caller.tenant, &gone).await?;
        take_away(conn, caller, &gone, upsert).await?;
    }
    for trip in upsert {
        insert_trip(conn, caller.tenant, caller.now, trip).await?;
        insert_features(conn, caller.tenant, trip.id, &trip.features).await?;
    }
    insert_days(conn, caller.tenant, upsert).await?;
    insert_events(conn, caller, upsert, &mut known).await
}

/// Puts trips into the history. What may not be kept of their successors may not be kept there either.
async fn take_away(
    conn: &mut PgConnection,
    caller: &Caller<'_>,
    gone: &[Uuid],
    successors: &[TripRecord],
) -> Result<()> {
    archive(conn, caller, gone).await?;
    let without: Vec<Uuid> = successors
        .iter()
        .filter(|trip| trip.features.behaviour.is_none())
        .map(|trip| trip.id.uuid())
        .filter(|trip| gone.contains(trip))
        .collect();
    if !without.is_empty() {
        forget_behaviour(conn, caller, &without).await?;
    }
    // Features, days and events go with them.
    sqlx::query!(
        "DELETE FROM trip WHERE tenant_id = $1 AND id = ANY ($2)",
        caller.tenant.uuid(),
        gone
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn insert_trip(conn: &mut PgConnection, tenant: TenantId, now: DateTime<Utc>, trip: &TripRecord) -> Result<()> {
    let start = trip.bounds.start.utc();
    sqlx::query!(
        "INSERT INTO trip (tenant_id, id, vehicle_id, driver_id, started_at, ended_at, started_by, ended_by, state, time_zone,
                           start_day, version, content_hash, derived_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
        tenant.uuid(),
        trip.id.uuid(),
        trip.vehicle.uuid(),
        trip.driver.map(DriverId::uuid),
        start,
        trip.bounds.end.utc(),
        trip.bounds.started_by.as_str(),
        trip.bounds.ended_by.as_str(),
        trip.state(),
        trip.time_zone.name(),
        start.with_timezone(&trip.time_zone).date_naive(),
        trip.version,
        &content_hash(trip)[..],
        now,
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn insert_features(conn: &mut PgConnection, tenant: TenantId, trip: TripId, f: &TripFeatures) -> Result<()> {
    let behaviour: Option<&BehaviourFeatures> = f.behaviour.as_ref();
    let reasons: Vec<&str> = f.mileage.reasons.iter().map(|reason| reason.as_str()).collect();
    sqlx::query!(
        "INSERT INTO trip_features (tenant_id, trip_id, plan_version, samples, duration_s, moving_s, idle_s, fix_share,
             hdop_median, marks, odometer_m, speed_m, gps_m, billable_m, mileage_source, mileage_grade, mileage_reasons,
             mean_speed_kmh, top_speed_kmh, night_share, weekend_share, speeding_share, limit_known_s, phone_share,
             phone_known_s, braking_seen, cornering_seen)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23,
             $24, $25, $26, $27)",
        tenant.uuid(),
        trip.uuid(),
        i16::try_from(f.plan_version).unwrap_or(i16::MAX),
        i32::try_from(f.samples).unwrap_or(i32::MAX),
        f.duration_s,
        f.moving_s,
        f.idle_s,
        f.fix_share,
        f.hdop_median,
        to_json(&f.marks)?,
        f.mileage.odometer_m,
        f.mileage.speed_m,
        f.mileage.gps_m,
        f.mileage.billable_m,
        f.mileage.source.map(|source| source.as_str()),
        f.mileage.grade.as_str(),
        &reasons as &[&str],
        behaviour.map(|b| b.mean_speed_kmh),
        behaviour.map(|b| b.top_speed_kmh),
        behaviour.map(|b| b.night_share),
        behaviour.map(|b| b.weekend_share),
        behaviour.and_then(|b| b.speeding_share),
        behaviour.map(|b| b.limit_known_s),
        behaviour.and_then(|b| b.phone_share),
        behaviour.map(|b| b.phone_known_s),
        behaviour.map(|b| b.braking_seen),
        behaviour.map(|b| b.cornering_seen),
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn insert_days(conn: &mut PgConnection, tenant: TenantId, trips: &[TripRecord]) -> Result<()> {
    let (mut ids, mut vehicles, mut days, mut starts, mut metres) = (vec![], vec![], vec![], vec![], vec![]);
    for trip in trips {
        for share in &trip.features.mileage.by_day {
            ids.push(trip.id.uuid());
            vehicles.push(trip.vehicle.uuid());
            days.push(share.day);
            starts.push(trip.bounds.start.utc());
            metres.push(share.metres);
        }
    }
    if ids.is_empty() {
        return Ok(());
    }
    let days: &[NaiveDate] = &days;
    sqlx::query!(
        "INSERT INTO trip_day (tenant_id, trip_id, vehicle_id, day, started_at, metres)
         SELECT $1::uuid, n.* FROM unnest($2::uuid[], $3::uuid[], $4::date[], $5::timestamptz[], $6::float8[])
             AS n (trip_id, vehicle_id, day, started_at, metres)",
        tenant.uuid(),
        &ids,
        &vehicles,
        days,
        &starts,
        &metres,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Ids of events by kind and start.
type EventIds = HashMap<(String, DateTime<Utc>), Vec<Uuid>>;

/// The events of trips that are about to be written anew. One that is found again, in whatever trip, keeps its id.
async fn event_ids(conn: &mut PgConnection, tenant: TenantId, trips: &[Uuid]) -> Result<EventIds> {
    let rows = sqlx::query!(
        "SELECT id, kind, ts FROM behaviour_event WHERE tenant_id = $1 AND trip_id = ANY ($2) ORDER BY trip_id, seq DESC",
        tenant.uuid(),
        trips,
    )
    .fetch_all(conn)
    .await?;
    let mut ids = EventIds::new();
    for row in rows {
        ids.entry((row.kind, row.ts)).or_default().push(row.id);
    }
    Ok(ids)
}

async fn insert_events(
    conn: &mut PgConnection,
    caller: &Caller<'_>,
    trips: &[TripRecord],
    known: &mut EventIds,
) -> Result<()> {
    let (mut ids, mut trip_ids, mut vehicles, mut places, mut kinds) = (vec![], vec![], vec![], vec![], vec![]);
    let (mut times, mut durations, mut peaks, mut speeds) = (vec![], vec![], vec![], vec![]);
    for trip in trips {
        let events = trip.features.behaviour.iter().flat_map(|behaviour| &behaviour.events);
        for (event, place) in events.zip(0i32..) {
            let place_in_time = (event.kind.as_str().to_owned(), event.ts.utc());
            let kept = known.get_mut(&place_in_time).and_then(Vec::pop);
            ids.push(kept.unwrap_or_else(|| caller.ids.uuid()));
            trip_ids.push(trip.id.uuid());
            vehicles.push(trip.vehicle.uuid());
            places.push(place);
            kinds.push(event.kind.as_str());
            times.push(event.ts.utc());
            durations.push(event.duration_s);
            peaks.push(event.peak);
            speeds.push(event.speed_kmh);
        }
    }
    if ids.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "INSERT INTO behaviour_event (tenant_id, id, trip_id, vehicle_id, seq, kind, ts, duration_s, peak, speed_kmh)
         SELECT $1::uuid, n.* FROM unnest($2::uuid[], $3::uuid[], $4::uuid[], $5::int[], $6::text[], $7::timestamptz[],
             $8::float8[], $9::float8[], $10::float8[])
             AS n (id, trip_id, vehicle_id, seq, kind, ts, duration_s, peak, speed_kmh)",
        caller.tenant.uuid(),
        &ids,
        &trip_ids,
        &vehicles,
        &places,
        &kinds as &[&str],
        &times,
        &durations,
        &peaks,
        &speeds as &[Option<f64>],
    )
    .execute(conn)
    .await?;
    Ok(())
}
