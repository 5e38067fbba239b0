//! Everything that two runs over the same data must have in common: trips with their bounds, distances and features,
//! scores, usage and money. Not ids, arrival times, versions and the history of corrections.

use std::{collections::BTreeMap, fmt::Write as _};

use chrono::NaiveDate;
use odograph_domain::id::{DriverId, ExternalRef, TenantId, VehicleId};
use odograph_store::{Listed, Page, PolicyFilter, Store, TenantStore, TripFilter};
use serde_json::{Value, json};

/// A tenant's results as named values, told by external references.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    values: BTreeMap<String, String>,
    trips: usize,
    scores: usize,
    premiums: usize,
}

/// Differences shown of two snapshots that should be the same.
const SHOWN: usize = 30;

impl Snapshot {
    pub async fn of(store: &Store, tenant: TenantId) -> Self {
        let store = store.tenant(tenant);
        let names = Names::of(&store).await;
        let mut snapshot = Self::default();
        snapshot.add_trips(&store, &names).await;
        snapshot.add_scores(&store, &names).await;
        snapshot.add_money(&store, &names).await;
        snapshot
    }

    pub fn trips(&self) -> usize {
        self.trips
    }

    pub fn scores(&self) -> usize {
        self.scores
    }

    pub fn premiums(&self) -> usize {
        self.premiums
    }

    async fn add_trips(&mut self, store: &TenantStore, names: &Names) {
        for row in every(async |page| store.trips(TripFilter::default(), page).await).await {
            let trip = store.trip(row.record.id).await.expect("a trip that was listed").record;
            let name = format!("trip {} {}", names.vehicle(trip.vehicle), trip.bounds.start);
            let value = json!({
                "bounds": trip.bounds,
                "state": trip.state(),
                "driver": trip.driver.map(|driver| names.driver(driver)),
                "time_zone": trip.time_zone.name(),
                "features": trip.features,
            });
            self.add(&name, &value);
            self.trips += 1;
        }
    }

    async fn add_scores(&mut self, store: &TenantStore, names: &Names) {
        for (driver, name) in &names.drivers {
            for score in every(async |page| store.scores(*driver, (None, None), false, page).await).await {
                self.add(&format!("score {name} {}", score.score.as_of), &json!(score.score));
                self.scores += 1;
            }
        }
    }

    async fn add_money(&mut self, store: &TenantStore, names: &Names) {
        let day = |year| NaiveDate::from_ymd_opt(year, 1, 1).expect("a day");
        for record in every(async |page| store.policies(PolicyFilter::default(), page).await).await {
            let policy = record.policy;
            let insured = format!("{} from {}", names.vehicle(policy.vehicle), policy.starts_on);
            for usage in store
                .usage_by_policy(policy.id, day(1990), day(2100))
                .await
                .expect("usage")
            {
                let bounds = json!({ "metres": usage.metres, "utc_from": usage.utc_from, "utc_to": usage.utc_to });
                self.add(&format!("usage {insured} {}", usage.day), &bounds);
            }
            for premium in every(async |page| store.premiums(policy.id, None, false, page).await).await {
                assert!(
                    premium.current,
                    "a list of current premiums holds version {}",
                    premium.version
                );
                let mut rated = json!(premium.rated);
                // The plan's id is an id; its version and its terms are in the inputs too.
                rated["inputs"]["plan"] = Value::Null;
                self.add(&format!("premium {insured} {}", premium.rated.inputs.period), &rated);
                self.premiums += 1;
            }
        }
    }

    /// One value a line, so that a difference shows as what differs.
    fn add(&mut self, name: &str, value: &Value) {
        match value {
            Value::Object(fields) => {
                for (field, value) in fields {
                    self.add(&format!("{name} {field}"), value);
                }
            }
            Value::Array(items) if items.iter().any(Value::is_object) => {
                self.add(&format!("{name} count"), &json!(items.len()));
                for (place, item) in items.iter().enumerate() {
                    self.add(&format!("{name} {place}"), item);
                }
            }
            scalar => {
                let before = self.values.insert(name.to_owned(), scalar.to_string());
                assert_eq!(before, None, "two values are named {name}");
            }
        }
    }

    /// What differs, at most [`SHOWN`] lines of it; `None` where nothing does.
    pub fn difference(&self, other: &Self) -> Option<String> {
        let names: std::collections::BTreeSet<&String> = self.values.keys().chain(other.values.keys()).collect();
        let differing: Vec<_> = names
            .into_iter()
            .filter(|name| self.values.get(*name) != other.values.get(*name))
            .collect();
        if differing.is_empty() {
            return None;
        }
        let mut told = format!("{} of {} values differ:", differing.len(), self.values.len());
        for name in differing.iter().take(SHOWN) {
            let shown =
                |values: &BTreeMap<String, String>| values.get(*name).map_or("(absent)", String::as_str).to_owned();
            let _ = write!(told, "\n  {name}: {} / {}", shown(&self.values), shown(&other.values));
        }
        if differing.len() > SHOWN {
            told.push_str("\n  …");
        }
        Some(told)
    }

    /// Two snapshots of nothing would be the same.
    pub fn check_holds_something(&self) -> anyhow::Result<()> {
        anyhow::ensure!(self.trips > 0 && self.premiums > 0, "there is nothing to compare");
        Ok(())
    }

    /// Fails, saying what differs, unless both are the same and hold something.
    #[track_caller]
    pub fn assert_same(&self, other: &Self, what: &str) {
        assert!(self.trips > 0 && self.premiums > 0, "{what}: nothing to compare");
        if let Some(difference) = self.difference(other) {
            panic!("{what}: {difference}");
        }
    }
}

/// External references by id.
struct Names {
    vehicles: BTreeMap<VehicleId, String>,
    drivers: BTreeMap<DriverId, String>,
}

impl Names {
    async fn of(store: &TenantStore) -> Self {
        let named = |reference: Option<ExternalRef>| reference.expect("an external reference").to_string();
        let vehicles = every(async |page| store.vehicles(page).await).await;
        let drivers = every(async |page| store.drivers(page).await).await;
        Self {
            vehicles: vehicles
                .into_iter()
                .map(|vehicle| (vehicle.id, named(vehicle.external_ref)))
                .collect(),
            drivers: drivers
                .into_iter()
                .map(|driver| (driver.id, named(driver.external_ref)))
                .collect(),
        }
    }

    fn vehicle(&self, id: VehicleId) -> &str {
        &self.vehicles[&id]
    }

    fn driver(&self, id: DriverId) -> &str {
        &self.drivers[&id]
    }
}

/// A list, read to its end page by page. Small pages, so that the cursors are used.
pub async fn every<T>(read: impl AsyncFn(Page) -> odograph_store::Result<Listed<T>>) -> Vec<T> {
    let mut items = Vec::new();
    let mut page = Page { after: None, limit: 50 };
    loop {
        let listed = read(page).await.expect("a page of a list");
        items.extend(listed.items);
        let Some(next) = listed.next else { return items };
        page = Page {
            after: Some(next),
            limit: 50,
        };
    }
}
