//! One journal row or block, opened one at a time: a year of them need not fit in memory.

use odograph_domain::{batch::RawSample, id::VehicleId};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    block::open_block,
    compact::{LARGEST, Origin, insert},
};
use crate::{
    crypto::{Key, SubjectKey, existing_keys},
    error::Result,
    session::Caller,
};

/// A journal row or block, opened.
pub(super) struct Opened {
    pub(super) origin: Origin,
    pub(super) key: SubjectKey,
    pub(super) samples: Vec<RawSample>,
}

/// `None` where it is erased already.
pub(super) async fn open(
    conn: &mut PgConnection,
    caller: &Caller<'_>,
    vehicle: VehicleId,
    id: Uuid,
) -> Result<Option<Opened>> {
    let row = sqlx::query!(
        r#"SELECT subject_kind AS "subject_kind!", subject_id AS "subject_id!", key_id AS "key_id!", payload AS "payload!",
                  device_id
           FROM (SELECT subject_kind, subject_id, key_id, payload, device_id FROM raw_journal
                 WHERE tenant_id = $1 AND vehicle_id = $2 AND id = $3
                 UNION ALL
                 SELECT subject_kind, subject_id, key_id, payload, device_id FROM raw_block
                 WHERE tenant_id = $1 AND vehicle_id = $2 AND id = $3) AS r"#,
        caller.tenant.uuid(),
        vehicle.uuid(),
        id,
    )
    .fetch_one(&mut *conn)
    .await?;
    let keys = existing_keys(conn, caller.master, caller.tenant, &[row.key_id]).await?;
    let Some(key): Option<Key> = keys.get(&row.key_id).cloned().flatten() else {
        return Ok(None);
    };
    let samples = open_block(&key, &row.payload)?;
    Ok(Some(Opened {
        origin: Origin {
            kind: row.subject_kind,
            subject: row.subject_id,
            device: row.device_id,
        },
        key: SubjectKey { id: row.key_id, key },
        samples,
    }))
}

pub(super) async fn delete(conn: &mut PgConnection, caller: &Caller<'_>, vehicle: VehicleId, id: Uuid) -> Result<()> {
    let (tenant, vehicle) = (caller.tenant.uuid(), vehicle.uuid());
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
    .execute(conn)
    .await?;
    Ok(())
}

/// Writes samples as blocks.
pub(super) async fn put(
    conn: &mut PgConnection,
    caller: &Caller<'_>,
    vehicle: VehicleId,
    origin: &Origin,
    key: &SubjectKey,
    samples: &[RawSample],
) -> Result<()> {
    for chunk in samples.chunks(LARGEST) {
        insert(conn, caller, vehicle, origin, key, chunk).await?;
    }
    Ok(())
}
