//! What happens to a policy after it was written: changes by date, cancellation, reinstatement. Each makes the vehicle's
//! trips be derived and its months be rated anew from the day it is about.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use odograph_domain::{
    correction::{Cause, Why},
    id::{DriverId, ExternalRef, IdOrRef, PolicyChangeId, PolicyId, RatingPlanId},
    intake::DirtyWindow,
    policy::{Policy, Product, TermsChange, start_of_day},
    time::{EventTime, Window},
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    dirty::{self, mark},
    drivers::known_driver,
    error::{Result, StoreError},
    page::{Listed, Page},
    policies::{Cancellation, PolicyRecord, lock_policy_record, policy_by_id, policy_record, refuse_overlap},
    rating_plans::{newest_version, version_in_force},
    session::Caller,
    tenant::{TenantStore, named, unchanged_since},
};

/// What is `None` stays as it is.
#[derive(Debug, Clone, PartialEq)]
pub struct NewPolicyChange {
    pub effective_on: NaiveDate,
    pub product: Option<Product>,
    /// By id or name.
    pub plan: Option<IdOrRef<RatingPlanId>>,
    /// `Some(None)`: from then on nobody.
    pub main_driver: Option<Option<IdOrRef<DriverId>>>,
    pub reason: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyChange {
    pub id: PolicyChangeId,
    pub policy: PolicyId,
    pub effective_on: NaiveDate,
    pub product: Option<Product>,
    pub plan: Option<RatingPlanId>,
    pub main_driver: Option<Option<DriverId>>,
    pub reason: Option<String>,
    pub created_at: DateTime<Utc>,
}

impl PolicyChange {
    pub(crate) fn terms(&self) -> TermsChange {
        TermsChange {
            from: self.effective_on,
            product: self.product,
            plan: self.plan,
            main_driver: self.main_driver,
        }
    }
}

/// What of a policy can be changed in place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyAmendment {
    pub external_ref: Option<ExternalRef>,
    /// First day without cover.
    pub ends_on: Option<NaiveDate>,
}

struct ChangeRow {
    id: Uuid,
    policy_id: Uuid,
    effective_on: NaiveDate,
    product: Option<String>,
    plan_id: Option<Uuid>,
    main_driver_id: Option<Uuid>,
    drops_main_driver: bool,
    reason: Option<String>,
    created_at: DateTime<Utc>,
}

impl ChangeRow {
    fn read(self) -> Result<PolicyChange> {
        let driver = self.main_driver_id.map(DriverId::from);
        Ok(PolicyChange {
            id: self.id.into(),
            policy: self.policy_id.into(),
            effective_on: self.effective_on,
            product: self
                .product
                .map(|product| named(&product, Product::parse))
                .transpose()?,
            plan: self.plan_id.map(Into::into),
            main_driver: (self.drops_main_driver || driver.is_some()).then_some(driver),
            reason: self.reason,
            created_at: self.created_at,
        })
    }
}

impl TenantStore {
    /// Changes a policy from a day on, past or to come. `expected`: the revisions it may be changed from; `None` for any.
    pub async fn change_policy(
        &self,
        policy: &IdOrRef<PolicyId>,
        expected: Option<&[i32]>,
        new: NewPolicyChange,
    ) -> Result<PolicyChange> {
        let caller = self.caller();
        let mut tx = self.begin().await?;
        let record = lock_policy_record(&mut tx, caller.tenant, policy).await?;
        unchanged_since("policy", record.revision, expected)?;
        let change = resolve_change(&mut tx, &caller, &record.policy, new).await?;
        insert(&mut tx, &caller, &change).await?;
        let after = policy_by_id(&mut tx, caller.tenant, record.policy.id).await?;
        if after.terms == record.policy.terms {
            let detail = format!("is on {} as the change would have it", change.effective_on);
            return Err(StoreError::Conflict { kind: "policy", detail });
        }
        raise_revision(&mut tx, &caller, &record).await?;
        rate_anew(&mut tx, &caller, &after, change.effective_on).await?;
        caller.audit(&mut tx, "change", "policy", after.id.uuid()).await?;
        tx.commit().await?;
        Ok(change)
    }

