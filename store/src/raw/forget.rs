//! Behaviour that may be kept no more, since the policy it was kept for was changed for the past.

use chrono::{DateTime, Utc};
use odograph_domain::{intake::VehicleContext, sample::DataClass};
use sqlx::PgConnection;
use uuid::Uuid;

use super::row::{self, Opened};
use crate::{error::Result, session::Caller};

/// Takes behaviour out of what is stored from an instant on, wherever the vehicle's policies do not allow it. A block is
/// written again without it; what it says of places and distances stays to the bit. Returns how many were.
pub(crate) async fn forget_behaviour(
    conn: &mut PgConnection,
    caller: &Caller<'_>,
    context: &VehicleContext,
    from: DateTime<Utc>,
) -> Result<u64> {
    let (tenant, vehicle) = (caller.tenant.uuid(), context.vehicle.uuid());
    let ids = sqlx::query_scalar!(
        r#"SELECT id AS "id!" FROM raw_journal WHERE tenant_id = $1 AND vehicle_id = $2 AND max_ts >= $3
           UNION ALL SELECT id FROM raw_block WHERE tenant_id = $1 AND vehicle_id = $2 AND max_ts >= $3
           UNION ALL SELECT id FROM lake_block
           WHERE tenant_id = $1 AND vehicle_id = $2 AND max_ts >= $3 AND dropped_at IS NOT NULL"#,
        tenant,
        vehicle,
        from,
    )
    .fetch_all(&mut *conn)
    .await?;
    let mut rewritten = 0;
    for id in ids {
        rewritten += u64::from(minimise(conn, caller, context, id).await?);
    }
    let impacts = sqlx::query!(
        "SELECT id, trigger_ts FROM raw_impact WHERE tenant_id = $1 AND vehicle_id = $2 AND trigger_ts >= $3",
        tenant,
        vehicle,
        from,
    )
    .fetch_all(&mut *conn)
    .await?;
    let forbidden: Vec<Uuid> = impacts
        .iter()
        .filter(|impact| !context.behaviour_allowed(impact.trigger_ts))
        .map(|impact| impact.id)
        .collect();
    sqlx::query!(
        "DELETE FROM raw_impact WHERE tenant_id = $1 AND vehicle_id = $2 AND id = ANY ($3)",
        tenant,
        vehicle,
        &forbidden,
    )
    .execute(conn)
    .await?;
    Ok(rewritten)
}

async fn minimise(conn: &mut PgConnection, caller: &Caller<'_>, context: &VehicleContext, id: Uuid) -> Result<bool> {
    let vehicle = context.vehicle;
    let Some(Opened { origin, key, samples }) = row::open(conn, caller, vehicle, id).await? else {
        return Ok(false);
    };
    let mut after = samples.clone();
    for raw in &mut after {
        if !context.behaviour_allowed(raw.sample.ts.utc()) {
            raw.sample.retain(|class| class == DataClass::Mileage);
        }
    }
    if after == samples {
        return Ok(false);
    }
    row::delete(conn, caller, vehicle, id).await?;
    row::put(conn, caller, vehicle, &origin, &key, &after).await?;
    Ok(true)
}
