//! A car is sold.

use odograph_tests::{http::Answer, snapshot::Snapshot};
use serde_json::json;

use super::{Drive, Of, World, km, told};

const CAR: &str = "car-1";

/// Half past two in the afternoon, UTC: half an hour's drive lies across it.
const SALE: &str = "2026-05-04T14:30:00Z";

const DRIVES: [Drive<'_>; 4] = [
    Drive {
        from: "2026-05-04T08:00:00Z",
        minutes: 20,
        odometer_km: 41_000.0,
    },
    Drive {
        from: "2026-05-04T14:20:00Z",
        minutes: 30,
        odometer_km: 41_020.0,
    },
    Drive {
        from: "2026-05-04T17:00:00Z",
        minutes: 10,
        odometer_km: 41_050.0,
    },
    Drive {
        from: "2026-05-05T07:00:00Z",
        minutes: 15,
        odometer_km: 41_060.0,
    },
];

/// The seller's car in a fleet, and a buyer with another fleet.
async fn begin() -> World {
    let world = World::begin(&[(CAR, "seller")]).await;
    world.post("/v1/drivers", json!({ "external_ref": "buyer" })).await;
    for fleet in ["north", "south"] {
        world
            .post("/v1/fleets", json!({ "external_ref": fleet, "name": fleet }))
            .await;
    }
    world
        .post(
            "/v1/fleets/north/groups",
            json!({ "external_ref": "vans", "name": "Vans" }),
        )
        .await;
    for place in ["north/vehicles", "north/groups/vans/vehicles"] {
        let path = format!("/v1/fleets/{place}/{CAR}");
        let answer = world.api.send(reqwest::Method::PUT, &world.token, &path, None).await;
        assert_eq!(answer.status, 204, "{answer:?}");
    }
    world
}

async fn sell(world: &World) -> serde_json::Value {
    let body = json!({ "at": SALE, "reason": "sold", "fleet": "south" });
    world.file(&format!("/v1/vehicles/{CAR}/transfers"), body).await
}

/// The buyer's policy begins on the day of the sale, on which the seller's still covers the morning.
async fn insure_buyer(world: &World) {
    let policy = json!({ "external_ref": "buyer-policy", "vehicle": CAR, "main_driver": "buyer", "rating_plan": "standard",
        "product": "phyd", "currency": "EUR", "time_zone": "Europe/Berlin", "starts_on": "2026-05-04" });
    world.file("/v1/policies", policy).await;
}

