//! Fleets and groups over the API, lists that are narrowed by them, and what a fleet drove.

use odograph_tests::{
    http::Api,
    platform::{Insured, Platform},
    telemetry::{Rows, small_fleet},
};
use reqwest::Method;
use serde_json::{Value, json};

async fn put(api: &Api, token: &str, path: &str) -> u16 {
    api.send(Method::PUT, token, path, None).await.status.as_u16()
}

async fn delete(api: &Api, token: &str, path: &str) -> u16 {
    api.send(Method::DELETE, token, path, None).await.status.as_u16()
}

fn names(items: &[Value]) -> Vec<&str> {
    items
        .iter()
        .map(|item| item["external_ref"].as_str().expect("a reference"))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn fleets_and_groups_are_made_changed_filled_and_given_up() {
    let mut platform = Platform::start().await;
    let api = platform.serve().await;
    let tenant = platform.tenant("insurer").await;
    let token = api.token(&platform.client(tenant, &[]).await).await;
    for number in 1..=3 {
        let car = json!({ "external_ref": format!("car-{number}") });
        assert_eq!(api.post(&token, "/v1/vehicles", &car).await.status, 201);
    }
    let vans = json!({ "external_ref": "vans", "name": "Vans" });
    let made = api.post(&token, "/v1/fleets", &vans).await;
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(api.get(&token, made.header("location")).await.json(), made.json());
    assert_eq!(api.post(&token, "/v1/fleets", &vans).await.problem(409), "conflict");
    let trucks = json!({ "external_ref": "trucks", "name": "Trucks" });
    assert_eq!(api.post(&token, "/v1/fleets", &trucks).await.status, 201);
    assert_eq!(names(&api.every(&token, "/v1/fleets").await), ["vans", "trucks"]);

    // Into the fleet, twice is as once; a vehicle of another fleet has to leave that first.
    for car in ["car-1", "car-1", "car-2"] {
        assert_eq!(put(&api, &token, &format!("/v1/fleets/vans/vehicles/{car}")).await, 204);
    }
    assert_eq!(put(&api, &token, "/v1/fleets/trucks/vehicles/car-1").await, 409);
    assert_eq!(put(&api, &token, "/v1/fleets/nobody/vehicles/car-1").await, 404);
    assert_eq!(put(&api, &token, "/v1/fleets/vans/vehicles/nobody").await, 404);
    let listed = api.every(&token, "/v1/fleets/vans/vehicles").await;
    assert_eq!(names(&listed), ["car-1", "car-2"]);

    let north = json!({ "external_ref": "north", "name": "North" });
    let group = api.post(&token, "/v1/fleets/vans/groups", &north).await;
    assert_eq!(group.status, 201, "{group:?}");
    let path = "/v1/fleets/vans/groups/north";
    assert_eq!(put(&api, &token, &format!("{path}/vehicles/car-2")).await, 204);
    assert_eq!(put(&api, &token, &format!("{path}/vehicles/car-3")).await, 409);
    assert_eq!(names(&api.every(&token, &format!("{path}/vehicles")).await), ["car-2"]);
    api.get(&token, "/v1/fleets/trucks/groups/north").await.problem(404);

    // Lists are narrowed by either.
    for (query, wanted) in [
        ("fleet=vans&sort=external_ref", vec!["car-1", "car-2"]),
        ("group=north", vec!["car-2"]),
        (
            "external_ref_prefix=car-&sort=-created_at",
            vec!["car-3", "car-2", "car-1"],
        ),
        ("external_ref_prefix=car-3&fleet=vans", vec![]),
    ] {
        assert_eq!(
            names(&api.every(&token, &format!("/v1/vehicles?{query}")).await),
            wanted,
            "{query}"
        );
    }
    api.get(&token, "/v1/vehicles?fleet=nobody").await.problem(404);
    api.get(&token, "/v1/vehicles?sort=colour").await.problem(400);
    api.get(&token, "/v1/vehicles?vin=short").await.problem(400);

    // Changed by its tag, and given up with its groups; the vehicles stay.
    let tag = api.get(&token, "/v1/fleets/vans").await.header("etag").to_owned();
    let renamed = api
        .patch(&token, "/v1/fleets/vans", &json!({ "name": "Light vans" }))
        .await;
    assert_eq!(
        (renamed.status.as_u16(), &renamed.json()["name"]),
        (200, &json!("Light vans"))
    );
    api.patch(&token, "/v1/fleets/vans", &json!({ "name": null }))
        .await
        .problem(422);
    let regrouped = api.patch(&token, path, &json!({ "external_ref": "far-north" })).await;
    assert_eq!(regrouped.header("etag"), "\"2\"", "{regrouped:?}");
    let late = api
        .request(Method::DELETE, "/v1/fleets/vans")
        .bearer_auth(&token)
        .header("if-match", &tag);
    let late = odograph_tests::http::Answer::of(late.send().await).await;
    assert_eq!(late.problem(412), "precondition_failed");
    assert_eq!(
        delete(&api, &token, "/v1/fleets/vans/groups/far-north/vehicles/car-2").await,
        204
    );
    assert_eq!(
        delete(&api, &token, "/v1/fleets/vans/groups/far-north/vehicles/car-2").await,
        404
    );
    assert_eq!(delete(&api, &token, "/v1/fleets/vans/groups/far-north").await, 204);
    assert_eq!(delete(&api, &token, "/v1/fleets/vans/vehicles/car-2").await, 204);
    assert_eq!(delete(&api, &token, "/v1/fleets/vans").await, 204);
    api.get(&token, "/v1/fleets/vans").await.problem(404);
    assert_eq!(put(&api, &token, "/v1/fleets/trucks/vehicles/car-1").await, 204);
    platform.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleets_summary_adds_up_to_its_trips() {
    let mut platform = Platform::start().await;
    platform.work();
    let api = platform.serve().await;
    let tenant = platform.tenant("insurer").await;
    let fleet = small_fleet(2, 3);
    let rows = Rows::of_fleet(&fleet);
    let insured: Vec<_> = fleet
        .iter()
        .map(|vehicle| Insured {
            vehicle: vehicle.external_ref.clone(),
            driver: vehicle.driver.external_ref.clone(),
            product: odograph_domain::policy::Product::Phyd,
            time_zone: chrono_tz::Tz::Europe__Berlin,
            starts_on: rows.first_day(&vehicle.external_ref).expect("a first row"),
        })
        .collect();
    platform.insure(tenant, &insured).await;
    platform
        .import(tenant, &rows.write(platform.folder(), "rows.csv"))
        .await;
    let token = api.token(&platform.client(tenant, &[]).await).await;
    let vans = json!({ "external_ref": "vans", "name": "Vans" });
    assert_eq!(api.post(&token, "/v1/fleets", &vans).await.status, 201);
    let empty = api.get(&token, "/v1/fleets/vans/summary").await.json();
    assert_eq!((&empty["vehicles"], &empty["trips"]), (&json!(0), &json!(0)), "{empty}");
    assert_eq!(
        (&empty["score"], &empty["events_per_100_km"]),
        (&Value::Null, &Value::Null)
    );

    let car = &insured[0].vehicle;
    assert_eq!(put(&api, &token, &format!("/v1/fleets/vans/vehicles/{car}")).await, 204);
    let summary = api
        .get(&token, "/v1/fleets/vans/summary?from=2020-01-01&to=2035-01-01")
        .await
        .json();
    let trips = api.every(&token, "/v1/trips?fleet=vans").await;
    assert_eq!(trips, api.every(&token, &format!("/v1/trips?vehicle={car}")).await);
    assert!(!trips.is_empty());
    assert_eq!(summary["trips"], json!(trips.len()), "{summary}");
    let km: f64 = trips
        .iter()
        .map(|trip| trip["distance_m"].as_f64().expect("metres"))
        .sum::<f64>()
        / 1000.0;
    assert!(
        (summary["distance_km"].as_f64().expect("km") - km).abs() < 0.01,
        "{summary}"
    );
    let events = api.every(&token, "/v1/events?fleet=vans").await;
    let counted: i64 = summary["events"]
        .as_array()
        .expect("events")
        .iter()
        .map(|kind| kind["count"].as_i64().expect("a count"))
        .sum();
    assert_eq!(counted, events.len() as i64, "{summary}");
    let score = api
        .get(&token, &format!("/v1/drivers/{}/score", insured[0].driver))
        .await
        .json();
    let mean = summary["score"]["mean"].as_f64().expect("a mean");
    assert!((0.0..=100.0).contains(&mean), "{summary} {score}");
    api.get(&token, "/v1/fleets/vans/summary?from=2026-02-01&to=2026-01-01")
        .await
        .problem(400);
    platform.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_a_driver_is_changes_only_with_the_scope_for_it() {
    let mut platform = Platform::start().await;
    let api = platform.serve().await;
    let tenant = platform.tenant("insurer").await;
    let plain = api
        .token(&platform.client(tenant, &["drivers:read", "drivers:write"]).await)
        .await;
    let scopes = ["drivers:read", "drivers:write", "drivers:identity"];
    let trusted = api.token(&platform.client(tenant, &scopes).await).await;
    let ada = json!({ "external_ref": "ada", "identity": { "name": "Ada Lovelace", "email": "ada@example.com" } });
    assert_eq!(api.post(&trusted, "/v1/drivers", &ada).await.status, 201);

    let denied = api.patch(&plain, "/v1/drivers/ada", &json!({ "identity": null })).await;
    assert_eq!(denied.problem(403), "insufficient_scope");
    let renamed = api
        .patch(&plain, "/v1/drivers/ada", &json!({ "external_ref": "D-1" }))
        .await;
    assert_eq!(
        (renamed.status.as_u16(), renamed.header("etag")),
        (200, "\"2\""),
        "{renamed:?}"
    );
    assert!(!renamed.text.contains("Lovelace"), "{renamed:?}");
    let changed = api
        .patch(
            &trusted,
            "/v1/drivers/D-1",
            &json!({ "identity": { "email": null, "phone": "+44 1" } }),
        )
        .await;
    assert_eq!(changed.header("etag"), "\"3\"", "{changed:?}");
    assert_eq!(
        changed.json()["identity"],
        json!({ "name": "Ada Lovelace", "email": null, "phone": "+44 1" })
    );
    let gone = api
        .patch(&trusted, "/v1/drivers/D-1", &json!({ "identity": null }))
        .await;
    assert_eq!(gone.json().get("identity"), None, "{gone:?}");
    assert_eq!(api.get(&trusted, "/v1/drivers/D-1").await.header("etag"), "\"4\"");
    let listed = api.every(&plain, "/v1/drivers?external_ref_prefix=D-").await;
    assert_eq!(names(&listed), ["D-1"]);
    platform.end().await;
}
