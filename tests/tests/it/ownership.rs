//! A car is sold, a device moves to another car, an odometer is replaced, a driver leaves: histories part at the instant, in
//! whatever order data and changes come, nothing of one is told as the other's, and the kilometres stay right.

mod devices;
mod odometer;
mod people;
mod sale;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use odograph_domain::{id::TenantId, policy::Product};
use odograph_tests::{
    http::Api,
    platform::{Insured, Platform},
};
use serde_json::{Value, json};

/// Every scope that is not special, and those that tell what became of things.
const SCOPES: &[&str] = &[
    "telemetry:write",
    "vehicles:read",
    "vehicles:write",
    "drivers:read",
    "drivers:write",
    "fleets:read",
    "fleets:write",
    "policies:read",
    "policies:write",
    "premiums:read",
    "trips:read",
    "tracks:read",
    "scores:read",
    "reports:read",
    "deadletters:read",
    "deadletters:write",
];

fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("a time")
}

/// A drive north at a steady 60 km/h, a sample a second: a kilometre a minute.
#[derive(Debug, Clone, Copy)]
struct Drive<'a> {
    from: &'a str,
    minutes: i64,
    /// What the odometer shows at its beginning.
    odometer_km: f64,
}

/// How the samples of a drive say what they are of.
#[derive(Debug, Clone, Copy)]
struct Of<'a> {
    vehicle: Option<&'a str>,
    device: Option<&'a str>,
    driver: Option<&'a str>,
}

impl<'a> Of<'a> {
    fn vehicle(vehicle: &'a str) -> Self {
        Self {
            vehicle: Some(vehicle),
            device: None,
            driver: None,
        }
    }

    fn device(device: &'a str) -> Self {
        Self {
            vehicle: None,
            device: Some(device),
            driver: None,
        }
    }
}

impl Drive<'_> {
    fn samples(&self) -> Vec<Value> {
        let from = at(self.from);
        let seconds = self.minutes * 60;
        (0..=seconds)
            .map(|second| {
                let km = second as f64 / 60.0;
                json!({
                    "ts": (from + TimeDelta::seconds(second)).to_rfc3339(),
                    "lat": 50.0 + km / 111.2, "lon": 8.0, "accuracy_m": 3.0,
                    "speed_kmh": 60.0, "ignition": second < seconds,
                    // In steps of a metre, as a car's bus tells it.
                    "odometer_km": ((self.odometer_km + km) * 1000.0).round() / 1000.0,
                })
            })
            .collect()
    }
}

/// A platform with a tenant whose client may do everything here.
struct World {
    platform: Platform,
    api: Api,
    tenant: TenantId,
    token: String,
}

impl World {
    /// Each of these cars is insured with a driver of its own from March 2026 on, under `<car>-policy`.
    async fn begin(cars: &[(&str, &str)]) -> Self {
        let mut platform = Platform::start().await;
        platform.work();
        let api = platform.serve().await;
        let tenant = platform.tenant("insurer").await;
        let world = Self {
            token: api.token(&platform.client(tenant, SCOPES).await).await,
            platform,
            api,
            tenant,
        };
        world.insure(cars).await;
        world
    }

    async fn insure(&self, cars: &[(&str, &str)]) {
        let insured: Vec<Insured> = cars
            .iter()
            .map(|(car, driver)| Insured {
                vehicle: (*car).to_owned(),
                driver: (*driver).to_owned(),
                product: Product::Phyd,
                time_zone: Tz::Europe__Berlin,
                starts_on: "2026-03-01".parse().expect("a day"),
            })
            .collect();
        self.platform.insure(self.tenant, &insured).await;
    }

    async fn get(&self, path: &str) -> Value {
        let answer = self.api.get(&self.token, path).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.json()
    }

    async fn every(&self, path: &str) -> Vec<Value> {
        self.api.every(&self.token, path).await
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        let answer = self.api.post(&self.token, path, &body).await;
        assert!(answer.status.is_success(), "{path} {body}: {answer:?}");
        answer.json()
    }

    /// Posts something that changes what data means, and has what follows from it done.
    async fn file(&self, path: &str, body: Value) -> Value {
        let answer = self.post(path, body).await;
        self.platform.derive(self.tenant).await;
        answer
    }

