//! Quotes: what a policy would cost. They charge nothing.

use chrono::{DateTime, NaiveDate, SubsecRound, Utc};
use odograph_domain::{
    id::{DriverId, IdOrRef, PolicyId, QuoteId},
    money::{Currency, Money},
    policy::{DatedTerms, Month, Policy},
    rating::{RatedPremium, RatingInputs},
};
use rust_decimal::Decimal;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    error::{Result, StoreError},
    page::{Listed, Page},
    policies::policy_record,
    policy_changes::{NewPolicyChange, PolicyChange, changes_of, resolve_change},
    rating_inputs::{ScoreDay, inputs_of},
    tenant::{TenantStore, from_json, to_json},
};

#[derive(Debug, Clone, PartialEq)]
pub struct NewQuote {
    /// Whose change is quoted.
    pub policy: Option<PolicyId>,
    /// Whose score was taken.
    pub driver: Option<DriverId>,
    pub starts_on: NaiveDate,
    /// First day not quoted.
    pub ends_on: NaiveDate,
    pub total: Money,
    /// What the policy costs over the same months as it is.
    pub as_is_total: Option<Decimal>,
    pub request: serde_json::Value,
    /// One a month, the earliest first.
    pub premiums: Vec<RatedPremium>,
    pub valid_until: DateTime<Utc>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct QuoteRecord {
    pub id: QuoteId,
    pub quote: NewQuote,
    pub created_at: DateTime<Utc>,
}

/// What a policy's months follow from, as it is and as it would be.
#[derive(Debug, Clone, PartialEq)]
pub struct Alternatives {
    pub as_is: Vec<RatingInputs>,
    pub changed: Vec<RatingInputs>,
    /// The policy as it would be.
    pub policy: Policy,
}

struct QuoteRow {
    id: Uuid,
    policy_id: Option<Uuid>,
    driver_id: Option<Uuid>,
    starts_on: NaiveDate,
    ends_on: NaiveDate,
    currency: String,
    total: Decimal,
    as_is_total: Option<Decimal>,
    request: serde_json::Value,
    premiums: serde_json::Value,
    created_at: DateTime<Utc>,
    valid_until: DateTime<Utc>,
}

impl QuoteRow {
    fn read(self) -> Result<QuoteRecord> {
        let currency = Currency::parse(&self.currency).map_err(StoreError::corrupt)?;
        Ok(QuoteRecord {
            id: self.id.into(),
            quote: NewQuote {
                policy: self.policy_id.map(Into::into),
                driver: self.driver_id.map(Into::into),
                starts_on: self.starts_on,
                ends_on: self.ends_on,
                total: Money::new(self.total, currency),
                as_is_total: self.as_is_total,
                request: self.request,
                premiums: from_json(self.premiums, "a quote's premiums")?,
                valid_until: self.valid_until,
            },
            created_at: self.created_at,
        })
    }
}

impl TenantStore {
    pub async fn put_quote(&self, quote: NewQuote) -> Result<QuoteRecord> {
        let caller = self.caller();
        let id: QuoteId = caller.id();
        // At the precision the database keeps, so that what is returned equals what is read again.
        let quote = NewQuote {
            valid_until: quote.valid_until.trunc_subsecs(6),
            ..quote
        };
        let mut tx = self.begin().await?;
        sqlx::query!(
            "INSERT INTO quote (tenant_id, id, policy_id, driver_id, starts_on, ends_on, currency, total, as_is_total, request,
                                premiums, created_at, valid_until)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
            caller.tenant.uuid(),
            id.uuid(),
            quote.policy.map(PolicyId::uuid),
            quote.driver.map(DriverId::uuid),
            quote.starts_on,
            quote.ends_on,
            quote.total.currency.as_str(),
            quote.total.amount,
            quote.as_is_total,
            quote.request,
            to_json(&quote.premiums)?,
            caller.now,
            quote.valid_until,
        )
        .execute(&mut *tx)
        .await?;
        caller.audit(&mut tx, "quote", "quote", id.uuid()).await?;
        tx.commit().await?;
        Ok(QuoteRecord {
            id,
            quote,
            created_at: caller.now,
        })
    }

