//! What a micro-batch's messages name, found in one go.

use chrono::{DateTime, Utc};
use odograph_domain::{
    device::PairedDevice,
    id::{DeviceId, DriverId, IdOrRef, TenantId, VehicleId},
    intake::KnownDriver,
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    error::Result,
    pairings::{paired_devices, share_devices},
    tenant::given,
};

/// Ids or references as columns; one that can be neither is left NULL in both, and so found nowhere.
pub(crate) struct Wanted<'a> {
    pub(crate) tenants: Vec<Uuid>,
    pub(crate) ids: Vec<Option<Uuid>>,
    pub(crate) references: Vec<Option<&'a str>>,
}

impl<'a> Wanted<'a> {
    pub(crate) fn of<T: Copy + Into<Uuid>>(parsed: &'a [(TenantId, Option<IdOrRef<T>>)]) -> Self {
        let columns = |(_, wanted): &'a (TenantId, Option<IdOrRef<T>>)| wanted.as_ref().map_or((None, None), given);
        Self {
            tenants: parsed.iter().map(|(tenant, _)| tenant.uuid()).collect(),
            ids: parsed.iter().map(|one| columns(one).0).collect(),
            references: parsed.iter().map(|one| columns(one).1).collect(),
        }
    }
}

/// The vehicles of these names, each where its name stands.
pub(crate) async fn vehicles(conn: &mut PgConnection, named: &[(TenantId, &str)]) -> Result<Vec<Option<VehicleId>>> {
    if named.is_empty() {
        return Ok(Vec::new());
    }
    let parsed: Vec<(TenantId, Option<IdOrRef<VehicleId>>)> = named
        .iter()
        .map(|(tenant, text)| (*tenant, text.parse().ok()))
        .collect();
    let wanted = Wanted::of(&parsed);
    let found = sqlx::query_scalar!(
        r#"SELECT coalesce(a.id, b.id) AS found
           FROM unnest($1::uuid[], $2::uuid[], $3::text[]) WITH ORDINALITY AS w (tenant_id, id, external_ref, place)
           LEFT JOIN vehicle a ON a.tenant_id = w.tenant_id AND a.id = w.id
           LEFT JOIN vehicle b ON b.tenant_id = w.tenant_id AND b.external_ref = w.external_ref
           ORDER BY w.place"#,
        &wanted.tenants,
        &wanted.ids as &[Option<Uuid>],
        &wanted.references as &[Option<&str>],
    )
    .fetch_all(conn)
    .await?;
    Ok(found.into_iter().map(|id| id.map(VehicleId::from)).collect())
}

/// The drivers of these names, each where its name stands.
pub(crate) async fn drivers(conn: &mut PgConnection, named: &[(TenantId, &str)]) -> Result<Vec<Option<KnownDriver>>> {
    if named.is_empty() {
        return Ok(Vec::new());
    }
    let parsed: Vec<(TenantId, Option<IdOrRef<DriverId>>)> = named
        .iter()
        .map(|(tenant, text)| (*tenant, text.parse().ok()))
        .collect();
    let wanted = Wanted::of(&parsed);
    let found = sqlx::query!(
        r#"SELECT coalesce(a.id, b.id) AS id, coalesce(a.left_at, b.left_at) AS left_at
           FROM unnest($1::uuid[], $2::uuid[], $3::text[]) WITH ORDINALITY AS w (tenant_id, id, external_ref, place)
           LEFT JOIN driver a ON a.tenant_id = w.tenant_id AND a.id = w.id
           LEFT JOIN driver b ON b.tenant_id = w.tenant_id AND b.external_ref = w.external_ref
           ORDER BY w.place"#,
        &wanted.tenants,
        &wanted.ids as &[Option<Uuid>],
        &wanted.references as &[Option<&str>],
    )
    .fetch_all(conn)
    .await?;
    let known = |(id, left_at): (Option<Uuid>, Option<DateTime<Utc>>)| {
        let id = id?.into();
        Some(KnownDriver { id, left_at })
    };
    Ok(found.into_iter().map(|row| known((row.id, row.left_at))).collect())
}

/// The devices of these names, each where its name stands, with everywhere they ever were.
pub(crate) async fn devices(conn: &mut PgConnection, named: &[(TenantId, &str)]) -> Result<Vec<Option<PairedDevice>>> {
    if named.is_empty() {
        return Ok(Vec::new());
    }
    let parsed: Vec<(TenantId, Option<IdOrRef<DeviceId>>)> = named
        .iter()
        .map(|(tenant, text)| (*tenant, text.parse().ok()))
        .collect();
    let wanted = Wanted::of(&parsed);
    share_devices(conn, &wanted.tenants, &wanted.ids, &wanted.references).await?;
    paired_devices(conn, &wanted.tenants, &wanted.ids, &wanted.references).await
}