    /// Deletes something that was filed by mistake, and has what follows from it done.
    async fn take_back(&self, path: &str) {
        let answer = self.api.send(reqwest::Method::DELETE, &self.token, path, None).await;
        assert_eq!(answer.status, 204, "{path}: {answer:?}");
        self.platform.derive(self.tenant).await;
    }

    async fn device(&self, vehicle: &str, name: &str) {
        let body = json!({ "external_ref": name, "kind": "obd_dongle" });
        self.post(&format!("/v1/vehicles/{vehicle}/devices"), body).await;
    }

    /// Sends a drive in batches of two minutes, and has what follows from it done.
    async fn drive(&self, of: Of<'_>, drive: Drive<'_>) {
        let batches: Vec<Value> = drive
            .samples()
            .chunks(120)
            .map(|samples| {
                let mut batch = json!({ "schema": 1, "batch_id": samples[0]["ts"], "samples": samples });
                for (name, value) in [("vehicle", of.vehicle), ("device", of.device), ("driver", of.driver)] {
                    if let Some(value) = value {
                        batch[name] = value.into();
                    }
                }
                batch
            })
            .collect();
        let answer = self.post("/v1/telemetry/bulk", json!({ "batches": batches })).await;
        assert_eq!(answer["refused"], 0, "{answer:#}");
        self.settled(&answer).await;
        self.platform.derive(self.tenant).await;
    }

    /// Waits until every batch of a bulk answer has its outcome.
    async fn settled(&self, answer: &Value) {
        for batch in answer["batches"].as_array().expect("batches") {
            let path = format!(
                "/v1/telemetry/messages/{}",
                batch["message_id"].as_str().expect("an id")
            );
            let patience = 600;
            for turn in 0..=patience {
                let status = self.get(&path).await;
                if status["state"] == "settled" {
                    break;
                }
                assert!(turn < patience, "{path} was never settled: {status}");
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        }
    }

    /// Metres by day of a policy, as `MM-DD metres`.
    async fn usage(&self, policy: &str) -> Vec<(String, i64)> {
        let path = format!("/v1/policies/{policy}/usage?from=2026-01-01&to=2026-12-31");
        let usage = self.get(&path).await;
        let days = usage["days"].as_array().expect("days").iter();
        days.map(|day| {
            let name = day["day"].as_str().expect("a day")[5..].to_owned();
            (name, day["metres"].as_i64().expect("metres"))
        })
        .collect()
    }

    /// The trips of a list, by their starts.
    async fn trips(&self, query: &str) -> Vec<Trip> {
        let mut trips: Vec<Trip> = self
            .every(&format!("/v1/trips?{query}"))
            .await
            .iter()
            .map(Trip::of)
            .collect();
        trips.sort_by(|a, b| a.start.cmp(&b.start));
        trips
    }

    async fn id(&self, path: &str) -> String {
        self.get(path).await["id"].as_str().expect("an id").to_owned()
    }

    async fn dead_letters(&self, reason: &str) -> Vec<Value> {
        self.every(&format!("/v1/dead-letters?reason={reason}")).await
    }

    async fn end(self) {
        self.platform.end().await;
    }
}

/// What the API tells of a trip.
#[derive(Debug, Clone, PartialEq)]
struct Trip {
    id: String,
    start: String,
    ended_by: String,
    driver: Option<String>,
    km: f64,
    version: i64,
}

impl Trip {
    fn of(value: &Value) -> Self {
        let text = |name: &str| value[name].as_str().map(str::to_owned);
        Self {
            id: text("id").expect("an id"),
            start: text("start").expect("a start")[11..16].to_owned(),
            ended_by: text("ended_by").expect("an end"),
            driver: text("driver"),
            km: value["distance_m"].as_f64().expect("metres") / 1000.0,
            version: value["version"].as_i64().expect("a version"),
        }
    }
}

/// Starts and tenths of kilometres, which is what these drives are known to.
fn told(trips: &[Trip]) -> Vec<(&str, f64)> {
    trips
        .iter()
        .map(|trip| (trip.start.as_str(), (trip.km * 10.0).round() / 10.0))
        .collect()
}

/// Days with whole tenths of kilometres.
fn km(usage: &[(String, i64)]) -> Vec<(&str, f64)> {
    usage
        .iter()
        .map(|(day, metres)| (day.as_str(), (*metres as f64 / 100.0).round() / 10.0))
        .collect()
}
