//! What ingest needs to know of a vehicle, and what a change to it does to trips that are there already.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use odograph_domain::{
    id::{DriverId, PolicyId, TenantId, VehicleId},
    intake::{Assigned, Cover, Owned, VehicleContext},
    mileage::OdometerChange,
    policy::{DatedTerms, start_of_day},
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    error::{Result, StoreError},
    policies::first_terms,
    policy_changes::{PolicyChange, changes_of},
    tenant::{TenantStore, from_json},
};

impl TenantStore {
    /// What may be kept of a vehicle's data, and when: asked at the door before anything of a refused message is stored.
    pub async fn vehicle_context(&self, vehicle: VehicleId) -> Result<VehicleContext> {
        let mut tx = self.begin().await?;
        let mut found = contexts(&mut tx, &[(self.tenant_id(), vehicle)]).await?;
        tx.commit().await?;
        found.pop().ok_or(StoreError::NotFound { kind: "vehicle" })
    }
}

/// Two contexts of a vehicle that were read under the same version are the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ContextVersion {
    /// Of `vehicle_context_version`; 0 where nothing of the vehicle was ever filed.
    pub(crate) version: i64,
    /// Which version of its row the tenant's settings are of.
    pub(crate) settings: String,
}

pub(crate) async fn context_version(
    conn: &mut PgConnection,
    tenant: TenantId,
    vehicle: VehicleId,
) -> Result<ContextVersion> {
    let row = sqlx::query!(
        r#"SELECT t.xmin::text AS "settings!",
                  coalesce((SELECT version FROM vehicle_context_version WHERE tenant_id = $1 AND vehicle_id = $2), 0)
                      AS "version!"
           FROM tenant t WHERE t.id = $1"#,
        tenant.uuid(),
        vehicle.uuid(),
    )
    .fetch_optional(conn)
    .await?
    .ok_or(StoreError::NotFound { kind: "tenant" })?;
    Ok(ContextVersion {
        version: row.version,
        settings: row.settings,
    })
}

/// The contexts of those vehicles that exist, in order of tenant and vehicle, each once.
pub(crate) async fn contexts(
    conn: &mut PgConnection,
    vehicles: &[(TenantId, VehicleId)],
) -> Result<Vec<VehicleContext>> {
    let wanted: BTreeSet<(TenantId, VehicleId)> = vehicles.iter().copied().collect();
    let tenants: Vec<Uuid> = wanted.iter().map(|(tenant, _)| tenant.uuid()).collect();
    let ids: Vec<Uuid> = wanted.iter().map(|(_, vehicle)| vehicle.uuid()).collect();
    let rows = sqlx::query!(
        "SELECT v.tenant_id, v.id, t.settings
         FROM unnest($1::uuid[], $2::uuid[]) AS w (tenant_id, vehicle_id)
         JOIN vehicle v ON v.tenant_id = w.tenant_id AND v.id = w.vehicle_id
         JOIN tenant t ON t.id = v.tenant_id",
        &tenants,
        &ids,
    )
    .fetch_all(&mut *conn)
    .await?;
    let mut found = BTreeMap::new();
    for row in rows {
        let (tenant, vehicle) = (TenantId::from(row.tenant_id), VehicleId::from(row.id));
        let settings = from_json(row.settings, "the tenant's settings")?;
        let context = VehicleContext {
            tenant,
            vehicle,
            settings,
            covers: vec![],
            assignments: vec![],
            handovers: vec![],
            odometer_changes: vec![],
            left: BTreeMap::new(),
        };
        found.insert(vehicle, context);
    }
    add_changes(conn, &tenants, &ids, &mut found).await?;
    add_covers(conn, &tenants, &ids, &mut found).await?;
    add_assignments(conn, &tenants, &ids, &mut found).await?;
    add_left(conn, &mut found).await?;
    let mut contexts: Vec<VehicleContext> = found.into_values().collect();
    contexts.sort_by_key(|context| (context.tenant, context.vehicle));
    Ok(contexts)
}

type Found = BTreeMap<VehicleId, VehicleContext>;

async fn add_covers(conn: &mut PgConnection, tenants: &[Uuid], ids: &[Uuid], found: &mut Found) -> Result<()> {
    let rows = sqlx::query!(
        "SELECT p.tenant_id, p.id, p.vehicle_id, p.product, p.plan_id, p.main_driver_id, p.time_zone, p.starts_on, p.ends_on
         FROM unnest($1::uuid[], $2::uuid[]) AS w (tenant_id, vehicle_id)
         JOIN policy p ON p.tenant_id = w.tenant_id AND p.vehicle_id = w.vehicle_id
         ORDER BY p.starts_on, p.id",
        tenants,
        ids,
    )
    .fetch_all(&mut *conn)
    .await?;
    let (owners, policies): (Vec<Uuid>, Vec<Uuid>) = rows.iter().map(|row| (row.tenant_id, row.id)).unzip();
    let changes = changes_of(conn, &owners, &policies).await?;
    for row in rows {
        let policy = PolicyId::from(row.id);
        let time_zone = zone(&row.time_zone)?;
        let first = first_terms(row.starts_on, &row.product, row.plan_id, row.main_driver_id)?;
        let changed: Vec<_> = changes
            .get(&policy)
            .into_iter()
            .flatten()
            .map(PolicyChange::terms)
            .collect();
        let Some(context) = found.get_mut(&row.vehicle_id.into()) else {
            continue;
        };
        let owned = Owned::of_policy(row.starts_on, time_zone, &context.handovers);
        let terms = DatedTerms::of(first, &changed);
        let end = row.ends_on.unwrap_or(NaiveDate::MAX);
        for stretch in terms.between(row.starts_on, end) {
            let until = stretch.last.succ_opt().filter(|day| *day < NaiveDate::MAX);
            let (from, to) = bounds(stretch.first, until, time_zone);
            let (from, to) = owned.within(from, to);
            if to.is_some_and(|to| to <= from) {
                continue;
            }
            context.covers.push(Cover {
                policy,
                product: stretch.terms.product,
                main_driver: stretch.terms.main_driver,
                time_zone,
                from,
                to,
                owned,
            });
        }
    }
    Ok(())
}

