//! Two tenants with the same data under the same names: neither sees anything of the other.
//!
//! The operations come from the OpenAPI document, the ids from whatever the first tenant is told, and the tables from the
//! database, so that what is new is tried without being listed here.

mod tables;

use std::collections::{BTreeMap, BTreeSet};

use odograph_domain::id::TenantId;
use odograph_tests::{
    http::{Answer, Api},
    platform::{Insured, Platform},
    telemetry::{Rows, small_fleet},
};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

/// Scopes of a client that may do everything.
const ALL_SCOPES: &[&str] = &[
    "telemetry:write",
    "vehicles:read",
    "vehicles:write",
    "drivers:read",
    "drivers:write",
    "drivers:identity",
    "fleets:read",
    "fleets:write",
    "policies:read",
    "policies:write",
    "plans:read",
    "plans:write",
    "trips:read",
    "tracks:read",
    "scores:read",
    "reports:read",
    "premiums:read",
    "premiums:write",
    "deadletters:read",
    "deadletters:write",
    "settings:read",
    "settings:write",
];

/// An id that nothing has.
const ABSENT: &str = "0192f0c1-2f6b-7c3a-8a55-0d9f6f4f2a10";

/// An operation whose path names a thing.
#[derive(Debug, Clone)]
struct Operation {
    id: String,
    method: Method,
    path: String,
    /// Query parameters it cannot do without.
    query: &'static str,
}

impl Operation {
    /// How many things the path names, one within the other.
    fn parameters(&self) -> usize {
        self.path.matches('{').count()
    }

    /// The path of the list that the last thing named is in.
    fn collection(&self) -> &str {
        let last = self.path.rfind('{').expect("a parameter");
        self.path[..last].trim_end_matches('/')
    }

    /// With a name for each parameter of the path.
    fn at(&self, names: &[String]) -> String {
        assert_eq!(names.len(), self.parameters(), "{self:?}");
        let mut path = self.path.clone();
        for name in names {
            let (before, rest) = path.split_once('{').expect("a parameter");
            let (_, after) = rest.split_once('}').expect("the parameter's end");
            path = format!("{before}{name}{after}");
        }
        format!("{path}{}", self.query)
    }

    /// A body that is sound, so that an answer is about the path. Of an operation that is not here the test fails.
    fn body(&self) -> Option<Value> {
        if matches!(self.method, Method::GET | Method::DELETE) {
            return None;
        }
        Some(match self.id.as_str() {
            "add_fleet_vehicle" | "add_group_vehicle" | "create_device_credential" => return None,
            "update_driver" => json!({ "external_ref": "another-driver" }),
            "update_fleet" | "update_group" => json!({ "name": "Renamed" }),
            "resubmit_dead_letter" => json!({}),
            "discard_dead_letter" => json!({ "reason": "a test" }),
            "create_group" => json!({ "name": "Another group" }),
            "update_vehicle" => json!({ "make": "Wartburg" }),
            "update_policy" => json!({ "ends_on": "2034-01-01" }),
            "change_policy" => json!({ "effective_on": "2031-01-01", "product": "payd" }),
            "cancel_policy" => json!({ "ends_on": "2031-01-01" }),
            "create_assignment" => json!({ "driver": "demo-driver-001", "from": "2031-01-01T00:00:00Z" }),
            "create_device" => json!({ "external_ref": "another-dongle", "kind": "obd" }),
            "quote_policy_change" => {
                json!({ "change": { "effective_on": "2026-03-30", "product": "payd" }, "from": "2026-03" })
            }
            "end_assignment" => json!({ "at": "2030-01-15T00:00:00Z" }),
            "pair_device" => json!({ "vehicle": "demo-vehicle-001", "from": "2026-06-01T00:00:00Z" }),
            "remove_device" => json!({ "at": "2026-06-01T00:00:00Z" }),
            "transfer_vehicle" | "change_odometer" => json!({ "at": "2020-06-01T00:00:00Z" }),
            "driver_leaves" => json!({ "at": "2026-06-01T00:00:00Z" }),
            "rate_premium" => json!({ "period": "2026-03" }),
            "add_rating_plan_version" => json!({ "effective_from": "2032-01-01", "terms": terms() }),
            other => panic!("give the operation {other} a sound body in this test"),
        })
    }

