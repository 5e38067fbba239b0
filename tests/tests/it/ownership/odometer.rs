//! An odometer is replaced.

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::{World, at, km};

/// Twenty minutes at a kilometre a minute of a device that tells the odometer and the ignition only; after ten of them it
/// counts on from another figure.
fn samples(new_km: f64) -> Vec<Value> {
    let from = at("2026-05-04T08:00:00Z");
    (0..=240)
        .map(|step| {
            let minutes = f64::from(step) / 12.0;
            let km = if step < 120 {
                120_400.0 + minutes
            } else {
                new_km + minutes - 10.0
            };
            json!({
                "ts": (from + TimeDelta::seconds(5 * i64::from(step))).to_rfc3339(),
                "odometer_km": (km * 1000.0).round() / 1000.0, "ignition": step < 240,
            })
        })
        .collect()
}

async fn driven(new_km: f64) -> World {
    let world = World::begin(&[("car-1", "ada")]).await;
    let batch = json!({ "schema": 1, "batch_id": "b", "vehicle": "car-1", "samples": samples(new_km) });
    let answer = world.post("/v1/telemetry/batches", batch).await;
    world.settled(&json!({ "batches": [answer] })).await;
    world.platform.derive(world.tenant).await;
    world
}

async fn trip(world: &World) -> Value {
    let trips = world.every("/v1/trips").await;
    assert_eq!(trips.len(), 1, "{trips:#?}");
    world
        .get(&format!("/v1/trips/{}", trips[0]["id"].as_str().expect("an id")))
        .await
}

const PATH: &str = "/v1/vehicles/car-1/odometer-changes";

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_odometer_bills_what_was_driven() {
    let world = driven(3.7).await;
    // Back to nearly nothing: a fault, across which nothing is counted.
    let before = trip(&world).await;
    assert!(
        before["features"]["marks"].to_string().contains("odometer_fault"),
        "{before:#}"
    );
    assert_eq!(world.usage("car-1-policy").await, [("05-04".to_owned(), 19_917)]);

    let change = json!({ "at": "2026-05-04T08:10:00Z", "old_km": 120_410.0, "new_km": 3.7, "reason": "new cluster" });
    world.file(PATH, change.clone()).await;
    let after = trip(&world).await;
    assert!(
        !after["features"]["marks"].to_string().contains("odometer_fault"),
        "{after:#}"
    );
    assert_eq!(world.usage("car-1-policy").await, [("05-04".to_owned(), 20_000)]);
    let told = world.every("/v1/corrections?vehicle=car-1").await;
    assert!(
        told.iter()
            .any(|correction| correction["cause"]["why"].to_string().contains("odometer_changed")),
        "{told:#?}"
    );

    let again = world.api.post(&world.token, PATH, &change).await;
    assert_eq!(again.problem(409), "conflict");
    for (body, wanted) in [
        (
            json!({ "at": "2026-05-04T08:10:00Z", "old_km": 1.0 }),
            "both figures or neither",
        ),
        (
            json!({ "at": "2026-05-04T08:10:00Z", "old_km": -1.0, "new_km": 0.0 }),
            "wanted 0 to",
        ),
        (json!({ "at": "2199-05-04T08:10:00Z" }), "a time that is past"),
    ] {
        let refused = world.api.post(&world.token, PATH, &body).await;
        assert_eq!(refused.problem(422), "invalid_body");
        assert!(refused.text.contains(wanted), "{refused:?}");
    }
    // It had been another car's: all is as it was.
    let filed = world.every(PATH).await;
    assert_eq!(filed.len(), 1);
    let path = format!("{PATH}/{}", filed[0]["id"].as_str().expect("an id"));
    world.take_back(&path).await;
    assert_eq!(world.usage("car-1-policy").await, [("05-04".to_owned(), 19_917)]);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_used_odometer_that_shows_a_little_more_bills_nothing_of_it() {
    // As many metres more as a car could have driven: nothing in the data shows that it did not.
    let world = driven(120_410.1).await;
    assert_eq!(world.usage("car-1-policy").await, [("05-04".to_owned(), 20_100)]);
    // What either showed is not known: five seconds of which nobody can tell.
    world.file(PATH, json!({ "at": "2026-05-04T08:10:00Z" })).await;
    assert_eq!(world.usage("car-1-policy").await, [("05-04".to_owned(), 19_917)]);
    assert_eq!(km(&world.usage("car-1-policy").await), [("05-04", 19.9)]);
    // What the device told stays as it came.
    let track = world
        .get(&format!(
            "/v1/trips/{}/track",
            trip(&world).await["id"].as_str().expect("an id")
        ))
        .await;
    let last = track["points"]
        .as_array()
        .and_then(|samples| samples.last())
        .expect("samples")
        .clone();
    assert_eq!(last["odometer_km"], json!(120_420.1), "{last:#}");
    world.end().await;
}
