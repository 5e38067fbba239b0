//! Everything about a tenant's drivers on one page: what `odograph demo` ends with.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use odograph_domain::{
    id::{DriverId, ExternalRef, PolicyId, TenantId, VehicleId},
    money::Money,
    policy::{Month, Product},
    score::Score,
    trip::TripRecord,
};
use odograph_store::{PolicyFilter, Store, TenantStore, TripFilter};

use crate::cli::every;

/// One driver's figures, over everything that is stored.
#[derive(Debug)]
pub struct DriverRow {
    pub driver: String,
    pub vehicles: Vec<String>,
    pub products: Vec<Product>,
    pub billable_m: f64,
    pub trips: usize,
    /// Behaviour events; `None` where none may be kept.
    pub events: Option<usize>,
    pub score: Option<Score>,
    /// Premiums of the policies whose main driver this is, by month.
    pub premiums: Vec<(Month, Money)>,
}

/// A row for every driver with trips or a policy, and one for trips of nobody known.
pub async fn drivers(store: &Store, tenant: TenantId) -> Result<Vec<DriverRow>> {
    let store = store.tenant(tenant);
    let named = |reference: Option<ExternalRef>, id: String| reference.map_or(id, |reference| reference.to_string());
    let vehicles: BTreeMap<VehicleId, String> = every(|page| store.vehicles(page))
        .await?
        .into_iter()
        .map(|vehicle| (vehicle.id, named(vehicle.external_ref, vehicle.id.to_string())))
        .collect();
    let mut policies: BTreeMap<DriverId, Vec<(PolicyId, Product)>> = BTreeMap::new();
    for record in every(|page| store.policies(PolicyFilter::default(), page)).await? {
        let terms = record.policy.terms.last();
        if let Some(driver) = terms.main_driver {
            policies
                .entry(driver)
                .or_default()
                .push((record.policy.id, terms.product));
        }
    }
    let mut trips: BTreeMap<Option<DriverId>, Vec<TripRecord>> = BTreeMap::new();
    for row in every(|page| store.trips(TripFilter::default(), page)).await? {
        let trip = store.trip(row.record.id).await?;
        trips.entry(trip.record.driver).or_default().push(trip.record);
    }
    let mut rows = Vec::new();
    for driver in every(|page| store.drivers(page)).await? {
        let name = named(driver.external_ref, driver.id.to_string());
        let driven = trips.remove(&Some(driver.id)).unwrap_or_default();
        let policies = policies.remove(&driver.id).unwrap_or_default();
        if driven.is_empty() && policies.is_empty() {
            continue;
        }
        let mut row = row(name, &driven, &vehicles);
        row.score = store.latest_score(driver.id, None).await?.map(|row| row.score);
        row.products = policies.iter().map(|(_, product)| *product).collect();
        row.premiums = premiums(&store, &policies).await?;
        rows.push(row);
    }
    if let Some(driven) = trips.remove(&None) {
        rows.push(row("(unknown)".to_owned(), &driven, &vehicles));
    }
    Ok(rows)
}

fn row(driver: String, trips: &[TripRecord], vehicles: &BTreeMap<VehicleId, String>) -> DriverRow {
    let driven: BTreeSet<&String> = trips.iter().filter_map(|trip| vehicles.get(&trip.vehicle)).collect();
    let behaviour: Vec<_> = trips
        .iter()
        .filter_map(|trip| trip.features.behaviour.as_ref())
        .collect();
    DriverRow {
        driver,
        vehicles: driven.into_iter().cloned().collect(),
        products: Vec::new(),
        // The sum of nothing is -0.0.
        billable_m: trips.iter().map(|trip| trip.features.mileage.billable_m).sum::<f64>() + 0.0,
        trips: trips.len(),
        events: (!behaviour.is_empty()).then(|| behaviour.iter().map(|behaviour| behaviour.events.len()).sum()),
        score: None,
        premiums: Vec::new(),
    }
}

async fn premiums(store: &TenantStore, policies: &[(PolicyId, Product)]) -> Result<Vec<(Month, Money)>> {
    let mut premiums = Vec::new();
    for (policy, _) in policies {
        let rows = every(|page| store.premiums(*policy, None, false, page)).await?;
        premiums.extend(rows.into_iter().map(|row| (row.rated.inputs.period, row.rated.premium)));
    }
    premiums.sort_by_key(|(month, _)| *month);
    Ok(premiums)
}
