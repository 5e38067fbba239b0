//! Drivers. Who a driver is stands apart from how they drive, behind a scope of its own.

pub(crate) mod create;
pub(crate) mod get;
pub(crate) mod leave;
pub(crate) mod list;
pub(crate) mod stay;
pub(crate) mod update;

use chrono::{DateTime, Utc};
use odograph_domain::id::ExternalRef;
use odograph_store::{DriverRecord, Identity};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::extract::value::Text;

/// A driver.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Driver {
    id: Uuid,
    /// The tenant's own name for the driver; accepted wherever the id is. Best a number that says nothing.
    #[schema(example = "D-1007")]
    external_ref: Option<String>,
    created_at: DateTime<Utc>,
    /// Nothing from then on is attributed to them; null of one who is there.
    left_at: Option<DateTime<Utc>>,
    /// Left out without the scope `drivers:identity`, and where none was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    identity: Option<DriverIdentity>,
}

/// Who a driver is. Kept encrypted with the driver's own key.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DriverIdentity {
    #[schema(max_length = 200, example = "Ada Lovelace")]
    name: Option<String>,
    #[schema(max_length = 200, example = "ada@example.com")]
    email: Option<String>,
    #[schema(max_length = 200, example = "+44 20 7946 0000")]
    phone: Option<String>,
}

impl Driver {
    fn new(record: DriverRecord, identity: Option<Identity>) -> Self {
        let DriverRecord {
            id,
            external_ref,
            created_at,
            revision: _,
            left_at,
        } = record;
        Self {
            id: id.uuid(),
            external_ref: external_ref.map(ExternalRef::into),
            created_at,
            left_at,
            identity: identity.map(|Identity { name, email, phone }| DriverIdentity { name, email, phone }),
        }
    }
}

/// An identity as a body gives it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GivenIdentity {
    name: Option<Text>,
    email: Option<Text>,
    phone: Option<Text>,
}

impl From<GivenIdentity> for Identity {
    fn from(given: GivenIdentity) -> Self {
        let text = |given: Option<Text>| given.map(|text| text.0);
        Self {
            name: text(given.name),
            email: text(given.email),
            phone: text(given.phone),
        }
    }
}
