//! Version 1 of the API, one endpoint a file.

pub(crate) mod assignments;
pub(crate) mod corrections;
pub(crate) mod dead_letters;
pub(crate) mod devices;
pub(crate) mod drivers;
pub(crate) mod events;
pub(crate) mod fleets;
pub(crate) mod oauth;
pub(crate) mod odometer_changes;
pub(crate) mod outcomes;
pub(crate) mod policies;
pub(crate) mod premiums;
pub(crate) mod quotes;
pub(crate) mod rating_plans;
pub(crate) mod reports;
pub(crate) mod scores;
pub(crate) mod settings;
pub(crate) mod telemetry;
pub(crate) mod tenants;
pub(crate) mod transfers;
pub(crate) mod trips;
pub(crate) mod usage;
pub(crate) mod vehicles;

use actix_web::{HttpResponse, http::header};
use chrono::{DateTime, Utc};
use odograph_domain::id::{DriverId, FleetId, GroupId, IdOrRef, PolicyId, VehicleId};
use odograph_store::{PolicyRecord, StoreError, TenantStore};
use serde::Serialize;

use crate::{
    extract::{path, query::Fields},
    problem::{Code, Problem},
};

/// What a request names, or a 404 in words that are the same for what is absent and what is another tenant's.
pub(crate) fn found<T>(result: Result<T, StoreError>, kind: &str, given: &str) -> Result<T, Problem> {
    result.map_err(|error| match error {
        StoreError::NotFound { .. } => Problem::not_found(kind, given),
        other => other.into(),
    })
}

/// As [`found`], for a request that names several things: the answer names the one that is missing.
pub(crate) fn found_of<T>(result: Result<T, StoreError>, given: &[(&str, &str)]) -> Result<T, Problem> {
    result.map_err(|error| match error {
        StoreError::NotFound { kind } => match given.iter().find(|(known, _)| *known == kind) {
            Some((kind, name)) => Problem::not_found(kind, name),
            None => error.into(),
        },
        other => other.into(),
    })
}

/// A thing that a field of a body names.
pub(crate) struct Reference<'a> {
    /// As [`StoreError::NotFound`] has it.
    pub(crate) kind: &'static str,
    pub(crate) field: &'a str,
    pub(crate) given: String,
}

/// A failed write: if something a field of the body names is not there, the problem says which.
pub(crate) fn unwritten(error: StoreError, references: &[Reference<'_>]) -> Problem {
    if let StoreError::NotFound { kind } = &error
        && let Some(reference) = references.iter().find(|reference| reference.kind == *kind)
    {
        let detail = format!("no {} {:?}", reference.kind.replace('_', " "), reference.given);
        return Problem::field(Code::UnknownReference, reference.field, detail);
    }
    error.into()
}

pub(crate) fn created<T: Serialize>(location: String, body: &T) -> HttpResponse {
    HttpResponse::Created()
        .insert_header((header::LOCATION, location))
        .json(body)
}

/// A field that says when something happened: it has.
pub(crate) fn not_after(fields: &mut Fields, field: &str, given: DateTime<Utc>, now: DateTime<Utc>) {
    if given > now {
        fields.wrong(field, format!("wanted a time that is past, got {}", given.to_rfc3339()));
    }
}

pub(crate) async fn vehicle_id(store: &TenantStore, given: &str) -> Result<VehicleId, Problem> {
    let name = path::id_or_ref("vehicle", given)?;
    Ok(found(store.vehicle(&name).await, "vehicle", given)?.id)
}

pub(crate) async fn driver_id(store: &TenantStore, given: &str) -> Result<DriverId, Problem> {
    let name = path::id_or_ref("driver", given)?;
    Ok(found(store.driver(&name).await, "driver", given)?.id)
}

pub(crate) async fn policy(store: &TenantStore, given: &str) -> Result<PolicyRecord, Problem> {
    let name: IdOrRef<PolicyId> = path::id_or_ref("policy", given)?;
    found(store.policy(&name).await, "policy", given)
}

pub(crate) async fn fleet_id(store: &TenantStore, given: &str) -> Result<FleetId, Problem> {
    let name = path::id_or_ref("fleet", given)?;
    Ok(found(store.fleet(&name).await, "fleet", given)?.id)
}

pub(crate) async fn group_id(store: &TenantStore, given: &str) -> Result<GroupId, Problem> {
    let name = path::id_or_ref("group", given)?;
    Ok(found(store.group(None, &name).await, "group", given)?.id)
}

/// Whose driving a list is narrowed to, as its query names it.
pub(crate) struct Whose {
    pub(crate) vehicle: Option<VehicleId>,
    pub(crate) driver: Option<DriverId>,
    pub(crate) fleet: Option<FleetId>,
    pub(crate) group: Option<GroupId>,
}

impl Whose {
    pub(crate) async fn find(
        store: &TenantStore,
        vehicle: &Option<String>,
        driver: &Option<String>,
        fleet: &Option<String>,
        group: &Option<String>,
    ) -> Result<Self, Problem> {
        let mut whose = Self {
            vehicle: None,
            driver: None,
            fleet: None,
            group: None,
        };
        if let Some(given) = vehicle {
            whose.vehicle = Some(vehicle_id(store, given).await?);
        }
        if let Some(given) = driver {
            whose.driver = Some(driver_id(store, given).await?);
        }
        if let Some(given) = fleet {
            whose.fleet = Some(fleet_id(store, given).await?);
        }
        if let Some(given) = group {
            whose.group = Some(group_id(store, given).await?);
        }
        Ok(whose)
    }
}