    pub async fn quote(&self, quote: QuoteId) -> Result<QuoteRecord> {
        let mut tx = self.begin().await?;
        let row = sqlx::query_as!(
            QuoteRow,
            "SELECT id, policy_id, driver_id, starts_on, ends_on, currency, total, as_is_total, request, premiums, created_at,
                    valid_until
             FROM quote WHERE tenant_id = $1 AND id = $2",
            self.tenant_id().uuid(),
            quote.uuid(),
        )
        .fetch_optional(&mut *tx)
        .await?;
        tx.commit().await?;
        row.ok_or(StoreError::NotFound { kind: "quote" })?.read()
    }

    /// The newest first.
    pub async fn quotes(&self, policy: Option<PolicyId>, page: Page) -> Result<Listed<QuoteRecord>> {
        let mut tx = self.begin().await?;
        let rows = sqlx::query_as!(
            QuoteRow,
            "SELECT id, policy_id, driver_id, starts_on, ends_on, currency, total, as_is_total, request, premiums, created_at,
                    valid_until
             FROM quote
             WHERE tenant_id = $1 AND ($2::uuid IS NULL OR policy_id = $2)
               AND ($3::timestamptz IS NULL OR (created_at, id) < ($3, $4))
             ORDER BY created_at DESC, id DESC LIMIT $5",
            self.tenant_id().uuid(),
            policy.map(PolicyId::uuid),
            page.at(),
            page.id(),
            page.fetch(),
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        let items = rows.into_iter().map(QuoteRow::read).collect::<Result<_>>()?;
        Ok(Listed::cut(&page, items, |record: &QuoteRecord| {
            (record.created_at, record.id.uuid())
        }))
    }

    /// What the months of a policy follow from, as it is and with a change that is not made. A stretch that would end on a
    /// day without a score goes by the newest one before.
    pub async fn if_changed(
        &self,
        policy: PolicyId,
        change: NewPolicyChange,
        months: &[Month],
    ) -> Result<Alternatives> {
        let caller = self.caller();
        let mut tx = self.begin().await?;
        let before = policy_record(&mut tx, caller.tenant, &IdOrRef::Id(policy))
            .await?
            .policy;
        let change = resolve_change(&mut tx, &caller, &before, change).await?;
        let after = changed(&mut tx, caller.tenant.uuid(), &before, change).await?;
        let (mut as_is, mut would_be) = (Vec::new(), Vec::new());
        for month in months {
            as_is.push(inputs_of(&mut tx, caller.tenant, &before, *month, ScoreDay::Exact).await?);
            would_be.push(inputs_of(&mut tx, caller.tenant, &after, *month, ScoreDay::Nearest).await?);
        }
        tx.commit().await?;
        Ok(Alternatives {
            as_is,
            changed: would_be,
            policy: after,
        })
    }
}

/// The policy as if the change had been filed last.
async fn changed(conn: &mut PgConnection, tenant: Uuid, policy: &Policy, change: PolicyChange) -> Result<Policy> {
    let mut filed = changes_of(conn, &[tenant], &[policy.id.uuid()])
        .await?
        .remove(&policy.id)
        .unwrap_or_default();
    filed.push(change);
    let written = sqlx::query!(
        "SELECT product, plan_id, main_driver_id FROM policy WHERE tenant_id = $1 AND id = $2",
        tenant,
        policy.id.uuid(),
    )
    .fetch_one(conn)
    .await?;
    let first = crate::policies::first_terms(
        policy.starts_on,
        &written.product,
        written.plan_id,
        written.main_driver_id,
    )?;
    let changes: Vec<_> = filed.iter().map(PolicyChange::terms).collect();
    Ok(Policy {
        terms: DatedTerms::of(first, &changes),
        ..policy.clone()
    })
}
