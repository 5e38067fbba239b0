//! Policies.

pub(crate) mod cancel;
pub(crate) mod change;
pub(crate) mod changes;
pub(crate) mod create;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod update;

use chrono::{DateTime, NaiveDate, Utc};
use odograph_domain::{id::ExternalRef, policy};
use odograph_store::{Cancellation, PolicyRecord};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// `payd` (pay as you drive) goes by distance alone and keeps no behaviour; `phyd` (pay how you drive) by both.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Product {
    Payd,
    Phyd,
}

impl From<policy::Product> for Product {
    fn from(product: policy::Product) -> Self {
        match product {
            policy::Product::Payd => Self::Payd,
            policy::Product::Phyd => Self::Phyd,
        }
    }
}

impl From<Product> for policy::Product {
    fn from(product: Product) -> Self {
        match product {
            Product::Payd => Self::Payd,
            Product::Phyd => Self::Phyd,
        }
    }
}

/// A policy.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Policy {
    id: Uuid,
    /// The tenant's own name for it; accepted wherever the id is.
    #[schema(example = "POL-2026-0042")]
    external_ref: Option<String>,
    vehicle: Uuid,
    /// Who drives when no sample, batch or assignment says. With the product and the plan: as of today, or of the day of the
    /// cover nearest to it.
    main_driver: Option<Uuid>,
    product: Product,
    rating_plan: Uuid,
    /// What the policy says by date, the earliest first.
    terms: Vec<PolicyTerms>,
    /// ISO 4217.
    #[schema(example = "EUR")]
    currency: String,
    /// Of the insured: days, nights and months are local to it.
    #[schema(example = "Europe/Berlin")]
    time_zone: String,
    /// First day of cover.
    starts_on: NaiveDate,
    /// First day without cover; null while it runs on. Equal to `starts_on` where it never came into force.
    ends_on: Option<NaiveDate>,
    /// When it was cancelled; null where it was not.
    cancelled_at: Option<DateTime<Utc>>,
    #[schema(example = "vehicle sold")]
    cancellation_reason: Option<String>,
    created_at: DateTime<Utc>,
}

/// What a policy says from a day on.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PolicyTerms {
    /// First day on which they are in force.
    from: NaiveDate,
    product: Product,
    rating_plan: Uuid,
    main_driver: Option<Uuid>,
}

impl From<&policy::PolicyTerms> for PolicyTerms {
    fn from(terms: &policy::PolicyTerms) -> Self {
        Self {
            from: terms.from,
            product: terms.product.into(),
            rating_plan: terms.plan.uuid(),
            main_driver: terms.main_driver.map(|driver| driver.uuid()),
        }
    }
}

impl Policy {
    pub(crate) fn at(record: PolicyRecord, now: DateTime<Utc>) -> Self {
        let PolicyRecord {
            policy,
            created_at,
            revision: _,
            cancellation,
        } = record;
        let today = now.with_timezone(&policy.time_zone).date_naive();
        let PolicyTerms {
            product,
            rating_plan,
            main_driver,
            ..
        } = policy.terms_on(today).into();
        let (cancelled_at, cancellation_reason) = cancellation.map(|Cancellation { at, reason }| (at, reason)).unzip();
        let policy::Policy {
            id,
            external_ref,
            vehicle,
            terms,
            currency,
            time_zone,
            starts_on,
            ends_on,
        } = policy;
        Self {
            id: id.uuid(),
            external_ref: external_ref.map(ExternalRef::into),
            vehicle: vehicle.uuid(),
            main_driver,
            product,
            rating_plan,
            terms: terms.iter().map(PolicyTerms::from).collect(),
            currency: currency.to_string(),
            time_zone: time_zone.name().to_owned(),
            starts_on,
            ends_on,
            cancelled_at,
            cancellation_reason: cancellation_reason.flatten(),
            created_at,
        }
    }
}

/// A change of a policy by date. What is null stays as it was.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PolicyChange {
    id: Uuid,
    policy: Uuid,
    /// First day on which it is in force.
    effective_on: NaiveDate,
    product: Option<Product>,
    rating_plan: Option<Uuid>,
    main_driver: Option<Uuid>,
    /// From then on nobody is the main driver.
    drops_main_driver: bool,
    #[schema(example = "renewal")]
    reason: Option<String>,
    created_at: DateTime<Utc>,
}

impl From<odograph_store::PolicyChange> for PolicyChange {
    fn from(change: odograph_store::PolicyChange) -> Self {
        let odograph_store::PolicyChange {
            id,
            policy,
            effective_on,
            product,
            plan,
            main_driver,
            reason,
            created_at,
        } = change;
        Self {
            id: id.uuid(),
            policy: policy.uuid(),
            effective_on,
            product: product.map(Product::from),
            rating_plan: plan.map(|plan| plan.uuid()),
            main_driver: main_driver.flatten().map(|driver| driver.uuid()),
            drops_main_driver: main_driver == Some(None),
            reason,
            created_at,
        }
    }
}

/// The days a policy covers, for a message.
pub(crate) fn cover(policy: &policy::Policy) -> String {
    match policy.ends_on {
        Some(end) => format!("from {} until {end} (not included)", policy.starts_on),
        None => format!("from {} on", policy.starts_on),
    }
}
