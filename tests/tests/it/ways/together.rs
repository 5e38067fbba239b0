use std::io::Write as _;

use flate2::{Compression, write::GzEncoder};
use odograph_ingest::file::BatchOptions;

use super::{Ways, batches};

#[tokio::test(flavor = "multi_thread")]
async fn the_same_trips_come_by_every_way_and_count_once() {
    let Some(mut ways) = Ways::start().await else { return };
    ways.platform.bridge();
    let (tenant, rows, token) = ways.insured("insurer").await;
    let device = ways.device(&token, super::CAR, "dongle").await;
    let client = ways.platform.client(tenant, &["telemetry:write"]).await;
    let file = rows.write(ways.platform.folder(), "drives.csv");
    let (payloads, samples) = batches(&file, BatchOptions::default());
    assert!(payloads.len() > 1, "one batch shows little");

    ways.mqtt(&device, &ways.topic(&device.id), &payloads).await.unwrap();
    ways.received(tenant, samples).await;
    ways.platform.derive(tenant).await;
    let by_mqtt = ways.platform.snapshot(tenant).await;
    assert!(by_mqtt.trips() > 0);

    let sending = ways.amqp(&client).await.unwrap();
    for (place, payload) in payloads.iter().enumerate() {
        if place % 2 == 0 {
            sending.send(payload).await;
            continue;
        }
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(payload).unwrap();
        let properties = sending.properties().with_content_encoding("gzip".into());
        let packed = gzip.finish().unwrap();
        sending
            .publish(&ways.exchange(), "any", &packed, properties)
            .await
            .unwrap();
    }
    ways.received(tenant, 2 * samples).await;
    for payload in &payloads {
        let body = serde_json::from_slice(payload).unwrap();
        let sent = ways.api.post(&token, "/v1/telemetry/batches", &body).await;
        assert_eq!(sent.status, 202, "{sent:?}");
    }
    ways.received(tenant, 3 * samples).await;
    ways.platform.send(tenant, &file).await;
    ways.received(tenant, 4 * samples).await;

    let outcomes = ways.platform.outcomes(tenant).await;
    assert_eq!(
        (outcomes.accepted, outcomes.duplicate),
        (samples, 3 * samples),
        "{outcomes:?}"
    );
    ways.platform.derive(tenant).await;
    assert_eq!(ways.platform.snapshot(tenant).await, by_mqtt);
    // What its sender repeats is the same message to us.
    ways.mqtt(&device, &ways.topic(&device.id), &payloads[..1])
        .await
        .unwrap();
    sending.send(&payloads[0]).await;
    ways.platform.drained().await;
    let again = ways.platform.outcomes(tenant).await;
    assert_eq!(again.accepted, samples);
    assert!(again.balances(), "{again:?}");
    ways.end().await;
}
