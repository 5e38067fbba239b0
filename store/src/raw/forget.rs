//! Behaviour that may be kept no more, since the policy it was kept for was changed for the past.

use chrono::{DateTime, Utc};
use odograph_domain::{intake::VehicleContext, sample::DataClass};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{block::open_block, compact::insert};
use crate::{
    crypto::{SubjectKey, existing_keys},
    error::Result,
    session::Caller,
};

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
           UNION ALL SELECT id FROM raw_block WHERE tenant_id = $1 AND vehicle_id = $2 AND max_ts >= $3"#,
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

/// One journal row or block, opened one at a time: a year of them need not fit in memory.
async fn minimise(conn: &mut PgConnection, caller: &Caller<'_>, context: &VehicleContext, id: Uuid) -> Result<bool> {
    let (tenant, vehicle) = (caller.tenant.uuid(), context.vehicle.uuid());
    let row = sqlx::query!(
        r#"SELECT subject_kind AS "subject_kind!", subject_id AS "subject_id!", key_id AS "key_id!", payload AS "payload!"
           FROM (SELECT subject_kind, subject_id, key_id, payload FROM raw_journal
                 WHERE tenant_id = $1 AND vehicle_id = $2 AND id = $3
                 UNION ALL
                 SELECT subject_kind, subject_id, key_id, payload FROM raw_block
                 WHERE tenant_id = $1 AND vehicle_id = $2 AND id = $3) AS r"#,
        tenant,
        vehicle,
        id,
    )
    .fetch_one(&mut *conn)
    .await?;
    let keys = existing_keys(conn, caller.master, caller.tenant, &[row.key_id]).await?;
    // Without a key it is erased already.
    let Some(key) = keys.get(&row.key_id).cloned().flatten() else {
        return Ok(false);
    };
    let before = open_block(&key, &row.payload)?;
    let mut after = before.clone();
    for raw in &mut after {
        if !context.behaviour_allowed(raw.sample.ts.utc()) {
            raw.sample.retain(|class| class == DataClass::Mileage);
        }
    }
    if after == before {
        return Ok(false);
    }
    sqlx::query!(
        "DELETE FROM raw_journal WHERE tenant_id = $1 AND vehicle_id = $2 AND id = $3",
        tenant,
        vehicle,
        id,
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "DELETE FROM raw_block WHERE tenant_id = $1 AND vehicle_id = $2 AND id = $3",
        tenant,
        vehicle,
        id,
    )
    .execute(&mut *conn)
    .await?;
    let key = SubjectKey { id: row.key_id, key };
    let subject = (row.subject_kind.as_str(), row.subject_id);
    insert(conn, caller, context.vehicle, subject, &key, &after).await?;
    Ok(true)
}
