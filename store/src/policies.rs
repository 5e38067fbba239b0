//! Policies. Those of one vehicle do not overlap, in instants: days of two time zones can.

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use odograph_domain::{
    correction::Why,
    id::{DriverId, ExternalRef, IdOrRef, PolicyId, RatingPlanId, TenantId, VehicleId},
    intake::Owned,
    money::Currency,
    policy::{DatedTerms, Policy, PolicyTerms, Product},
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    contexts::{bounds, zone},
    dirty::mark_dirty,
    drivers::known_driver,
    error::{Result, StoreError},
    page::{Listed, Page},
    policy_changes::{PolicyChange, changes_of},
    rating_plans::newest_version,
    tenant::{TenantStore, given, named, reference},
    transfers::handovers_of,
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
    /// Grows with each change.
    pub revision: i32,
    /// Where its end is that of a cancellation.
    pub cancellation: Option<Cancellation>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cancellation {
    pub at: DateTime<Utc>,
    pub reason: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct PolicyFilter {
    pub vehicle: Option<VehicleId>,
}

pub(crate) struct PolicyRow {
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
    revision: i32,
    cancelled_at: Option<DateTime<Utc>>,
    cancel_reason: Option<String>,
}

impl PolicyRow {
    fn read(self, changes: &[PolicyChange]) -> Result<PolicyRecord> {
        let first = first_terms(self.starts_on, &self.product, self.plan_id, self.main_driver_id)?;
        let changes: Vec<_> = changes.iter().map(PolicyChange::terms).collect();
        let policy = Policy {
            id: self.id.into(),
            external_ref: reference(self.external_ref)?,
            vehicle: self.vehicle_id.into(),
            terms: DatedTerms::of(first, &changes),
            currency: Currency::parse(&self.currency).map_err(StoreError::corrupt)?,
            time_zone: zone(&self.time_zone)?,
            starts_on: self.starts_on,
            ends_on: self.ends_on,
        };
        let reason = self.cancel_reason;
        Ok(PolicyRecord {
            policy,
            created_at: self.created_at,
            revision: self.revision,
            cancellation: self.cancelled_at.map(|at| Cancellation { at, reason }),
        })
    }
}

/// The terms that a policy's row holds: those it was written with.
pub(crate) fn first_terms(
    from: NaiveDate,
    product: &str,
    plan: Uuid,
    main_driver: Option<Uuid>,
) -> Result<PolicyTerms> {
    Ok(PolicyTerms {
        from,
        product: named(product, Product::parse)?,
        plan: plan.into(),
        main_driver: main_driver.map(Into::into),
    })
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
        let policy = Policy {
            id: caller.id(),
            external_ref: new.external_ref,
            vehicle,
            terms: DatedTerms::new(PolicyTerms {
                from: new.starts_on,
                product: new.product,
                plan: plan.id,
                main_driver,
            }),
            currency: new.currency,
            time_zone: new.time_zone,
            starts_on: new.starts_on,
            ends_on: new.ends_on,
        };
        refuse_overlap(&mut tx, caller.tenant, &policy).await?;
        insert(&mut tx, caller.tenant, caller.now, &policy).await?;
        let (from, to) = bounds(policy.starts_on, policy.ends_on, policy.time_zone);
        mark_dirty(&mut tx, &caller, vehicle, from, to, Why::PolicyChanged).await?;
        caller.audit(&mut tx, "create", "policy", policy.id.uuid()).await?;
        tx.commit().await?;
        Ok(PolicyRecord {
            policy,
            created_at: caller.now,
            revision: 1,
            cancellation: None,
        })
    }

    pub async fn policy(&self, policy: &IdOrRef<PolicyId>) -> Result<PolicyRecord> {
        let mut tx = self.begin().await?;
        let record = policy_record(&mut tx, self.tenant_id(), policy).await?;
        tx.commit().await?;
        Ok(record)
    }

    /// In the order they were made.
    pub async fn policies(&self, filter: PolicyFilter, page: Page) -> Result<Listed<PolicyRecord>> {
        let mut tx = self.begin().await?;
        let rows = sqlx::query_as!(
            PolicyRow,
            "SELECT id, external_ref, vehicle_id, main_driver_id, product, plan_id, currency, time_zone, starts_on, ends_on,
                    created_at, revision, cancelled_at, cancel_reason
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
        let items = records(&mut tx, self.tenant_id(), rows).await?;
        tx.commit().await?;
        Ok(Listed::cut(&page, items, |record: &PolicyRecord| {
            (record.created_at, record.policy.id.uuid())
        }))
    }
}

/// Fails where another policy of the vehicle covers a part of the time that this one covers, or where this one would run on
/// after its owner gave the vehicle away. The vehicle must be locked.
pub(crate) async fn refuse_overlap(conn: &mut PgConnection, tenant: TenantId, policy: &Policy) -> Result<()> {
    let handovers = handovers_of(conn, tenant, policy.vehicle).await?;
    let instants = |policy: &Policy| {
        let (from, to) = bounds(policy.starts_on, policy.ends_on, policy.time_zone);
        Owned::of_policy(policy.starts_on, policy.time_zone, &handovers).within(from, to)
    };
    let owned = Owned::of_policy(policy.starts_on, policy.time_zone, &handovers);
    if let Some(sold) = owned.to {
        let last = sold.with_timezone(&policy.time_zone).date_naive();
        if policy.ends_on.is_none_or(|end| Some(end) > last.succ_opt()) {
            let detail = format!("the vehicle changes hands on {last}, wanted an end by the day after it");
            return Err(StoreError::Conflict { kind: "policy", detail });
        }
    }
    let (from, to) = instants(policy);
    let empty = |policy: &Policy| policy.ends_on == Some(policy.starts_on);
    let taken = policies_of(conn, tenant, policy.vehicle)
        .await?
        .into_iter()
        .filter(|other| other.id != policy.id && !empty(other) && !empty(policy))
        .find(|other| {
            let (other_from, other_to) = instants(other);
            other_to.is_none_or(|end| from < end) && to.is_none_or(|end| other_from < end)
        });
    let Some(other) = taken else {
        return Ok(());
    };
    let until = other
        .ends_on
        .map_or_else(|| "further notice".to_owned(), |day| day.to_string());
    let detail = format!("overlaps policy {} from {} until {until}", other.id, other.starts_on);
    Err(StoreError::Conflict { kind: "policy", detail })
}

async fn insert(conn: &mut PgConnection, tenant: TenantId, now: DateTime<Utc>, policy: &Policy) -> Result<()> {
    let terms = policy.terms.on(policy.starts_on);
    sqlx::query!(
        "INSERT INTO policy (tenant_id, id, external_ref, vehicle_id, main_driver_id, product, plan_id, currency, time_zone,
                             starts_on, ends_on, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        tenant.uuid(),
        policy.id.uuid(),
        policy.external_ref.as_ref().map(ExternalRef::as_str),
        policy.vehicle.uuid(),
        terms.main_driver.map(DriverId::uuid),
        terms.product.as_str(),
        terms.plan.uuid(),
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

/// The rows with the changes made to them.
async fn records(conn: &mut PgConnection, tenant: TenantId, rows: Vec<PolicyRow>) -> Result<Vec<PolicyRecord>> {
    let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
    let changes = changes_of(conn, &vec![tenant.uuid(); ids.len()], &ids).await?;
    rows.into_iter()
        .map(|row| {
            let of_policy = changes.get(&row.id.into()).map_or(&[][..], Vec::as_slice);
            row.read(of_policy)
        })
        .collect()
}

async fn record(conn: &mut PgConnection, tenant: TenantId, row: Option<PolicyRow>) -> Result<PolicyRecord> {
    let mut found = records(conn, tenant, row.into_iter().collect()).await?;
    found.pop().ok_or(StoreError::NotFound { kind: "policy" })
}

pub(crate) async fn policy_record(
    conn: &mut PgConnection,
    tenant: TenantId,
    policy: &IdOrRef<PolicyId>,
) -> Result<PolicyRecord> {
    let (id, external_ref) = given(policy);
    let row = sqlx::query_as!(
        PolicyRow,
        "SELECT id, external_ref, vehicle_id, main_driver_id, product, plan_id, currency, time_zone, starts_on, ends_on,
                created_at, revision, cancelled_at, cancel_reason
         FROM policy WHERE tenant_id = $1 AND (id = $2 OR external_ref = $3)",
        tenant.uuid(),
        id,
        external_ref,
    )
    .fetch_optional(&mut *conn)
    .await?;
    record(conn, tenant, row).await
}

/// The policy, its vehicle and itself locked, in this order.
pub(crate) async fn lock_policy_record(
    conn: &mut PgConnection,
    tenant: TenantId,
    policy: &IdOrRef<PolicyId>,
) -> Result<PolicyRecord> {
    let seen = policy_record(conn, tenant, policy).await?.policy;
    lock_vehicle(conn, tenant, &IdOrRef::Id(seen.vehicle)).await?;
    let row = sqlx::query_as!(
        PolicyRow,
        "SELECT id, external_ref, vehicle_id, main_driver_id, product, plan_id, currency, time_zone, starts_on, ends_on,
                created_at, revision, cancelled_at, cancel_reason
         FROM policy WHERE tenant_id = $1 AND id = $2 FOR NO KEY UPDATE",
        tenant.uuid(),
        seen.id.uuid(),
    )
    .fetch_optional(&mut *conn)
    .await?;
    record(conn, tenant, row).await
}

/// A vehicle's policies, the earliest first.
pub(crate) async fn policies_of(conn: &mut PgConnection, tenant: TenantId, vehicle: VehicleId) -> Result<Vec<Policy>> {
    let rows = sqlx::query_as!(
        PolicyRow,
        "SELECT id, external_ref, vehicle_id, main_driver_id, product, plan_id, currency, time_zone, starts_on, ends_on,
                created_at, revision, cancelled_at, cancel_reason
         FROM policy WHERE tenant_id = $1 AND vehicle_id = $2 ORDER BY starts_on, id",
        tenant.uuid(),
        vehicle.uuid(),
    )
    .fetch_all(&mut *conn)
    .await?;
    let found = records(conn, tenant, rows).await?;
    Ok(found.into_iter().map(|record| record.policy).collect())
}

/// Those of a tenant that a driver may be rated by: whose main driver it is or was, and those of vehicles assigned to it.
/// Ordered by id.
pub(crate) async fn policies_that_name(
    conn: &mut PgConnection,
    tenant: TenantId,
    driver: DriverId,
) -> Result<Vec<Policy>> {
    let rows = sqlx::query_as!(
        PolicyRow,
        r#"SELECT p.id, p.external_ref, p.vehicle_id, p.main_driver_id, p.product, p.plan_id, p.currency, p.time_zone,
                  p.starts_on, p.ends_on, p.created_at, p.revision, p.cancelled_at, p.cancel_reason
           FROM policy p
           WHERE p.tenant_id = $1 AND p.id IN (
               SELECT id FROM policy WHERE tenant_id = $1 AND main_driver_id = $2
               UNION
               SELECT policy_id FROM policy_change WHERE tenant_id = $1 AND main_driver_id = $2
               UNION
               SELECT q.id FROM assignment a JOIN policy q ON q.tenant_id = a.tenant_id AND q.vehicle_id = a.vehicle_id
               WHERE a.tenant_id = $1 AND a.driver_id = $2)
           ORDER BY p.id"#,
        tenant.uuid(),
        driver.uuid(),
    )
    .fetch_all(&mut *conn)
    .await?;
    let found = records(conn, tenant, rows).await?;
    Ok(found.into_iter().map(|record| record.policy).collect())
}

pub(crate) async fn policy_by_id(conn: &mut PgConnection, tenant: TenantId, policy: PolicyId) -> Result<Policy> {
    Ok(policy_record(conn, tenant, &IdOrRef::Id(policy)).await?.policy)
}
