//! Registering what is about to be sent: drivers, vehicles, and a policy for each new vehicle.

use std::{collections::BTreeMap, path::Path};

use anyhow::Result;
use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use odograph_domain::{
    id::{DriverId, ExternalRef, IdOrRef, VehicleId},
    policy::{Month, Product},
};
use odograph_ingest::file::{self, Line};
use odograph_store::{Identity, NewDriver, NewPolicy, NewVehicle, TenantStore};

use super::Summary;
use crate::{fleet::FleetSpec, plan, simulate::Insured};

/// What `--register` makes of vehicles nobody has registered.
#[derive(Debug, Clone)]
pub struct Register {
    pub product: Product,
    /// Name of the rating plan.
    pub plan: String,
    pub time_zone: Tz,
}

/// What a file says of one vehicle.
struct Found {
    first: DateTime<Utc>,
    /// Rows by driver.
    drivers: BTreeMap<String, u64>,
}

/// Creates what the file names and the tenant does not know. The main driver of a new vehicle is the one with most rows; one
/// of the vehicle's own name where the file names none.
pub(super) async fn found(store: &TenantStore, path: &Path, register: &Register, summary: &mut Summary) -> Result<()> {
    for (vehicle, found) in scan(path)? {
        let Ok(reference) = ExternalRef::parse(vehicle.as_str()) else {
            continue;
        };
        let mut named: Vec<(String, u64)> = found.drivers.into_iter().collect();
        named.sort_by_key(|(name, rows)| (std::cmp::Reverse(*rows), name.clone()));
        if named.is_empty() {
            named.push((format!("{vehicle}-driver"), 0));
        }
        let mut main_driver = None;
        for (name, _) in named {
            let driver = driver(store, &name, None, summary).await?;
            main_driver = main_driver.or(driver);
        }
        if store.resolve_vehicle(&vehicle).await?.is_none() {
            let first = found.first.with_timezone(&register.time_zone).date_naive();
            insure(store, reference, main_driver, register, first, summary).await?;
        }
    }
    Ok(())
}

fn scan(path: &Path) -> Result<BTreeMap<String, Found>> {
    let mut vehicles: BTreeMap<String, Found> = BTreeMap::new();
    for line in file::open(path)? {
        // Where the file breaks off is told when it is sent.
        let Ok(Line::Row(row)) = line else {
            continue;
        };
        let Ok(sample) = row.sample else {
            continue;
        };
        let at = sample.ts.utc();
        let found = vehicles.entry(row.vehicle).or_insert_with(|| Found {
            first: at,
            drivers: BTreeMap::new(),
        });
        found.first = found.first.min(at);
        if let Some(driver) = row.driver {
            *found.drivers.entry(driver).or_default() += 1;
        }
    }
    Ok(vehicles)
}

/// Creates a generated vehicle, its driver and its policy, where the tenant does not know them.
pub(crate) async fn insured(
    store: &TenantStore,
    insured: &Insured,
    plan: &str,
    spec: &FleetSpec,
    summary: &mut Summary,
) -> Result<()> {
    let identity = Identity {
        name: Some(insured.driver_name.clone()),
        ..Identity::default()
    };
    let driver = driver(store, &insured.driver, Some(identity), summary).await?;
    if store.resolve_vehicle(&insured.vehicle).await?.is_some() {
        return Ok(());
    }
    let register = Register {
        product: insured.product,
        plan: plan.to_owned(),
        time_zone: spec.time_zone,
    };
    let reference = ExternalRef::parse(insured.vehicle.as_str())?;
    insure(store, reference, driver, &register, spec.first_day(), summary).await?;
    Ok(())
}

/// The driver of this reference; created where unknown, `None` where the name cannot be a reference.
async fn driver(
    store: &TenantStore,
    name: &str,
    identity: Option<Identity>,
    summary: &mut Summary,
) -> Result<Option<DriverId>> {
    if let Some(known) = store.resolve_driver(name).await? {
        return Ok(Some(known));
    }
    let Ok(reference) = ExternalRef::parse(name) else {
        return Ok(None);
    };
    let created = store
        .create_driver(NewDriver {
            external_ref: Some(reference),
            identity,
        })
        .await?;
    summary.drivers_registered += 1;
    Ok(Some(created.id))
}

/// A new vehicle with a policy that covers it from the first of the month of its first day.
async fn insure(
    store: &TenantStore,
    reference: ExternalRef,
    main_driver: Option<DriverId>,
    register: &Register,
    first_day: NaiveDate,
    summary: &mut Summary,
) -> Result<VehicleId> {
    let plan = plan::named_or_example(store, &register.plan).await?;
    let vehicle = store
        .create_vehicle(NewVehicle {
            external_ref: Some(reference),
            ..NewVehicle::default()
        })
        .await?;
    summary.vehicles_registered += 1;
    let policy = NewPolicy {
        external_ref: None,
        vehicle: IdOrRef::Id(vehicle.id),
        main_driver: main_driver.map(IdOrRef::Id),
        product: register.product,
        plan: IdOrRef::Id(plan.id),
        currency: plan.terms.currency,
        time_zone: register.time_zone,
        starts_on: Month::of(first_day).first_day(),
        ends_on: None,
    };
    store.create_policy(policy).await?;
    Ok(vehicle.id)
}
