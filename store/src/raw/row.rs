//! One journal row or block, wherever it lies, opened one at a time: a year of them need not fit in memory.

use odograph_domain::{batch::RawSample, id::VehicleId};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    block::open_block,
    compact::{LARGEST, Origin, insert},
    read::{Sealed, fetch},
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
        r#"SELECT subject_kind AS "subject_kind!", subject_id AS "subject_id!", key_id AS "key_id!", payload, device_id, path,
                  at_byte, bytes
           FROM (SELECT subject_kind, subject_id, key_id, payload, device_id, NULL::text AS path, NULL::bigint AS at_byte,
                        NULL::int AS bytes
                 FROM raw_journal WHERE tenant_id = $1 AND vehicle_id = $2 AND id = $3
                 UNION ALL
                 SELECT subject_kind, subject_id, key_id, payload, device_id, NULL, NULL, NULL FROM raw_block
                 WHERE tenant_id = $1 AND vehicle_id = $2 AND id = $3
                 UNION ALL
                 SELECT b.subject_kind, b.subject_id, b.key_id, NULL, b.device_id, f.path, b.at_byte, b.bytes
                 FROM lake_block b JOIN lake_file f ON f.tenant_id = b.tenant_id AND f.id = b.file_id
                 WHERE b.tenant_id = $1 AND b.vehicle_id = $2 AND b.id = $3 AND b.dropped_at IS NOT NULL) AS r"#,
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
    let sealed = Sealed {
        key_id: row.key_id,
        payload: row.payload,
        path: row.path,
        at_byte: row.at_byte,
        bytes: row.bytes,
    };
    let blocks = fetch(caller.raw_source(), vec![sealed]).await?;
    let samples = open_block(&key, &blocks.concat())?;
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
    .execute(&mut *conn)
    .await?;
    // What lay in the lake is dead weight there, until its container is written anew without it.
    sqlx::query!(
        "WITH gone AS (
             DELETE FROM lake_block WHERE tenant_id = $1 AND vehicle_id = $2 AND id = $3 RETURNING file_id
         )
         UPDATE lake_file f SET dead = f.dead + 1 FROM gone g WHERE f.tenant_id = $1 AND f.id = g.file_id",
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
