//! What every queue must do, whatever it is made of.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use odograph_domain::{
    envelope::{ContentEncoding, ContentType, Envelope, Header, Lane, Source},
    id::{MessageId, TenantId, VehicleId},
    queue::{Consumer, Delivery, Queue},
    time::ReceivedAt,
};
use uuid::Uuid;

pub(super) const PARTITIONS: u16 = 2;
/// Long enough for anything that does come; what does not come costs this much time.
const LONG: Duration = Duration::from_secs(10);
/// Long enough to believe that nothing comes.
const SHORT: Duration = Duration::from_millis(400);

/// A queue under test, empty at first.
pub(super) trait Subject {
    /// A handle on it, as another process would have: nothing is shared but the queue itself.
    async fn open(&self) -> Arc<dyn Queue>;

    /// Puts bytes in that are no envelope. Before the first [`Subject::open`]: the embedded database has one connection.
    async fn put_raw(&self, lane: Lane, partition: u16, bytes: &[u8]);
}

/// A message for the partition, telling its number.
pub(super) fn message(lane: Lane, partition: u16, number: usize) -> Envelope {
    envelope(lane, partition, format!("{} {number}", lane.as_str()).into_bytes())
}

fn envelope(lane: Lane, partition: u16, payload: Vec<u8>) -> Envelope {
    let header = |vehicle| Header {
        message_id: MessageId::from(Uuid::from_u128(1)),
        tenant: TenantId::from(Uuid::from_u128(2)),
        client: None,
        source: Source::Http,
        lane,
        vehicle: Some(VehicleId::from(Uuid::from_u128(vehicle))),
        vehicle_given: "car".to_owned(),
        device: None,
        received_at: ReceivedAt::new(DateTime::<Utc>::UNIX_EPOCH),
        content_type: ContentType::Json,
        content_encoding: ContentEncoding::Identity,
        traceparent: None,
        resubmission_of: None,
        extra: serde_json::Map::new(),
    };
    // Some vehicle that belongs there.
    let header = (100..)
        .map(header)
        .find(|header| header.partition(PARTITIONS) == partition)
        .unwrap();
    Envelope { header, payload }
}

pub(super) fn messages(lane: Lane, partition: u16, numbers: std::ops::Range<usize>) -> Vec<Envelope> {
    numbers.map(|number| message(lane, partition, number)).collect()
}

pub(super) fn payload(delivery: &Delivery) -> String {
    String::from_utf8(Envelope::decode(&delivery.bytes).unwrap().payload).unwrap()
}

pub(super) fn payloads(deliveries: &[Delivery]) -> Vec<String> {
    deliveries.iter().map(payload).collect()
}

pub(super) fn told(lane: Lane, numbers: impl IntoIterator<Item = usize>) -> Vec<String> {
    numbers
        .into_iter()
        .map(|number| format!("{} {number}", lane.as_str()))
        .collect()
}

/// Publishes one after the other: what is published together may be one message to the broker, and come again as one.
pub(super) async fn publish_each(queue: &dyn Queue, envelopes: Vec<Envelope>) {
    for envelope in envelopes {
        queue.publish(&[envelope]).await.unwrap();
    }
}

/// Receives until there are `count`, at most `max` at a time.
pub(super) async fn receive(consumer: &mut dyn Consumer, count: usize, max: usize) -> Vec<Delivery> {
    let deadline = Instant::now() + LONG;
    let mut all = Vec::new();
    while all.len() < count {
        let some = consumer
            .receive(max.min(count - all.len()), Duration::from_millis(500))
            .await
            .unwrap();
        assert!(some.len() <= max);
        all.extend(some);
        assert!(
            Instant::now() < deadline,
            "{} of {count} messages came: {:?}",
            all.len(),
            payloads(&all)
        );
    }
    all
}

pub(super) async fn acknowledge(consumer: &mut dyn Consumer, deliveries: &[Delivery]) {
    let receipts: Vec<_> = deliveries.iter().map(|delivery| delivery.receipt).collect();
    consumer.acknowledge(&receipts).await.unwrap();
}

pub(super) async fn nothing_comes(consumer: &mut dyn Consumer) {
    let some = consumer.receive(10, SHORT).await.unwrap();
    assert!(some.is_empty(), "{:?}", payloads(&some));
}

