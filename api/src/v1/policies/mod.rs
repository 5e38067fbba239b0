//! Policies.

pub(crate) mod create;
pub(crate) mod get;
pub(crate) mod list;

use chrono::{DateTime, NaiveDate, Utc};
use odograph_domain::{id::ExternalRef, policy};
use odograph_store::PolicyRecord;
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
    /// Who drives when no sample, batch or assignment says.
    main_driver: Option<Uuid>,
    product: Product,
    rating_plan: Uuid,
    /// ISO 4217.
    #[schema(example = "EUR")]
    currency: String,
    /// Of the insured: days, nights and months are local to it.
    #[schema(example = "Europe/Berlin")]
    time_zone: String,
    /// First day of cover.
    starts_on: NaiveDate,
    /// First day without cover; null while it runs on.
    ends_on: Option<NaiveDate>,
    created_at: DateTime<Utc>,
}

impl From<PolicyRecord> for Policy {
    fn from(PolicyRecord { policy, created_at }: PolicyRecord) -> Self {
        let policy::Policy {
            id,
            external_ref,
            vehicle,
            main_driver,
            product,
            plan,
            currency,
            time_zone,
            starts_on,
            ends_on,
        } = policy;
        Self {
            id: id.uuid(),
            external_ref: external_ref.map(ExternalRef::into),
            vehicle: vehicle.uuid(),
            main_driver: main_driver.map(|driver| driver.uuid()),
            product: product.into(),
            rating_plan: plan.uuid(),
            currency: currency.to_string(),
            time_zone: time_zone.name().to_owned(),
            starts_on,
            ends_on,
            created_at,
        }
    }
}
