//! Premiums: what a month costs, what that follows from, and how.

use chrono::{DateTime, Days, Utc};
use odograph_domain::{
    correction::{Cause, Correction, CorrectionKind, Figures, PremiumFigures, Why},
    id::{PolicyId, PremiumId, TenantId, VehicleId},
    money::{Currency, Money},
    policy::Month,
    rating::{RatedPremium, RatingInputs},
};
use rust_decimal::Decimal;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    corrections::put_correction,
    error::{Result, StoreError},
    page::{Listed, Page},
    policies::policy_by_id,
    rating_inputs::rating_inputs,
    session::Caller,
    tenant::{TenantStore, from_json, to_json},
};

#[derive(Debug, Clone, PartialEq)]
pub struct PremiumRow {
    pub id: PremiumId,
    pub policy: PolicyId,
    /// 1 for the first figure of a period; grows with each that differs.
    pub version: i32,
    /// Whether it is the period's figure now.
    pub current: bool,
    pub rated: RatedPremium,
    pub rated_at: DateTime<Utc>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct PremiumFilter {
    pub policy: Option<PolicyId>,
    pub vehicle: Option<VehicleId>,
    /// Both inclusive.
    pub from: Option<Month>,
    pub to: Option<Month>,
    /// Those too that are in force no more.
    pub all_versions: bool,
    pub rated_since: Option<DateTime<Utc>>,
}

/// A premium that was put in its place.
#[derive(Debug, Clone, PartialEq)]
pub struct PutPremium {
    pub row: PremiumRow,
    /// What was the month's figure before; the row itself where it is not new.
    pub before: Option<PremiumRow>,
    /// Whether it is a new version, and not just what was there.
    pub new: bool,
}

impl PremiumRow {
    /// What a correction tells of it.
    pub fn figures(&self) -> PremiumFigures {
        PremiumFigures {
            premium: self.id,
            version: self.version,
            amount: self.rated.premium,
            usage_m: self.rated.inputs.usage_m,
            score: self.rated.inputs.score,
            plan_version: self.rated.inputs.plan_version,
        }
    }
}

impl PutPremium {
    /// The correction that a new version is of an earlier one; none of a first one.
    pub fn correction(&self, vehicle: Option<VehicleId>, cause: Cause) -> Option<Correction> {
        let before = self.before.as_ref().filter(|_| self.new)?;
        let period = self.row.rated.inputs.period;
        Some(Correction {
            kind: CorrectionKind::PremiumChanged,
            vehicle,
            driver: None,
            policy: Some(self.row.policy),
            trip: None,
            from_day: period.first_day(),
            to_day: period.end() - Days::new(1),
            before: Some(Figures::Premium(before.figures())),
            after: Some(Figures::Premium(self.row.figures())),
            cause,
        })
    }
}

struct StoredPremium {
    id: Uuid,
    policy_id: Uuid,
    version: i32,
    is_current: bool,
    amount: Decimal,
    currency: String,
    interpreter: i16,
    inputs: serde_json::Value,
    steps: serde_json::Value,
    rated_at: DateTime<Utc>,
}

impl StoredPremium {
    fn read(self) -> Result<PremiumRow> {
        let currency = Currency::parse(&self.currency).map_err(StoreError::corrupt)?;
        Ok(PremiumRow {
            id: self.id.into(),
            policy: self.policy_id.into(),
            version: self.version,
            current: self.is_current,
            rated: RatedPremium {
                interpreter: u16::try_from(self.interpreter).map_err(StoreError::corrupt)?,
                inputs: from_json(self.inputs, "a premium's inputs")?,
                steps: from_json(self.steps, "a premium's steps")?,
                premium: Money::new(self.amount, currency),
            },
            rated_at: self.rated_at,
        })
    }
}

impl TenantStore {
    /// A policy's premiums, the newest first: the figures of now, or all versions there were.
    pub async fn premiums(
        &self,
        policy: PolicyId,
        period: Option<Month>,
        all_versions: bool,
        page: Page,
    ) -> Result<Listed<PremiumRow>> {
        let mut tx = self.begin().await?;
        policy_by_id(&mut tx, self.tenant_id(), policy).await?;
        let rows = sqlx::query_as!(
            StoredPremium,
            "SELECT id, policy_id, version, is_current, amount, currency, interpreter, inputs, steps, rated_at
             FROM premium
             WHERE tenant_id = $1 AND policy_id = $2 AND ($3::date IS NULL OR period = $3) AND (is_current OR $4)
               AND ($5::timestamptz IS NULL OR (rated_at, id) < ($5, $6))
             ORDER BY rated_at DESC, id DESC LIMIT $7",
            self.tenant_id().uuid(),
            policy.uuid(),
            period.map(Month::first_day),
            all_versions,
            page.at(),
            page.id(),
            page.fetch(),
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        let items = rows.into_iter().map(StoredPremium::read).collect::<Result<_>>()?;
        Ok(Listed::cut(&page, items, |row: &PremiumRow| {
            (row.rated_at, row.id.uuid())
        }))
    }

    /// Across policies, in the order they were rated: whoever read to some time reads on from there.
    pub async fn all_premiums(&self, filter: PremiumFilter, page: Page) -> Result<Listed<PremiumRow>> {
        let mut tx = self.begin().await?;
        let rows = sqlx::query_as!(
            StoredPremium,
            "SELECT r.id, r.policy_id, r.version, r.is_current, r.amount, r.currency, r.interpreter, r.inputs, r.steps,
                    r.rated_at
             FROM premium r JOIN policy p ON p.tenant_id = r.tenant_id AND p.id = r.policy_id
             WHERE r.tenant_id = $1 AND ($2::uuid IS NULL OR r.policy_id = $2) AND ($3::uuid IS NULL OR p.vehicle_id = $3)
               AND ($4::date IS NULL OR r.period >= $4) AND ($5::date IS NULL OR r.period <= $5) AND (r.is_current OR $6)
               AND ($7::timestamptz IS NULL OR r.rated_at >= $7)
               AND ($8::timestamptz IS NULL OR (r.rated_at, r.id) > ($8, $9))
             ORDER BY r.rated_at, r.id LIMIT $10",
            self.tenant_id().uuid(),
            filter.policy.map(PolicyId::uuid),
            filter.vehicle.map(VehicleId::uuid),
            filter.from.map(Month::first_day),
            filter.to.map(Month::first_day),
            filter.all_versions,
            filter.rated_since,
            page.at(),
            page.id(),
            page.fetch(),
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        let items = rows.into_iter().map(StoredPremium::read).collect::<Result<_>>()?;
        Ok(Listed::cut(&page, items, |row: &PremiumRow| {
            (row.rated_at, row.id.uuid())
        }))
    }

    pub async fn premium(&self, premium: PremiumId) -> Result<PremiumRow> {
        let mut tx = self.begin().await?;
        let row = sqlx::query_as!(
            StoredPremium,
            "SELECT id, policy_id, version, is_current, amount, currency, interpreter, inputs, steps, rated_at
             FROM premium WHERE tenant_id = $1 AND id = $2",
            self.tenant_id().uuid(),
            premium.uuid(),
        )
        .fetch_optional(&mut *tx)
        .await?;
        tx.commit().await?;
        row.ok_or(StoreError::NotFound { kind: "premium" })?.read()
    }

    /// Everything the premium of a month depends on, as it is now. Not found where the policy covers no day of the month
    /// or no version of its plan is in force.
    pub async fn rating_inputs(&self, policy: PolicyId, period: Month) -> Result<RatingInputs> {
        let mut tx = self.begin().await?;
        let inputs = rating_inputs(&mut tx, self.tenant_id(), policy, period).await?;
        tx.commit().await?;
        Ok(inputs)
    }

    /// Keeps a premium: a new version where it differs from the current one, else nothing new. A conflict where the inputs
    /// have changed since they were read: rate again.
    pub async fn put_premium(&self, policy: PolicyId, rated: &RatedPremium) -> Result<PremiumRow> {
        let caller = self.caller();
        let mut tx = self.begin().await?;
        lock_policy(&mut tx, policy).await?;
        if rating_inputs(&mut tx, self.tenant_id(), policy, rated.inputs.period).await? != rated.inputs {
            let detail = "what it follows from has changed just now; rate again".to_owned();
            return Err(StoreError::Conflict {
                kind: "premium",
                detail,
            });
        }
        let insured = policy_by_id(&mut tx, self.tenant_id(), policy).await?.vehicle;
        let put = put_premium(&mut tx, &caller, policy, rated).await?;
        // Usage and score are rated again as they change: what is left is the plan, or the policy itself.
        let planned = |row: &PremiumRow| (row.rated.inputs.plan, row.rated.inputs.plan_version);
        let why = match &put.before {
            Some(before) if planned(before) == planned(&put.row) => Why::PolicyChanged,
            _ => Why::RatingPlanChanged,
        };
        if let Some(correction) = put.correction(Some(insured), Cause::of(why).by(caller.actor)) {
            put_correction(&mut tx, &caller, &correction).await?;
        }
        caller.audit(&mut tx, "rate", "premium", put.row.id.uuid()).await?;
        tx.commit().await?;
        Ok(put.row)
    }
}

/// The months that have a premium, the earliest first.
pub(crate) async fn premium_months(conn: &mut PgConnection, tenant: TenantId, policy: PolicyId) -> Result<Vec<Month>> {
    let months = sqlx::query_scalar!(
        "SELECT period FROM premium WHERE tenant_id = $1 AND policy_id = $2 AND is_current ORDER BY period",
        tenant.uuid(),
        policy.uuid(),
    )
    .fetch_all(conn)
    .await?;
    Ok(months.into_iter().map(Month::of).collect())
}

pub(crate) async fn lock_policy(conn: &mut PgConnection, policy: PolicyId) -> Result<()> {
    sqlx::query!(
        "SELECT pg_advisory_xact_lock(hashtextextended('premium/' || $1, 0)) AS locked",
        policy.to_string(),
    )
    .fetch_one(conn)
    .await?;
    Ok(())
}

/// Writes a premium where it differs from the month's figure of now. The policy must be locked: of two that rate the same
/// month at once the second sees what the first wrote.
pub(crate) async fn put_premium(
    conn: &mut PgConnection,
    caller: &Caller<'_>,
    policy: PolicyId,
    rated: &RatedPremium,
) -> Result<PutPremium> {
    let period = rated.inputs.period.first_day();
    let current = sqlx::query_as!(
        StoredPremium,
        "SELECT id, policy_id, version, is_current, amount, currency, interpreter, inputs, steps, rated_at
         FROM premium WHERE tenant_id = $1 AND policy_id = $2 AND period = $3 AND is_current",
        caller.tenant.uuid(),
        policy.uuid(),
        period,
    )
    .fetch_optional(&mut *conn)
    .await?
    .map(StoredPremium::read)
    .transpose()?;
    if let Some(row) = current.as_ref().filter(|row| row.rated == *rated) {
        return Ok(PutPremium {
            row: row.clone(),
            before: current.clone(),
            new: false,
        });
    }
    let version = current.as_ref().map_or(0, |row| row.version) + 1;
    sqlx::query!(
        "UPDATE premium SET is_current = false WHERE tenant_id = $1 AND policy_id = $2 AND period = $3 AND is_current",
        caller.tenant.uuid(),
        policy.uuid(),
        period,
    )
    .execute(&mut *conn)
    .await?;
    let row = PremiumRow {
        id: caller.id(),
        policy,
        version,
        current: true,
        rated: rated.clone(),
        rated_at: caller.now,
    };
    insert(conn, caller.tenant, &row).await?;
    Ok(PutPremium {
        row,
        before: current,
        new: true,
    })
}

async fn insert(conn: &mut PgConnection, tenant: TenantId, row: &PremiumRow) -> Result<()> {
    let PremiumRow {
        id,
        policy,
        version,
        rated,
        rated_at,
        ..
    } = row;
    sqlx::query!(
        "INSERT INTO premium (tenant_id, id, policy_id, period, version, is_current, amount, currency, interpreter, plan_id,
                              plan_version, usage_m, score, inputs, steps, rated_at)
         VALUES ($1, $2, $3, $4, $5, true, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
        tenant.uuid(),
        id.uuid(),
        policy.uuid(),
        rated.inputs.period.first_day(),
        version,
        rated.premium.amount,
        rated.premium.currency.as_str(),
        i16::try_from(rated.interpreter).unwrap_or(i16::MAX),
        rated.inputs.plan.uuid(),
        rated.inputs.plan_version,
        rated.inputs.usage_m,
        rated.inputs.score,
        to_json(&rated.inputs)?,
        to_json(&rated.steps)?,
        rated_at,
    )
    .execute(conn)
    .await?;
    Ok(())
}