    async fn ask(&self, api: &Api, token: &str, names: &[String]) -> Answer {
        let body = self.body();
        api.send(self.method.clone(), token, &self.at(names), body.as_ref())
            .await
    }
}

fn terms() -> Value {
    json!({ "currency": "EUR", "base_per_month": "10", "rate_per_km": "0.1", "rounding": { "step": "0.01", "mode": "half_up" } })
}

fn operations(document: &Value) -> Vec<Operation> {
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            // What is of the platform no tenant's client reaches at all: see `operator`.
            if !path.contains('{') || method == "parameters" || path.starts_with("/v1/tenants") {
                continue;
            }
            let id = operation["operationId"].as_str().expect("an operationId").to_owned();
            operations.push(Operation {
                method: method.to_uppercase().parse().expect("a method"),
                path: path.clone(),
                query: match id.as_str() {
                    "list_usage" => "?from=2026-01-01&to=2026-12-31",
                    "get_driver_report" | "get_fleet_report" => "?period=2026",
                    _ => "",
                },
                id,
            });
        }
    }
    operations
}

/// Every id in a text.
fn ids(text: &str) -> BTreeSet<Uuid> {
    let spans = text.split(|c: char| !(c.is_ascii_hexdigit() || c == '-'));
    spans
        .filter(|span| span.len() == 36)
        .filter_map(|span| span.parse().ok())
        .collect()
}

/// The ids of a list's items, of what is a list.
fn items_of(text: &str) -> Option<BTreeSet<Uuid>> {
    let answer: Value = serde_json::from_str(text).ok()?;
    let items = answer["items"].as_array()?.iter();
    Some(items.filter_map(|item| item["id"].as_str()?.parse().ok()).collect())
}

/// The names of a thing, and what a list within it told of.
type Within = (Vec<String>, BTreeSet<Uuid>);

/// Everything a tenant is told: all lists, and whatever the ids in them lead to.
struct Told {
    ids: BTreeSet<Uuid>,
    /// By the path of a list within a thing: the thing's names, and with them what the list told of.
    within: BTreeMap<String, Vec<Within>>,
    /// Operations that told something, with how often.
    by: BTreeMap<String, usize>,
    text: String,
}

async fn everything(api: &Api, token: &str, document: &Value, operations: &[Operation]) -> Told {
    let mut told = Told {
        ids: BTreeSet::new(),
        within: BTreeMap::new(),
        by: BTreeMap::new(),
        text: String::new(),
    };
    for (path, item) in document["paths"].as_object().expect("paths") {
        let platform = path.starts_with("/v1/tenants");
        let tenants = path.starts_with("/v1/") && !platform && !path.contains('{') && item.get("get").is_some();
        if tenants {
            let answer = api.get(token, path).await;
            assert_eq!(answer.status, 200, "{path}: {answer:?}");
            told.ids.extend(ids(&answer.text));
            told.text.push_str(&answer.text);
            if answer.json().get("next_cursor").is_some() {
                let items = json!(api.every(token, path).await).to_string();
                told.ids.extend(ids(&items));
                told.text.push_str(&items);
            }
        }
    }
    let mut asked = BTreeSet::new();
    while let Some(id) = told.ids.difference(&asked).next().copied() {
        asked.insert(id);
        for operation in operations.iter().filter(|operation| operation.method == Method::GET) {
            if operation.parameters() == 1 {
                told.ask(api, token, operation, &[id.to_string()]).await;
            }
        }
    }
    for depth in 2..=3 {
        for operation in operations.iter().filter(|operation| operation.method == Method::GET) {
            if operation.parameters() == depth {
                for names in told.chains(operation) {
                    told.ask(api, token, operation, &names).await;
                }
            }
        }
    }
    told
}

/// Things within things that are tried, of each kind.
const MOST_CHAINS: usize = 24;

impl Told {
    async fn ask(&mut self, api: &Api, token: &str, operation: &Operation, names: &[String]) {
        let answer = operation.ask(api, token, names).await;
        if answer.status != 200 {
            return;
        }
        let found = ids(&answer.text);
        self.ids.extend(found.iter().copied());
        self.text.push_str(&answer.text);
        *self.by.entry(operation.id.clone()).or_default() += 1;
        let within = self.within.entry(operation.path.clone()).or_default();
        within.push((names.to_vec(), items_of(&answer.text).unwrap_or(found)));
    }

