//! High-rate windows around a shock, verbatim, each encrypted with its subject's key.

use chrono::{DateTime, Utc};
use odograph_domain::{batch::Impact, id::IdSource};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    crypto::{SubjectKey, SubjectRef},
    error::{Result, StoreError},
};

/// What an impact's row says beside whose it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ImpactRow {
    pub(crate) vehicle: Uuid,
    pub(crate) message: Uuid,
    pub(crate) device: Option<Uuid>,
    pub(crate) received_at: DateTime<Utc>,
}

/// What an impact's seal is bound to: its row.
pub(super) fn context(id: Uuid) -> Vec<u8> {
    [b"raw_impact".as_slice(), id.as_bytes()].concat()
}

pub(crate) async fn insert_impact(
    conn: &mut PgConnection,
    ids: &dyn IdSource,
    row: &ImpactRow,
    subject: SubjectRef,
    key: &SubjectKey,
    impact: &Impact,
) -> Result<()> {
    let id = ids.uuid();
    let plain = serde_json::to_vec(impact).map_err(StoreError::corrupt)?;
    sqlx::query!(
        "INSERT INTO raw_impact (tenant_id, vehicle_id, id, message_id, subject_kind, subject_id, key_id, trigger_ts,
                                 sealed, received_at, device_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        subject.tenant.uuid(),
        row.vehicle,
        id,
        row.message,
        subject.kind,
        subject.id,
        key.id,
        impact.trigger_ts.utc(),
        key.key.seal(&context(id), &plain)?,
        row.received_at,
        row.device,
    )
    .execute(conn)
    .await?;
    Ok(())
}
