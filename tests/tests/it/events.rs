//! Behaviour events over the API: by trip, by vehicle, over all; where they were only for whoever may read tracks.

use std::collections::BTreeSet;

use odograph_tests::{
    platform::{Insured, Platform},
    telemetry::{Rows, small_fleet},
};
use serde_json::Value;

fn ids(items: &[Value]) -> BTreeSet<String> {
    items
        .iter()
        .map(|item| item["id"].as_str().expect("an id").to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_told_by_trip_by_vehicle_and_by_severity() {
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
    let file = rows.write(platform.folder(), "rows.csv");
    platform.import(tenant, &file).await;
    let plain = api
        .token(&platform.client(tenant, &["trips:read", "vehicles:read"]).await)
        .await;
    let tracker = api
        .token(&platform.client(tenant, &["trips:read", "tracks:read"]).await)
        .await;

    let all = api.every(&plain, "/v1/events").await;
    assert!(all.len() > 3, "{all:?}");
    assert!(
        all.windows(2)
            .all(|pair| pair[0]["ts"].as_str() >= pair[1]["ts"].as_str())
    );
    let mut by_vehicle = BTreeSet::new();
    for car in &insured {
        by_vehicle.extend(ids(&api
            .every(&plain, &format!("/v1/vehicles/{}/events", car.vehicle))
            .await));
    }
    assert_eq!(by_vehicle, ids(&all));
    let mut by_trip = BTreeSet::new();
    for trip in api.every(&plain, "/v1/trips?sort=start").await {
        let path = format!("/v1/trips/{}/events", trip["id"].as_str().expect("an id"));
        let of_trip = api.every(&plain, &path).await;
        assert!(
            of_trip
                .windows(2)
                .all(|pair| pair[0]["ts"].as_str() <= pair[1]["ts"].as_str())
        );
        assert!(of_trip.iter().all(|event| event.get("position").is_none()));
        by_trip.extend(ids(&of_trip));
        for event in api.every(&tracker, &path).await {
            assert!(event["position"]["lat"].as_f64().is_some(), "{event}");
        }
    }
    assert_eq!(by_trip, ids(&all));

    let medium = api.every(&plain, "/v1/events?min_severity=medium").await;
    let wanted: Vec<Value> = all.iter().filter(|event| event["severity"] != "low").cloned().collect();
    assert_eq!(medium, wanted);
    let kind = all[0]["kind"].as_str().expect("a kind");
    let of_kind = api.every(&plain, &format!("/v1/events?kind={kind}")).await;
    assert!(of_kind.iter().all(|event| event["kind"] == kind) && !of_kind.is_empty());
    api.get(&plain, "/v1/events?kind=singing").await.problem(400);
    api.get(&plain, "/v1/events?min_severity=huge").await.problem(400);

    let (event, vehicle) = (&all[0], all[0]["vehicle"].as_str().expect("a vehicle"));
    let id = event["id"].as_str().expect("an id");
    let path = format!("/v1/vehicles/{vehicle}/events/{id}");
    assert_eq!(&api.get(&plain, &path).await.json(), event);
    assert!(api.get(&tracker, &path).await.json()["position"]["lon"].is_number());
    // Of another vehicle it is no event.
    for car in &insured {
        let same = api.get(&plain, &format!("/v1/vehicles/{}", car.vehicle)).await.json()["id"] == vehicle;
        let answer = api
            .get(&plain, &format!("/v1/vehicles/{}/events/{id}", car.vehicle))
            .await;
        assert_eq!(answer.status.as_u16(), if same { 200 } else { 404 }, "{answer:?}");
    }
    platform.end().await;
}
