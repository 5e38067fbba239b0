//! A driver leaves; an assignment ends.

use serde_json::json;

use super::{Drive, Of, World, km, told};

const MORNING: Drive<'_> = Drive {
    from: "2026-05-04T08:00:00Z",
    minutes: 20,
    odometer_km: 100.0,
};
const EVENING: Drive<'_> = Drive {
    from: "2026-05-04T18:00:00Z",
    minutes: 10,
    odometer_km: 120.0,
};

const LEFT: &str = "2026-05-04T12:00:00Z";

fn of_ada() -> Of<'static> {
    Of {
        driver: Some("ada"),
        ..Of::vehicle("car-1")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_attributed_to_a_driver_who_has_left() {
    let world = World::begin(&[("car-1", "ada")]).await;
    // What names her, and what is hers as the policy's main driver.
    world.drive(of_ada(), MORNING).await;
    world.drive(Of::vehicle("car-1"), EVENING).await;
    assert_eq!(
        told(&world.trips("driver=ada").await),
        [("08:00", 20.0), ("18:00", 10.0)]
    );

    let left = world.file("/v1/drivers/ada/departure", json!({ "at": LEFT })).await;
    let policy = world.id("/v1/policies/car-1-policy").await;
    assert_eq!(
        (&left["named_by_policies"], &left["driver"]["left_at"]),
        (&json!([policy]), &json!(LEFT)),
        "{left:#}"
    );
    assert_eq!(told(&world.trips("driver=ada").await), [("08:00", 20.0)]);
    // The car was driven all the same, and its policy is charged for it.
    assert_eq!(
        told(&world.trips("vehicle=car-1").await),
        [("08:00", 20.0), ("18:00", 10.0)]
    );
    assert_eq!(km(&world.usage("car-1-policy").await), [("05-04", 30.0)]);

    // Her telephone goes on sending in her name: the car was driven, by nobody known. What it had not sent of before is hers.
    let night = Drive {
        from: "2026-05-04T20:00:00Z",
        odometer_km: 130.0,
        ..EVENING
    };
    world.drive(of_ada(), night).await;
    assert_eq!(told(&world.trips("driver=ada").await), [("08:00", 20.0)]);
    assert_eq!(km(&world.usage("car-1-policy").await), [("05-04", 40.0)]);
    let early = Drive {
        from: "2026-05-04T06:00:00Z",
        minutes: 5,
        odometer_km: 95.0,
    };
    world.drive(of_ada(), early).await;
    assert_eq!(
        told(&world.trips("driver=ada").await),
        [("06:00", 5.0), ("08:00", 20.0)]
    );

    let again = world.file("/v1/drivers/ada/departure", json!({ "at": LEFT })).await;
    assert_eq!(again["driver"], left["driver"]);
    // She had left later than that; then it turns out that she has not.
    world
        .file("/v1/drivers/ada/departure", json!({ "at": "2026-05-04T18:30:00Z" }))
        .await;
    let all = [("06:00", 5.0), ("08:00", 20.0), ("18:00", 10.0), ("20:00", 10.0)];
    assert_eq!(told(&world.trips("driver=ada").await), all[..3]);
    world.file("/v1/drivers/ada/departure", json!({ "at": LEFT })).await;
    assert_eq!(told(&world.trips("driver=ada").await), all[..2]);
    world.take_back("/v1/drivers/ada/departure").await;
    assert_eq!(told(&world.trips("driver=ada").await), all);
    assert_eq!(world.get("/v1/drivers/ada").await["left_at"], json!(null));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_assignment_ends_when_it_is_said_to() {
    let world = World::begin(&[("car-1", "ada")]).await;
    world.post("/v1/drivers", json!({ "external_ref": "bert" })).await;
    let assigned = world
        .post(
            "/v1/vehicles/car-1/assignments",
            json!({ "driver": "bert", "from": "2026-05-01T00:00:00Z" }),
        )
        .await;
    for drive in [MORNING, EVENING] {
        world.drive(Of::vehicle("car-1"), drive).await;
    }
    assert_eq!(
        told(&world.trips("driver=bert").await),
        [("08:00", 20.0), ("18:00", 10.0)]
    );
    let end = format!(
        "/v1/vehicles/car-1/assignments/{}/end",
        assigned["id"].as_str().expect("an id")
    );
    let ended = world.file(&end, json!({ "at": LEFT })).await;
    assert_eq!(ended["to"], LEFT, "{ended:#}");
    assert_eq!(told(&world.trips("driver=bert").await), [("08:00", 20.0)]);
    assert_eq!(told(&world.trips("driver=ada").await), [("18:00", 10.0)]);
    // It had been later than that.
    world.file(&end, json!({ "at": "2026-05-05T00:00:00Z" })).await;
    assert_eq!(
        told(&world.trips("driver=bert").await),
        [("08:00", 20.0), ("18:00", 10.0)]
    );
    let before = json!({ "at": "2026-05-01T00:00:00Z" });
    let refused = world.api.post(&world.token, &end, &before).await;
    assert_eq!(refused.problem(422), "invalid_body");
    world.end().await;
}