async fn is_parted(world: &World) {
    let (seller, buyer) = (
        world.id("/v1/drivers/seller").await,
        world.id("/v1/drivers/buyer").await,
    );
    let trips = world.trips(&format!("vehicle={CAR}&from=2026-05-04T00:00:00Z")).await;
    let drivers: Vec<_> = trips.iter().map(|trip| trip.driver.as_deref()).collect();
    assert_eq!(
        (told(&trips), drivers),
        (
            vec![
                ("07:00", 15.0),
                ("08:00", 20.0),
                ("14:20", 10.0),
                ("14:30", 20.0),
                ("17:00", 10.0)
            ],
            vec![
                Some(buyer.as_str()),
                Some(&seller),
                Some(&seller),
                Some(&buyer),
                Some(&buyer)
            ],
        )
    );
    assert_eq!(
        (trips[2].ended_by.as_str(), trips[3].ended_by.as_str()),
        ("handover", "ignition_off")
    );

    // One day, two owners, and together every kilometre but the second in which it changed hands.
    let (sold, bought) = (world.usage("car-1-policy").await, world.usage("buyer-policy").await);
    assert_eq!(km(&sold), [("05-04", 30.0)]);
    assert_eq!(km(&bought), [("05-04", 30.0), ("05-05", 15.0)]);
    let metres: i64 = sold.iter().chain(&bought).map(|(_, metres)| metres).sum();
    assert!((75_000 - 20..=75_000).contains(&metres), "{metres}");

    // The seller pays for four days of May and what was driven in them, the buyer from the fourth on.
    for (policy, days, usage) in [("car-1-policy", 4, 30.0), ("buyer-policy", 28, 45.0)] {
        let premiums = world.every(&format!("/v1/policies/{policy}/premiums")).await;
        let may = premiums
            .iter()
            .find(|premium| premium["period"] == "2026-05")
            .expect("a premium of May");
        let may = world
            .get(&format!("/v1/premiums/{}", may["id"].as_str().expect("an id")))
            .await;
        assert_eq!(may["inputs"]["covered_days"], days, "{policy} {may:#}");
        let metres = may["usage_m"].as_i64().expect("metres") as f64;
        assert_eq!((metres / 100.0).round() / 10.0, usage, "{policy}");
    }

    // A fleet sees the time in which the car was its own.
    let starts = async |query: &str| {
        let trips = world.trips(&format!("{query}&from=2026-05-04T00:00:00Z")).await;
        trips.into_iter().map(|trip| trip.start).collect::<Vec<_>>()
    };
    assert_eq!(starts("fleet=north").await, ["08:00", "14:20"]);
    assert_eq!(starts("group=vans").await, ["08:00", "14:20"]);
    assert_eq!(starts("fleet=south").await, ["07:00", "14:30", "17:00"]);
    let summary = world
        .get("/v1/fleets/north/summary?from=2026-05-04&to=2026-05-05")
        .await;
    assert_eq!(
        (&summary["trips"], &summary["vehicles"]),
        (&json!(2), &json!(0)),
        "{summary:#}"
    );

    // Each driver's score is made of their own kilometres.
    for (driver, kilometres) in [("seller", 30.0), ("buyer", 45.0)] {
        let path = format!("/v1/drivers/{driver}/report?period=2026-05");
        let request = world.api.request(reqwest::Method::GET, &path).bearer_auth(&world.token);
        let report = Answer::of(request.header("accept", "application/json").send().await)
            .await
            .json();
        let driven = report["totals"]["distance_km"].as_f64();
        let driven = driven.unwrap_or_else(|| panic!("{report:#}"));
        assert_eq!((driven * 10.0).round() / 10.0, kilometres, "{driver}");
    }
    let transfers = world.every(&format!("/v1/vehicles/{CAR}/transfers")).await;
    assert_eq!((transfers.len(), &transfers[0]["reason"]), (1, &json!("sold")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_car_that_is_sold_on_the_way_has_two_histories() {
    let world = begin().await;
    for drive in DRIVES {
        world.drive(Of::vehicle(CAR), drive).await;
    }
    let whole = world
        .trips(&format!(
            "vehicle={CAR}&from=2026-05-04T14:00:00Z&to=2026-05-04T15:00:00Z"
        ))
        .await;
    assert_eq!(told(&whole), [("14:20", 30.0)]);

    let sold = sell(&world).await;
    let policy = world.id("/v1/policies/car-1-policy").await;
    assert_eq!(sold["ended_policies"], json!([policy]), "{sold:#}");
    assert_eq!(sold["left_fleet"], json!(world.id("/v1/fleets/north").await));
    let ended = world.get("/v1/policies/car-1-policy").await;
    assert_eq!(ended["ends_on"], "2026-05-05");
    // Until somebody insures it, nobody has allowed behaviour of it to be kept, and nobody is charged.
    let nobody = world
        .trips(&format!(
            "vehicle={CAR}&from=2026-05-04T16:00:00Z&to=2026-05-04T18:00:00Z"
        ))
        .await;
    let nobody = world.get(&format!("/v1/trips/{}", nobody[0].id)).await;
    assert_eq!(
        (&nobody["driver"], &nobody["features"]["behaviour"]),
        (&json!(null), &json!(null)),
        "{nobody:#}"
    );

    insure_buyer(&world).await;
    is_parted(&world).await;
    // The seller's part is the trip that it was; the buyer's is another, of which nothing earlier is told.
    let parts = world
        .trips(&format!(
            "vehicle={CAR}&from=2026-05-04T14:00:00Z&to=2026-05-04T15:00:00Z"
        ))
        .await;
    assert_eq!((&parts[0].id, parts[0].version > 1), (&whole[0].id, true));
    let versions = world.every(&format!("/v1/trips/{}/versions", parts[1].id)).await;
    for version in &versions {
        let start = version["start"]
            .as_str()
            .or(version["trip"]["start"].as_str())
            .unwrap_or_default();
        assert!(start.is_empty() || start >= SALE, "{version:#}");
    }

    // Late data of before is the seller's still.
    let forgotten = Drive {
        from: "2026-05-03T09:00:00Z",
        minutes: 10,
        odometer_km: 40_990.0,
    };
    world.drive(Of::vehicle(CAR), forgotten).await;
    assert_eq!(
        km(&world.usage("car-1-policy").await),
        [("05-03", 10.0), ("05-04", 30.0)]
    );

    let twice = json!({ "at": SALE });
    let refused = world
        .api
        .post(&world.token, &format!("/v1/vehicles/{CAR}/transfers"), &twice)
        .await;
    assert_eq!(refused.problem(409), "conflict");
    let longer = json!({ "ends_on": "2026-06-01" });
    let refused = world
        .api
        .patch(&world.token, "/v1/policies/car-1-policy", &longer)
        .await;
    assert_eq!(refused.problem(409), "conflict");
    assert!(refused.text.contains("changes hands on 2026-05-04"), "{refused:?}");
    let across = json!({ "driver": "seller", "from": "2026-05-01T00:00:00Z" });
    let refused = world
        .api
        .post(&world.token, &format!("/v1/vehicles/{CAR}/assignments"), &across)
        .await;
    assert_eq!(refused.problem(409), "conflict");
    assert!(
        refused.text.contains("changes hands at 2026-05-04T14:30"),
        "{refused:?}"
    );
    // Two policies share the day of the sale: without it nothing says whose its kilometres are.
    let id = sold["transfer"]["id"].as_str().expect("an id");
    let path = format!("/v1/vehicles/{CAR}/transfers/{id}");
    let refused = world.api.send(reqwest::Method::DELETE, &world.token, &path, None).await;
    assert_eq!(refused.problem(409), "conflict");
    let ahead = json!({ "at": "2199-01-01T00:00:00Z" });
    let refused = world
        .api
        .post(&world.token, &format!("/v1/vehicles/{CAR}/transfers"), &ahead)
        .await;
    assert_eq!(refused.problem(422), "invalid_body");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sale_that_was_filed_by_mistake_is_taken_back() {
    let world = begin().await;
    for drive in DRIVES {
        world.drive(Of::vehicle(CAR), drive).await;
    }
    let before = world.platform.snapshot(world.tenant).await;
    let sold = sell(&world).await;
    let id = sold["transfer"]["id"].as_str().expect("an id");
    world.take_back(&format!("/v1/vehicles/{CAR}/transfers/{id}")).await;
    // What ended stays ended until somebody says otherwise, which nothing is in the way of any more.
    let policy = world
        .api
        .patch(&world.token, "/v1/policies/car-1-policy", &json!({ "ends_on": null }))
        .await;
    assert_eq!(policy.status, 200, "{policy:?}");
    world.platform.derive(world.tenant).await;
    let after = world.platform.snapshot(world.tenant).await;
    if let Some(difference) = before.difference(&after) {
        panic!("{difference}");
    }
    assert_eq!(world.trips("fleet=south").await.len(), 4);
    assert!(world.trips("fleet=north").await.is_empty());
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_morning_of_the_sale_is_not_the_buyers_though_nothing_was_driven_since() {
    let world = begin().await;
    // The seller's policy ended with the day before, and the buyer's has the whole day until somebody says when it was sold.
    let ended = json!({ "ends_on": "2026-05-04" });
    world.file("/v1/policies/car-1-policy/cancellation", ended).await;
    insure_buyer(&world).await;
    world.drive(Of::vehicle(CAR), DRIVES[0]).await;
    assert_eq!(km(&world.usage("buyer-policy").await), [("05-04", 20.0)]);
    sell(&world).await;
    assert!(world.usage("buyer-policy").await.is_empty());
    assert_eq!(told(&world.trips("fleet=north").await), [("08:00", 20.0)]);
    assert!(world.trips("driver=buyer").await.is_empty());

    // An earlier sale, filed afterwards: the first buyer's fleet sees what lies between the two.
    world
        .post("/v1/fleets", json!({ "external_ref": "west", "name": "west" }))
        .await;
    let earlier = json!({ "at": "2026-05-04T07:00:00Z", "fleet": "west" });
    world.file(&format!("/v1/vehicles/{CAR}/transfers"), earlier).await;
    assert!(world.trips("fleet=north").await.is_empty());
    assert_eq!(told(&world.trips("fleet=west").await), [("08:00", 20.0)]);
    world.drive(Of::vehicle(CAR), DRIVES[2]).await;
    assert_eq!(told(&world.trips("fleet=south").await), [("17:00", 10.0)]);
    assert_eq!(told(&world.trips("fleet=west").await), [("08:00", 20.0)]);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_does_not_matter_whether_the_sale_or_the_data_comes_first() {
    let mut told: Vec<Snapshot> = Vec::new();
    for sale_first in [true, false] {
        let world = begin().await;
        if sale_first {
            sell(&world).await;
            insure_buyer(&world).await;
        }
        let mut drives = DRIVES.to_vec();
        if !sale_first {
            drives.reverse();
        }
        for drive in drives {
            world.drive(Of::vehicle(CAR), drive).await;
        }
        if !sale_first {
            sell(&world).await;
            insure_buyer(&world).await;
        }
        is_parted(&world).await;
        told.push(world.platform.snapshot(world.tenant).await);
        world.end().await;
    }
    if let Some(difference) = told[0].difference(&told[1]) {
        panic!("{difference}");
    }
}