/// Waits until the depth is this.
pub(super) async fn depth_becomes(queue: &dyn Queue, wanted: u64) {
    let deadline = Instant::now() + LONG;
    loop {
        let depth = queue.depth().await.unwrap();
        if depth == wanted {
            return;
        }
        assert!(Instant::now() < deadline, "depth is {depth}, wanted {wanted}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub(super) async fn what_was_published_is_there_for_others(subject: &impl Subject) {
    let queue = subject.open().await;
    queue.publish(&messages(Lane::Live, 0, 0..50)).await.unwrap();
    drop(queue);
    let other = subject.open().await;
    let mut consumer = other.consume(0).await.unwrap();
    let all = receive(&mut *consumer, 50, 50).await;
    assert_eq!(payloads(&all), told(Lane::Live, 0..50));
    assert!(
        all.iter()
            .all(|delivery| !delivery.redelivered && delivery.receipt.lane == Lane::Live)
    );
    acknowledge(&mut *consumer, &all).await;
    consumer.close().await.unwrap();
}

pub(super) async fn order_holds_within_partition_and_lane(subject: &impl Subject) {
    let queue = subject.open().await;
    for start in (0..300).step_by(75) {
        queue
            .publish(&messages(Lane::Live, 1, start..start + 75))
            .await
            .unwrap();
    }
    let mut consumer = queue.consume(1).await.unwrap();
    let mut all = Vec::new();
    for some in [1, 7, 64, 128, 100] {
        let some = receive(&mut *consumer, some, 33).await;
        acknowledge(&mut *consumer, &some).await;
        all.extend(payloads(&some));
    }
    assert_eq!(all, told(Lane::Live, 0..300));
    consumer.close().await.unwrap();
}

pub(super) async fn urgent_comes_before_live_before_bulk(subject: &impl Subject) {
    let queue = subject.open().await;
    for lane in [Lane::Bulk, Lane::Live, Lane::Urgent] {
        queue.publish(&messages(lane, 0, 0..3)).await.unwrap();
    }
    let mut consumer = queue.consume(0).await.unwrap();
    // A broker pushes: let it.
    tokio::time::sleep(SHORT).await;
    let some = receive(&mut *consumer, 7, 7).await;
    let expected = [told(Lane::Urgent, 0..3), told(Lane::Live, 0..3), told(Lane::Bulk, 0..1)].concat();
    assert_eq!(payloads(&some), expected);
    // What comes later overtakes what waits.
    queue.publish(&messages(Lane::Urgent, 0, 3..4)).await.unwrap();
    tokio::time::sleep(SHORT).await;
    let rest = receive(&mut *consumer, 3, 3).await;
    assert_eq!(
        payloads(&rest),
        [told(Lane::Urgent, 3..4), told(Lane::Bulk, 1..3)].concat()
    );
    acknowledge(&mut *consumer, &some).await;
    acknowledge(&mut *consumer, &rest).await;
    consumer.close().await.unwrap();
    depth_becomes(&*queue, 0).await;
}

pub(super) async fn what_was_not_acknowledged_comes_again_after_close_in_order(subject: &impl Subject) {
    let queue = subject.open().await;
    publish_each(&*queue, messages(Lane::Live, 0, 0..120)).await;
    queue.publish(&messages(Lane::Bulk, 0, 0..5)).await.unwrap();
    let mut consumer = queue.consume(0).await.unwrap();
    let some = receive(&mut *consumer, 80, 80).await;
    let (done, open): (Vec<_>, Vec<_>) = some
        .into_iter()
        .partition(|delivery| told(Lane::Live, [0, 1, 5]).contains(&payload(delivery)));
    assert_eq!((done.len(), open.len()), (3, 77));
    acknowledge(&mut *consumer, &done).await;
    consumer.close().await.unwrap();

    let mut consumer = queue.consume(0).await.unwrap();
    let again = receive(&mut *consumer, 122, 200).await;
    let of = |lane| {
        again
            .iter()
            .filter(|delivery| delivery.receipt.lane == lane)
            .map(payload)
            .collect::<Vec<_>>()
    };
    let left = (0..120).filter(|number| ![0, 1, 5].contains(number));
    assert_eq!(of(Lane::Live), told(Lane::Live, left));
    assert_eq!(of(Lane::Bulk), told(Lane::Bulk, 0..5));
    let open = payloads(&open);
    assert!(
        again
            .iter()
            .all(|delivery| delivery.redelivered || !open.contains(&payload(delivery)))
    );
    acknowledge(&mut *consumer, &again).await;
    consumer.close().await.unwrap();
    depth_becomes(&*queue, 0).await;
}

pub(super) async fn what_a_lost_consumer_held_comes_again(subject: &impl Subject) {
    let queue = subject.open().await;
    publish_each(&*queue, messages(Lane::Live, 0, 0..60)).await;
    let mut consumer = queue.consume(0).await.unwrap();
    let some = receive(&mut *consumer, 40, 40).await;
    acknowledge(&mut *consumer, &some[..10]).await;
    drop(consumer);

    // By another process, once whatever took its place may have noticed.
    let other = subject.open().await;
    depth_becomes(&*other, 50).await;
    let mut consumer = other.consume(0).await.unwrap();
    let again = receive(&mut *consumer, 50, 50).await;
    assert_eq!(payloads(&again), told(Lane::Live, 10..60));
    acknowledge(&mut *consumer, &again).await;
    consumer.close().await.unwrap();
}

pub(super) async fn what_was_acknowledged_never_comes_again(subject: &impl Subject) {
    let queue = subject.open().await;
    queue.publish(&messages(Lane::Bulk, 0, 0..30)).await.unwrap();
    let mut consumer = queue.consume(0).await.unwrap();
    let all = receive(&mut *consumer, 30, 30).await;
    acknowledge(&mut *consumer, &all).await;
    // Once more is no harm, and nor is nothing.
    acknowledge(&mut *consumer, &all[3..9]).await;
    acknowledge(&mut *consumer, &[]).await;
    nothing_comes(&mut *consumer).await;
    consumer.close().await.unwrap();
    let mut consumer = queue.consume(0).await.unwrap();
    nothing_comes(&mut *consumer).await;
    consumer.close().await.unwrap();
    depth_becomes(&*queue, 0).await;
}

pub(super) async fn what_was_received_does_not_come_twice_to_the_same_consumer(subject: &impl Subject) {
    let queue = subject.open().await;
    queue.publish(&messages(Lane::Live, 0, 0..3)).await.unwrap();
    let mut consumer = queue.consume(0).await.unwrap();
    let first = receive(&mut *consumer, 3, 3).await;
    nothing_comes(&mut *consumer).await;
    queue.publish(&messages(Lane::Live, 0, 3..4)).await.unwrap();
    let second = receive(&mut *consumer, 1, 10).await;
    assert_eq!(payloads(&second), told(Lane::Live, 3..4));
    // In another order than they came.
    acknowledge(&mut *consumer, &second).await;
    acknowledge(&mut *consumer, &first[1..]).await;
    acknowledge(&mut *consumer, &first[..1]).await;
    consumer.close().await.unwrap();
    depth_becomes(&*queue, 0).await;
}

pub(super) async fn receive_waits_for_the_first_and_no_longer(subject: &impl Subject) {
    let queue = subject.open().await;
    let mut consumer = queue.consume(0).await.unwrap();
    let start = Instant::now();
    assert!(consumer.receive(10, SHORT).await.unwrap().is_empty());
    let waited = start.elapsed();
    assert!(waited >= SHORT.mul_f64(0.9) && waited < SHORT * 5, "waited {waited:?}");

    assert!(consumer.receive(10, Duration::ZERO).await.unwrap().is_empty());

    let late = tokio::spawn({
        let queue = Arc::clone(&queue);
        async move {
            tokio::time::sleep(SHORT).await;
            queue.publish(&messages(Lane::Live, 0, 0..1)).await
        }
    });
    let start = Instant::now();
    let some = consumer.receive(10, LONG).await.unwrap();
    assert!(start.elapsed() < LONG / 2, "waited {:?}", start.elapsed());
    assert_eq!(payloads(&some), told(Lane::Live, 0..1));
    late.await.unwrap().unwrap();
    acknowledge(&mut *consumer, &some).await;
    consumer.close().await.unwrap();
}

pub(super) async fn partitions_do_not_touch_each_other(subject: &impl Subject) {
    let queue = subject.open().await;
    assert_eq!(queue.partitions(), PARTITIONS);
    for number in 0..10 {
        let both = [message(Lane::Live, 0, number), message(Lane::Live, 1, 100 + number)];
        queue.publish(&both).await.unwrap();
    }
    let mut first = queue.consume(0).await.unwrap();
    let mut second = queue.consume(1).await.unwrap();
    // What the one leaves open does not hold up the other.
    let of_first = receive(&mut *first, 10, 10).await;
    let of_second = receive(&mut *second, 10, 10).await;
    assert_eq!(payloads(&of_first), told(Lane::Live, 0..10));
    assert_eq!(payloads(&of_second), told(Lane::Live, 100..110));
    acknowledge(&mut *second, &of_second).await;
    second.close().await.unwrap();
    depth_becomes(&*queue, 10).await;
    acknowledge(&mut *first, &of_first).await;
    first.close().await.unwrap();
    depth_becomes(&*queue, 0).await;
}

pub(super) async fn bytes_pass_untouched(subject: &impl Subject) {
    let every_byte: Vec<u8> = (0..=255).collect();
    subject.put_raw(Lane::Live, 0, &every_byte).await;
    subject.put_raw(Lane::Live, 0, b"{ no envelope").await;
    let queue = subject.open().await;
    let large: Vec<u8> = (0_u32..3_000_000)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    let envelopes = [
        envelope(Lane::Live, 0, every_byte.clone()),
        envelope(Lane::Live, 0, large),
    ];
    queue.publish(&envelopes).await.unwrap();

    let mut consumer = queue.consume(0).await.unwrap();
    let all = receive(&mut *consumer, 4, 4).await;
    assert_eq!(all[0].bytes, every_byte);
    assert_eq!(all[1].bytes, b"{ no envelope");
    for (delivery, envelope) in all[2..].iter().zip(&envelopes) {
        assert!(
            delivery.bytes == envelope.encode().unwrap(),
            "{} bytes differ",
            delivery.bytes.len()
        );
    }
    acknowledge(&mut *consumer, &all).await;
    consumer.close().await.unwrap();
}

pub(super) async fn depth_counts_what_is_not_acknowledged(subject: &impl Subject) {
    let queue = subject.open().await;
    depth_becomes(&*queue, 0).await;
    for (lane, partition) in [(Lane::Urgent, 0), (Lane::Live, 1), (Lane::Bulk, 0)] {
        publish_each(&*queue, messages(lane, partition, 0..2)).await;
    }
    depth_becomes(&*queue, 6).await;
    let mut consumer = queue.consume(0).await.unwrap();
    let some = receive(&mut *consumer, 3, 3).await;
    depth_becomes(&*queue, 6).await;
    acknowledge(&mut *consumer, &some).await;
    depth_becomes(&*queue, 3).await;
    consumer.close().await.unwrap();
    depth_becomes(&*queue, 3).await;
    for partition in 0..PARTITIONS {
        let mut consumer = queue.consume(partition).await.unwrap();
        let left = if partition == 0 { 1 } else { 2 };
        let rest = receive(&mut *consumer, left, 10).await;
        acknowledge(&mut *consumer, &rest).await;
        consumer.close().await.unwrap();
    }
    depth_becomes(&*queue, 0).await;
}

pub(super) async fn publishers_at_once_keep_their_own_order(subject: &impl Subject) {
    const PUBLISHERS: usize = 8;
    const EACH: usize = 40;
    let queue = subject.open().await;
    queue.publish(&[]).await.unwrap();
    let publishing = (0..PUBLISHERS).map(|publisher| {
        let queue = Arc::clone(&queue);
        tokio::spawn(async move {
            for batch in 0..EACH / 10 {
                let start = publisher * EACH + batch * 10;
                queue
                    .publish(&messages(Lane::Live, 0, start..start + 10))
                    .await
                    .unwrap();
            }
        })
    });
    for publisher in publishing.collect::<Vec<_>>() {
        publisher.await.unwrap();
    }
    let mut consumer = queue.consume(0).await.unwrap();
    let mut all = Vec::new();
    while all.len() < PUBLISHERS * EACH {
        let some = receive(&mut *consumer, 80, 80).await;
        acknowledge(&mut *consumer, &some).await;
        all.extend(some);
    }
    let numbers: Vec<usize> = payloads(&all)
        .iter()
        .map(|payload| payload.trim_start_matches("live ").parse().unwrap())
        .collect();
    assert_eq!(numbers.iter().collect::<BTreeSet<_>>().len(), PUBLISHERS * EACH);
    for publisher in 0..PUBLISHERS {
        assert!(
            numbers.iter().filter(|number| *number / EACH == publisher).is_sorted(),
            "{numbers:?}"
        );
    }
    consumer.close().await.unwrap();
}
