use std::time::Duration;

use lapin::BasicProperties;
use odograph_ingest::file::BatchOptions;
use odograph_store::Page;
use odograph_tests::process::{kill, odograph};

use super::{CAR, Ways, batch, batches};

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_resolved_is_kept_and_named() {
    let Some(mut ways) = Ways::start().await else { return };
    let (tenant, _, token) = ways.insured("insurer").await;
    let (_, _, theirs) = ways.insured("another insurer").await;
    let device = ways.device(&token, CAR, "dongle").await;
    let revoked = ways.device(&token, CAR, "lost").await;
    let created = serde_json::json!({ "external_ref": "other-car" });
    assert_eq!(ways.api.post(&token, "/v1/vehicles", &created).await.status, 201);
    let client = ways.platform.client(tenant, &["telemetry:write"]).await;
    let sending = ways.amqp(&client).await.unwrap();

    // Twice, as a sender does that did not hear the confirm.
    for _ in 0..2 {
        sending.send(&batch("b-1", "nobody")).await;
        sending.send(b"{ no batch").await;
        ways.mqtt(
            &device,
            &ways.topic(&device.id),
            &[batch("b-2", "other-car"), batch("b-3", "nobody")],
        )
        .await
        .unwrap();
        ways.mqtt(&revoked, &ways.topic(&revoked.id), &[batch("b-4", CAR)])
            .await
            .unwrap();
        let anonymous = BasicProperties::default().with_delivery_mode(2);
        let sent = sending
            .publish(&ways.exchange(), "", &batch("b-5", CAR), anonymous)
            .await;
        sent.unwrap();
        let odd = sending.properties().with_content_type("text/csv".into());
        sending.publish(&ways.exchange(), "", b"a,b", odd).await.unwrap();
    }
    ways.revoke(&token, "lost", &revoked).await;
    // Only now does anybody look.
    ways.platform.bridge();
    let wanted = [
        ("foreign_device", "mqtt"),
        ("sender_revoked", "mqtt"),
        ("undecodable", "amqp"),
        ("undecodable", "amqp"),
        ("unknown_vehicle", "amqp"),
        ("unknown_vehicle", "mqtt"),
    ]
    .map(|(reason, source)| (reason.to_owned(), source.to_owned()));
    for _ in 0..600 {
        if ways.letters(&token).await.len() >= wanted.len() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // The last of what was sent has been dealt with once this one is.
    sending.send(&batch("last", CAR)).await;
    ways.mqtt(&device, &ways.topic(&device.id), &[batch("last-mqtt", CAR)])
        .await
        .unwrap();
    ways.received(tenant, 6).await;
    assert_eq!(ways.letters(&token).await, wanted);
    assert!(ways.letters(&theirs).await.is_empty());
    let outcomes = ways.platform.outcomes(tenant).await;
    assert_eq!(outcomes.accepted, 2, "{outcomes:?}");
    assert!(outcomes.balances(), "{outcomes:?}");
    let page = Page { after: None, limit: 10 };
    let quarantined = ways
        .platform
        .parts
        .store
        .operator()
        .quarantined(page)
        .await
        .unwrap()
        .items;
    assert_eq!(quarantined.len(), 1, "{quarantined:?}");
    assert!(quarantined[0].reason.contains("user_id"), "{}", quarantined[0].reason);
    ways.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bridge_that_is_killed_again_and_again_loses_and_doubles_nothing() {
    let Some(ways) = Ways::start().await else { return };
    let (tenant, rows, token) = ways.insured("insurer").await;
    let device = ways.device(&token, CAR, "dongle").await;
    let client = ways.platform.client(tenant, &["telemetry:write"]).await;
    let file = rows.write(ways.platform.folder(), "drives.csv");
    // Many, so that kills fall in between.
    let few = BatchOptions {
        samples: 5,
        ..BatchOptions::default()
    };
    let (payloads, samples) = batches(&file, few);
    assert!(payloads.len() > 100, "{} batches show little", payloads.len());
    let half = payloads.len() / 2;
    ways.mqtt(&device, &ways.topic(&device.id), &payloads[..half])
        .await
        .unwrap();
    let sending = ways.amqp(&client).await.unwrap();
    for payload in &payloads[half..] {
        sending.send(payload).await;
    }
    let start = || {
        let mut bridge = odograph(&["bridge"]);
        bridge.envs(ways.platform.environment());
        bridge.spawn().expect("a bridge")
    };
    let waiting = async || {
        let told = ways
            .rabbit
            .ctl(&["list_queues", "--no-table-headers", "name", "messages"])
            .await;
        let intake = told.lines().filter(|line| line.contains(".intake."));
        let counts = intake.filter_map(|line| line.split_whitespace().last()?.parse::<u64>().ok());
        counts.sum::<u64>()
    };
    // Killed as soon as something of it has arrived, whatever it was about to let go of; the fewer are left, the later.
    for _ in 0..4 {
        let before = ways.platform.outcomes(tenant).await.received;
        let bridge = start();
        for _ in 0..200 {
            let left = ways.platform.outcomes(tenant).await.received > before;
            if left {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        kill(bridge).await;
    }
    let bridge = start();
    for _ in 0..600 {
        if waiting().await == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(waiting().await, 0, "intake was left behind");
    ways.platform.drained().await;
    ways.received(tenant, samples).await;
    let outcomes = ways.platform.outcomes(tenant).await;
    assert_eq!((outcomes.accepted, outcomes.duplicate), (samples, 0), "{outcomes:?}");
    kill(bridge).await;
    ways.end().await;
}