    /// In the order they were filed.
    pub async fn policy_changes(&self, policy: PolicyId, page: Page) -> Result<Listed<PolicyChange>> {
        let mut tx = self.begin().await?;
        policy_by_id(&mut tx, self.tenant_id(), policy).await?;
        let rows = sqlx::query_as!(
            ChangeRow,
            "SELECT id, policy_id, effective_on, product, plan_id, main_driver_id, drops_main_driver, reason, created_at
             FROM policy_change
             WHERE tenant_id = $1 AND policy_id = $2 AND ($3::timestamptz IS NULL OR (created_at, id) > ($3, $4))
             ORDER BY created_at, id LIMIT $5",
            self.tenant_id().uuid(),
            policy.uuid(),
            page.at(),
            page.id(),
            page.fetch(),
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        let items = rows.into_iter().map(ChangeRow::read).collect::<Result<_>>()?;
        Ok(Listed::cut(&page, items, |change: &PolicyChange| {
            (change.created_at, change.id.uuid())
        }))
    }

    /// Ends a policy on a day: the first without cover. On its first day of cover it never came into force.
    pub async fn cancel_policy(
        &self,
        policy: &IdOrRef<PolicyId>,
        expected: Option<&[i32]>,
        ends_on: NaiveDate,
        reason: Option<String>,
    ) -> Result<PolicyRecord> {
        let caller = self.caller();
        let mut tx = self.begin().await?;
        let record = lock_policy_record(&mut tx, caller.tenant, policy).await?;
        unchanged_since("policy", record.revision, expected)?;
        let record = end_policy(&mut tx, &caller, record.policy.id, ends_on, reason).await?;
        tx.commit().await?;
        Ok(record)
    }

    /// Applies `change` to what can be changed in place. A later end, or none, takes a cancellation back.
    pub async fn update_policy(
        &self,
        policy: &IdOrRef<PolicyId>,
        expected: Option<&[i32]>,
        change: impl FnOnce(&mut PolicyAmendment),
    ) -> Result<PolicyRecord> {
        let caller = self.caller();
        let mut tx = self.begin().await?;
        let before = lock_policy_record(&mut tx, caller.tenant, policy).await?;
        unchanged_since("policy", before.revision, expected)?;
        let mut amendment = PolicyAmendment {
            external_ref: before.policy.external_ref.clone(),
            ends_on: before.policy.ends_on,
        };
        change(&mut amendment);
        let mut record = before.clone();
        record.policy.external_ref = amendment.external_ref;
        if amendment.ends_on != before.policy.ends_on {
            end_on(&mut record.policy, amendment.ends_on)?;
            refuse_overlap(&mut tx, caller.tenant, &record.policy).await?;
            record.cancellation = None;
        }
        if record != before {
            write(&mut tx, &caller, &mut record).await?;
            let ends = [before.policy.ends_on, record.policy.ends_on];
            if let (true, Some(from)) = (ends[0] != ends[1], ends.into_iter().flatten().min()) {
                rate_anew(&mut tx, &caller, &record.policy, from).await?;
            }
            caller
                .audit(&mut tx, "update", "policy", record.policy.id.uuid())
                .await?;
        }
        tx.commit().await?;
        Ok(record)
    }
}

/// Ends a policy within a transaction that has its vehicle locked: a cancellation, or the end of somebody's ownership.
pub(crate) async fn end_policy(
    conn: &mut PgConnection,
    caller: &Caller<'_>,
    policy: PolicyId,
    ends_on: NaiveDate,
    reason: Option<String>,
) -> Result<PolicyRecord> {
    let mut record = policy_record(conn, caller.tenant, &IdOrRef::Id(policy)).await?;
    if let Some(end) = record.policy.ends_on.filter(|end| *end <= ends_on) {
        let detail = format!("ends on {end} already, wanted a day before, got {ends_on}");
        return Err(StoreError::Conflict { kind: "policy", detail });
    }
    end_on(&mut record.policy, Some(ends_on))?;
    record.cancellation = Some(Cancellation { at: caller.now, reason });
    write(conn, caller, &mut record).await?;
    rate_anew(conn, caller, &record.policy, ends_on).await?;
    caller.audit(conn, "cancel", "policy", policy.uuid()).await?;
    Ok(record)
}

fn end_on(policy: &mut Policy, ends_on: Option<NaiveDate>) -> Result<()> {
    if let Some(end) = ends_on.filter(|end| *end < policy.starts_on) {
        let detail = format!("begins on {}, so it cannot end on {end}", policy.starts_on);
        return Err(StoreError::Conflict { kind: "policy", detail });
    }
    policy.ends_on = ends_on;
    Ok(())
}

/// The change with what it names found, where it can be made to the policy.
pub(crate) async fn resolve_change(
    conn: &mut PgConnection,
    caller: &Caller<'_>,
    policy: &Policy,
    new: NewPolicyChange,
) -> Result<PolicyChange> {
    if !policy.covers(new.effective_on) {
        let detail = format!("does not cover {}, the day of the change", new.effective_on);
        return Err(StoreError::Conflict { kind: "policy", detail });
    }
    let main_driver = match &new.main_driver {
        Some(Some(driver)) => Some(Some(known_driver(conn, caller.tenant, driver).await?)),
        Some(None) => Some(None),
        None => None,
    };
    let plan = match &new.plan {
        Some(plan) => Some(usable_plan(conn, caller, policy, plan, new.effective_on).await?),
        None => None,
    };
    Ok(PolicyChange {
        id: caller.id(),
        policy: policy.id,
        effective_on: new.effective_on,
        product: new.product,
        plan,
        main_driver,
        reason: new.reason,
        created_at: caller.now,
    })
}

/// The plan by its id, where a version of it rates on that day and in the policy's currency.
async fn usable_plan(
    conn: &mut PgConnection,
    caller: &Caller<'_>,
    policy: &Policy,
    plan: &IdOrRef<RatingPlanId>,
    day: NaiveDate,
) -> Result<RatingPlanId> {
    let newest = newest_version(conn, caller.tenant, plan).await?;
    let refused = |detail| Err(StoreError::Conflict { kind: "policy", detail });
    if newest.terms.currency != policy.currency {
        return refused(format!(
            "the policy is in {}, the rating plan in {}",
            policy.currency, newest.terms.currency
        ));
    }
    if version_in_force(conn, caller.tenant, newest.id, day).await?.is_none() {
        return refused(format!(
            "no version of the rating plan {} is in force on {day}",
            newest.name
        ));
    }
    Ok(newest.id)
}

async fn insert(conn: &mut PgConnection, caller: &Caller<'_>, change: &PolicyChange) -> Result<()> {
    sqlx::query!(
        "INSERT INTO policy_change (tenant_id, id, policy_id, effective_on, product, plan_id, main_driver_id,
                                    drops_main_driver, reason, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        caller.tenant.uuid(),
        change.id.uuid(),
        change.policy.uuid(),
        change.effective_on,
        change.product.map(Product::as_str),
        change.plan.map(RatingPlanId::uuid),
        change.main_driver.flatten().map(DriverId::uuid),
        change.main_driver == Some(None),
        change.reason,
        change.created_at,
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn raise_revision(conn: &mut PgConnection, caller: &Caller<'_>, record: &PolicyRecord) -> Result<()> {
    sqlx::query!(
        "UPDATE policy SET revision = revision + 1 WHERE tenant_id = $1 AND id = $2",
        caller.tenant.uuid(),
        record.policy.id.uuid(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn write(conn: &mut PgConnection, caller: &Caller<'_>, record: &mut PolicyRecord) -> Result<()> {
    record.revision += 1;
    let cancellation = record.cancellation.as_ref();
    sqlx::query!(
        "UPDATE policy SET external_ref = $3, ends_on = $4, cancelled_at = $5, cancel_reason = $6, revision = $7
         WHERE tenant_id = $1 AND id = $2",
        caller.tenant.uuid(),
        record.policy.id.uuid(),
        record.policy.external_ref.as_ref().map(ExternalRef::as_str),
        record.policy.ends_on,
        cancellation.map(|cancellation| cancellation.at),
        cancellation.and_then(|cancellation| cancellation.reason.as_deref()),
        record.revision,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Has everything from a day on derived and rated anew by the policy as it is now. Not only what was driven since: a month
/// in which nobody drove has a premium too.
async fn rate_anew(conn: &mut PgConnection, caller: &Caller<'_>, policy: &Policy, from: NaiveDate) -> Result<()> {
    let at = start_of_day(from, policy.time_zone);
    let (tenant, vehicle) = (caller.tenant.uuid(), policy.vehicle.uuid());
    let cause = Cause::of(Why::PolicyChanged).by(caller.actor);
    if !mark(conn, caller, policy.vehicle, (Some(at), None), cause.clone()).await? {
        // A window even where there is no data: whoever derives it rates what is due.
        sqlx::query!(
            "INSERT INTO vehicle_state (tenant_id, vehicle_id) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            tenant,
            vehicle,
        )
        .execute(&mut *conn)
        .await?;
        let window = DirtyWindow {
            tenant: caller.tenant,
            vehicle: policy.vehicle,
            window: Window {
                from: EventTime::new(at),
                to: EventTime::new(at),
            },
            due_at: caller.now,
            at_once: true,
            cause,
            open_s: None,
        };
        dirty::insert(conn, caller.ids, &[window]).await?;
    }
    sqlx::query!(
        "INSERT INTO rating_due AS r (tenant_id, vehicle_id, from_day) VALUES ($1, $2, $3)
         ON CONFLICT (tenant_id, vehicle_id) DO UPDATE SET from_day = least(r.from_day, excluded.from_day)",
        tenant,
        vehicle,
        from,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The changes of policies, each policy's in the order they were filed.
pub(crate) async fn changes_of(
    conn: &mut PgConnection,
    tenants: &[Uuid],
    policies: &[Uuid],
) -> Result<BTreeMap<PolicyId, Vec<PolicyChange>>> {
    let rows = sqlx::query_as!(
        ChangeRow,
        "SELECT c.id, c.policy_id, c.effective_on, c.product, c.plan_id, c.main_driver_id, c.drops_main_driver, c.reason,
                c.created_at
         FROM unnest($1::uuid[], $2::uuid[]) AS w (tenant_id, policy_id)
         JOIN policy_change c ON c.tenant_id = w.tenant_id AND c.policy_id = w.policy_id
         ORDER BY c.created_at, c.id",
        tenants,
        policies,
    )
    .fetch_all(conn)
    .await?;
    let mut found: BTreeMap<PolicyId, Vec<PolicyChange>> = BTreeMap::new();
    for row in rows {
        let change = row.read()?;
        found.entry(change.policy).or_default().push(change);
    }
    Ok(found)
}
