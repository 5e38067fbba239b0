//! A device is moved, swapped, taken out.

use serde_json::json;

use super::{Drive, Of, World, km, told};

const MORNING: Drive<'_> = Drive {
    from: "2026-05-04T08:00:00Z",
    minutes: 20,
    odometer_km: 100.0,
};
/// On the way the dongle changes cars.
const NOON: Drive<'_> = Drive {
    from: "2026-05-04T11:50:00Z",
    minutes: 20,
    odometer_km: 500.0,
};
const EVENING: Drive<'_> = Drive {
    from: "2026-05-04T18:00:00Z",
    minutes: 15,
    odometer_km: 520.0,
};

const MOVE: &str = "2026-05-04T12:00:00Z";

async fn begin() -> World {
    let world = World::begin(&[("car-1", "ada"), ("car-2", "bert")]).await;
    world.device("car-1", "dongle").await;
    world
}

async fn is_parted(world: &World) {
    assert_eq!(
        told(&world.trips("vehicle=car-1").await),
        [("08:00", 20.0), ("11:50", 10.0)]
    );
    assert_eq!(
        told(&world.trips("vehicle=car-2").await),
        [("12:00", 10.0), ("18:00", 15.0)]
    );
    assert_eq!(km(&world.usage("car-1-policy").await), [("05-04", 30.0)]);
    assert_eq!(km(&world.usage("car-2-policy").await), [("05-04", 25.0)]);
    assert_eq!(
        told(&world.trips("driver=bert").await),
        [("12:00", 10.0), ("18:00", 15.0)]
    );
    // The track of what is another's car now is told of that car only.
    let trips = world.trips("vehicle=car-2").await;
    let track = world.get(&format!("/v1/trips/{}/track", trips[0].id)).await;
    let first = track["points"][0]["ts"].as_str().unwrap_or_else(|| panic!("{track:#}"));
    assert!(first.starts_with("2026-05-04T12:00:00"), "{first}");
    assert!(world.every("/v1/dead-letters").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_takes_its_data_along_from_the_day_it_moved() {
    let world = begin().await;
    for drive in [MORNING, NOON, EVENING] {
        world.drive(Of::device("dongle"), drive).await;
    }
    // Nobody has said that it moved: all is the first car's.
    assert_eq!(km(&world.usage("car-1-policy").await), [("05-04", 55.0)]);
    assert!(world.usage("car-2-policy").await.is_empty());

    let moved = world
        .file(
            "/v1/devices/dongle/pairings",
            json!({ "vehicle": "car-2", "from": MOVE }),
        )
        .await;
    assert_eq!(
        moved["moved_from"],
        json!(world.id("/v1/vehicles/car-1").await),
        "{moved:#}"
    );
    is_parted(&world).await;
    let device = world.get("/v1/devices/dongle").await;
    assert_eq!(device["vehicle"], json!(world.id("/v1/vehicles/car-2").await));
    assert_eq!(device["pairings"].as_array().map(Vec::len), Some(2), "{device:#}");
    assert_eq!(world.get("/v1/vehicles/car-1/devices").await["items"], json!([]));
    let history = world.get("/v1/vehicles/car-1/devices?history=true").await;
    assert_eq!(history["items"].as_array().map(Vec::len), Some(1), "{history:#}");
    let corrected = world.every("/v1/corrections?vehicle=car-1").await;
    assert!(
        corrected
            .iter()
            .any(|correction| correction["cause"]["why"].to_string().contains("device_changed")),
        "{corrected:#?}"
    );
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_lies_across_the_move_is_two_cars() {
    let world = begin().await;
    world
        .file(
            "/v1/devices/dongle/pairings",
            json!({ "vehicle": "car-2", "from": MOVE }),
        )
        .await;
    for drive in [EVENING, NOON, MORNING] {
        world.drive(Of::device("dongle"), drive).await;
    }
    is_parted(&world).await;

    // All of it in one batch, sent twice: one message, its samples counted once, whichever car they are of.
    let night = Drive {
        from: "2026-05-04T21:55:00Z",
        minutes: 10,
        odometer_km: 600.0,
    };
    world
        .file(
            "/v1/devices/dongle/pairings",
            json!({ "vehicle": "car-1", "from": "2026-05-04T22:00:00Z" }),
        )
        .await;
    let batch = json!({ "schema": 1, "batch_id": "across", "device": "dongle", "samples": night.samples() });
    for outcome in ["accepted", "duplicate"] {
        let answer = world.post("/v1/telemetry/batches", batch.clone()).await;
        assert_eq!(
            (&answer["vehicle"], answer["device"].is_string()),
            (&json!(null), true),
            "{answer:#}"
        );
        world.settled(&json!({ "batches": [answer] })).await;
        let path = format!(
            "/v1/telemetry/messages/{}",
            answer["message_id"].as_str().expect("an id")
        );
        let status = world.get(&path).await;
        assert_eq!(
            (&status["outcome"], &status["samples"]["received"]),
            (&json!(outcome), &json!(601)),
            "{status:#}"
        );
    }
    world.platform.derive(world.tenant).await;
    assert_eq!(km(&world.usage("car-2-policy").await), [("05-04", 30.0)]);
    assert_eq!(
        km(&world.usage("car-1-policy").await),
        [("05-04", 30.0), ("05-05", 5.0)]
    );
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swapped_device_counts_on_and_the_old_one_no_more() {
    let world = begin().await;
    world.device("car-2", "spare").await;
    world.drive(Of::device("dongle"), MORNING).await;
    // The spare takes the dongle's place at noon, in the first car; its own counter begins anew.
    let swapped = json!({ "vehicle": "car-1", "from": MOVE, "replaces": "dongle" });
    let swapped = world.file("/v1/devices/spare/pairings", swapped).await;
    let spare = world.get("/v1/devices/spare").await;
    assert_eq!(
        swapped["replaced"],
        json!(world.id("/v1/devices/dongle").await),
        "{swapped:#}"
    );
    assert_eq!(spare["vehicle"], json!(world.id("/v1/vehicles/car-1").await));
    assert_eq!(world.get("/v1/devices/dongle").await["vehicle"], json!(null));
    let afternoon = Drive {
        from: "2026-05-04T12:00:10Z",
        minutes: 20,
        odometer_km: 0.0,
    };
    world.drive(Of::device("spare"), afternoon).await;
    assert_eq!(km(&world.usage("car-1-policy").await), [("05-04", 40.0)]);

    // The dongle lies in a drawer of somebody else's car: none of the first car's kilometres, whatever it says of itself.
    let evening = EVENING.samples();
    let batch = json!({ "schema": 1, "batch_id": "drawer", "device": "dongle", "samples": evening });
    let mut says = batch.clone();
    says["vehicle"] = "car-1".into();
    says["batch_id"] = "says".into();
    for batch in [batch, says] {
        let answer = world.post("/v1/telemetry/batches", batch).await;
        world.settled(&json!({ "batches": [answer] })).await;
    }
    world.platform.derive(world.tenant).await;
    assert_eq!(km(&world.usage("car-1-policy").await), [("05-04", 40.0)]);
    let unpaired = world.dead_letters("device_unpaired").await;
    let samples: i64 = unpaired.iter().filter_map(|letter| letter["samples"].as_i64()).sum();
    assert_eq!(samples, 2 * 901, "{unpaired:#?}");

    // Then somebody says where it was: what was kept of it can be sent again, and is that car's.
    world
        .file(
            "/v1/devices/dongle/pairings",
            json!({ "vehicle": "car-2", "from": "2026-05-04T17:00:00Z" }),
        )
        .await;
    let kept = unpaired
        .iter()
        .find(|letter| letter["batch_id"] == "drawer")
        .expect("the letter");
    let path = format!("/v1/dead-letters/{}/resubmission", kept["id"].as_str().expect("an id"));
    let sent = world.post(&path, json!({})).await;
    world.settled(&json!({ "batches": [sent] })).await;
    world.platform.derive(world.tenant).await;
    assert_eq!(km(&world.usage("car-2-policy").await), [("05-04", 15.0)]);
    // One that says that it is the first car's is not, now that the dongle is known to be in the other.
    let wrong = unpaired
        .iter()
        .find(|letter| letter["batch_id"] == "says")
        .expect("the letter");
    let path = format!("/v1/dead-letters/{}/resubmission", wrong["id"].as_str().expect("an id"));
    let sent = world.post(&path, json!({})).await;
    world.settled(&json!({ "batches": [sent] })).await;
    assert_eq!(world.dead_letters("device_elsewhere").await.len(), 1);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_removed_device_sent_since_is_nobodys() {
    let world = begin().await;
    for drive in [MORNING, EVENING] {
        world.drive(Of::device("dongle"), drive).await;
    }
    assert_eq!(km(&world.usage("car-1-policy").await), [("05-04", 35.0)]);
    let removed = world.file("/v1/devices/dongle/removal", json!({ "at": MOVE })).await;
    assert_eq!(removed["vehicle"], json!(null), "{removed:#}");
    assert_eq!(km(&world.usage("car-1-policy").await), [("05-04", 20.0)]);
    let kept = world.dead_letters("device_unpaired").await;
    let samples: i64 = kept.iter().filter_map(|letter| letter["samples"].as_i64()).sum();
    assert_eq!(samples, 901, "{kept:#?}");
    // It had been a mistake: all is as it was.
    world
        .file(
            "/v1/devices/dongle/pairings",
            json!({ "vehicle": "car-1", "from": MOVE }),
        )
        .await;
    for letter in &kept {
        let path = format!(
            "/v1/dead-letters/{}/resubmission",
            letter["id"].as_str().expect("an id")
        );
        let sent = world.post(&path, json!({})).await;
        world.settled(&json!({ "batches": [sent] })).await;
    }
    world.platform.derive(world.tenant).await;
    assert_eq!(km(&world.usage("car-1-policy").await), [("05-04", 35.0)]);

    let itself = json!({ "vehicle": "car-1", "from": MOVE, "replaces": "dongle" });
    let refused = world
        .api
        .post(&world.token, "/v1/devices/dongle/pairings", &itself)
        .await;
    assert_eq!(refused.problem(422), "invalid_body");
    let nowhere = json!({ "schema": 1, "batch_id": "b", "device": "nobody's", "samples": [{ "ts": MOVE }] });
    let refused = world.api.post(&world.token, "/v1/telemetry/batches", &nowhere).await;
    assert_eq!(refused.problem(422), "unknown_device");
    world.end().await;
}
