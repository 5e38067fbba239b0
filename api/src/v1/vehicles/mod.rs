//! Vehicles.

pub(crate) mod create;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod update;

use chrono::{DateTime, Utc};
use odograph_domain::id::ExternalRef;
use odograph_store::VehicleRecord;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{extract::query::Fields, problem::Problem};

/// A vehicle.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Vehicle {
    id: Uuid,
    /// The tenant's own name for it; accepted wherever the id is.
    #[schema(example = "fleet-0042")]
    external_ref: Option<String>,
    #[schema(example = "WVWZZZ1KZAW000001")]
    vin: Option<String>,
    #[schema(example = "Volkswagen")]
    make: Option<String>,
    #[schema(example = "Golf")]
    model: Option<String>,
    #[schema(example = 2024)]
    year: Option<i32>,
    created_at: DateTime<Utc>,
}

impl From<VehicleRecord> for Vehicle {
    fn from(record: VehicleRecord) -> Self {
        let VehicleRecord {
            id,
            external_ref,
            vin,
            make,
            model,
            year,
            created_at,
            revision: _,
        } = record;
        let external_ref = external_ref.map(ExternalRef::into);
        Self {
            id: id.uuid(),
            external_ref,
            vin,
            make,
            model,
            year,
            created_at,
        }
    }
}

fn check_year(year: Option<i32>) -> Result<(), Problem> {
    let mut fields = Fields::of_body();
    if let Some(year) = year.filter(|year| !(1886..=2200).contains(year)) {
        fields.wrong("year", format!("wanted a model year from 1886 to 2200, got {year}"));
    }
    fields.finish()
}
