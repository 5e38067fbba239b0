//! The queue in the database. What it shares with the broker's is tested for both in the workspace's own tests.

use std::time::Duration;

use odograph_domain::{
    clock::Clock,
    envelope::{ContentEncoding, ContentType, Envelope, Header, Lane, Source},
    id::{TenantId, VehicleId},
    queue::{Consumer, Delivery, Publisher, Queue, QueueError},
    time::ReceivedAt,
};

use crate::world::World;

const SHORT: Duration = Duration::from_millis(20);

fn envelope(world: &World, vehicle: VehicleId, lane: Lane, payload: &str) -> Envelope {
    let header = Header {
        message_id: world.id(),
        tenant: TenantId::from_uuid(uuid::Uuid::from_u128(1)),
        client: None,
        source: Source::Http,
        lane,
        vehicle: Some(vehicle),
        vehicle_given: "v".into(),
        device: None,
        received_at: ReceivedAt::new(world.clock.now()),
        content_type: ContentType::Json,
        content_encoding: ContentEncoding::Identity,
        traceparent: None,
        resubmission_of: None,
        extra: serde_json::Map::new(),
    };
    Envelope {
        header,
        payload: payload.into(),
    }
}

fn told(deliveries: &[Delivery]) -> Vec<String> {
    let payload = |d: &Delivery| String::from_utf8(Envelope::decode(&d.bytes).unwrap().payload).unwrap();
    deliveries.iter().map(payload).collect()
}

async fn receive(consumer: &mut Box<dyn Consumer>) -> Vec<Delivery> {
    consumer.receive(10, SHORT).await.unwrap()
}

#[tokio::test]
async fn urgent_first_and_in_order_and_again_until_acknowledged() {
    let world = World::new().await;
    let queue = world.store.queue(1);
    let vehicle = world.id();
    let sent = [
        (Lane::Bulk, "bulk"),
        (Lane::Live, "live 1"),
        (Lane::Urgent, "urgent"),
        (Lane::Live, "live 2"),
    ];
    let sent: Vec<_> = sent
        .iter()
        .map(|(lane, payload)| envelope(&world, vehicle, *lane, payload))
        .collect();
    queue.publish(&sent).await.unwrap();
    assert_eq!(queue.depth().await.unwrap(), 4);

    let mut consumer = queue.consume(0).await.unwrap();
    let got = receive(&mut consumer).await;
    assert_eq!(told(&got), ["urgent", "live 1", "live 2", "bulk"]);
    assert!(got.iter().all(|delivery| !delivery.redelivered));
    assert!(receive(&mut consumer).await.is_empty(), "what is in flight came again");
    consumer.acknowledge(&[got[1].receipt, got[0].receipt]).await.unwrap();
    consumer.close().await.unwrap();

    let mut next = queue.consume(0).await.unwrap();
    let got = receive(&mut next).await;
    assert_eq!(told(&got), ["live 2", "bulk"]);
    assert!(got.iter().all(|delivery| delivery.redelivered));
    next.acknowledge(&got.iter().map(|delivery| delivery.receipt).collect::<Vec<_>>())
        .await
        .unwrap();
    assert_eq!(queue.depth().await.unwrap(), 0);
}

#[tokio::test]
async fn a_waiting_consumer_wakes_when_something_is_published() {
    let world = World::new().await;
    let queue = world.store.queue(1);
    let mut consumer = queue.consume(0).await.unwrap();
    let sent = [envelope(&world, world.id(), Lane::Live, "now")];
    let publish = async {
        tokio::time::sleep(SHORT).await;
        queue.publish(&sent).await.unwrap();
    };
    let started = std::time::Instant::now();
    let (got, ()) = tokio::join!(
        async { consumer.receive(1, Duration::from_secs(30)).await.unwrap() },
        publish
    );
    assert_eq!(told(&got), ["now"]);
    assert!(started.elapsed() < Duration::from_secs(10));
    // And one that nothing comes for gives up.
    assert!(receive(&mut consumer).await.is_empty());
}

#[tokio::test]
async fn another_number_of_partitions_loses_nothing_and_keeps_the_order() {
    let world = World::new().await;
    let vehicles: Vec<VehicleId> = (0..8).map(|_| world.id()).collect();
    let old = world.store.queue(2);
    for i in 0..5 {
        let sent: Vec<_> = vehicles
            .iter()
            .map(|v| envelope(&world, *v, Lane::Live, &format!("{v} {i}")))
            .collect();
        old.publish(&sent).await.unwrap();
    }
    let new = world.store.queue(5);
    let mut got = vec![];
    for partition in 0..5 {
        let mut consumer = new.consume(partition).await.unwrap();
        let deliveries = consumer.receive(100, SHORT).await.unwrap();
        for delivery in &deliveries {
            assert_eq!(
                Envelope::decode(&delivery.bytes).unwrap().header.partition(5),
                partition
            );
        }
        got.extend(told(&deliveries));
    }
    assert_eq!(got.len(), 40);
    for vehicle in vehicles {
        let name = vehicle.to_string();
        let own: Vec<&str> = got.iter().filter_map(|text| text.strip_prefix(&name)).collect();
        assert_eq!(own, [" 0", " 1", " 2", " 3", " 4"]);
    }
}

#[tokio::test]
async fn a_partition_that_is_not_there_is_a_mistake() {
    let world = World::new().await;
    assert!(matches!(
        world.store.queue(2).consume(2).await,
        Err(QueueError::Misused(_))
    ));
}

#[tokio::test]
async fn nothing_of_the_new_number_is_handed_out_before_what_is_left_of_the_old() {
    let world = World::new().await;
    let vehicle: VehicleId = world.id();
    let (old, new) = (world.store.queue(2), world.store.queue(5));
    // By two processes, of which one has not heard of the change yet.
    let mut consumers = vec![];
    for partition in 0..5 {
        consumers.push(new.consume(partition).await.unwrap());
    }
    for number in 0..6 {
        let queue = if number % 2 == 0 { &old } else { &new };
        queue
            .publish(&[envelope(&world, vehicle, Lane::Live, &number.to_string())])
            .await
            .unwrap();
    }
    let mut got = vec![];
    for consumer in &mut consumers {
        for _ in 0..3 {
            let deliveries = consumer.receive(100, SHORT).await.unwrap();
            got.extend(told(&deliveries));
        }
    }
    assert_eq!(got, ["0", "1", "2", "3", "4", "5"]);
}