    /// Names for an operation on something within something: those that the list it is in told of.
    fn chains(&self, operation: &Operation) -> Vec<Vec<String>> {
        let lists = self.within.get(operation.collection()).into_iter().flatten();
        let mut chains: Vec<Vec<String>> = lists
            .flat_map(|(outer, inner)| {
                inner
                    .iter()
                    .map(move |id| outer.iter().cloned().chain([id.to_string()]).collect())
            })
            .collect();
        // Not the first ones only, which may be of one kind: spread over all.
        let step = chains.len().div_ceil(MOST_CHAINS).max(1);
        chains = chains.into_iter().step_by(step).collect();
        chains
    }
}

/// A tenant with telemetry, people, devices and dead letters, and a token that may do everything.
async fn furnished(platform: &Platform, api: &Api, name: &str) -> (TenantId, String) {
    let fleet = small_fleet(2, 2);
    let rows = Rows::of_fleet(&fleet);
    let tenant = platform.tenant(name).await;
    let insured: Vec<_> = fleet
        .iter()
        .map(|vehicle| Insured {
            vehicle: vehicle.external_ref.clone(),
            driver: vehicle.driver.external_ref.clone(),
            product: vehicle.product,
            time_zone: chrono_tz::Tz::Europe__Berlin,
            starts_on: rows.first_day(&vehicle.external_ref).expect("a first row"),
        })
        .collect();
    platform.insure(tenant, &insured).await;
    let mut rows = rows;
    let speed = rows.column("speed_kmh");
    rows.rows[5][speed] = "-4000".to_owned();
    // The first drives come late, after others were seen, so that there are corrections to be told of.
    let (ts, of) = (rows.column("ts"), rows.column("vehicle_id"));
    let first_day = rows.first_day(&fleet[0].external_ref).expect("a first row");
    let noon = format!("{}T12:00", first_day.succ_opt().expect("a next day"));
    let late = |row: &[String]| row[ts] < noon && row[of] == fleet[0].external_ref;
    for (part, rows) in [("early", rows.filter(|row| !late(row))), ("late", rows.filter(late))] {
        let file = rows.write(platform.folder(), &format!("{name}-{part}.csv"));
        platform.import(tenant, &file).await;
    }

    let token = api.token(&platform.client(tenant, ALL_SCOPES).await).await;
    let vehicle = "/v1/vehicles/demo-vehicle-001";
    let driver = json!({ "external_ref": "ada", "identity": { "name": "Ada Lovelace" } });
    let assignment = json!({ "driver": "ada", "from": "2030-01-01T00:00:00Z", "to": "2030-02-01T00:00:00Z" });
    for (path, body) in [
        ("/v1/drivers".to_owned(), driver),
        (
            format!("{vehicle}/devices"),
            json!({ "external_ref": "dongle-1", "kind": "obd" }),
        ),
        ("/v1/devices/dongle-1/credentials".to_owned(), json!({})),
        (format!("{vehicle}/assignments"), assignment),
        (format!("{vehicle}/transfers"), json!({ "at": "2020-01-01T00:00:00Z" })),
        (
            format!("{vehicle}/odometer-changes"),
            json!({ "at": "2020-01-01T00:00:00Z" }),
        ),
        (
            "/v1/quotes".to_owned(),
            json!({ "product": "payd", "rating_plan": "standard", "km_per_month": "800", "starts_on": "2026-07-01" }),
        ),
        (
            "/v1/fleets".to_owned(),
            json!({ "external_ref": "vans", "name": "Vans" }),
        ),
        (
            "/v1/fleets/vans/groups".to_owned(),
            json!({ "external_ref": "north", "name": "North" }),
        ),
    ] {
        let answer = api.post(&token, &path, &body).await;
        assert_eq!(answer.status, 201, "{path}: {answer:?}");
    }
    // A message that somebody may ask about.
    let turned =
        json!({ "schema": 1, "batch_id": "b", "vehicle": "nobody", "samples": [{ "ts": "2026-03-28T07:15:00Z" }] });
    api.post(&token, "/v1/telemetry/batches", &turned).await.problem(422);
    for place in ["vans", "vans/groups/north"] {
        let path = format!("/v1/fleets/{place}/vehicles/demo-vehicle-001");
        let answer = api.send(Method::PUT, &token, &path, None).await;
        assert_eq!(answer.status, 204, "{path}: {answer:?}");
    }
    (tenant, token)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_operation_answers_for_an_id_of_another_tenant() {
    let mut platform = Platform::start().await;
    platform.work();
    let api = platform.serve().await;
    let (_, ours) = furnished(&platform, &api, "ours").await;
    let (_, theirs) = furnished(&platform, &api, "theirs").await;
    let document = api.openapi().await;
    let operations = operations(&document);
    assert!(operations.len() >= 15, "{operations:?}");

    let of_ours = everything(&api, &ours, &document, &operations).await;
    let of_theirs = everything(&api, &theirs, &document, &operations).await;
    let shared: Vec<_> = of_ours.ids.intersection(&of_theirs.ids).collect();
    assert!(shared.is_empty(), "both tenants are told of {shared:?}");
    for operation in operations.iter().filter(|operation| operation.method == Method::GET) {
        assert!(
            of_ours.by.contains_key(&operation.id),
            "no id of ours was good for {operation:?}: this shows nothing"
        );
    }
    // How many corrections late data comes to, and so how many versions of premiums, depends on whether its batches were
    // derived together.
    let told = |told: &Told| {
        let mut by = told.by.clone();
        by.retain(|operation, _| !["get_correction", "get_premium"].contains(&operation.as_str()));
        by
    };
    assert_eq!(told(&of_ours), told(&of_theirs), "the same data, told differently");

    for operation in &operations {
        let absent = vec![ABSENT.to_owned(); operation.parameters()];
        let nothing = operation.ask(&api, &theirs, &absent).await;
        assert_eq!(nothing.status, 404, "{operation:?} of an absent id: {nothing:?}");
        if operation.parameters() == 1 {
            for id in &of_ours.ids {
                denied(&api, &theirs, operation, &[id.to_string()], &nothing).await;
            }
            continue;
        }
        let of_both = of_ours.chains(operation);
        assert!(
            !of_both.is_empty(),
            "no ids of ours for {operation:?}: this shows nothing"
        );
        for names in &of_both {
            denied(&api, &theirs, operation, names, &nothing).await;
        }
        // A thing of ours within one of theirs.
        for names in of_theirs.chains(operation).iter().take(3) {
            let (_, outer) = names.split_last().expect("names");
            let at = |inner: &str| outer.iter().cloned().chain([inner.to_owned()]).collect::<Vec<_>>();
            let nothing = operation.ask(&api, &theirs, &at(ABSENT)).await;
            assert_eq!(nothing.status, 404, "{operation:?} of an absent id: {nothing:?}");
            for id in of_both.iter().filter_map(|names| names.last()) {
                denied(&api, &theirs, operation, &at(id), &nothing).await;
            }
        }
    }
    in_bodies_and_queries(&api, &ours, &theirs).await;
    let after = everything(&api, &ours, &document, &operations).await;
    assert_eq!(after.ids, of_ours.ids, "the other tenant changed something of ours");
    platform.end().await;
}

/// Names of ours are answered as names of nothing are.
async fn denied(api: &Api, theirs: &str, operation: &Operation, names: &[String], nothing: &Answer) {
    let answer = operation.ask(api, theirs, names).await;
    answer.problem(404);
    let same = names
        .iter()
        .fold(without_request(&answer), |text, name| text.replace(name, ABSENT));
    let nothing = names
        .iter()
        .fold(without_request(nothing), |text, name| text.replace(name, ABSENT));
    assert_eq!(same, nothing, "{operation:?}: an absent id and another tenant's differ");
}

/// A problem without what differs from request to request.
fn without_request(answer: &Answer) -> String {
    let mut problem = answer.json();
    problem.as_object_mut().expect("a problem").remove("instance");
    problem.to_string()
}

/// [`without_request`], and without any id: a batch that is turned away is told the id it is kept under.
fn without_ids(answer: &Answer) -> String {
    let told = without_request(answer);
    ids(&told)
        .iter()
        .fold(told, |told, id| told.replace(&id.to_string(), "id"))
}

/// Ids of ours in bodies and queries of theirs name nothing: they are answered as what does not exist is.
async fn in_bodies_and_queries(api: &Api, ours: &str, theirs: &str) {
    let first = async |path: &str| {
        let id = api.every(ours, path).await[0]["id"].as_str().map(str::to_owned);
        id.expect("an id")
    };
    let vehicle = first("/v1/vehicles").await;
    let driver = first("/v1/drivers").await;
    let plan = first("/v1/rating-plans").await;
    let fleet = first("/v1/fleets").await;
    let group = first("/v1/fleets/vans/groups").await;
    // One without a policy, so that no overlap is the reason.
    let (car, person) = ("new-car", "demo-driver-001");
    let created = api.post(theirs, "/v1/vehicles", &json!({ "external_ref": car })).await;
    assert_eq!(created.status, 201, "{created:?}");
    let policy = |vehicle: &str, driver: &str, plan: &str| {
        json!({ "vehicle": vehicle, "main_driver": driver, "rating_plan": plan, "product": "phyd", "currency": "EUR",
            "time_zone": "UTC", "starts_on": "2035-01-01" })
    };
    let assignment = json!({ "driver": driver, "from": "2033-01-01T00:00:00Z" });
    let batch =
        json!({ "schema": 1, "batch_id": "b", "vehicle": vehicle, "samples": [{ "ts": "2026-03-28T07:15:00Z" }] });
    let named = json!({ "schema": 1, "batch_id": "b", "vehicle": car, "driver": driver, "samples": [] });
    for (path, body, id) in [
        ("/v1/policies", policy(&vehicle, person, "standard"), &vehicle),
        ("/v1/policies", policy(car, &driver, "standard"), &driver),
        ("/v1/policies", policy(car, person, &plan), &plan),
        ("/v1/vehicles/new-car/assignments", assignment, &driver),
        ("/v1/telemetry/batches", batch, &vehicle),
    ] {
        let answer = api.post(theirs, path, &body).await;
        let body: Value = serde_json::from_str(&body.to_string().replace(id, ABSENT)).expect("a body");
        let nothing = api.post(theirs, path, &body).await;
        assert_eq!(answer.problem(422), nothing.problem(422), "{path} {body}");
        assert_eq!(without_ids(&answer), without_ids(&nothing), "{path} {body}");
    }
    // A batch that names a driver is judged by the worker: nothing of it may reach the other tenant's driver.
    let sent = api.post(theirs, "/v1/telemetry/batches", &named).await;
    assert!(sent.status == 202 || sent.status.is_client_error(), "{sent:?}");
    let policy = first("/v1/policies").await;
    for (path, id) in [
        ("/v1/quotes?policy=", &policy),
        ("/v1/usage?policy=", &policy),
        ("/v1/usage?rating_plan=", &plan),
        ("/v1/premiums?policy=", &policy),
        ("/v1/premiums?vehicle=", &vehicle),
    ] {
        assert_eq!(
            api.get(theirs, &format!("{path}{id}")).await.problem(404),
            "not_found",
            "{path}"
        );
        assert_eq!(
            api.get(theirs, &format!("{path}{ABSENT}")).await.problem(404),
            "not_found",
            "{path}"
        );
    }
    for (body, id) in [
        (
            json!({ "product": "phyd", "rating_plan": plan, "km_per_month": "1" }),
            &plan,
        ),
        (
            json!({ "product": "phyd", "rating_plan": "standard", "km_per_month": "1", "driver": driver }),
            &driver,
        ),
    ] {
        let answer = api.post(theirs, "/v1/quotes", &body).await;
        let body: Value = serde_json::from_str(&body.to_string().replace(id, ABSENT)).expect("a body");
        let nothing = api.post(theirs, "/v1/quotes", &body).await;
        assert_eq!(answer.problem(422), nothing.problem(422), "{body}");
        assert_eq!(without_ids(&answer), without_ids(&nothing), "{body}");
    }
    for (name, id) in [
        ("vehicle", &vehicle),
        ("driver", &driver),
        ("fleet", &fleet),
        ("group", &group),
    ] {
        for list in ["trips", "events"] {
            let answer = api.get(theirs, &format!("/v1/{list}?{name}={id}")).await;
            let nothing = api.get(theirs, &format!("/v1/{list}?{name}={ABSENT}")).await;
            assert_eq!(answer.status, nothing.status, "{answer:?}");
            assert!(
                answer.status == 404 || answer.json()["items"] == json!([]),
                "{name}: {answer:?}"
            );
        }
    }
}
