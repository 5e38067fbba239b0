//! Policies. Those of one vehicle do not overlap, in instants: days of two time zones can.

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use odograph_domain::{
    correction::Why,
    id::{DriverId, ExternalRef, IdOrRef, PolicyId, RatingPlanId, TenantId, VehicleId},
    money::Currency,
    policy::{Policy, Product},
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    contexts::{bounds, zone},
    dirty::mark_dirty,
    drivers::known_driver,
    error::{Result, StoreError},
    page::{Listed, Page},
    rating_plans::newest_version,
    tenant::{TenantStore, given, named, reference},
    vehicles::lock_vehicle,
};

#[derive(Debug, Clone, PartialEq)]
pub struct NewPolicy {
    pub external_ref: Option<ExternalRef>,
    pub vehicle: IdOrRef<VehicleId>,
    pub main_driver: Option<IdOrRef<DriverId>>,
    pub product: Product,
    /// By id or name.
    pub plan: IdOrRef<RatingPlanId>,
    pub currency: Currency,
    pub time_zone: Tz,
    pub starts_on: NaiveDate,
    /// First day without cover.
    pub ends_on: Option<NaiveDate>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct PolicyRecord {
    pub policy: Policy,
    pub created_at: DateTime<Utc>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct PolicyFilter {
    pub vehicle: Option<VehicleId>,
}

struct PolicyRow {
    id: Uuid,
    external_ref: Option<String>,
    vehicle_id: Uuid,
    main_driver_id: Option<Uuid>,
    product: String,
    plan_id: Uuid,
    currency: String,
    time_zone: String,
    starts_on: NaiveDate,
    ends_on: Option<NaiveDate>,
    created_at: DateTime<Utc>,
}

impl PolicyRow {
    fn read(self) -> Result<PolicyRecord> {
        let policy = Policy {
            id: self.id.into(),
            external_ref: reference(self.external_ref)?,
            vehicle: self.vehicle_id.into(),
            main_driver: self.main_driver_id.map(Into::into),
            product: named(&self.product, Product::parse)?,
            plan: self.plan_id.into(),
            currency: Currency::parse(&self.currency).map_err(StoreError::corrupt)?,
            time_zone: zone(&self.time_zone)?,
            starts_on: self.starts_on,
            ends_on: self.ends_on,
        };
        Ok(PolicyRecord {
            policy,
            created_at: self.created_at,
        })
    }
}

impl TenantStore {
    /// Trips already derived from the time it covers are derived anew: their days, usage and premium depend on it.
    pub async fn create_policy(&self, new: NewPolicy) -> Result<PolicyRecord> {
        let caller = self.caller();
        if new.ends_on.is_some_and(|end| end <= new.starts_on) {
            let end = new.ends_on.unwrap_or(new.starts_on);
            let detail = format!("ends_on {end} is not after starts_on {}", new.starts_on);
            return Err(StoreError::Invalid { kind: "policy", detail });
        }
        let mut tx = self.begin().await?;
        let vehicle = lock_vehicle(&mut tx, caller.tenant, &new.vehicle).await?;
        let main_driver = match &new.main_driver {
            Some(driver) => Some(known_driver(&mut tx, caller.tenant, driver).await?),
            None => None,
        };
        let plan = newest_version(&mut tx, caller.tenant, &new.plan).await?;
        if plan.terms.currency != new.currency {
            let detail = format!(
                "the policy is in {}, its rating plan in {}",
                new.currency, plan.terms.currency
            );
            return Err(StoreError::Conflict { kind: "policy", detail });
        }
        let (from, to) = bounds(new.starts_on, new.ends_on, new.time_zone);
        let taken = policies_of(&mut tx, caller.tenant, vehicle)
            .await?
            .into_iter()
            .find(|other| {
                let (other_from, other_to) = bounds(other.starts_on, other.ends_on, other.time_zone);
                other_to.is_none_or(|end| from < end) && to.is_none_or(|end| other_from < end)
            });
        if let Some(other) = taken {
            let until = other
                .ends_on
                .map_or_else(|| "further notice".to_owned(), |day| day.to_string());
            let detail = format!("overlaps policy {} from {} until {until}", other.id, other.starts_on);
            return Err(StoreError::Conflict { kind: "policy", detail });
        }
        let policy = Policy {
            id: caller.id(),
            external_ref: new.external_ref,
            vehicle,
            main_driver,
            product: new.product,
            plan: plan.id,
            currency: new.currency,
            time_zone: new.time_zone,
            starts_on: new.starts_on,
            ends_on: new.ends_on,
        };
        insert(&mut tx, caller.tenant, caller.now, &policy).await?;
        mark_dirty(&mut tx, &caller, vehicle, from, to, Why::PolicyChanged).await?;
        caller.audit(&mut tx, "create", "policy", policy.id.uuid()).await?;
        tx.commit().await?;
        Ok(PolicyRecord {
            policy,
            created_at: caller.now,
        })
    }

    pub async fn policy(&self, policy: &IdOrRef<PolicyId>) -> Result<PolicyRecord> {
        let (id, external_ref) = given(policy);
        let mut tx = self.begin().await?;
        let row = sqlx::query_as!(
            PolicyRow,
            "SELECT id, external_ref, vehicle_id, main_driver_id, product, plan_id, currency, time_zone, starts_on, ends_on,
                    created_at
             FROM policy WHERE tenant_id = $1 AND (id = $2 OR external_ref = $3)",
            self.tenant_id().uuid(),
            id,
            external_ref,
        )
        .fetch_optional(&mut *tx)
        .await?;
        tx.commit().await?;
        row.ok_or(StoreError::NotFound { kind: "policy" })?.read()
    }

    /// In the order they were made.
    pub async fn policies(&self, filter: PolicyFilter, page: Page) -> Result<Listed<PolicyRecord>> {
        let mut tx = self.begin().await?;
        let rows = sqlx::query_as!(
            PolicyRow,
            "SELECT id, external_ref, vehicle_id, main_driver_id, product, plan_id, currency, time_zone, starts_on, ends_on,
                    created_at
             FROM policy
             WHERE tenant_id = $1 AND ($2::uuid IS NULL OR vehicle_id = $2)
               AND ($3::timestamptz IS NULL OR (created_at, id) > ($3, $4))
             ORDER BY created_at, id LIMIT $5",
            self.tenant_id().uuid(),
            filter.vehicle.map(VehicleId::uuid),
            page.at(),
            page.id(),
            page.fetch(),
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        let items = rows.into_iter().map(PolicyRow::read).collect::<Result<_>>()?;
        Ok(Listed::cut(&page, items, |record: &PolicyRecord| {
            (record.created_at, record.policy.id.uuid())
        }))
    }
}

async fn insert(conn: &mut PgConnection, tenant: TenantId, now: DateTime<Utc>, policy: &Policy) -> Result<()> {
    sqlx::query!(
        "INSERT INTO policy (tenant_id, id, external_ref, vehicle_id, main_driver_id, product, plan_id, currency, time_zone,
                             starts_on, ends_on, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        tenant.uuid(),
        policy.id.uuid(),
        policy.external_ref.as_ref().map(ExternalRef::as_str),
        policy.vehicle.uuid(),
        policy.main_driver.map(DriverId::uuid),
        policy.product.as_str(),
        policy.plan.uuid(),
        policy.currency.as_str(),
        policy.time_zone.name(),
        policy.starts_on,
        policy.ends_on,
        now,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// A vehicle's policies, the earliest first.
pub(crate) async fn policies_of(conn: &mut PgConnection, tenant: TenantId, vehicle: VehicleId) -> Result<Vec<Policy>> {
    let rows = sqlx::query_as!(
        PolicyRow,
        "SELECT id, external_ref, vehicle_id, main_driver_id, product, plan_id, currency, time_zone, starts_on, ends_on,
                created_at
         FROM policy WHERE tenant_id = $1 AND vehicle_id = $2 ORDER BY starts_on, id",
        tenant.uuid(),
        vehicle.uuid(),
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| row.read().map(|record| record.policy))
        .collect()
}

pub(crate) async fn policy_by_id(conn: &mut PgConnection, tenant: TenantId, policy: PolicyId) -> Result<Policy> {
    let row = sqlx::query_as!(
        PolicyRow,
        "SELECT id, external_ref, vehicle_id, main_driver_id, product, plan_id, currency, time_zone, starts_on, ends_on,
                created_at
         FROM policy WHERE tenant_id = $1 AND id = $2",
        tenant.uuid(),
        policy.uuid(),
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.ok_or(StoreError::NotFound { kind: "policy" })?.read()?.policy)
}