async fn add_assignments(conn: &mut PgConnection, tenants: &[Uuid], ids: &[Uuid], found: &mut Found) -> Result<()> {
    let rows = sqlx::query!(
        "SELECT a.vehicle_id, a.driver_id, a.starts_at, a.ends_at
         FROM unnest($1::uuid[], $2::uuid[]) AS w (tenant_id, vehicle_id)
         JOIN assignment a ON a.tenant_id = w.tenant_id AND a.vehicle_id = w.vehicle_id
         ORDER BY a.starts_at",
        tenants,
        ids,
    )
    .fetch_all(conn)
    .await?;
    for row in rows {
        if let Some(context) = found.get_mut(&row.vehicle_id.into()) {
            context.assignments.push(Assigned {
                driver: row.driver_id.into(),
                from: row.starts_at,
                to: row.ends_at,
            });
        }
    }
    Ok(())
}

/// When the vehicles changed hands, and when their odometers were replaced.
async fn add_changes(conn: &mut PgConnection, tenants: &[Uuid], ids: &[Uuid], found: &mut Found) -> Result<()> {
    let rows = sqlx::query!(
        r#"SELECT x.vehicle_id AS "vehicle_id!", x.at AS "at!", x.is_transfer AS "is_transfer!", x.old_km, x.new_km
           FROM unnest($1::uuid[], $2::uuid[]) AS w (tenant_id, vehicle_id)
           JOIN (SELECT tenant_id, vehicle_id, at, true AS is_transfer, NULL::float8 AS old_km, NULL::float8 AS new_km
                 FROM vehicle_transfer
                 UNION ALL
                 SELECT tenant_id, vehicle_id, at, false, old_km, new_km FROM odometer_change) AS x
             ON x.tenant_id = w.tenant_id AND x.vehicle_id = w.vehicle_id
           ORDER BY x.at"#,
        tenants,
        ids,
    )
    .fetch_all(conn)
    .await?;
    for row in rows {
        let Some(context) = found.get_mut(&row.vehicle_id.into()) else {
            continue;
        };
        if row.is_transfer {
            context.handovers.push(row.at);
        } else {
            context.odometer_changes.push(OdometerChange {
                at: row.at,
                readings_km: row.old_km.zip(row.new_km),
            });
        }
    }
    Ok(())
}

/// Which of the drivers named so far have left.
async fn add_left(conn: &mut PgConnection, found: &mut Found) -> Result<()> {
    let mut named: BTreeSet<(TenantId, DriverId)> = BTreeSet::new();
    for context in found.values() {
        let main = context.covers.iter().filter_map(|cover| cover.main_driver);
        let assigned = context.assignments.iter().map(|assigned| assigned.driver);
        named.extend(main.chain(assigned).map(|driver| (context.tenant, driver)));
    }
    if named.is_empty() {
        return Ok(());
    }
    let left = left_of(conn, &named.into_iter().collect::<Vec<_>>()).await?;
    for ((tenant, driver), left_at) in left {
        for context in found.values_mut().filter(|context| context.tenant == tenant) {
            context.left.insert(driver, left_at);
        }
    }
    Ok(())
}

/// Those of a tenant's drivers that have left, and since when.
pub(crate) async fn drivers_left(
    conn: &mut PgConnection,
    tenant: TenantId,
    drivers: &[DriverId],
) -> Result<BTreeMap<DriverId, DateTime<Utc>>> {
    let named: Vec<_> = drivers.iter().map(|driver| (tenant, *driver)).collect();
    let left = left_of(conn, &named).await?.into_iter();
    Ok(left.map(|((_, driver), left_at)| (driver, left_at)).collect())
}

async fn left_of(
    conn: &mut PgConnection,
    named: &[(TenantId, DriverId)],
) -> Result<Vec<((TenantId, DriverId), DateTime<Utc>)>> {
    let tenants: Vec<Uuid> = named.iter().map(|(tenant, _)| tenant.uuid()).collect();
    let drivers: Vec<Uuid> = named.iter().map(|(_, driver)| driver.uuid()).collect();
    let rows = sqlx::query!(
        r#"SELECT d.tenant_id, d.id, d.left_at AS "left_at!" FROM unnest($1::uuid[], $2::uuid[]) AS w (tenant_id, id)
           JOIN driver d ON d.tenant_id = w.tenant_id AND d.id = w.id WHERE d.left_at IS NOT NULL"#,
        &tenants,
        &drivers,
    )
    .fetch_all(conn)
    .await?;
    let left = rows
        .into_iter()
        .map(|row| ((row.tenant_id.into(), row.id.into()), row.left_at));
    Ok(left.collect())
}

pub(crate) fn zone(name: &str) -> Result<Tz> {
    name.parse()
        .map_err(|_| StoreError::corrupt(format_args!("{name:?} is no time zone")))
}

/// The instants between which a policy covers.
pub(crate) fn bounds(
    starts_on: NaiveDate,
    ends_on: Option<NaiveDate>,
    zone: Tz,
) -> (DateTime<Utc>, Option<DateTime<Utc>>) {
    (
        start_of_day(starts_on, zone),
        ends_on.map(|day| start_of_day(day, zone)),
    )
}
