//! The broker, and what can happen to it and to the way there.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use lapin::{
    BasicProperties,
    options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeleteOptions},
};
use odograph_domain::{
    envelope::Lane,
    queue::{Publisher, Queue, QueueError},
};
use odograph_ingest::rabbit::{RabbitOptions, RabbitQueue};
use odograph_tests::{Backend, TestBroker};

use super::{
    proxy::Proxy,
    suite::{
        PARTITIONS, Subject, acknowledge, depth_becomes, message, messages, nothing_comes, payloads, publish_each,
        receive, told,
    },
};

const WAIT: Duration = Duration::from_millis(500);

impl Subject for TestBroker {
    async fn open(&self) -> Arc<dyn Queue> {
        Arc::new(self.queue().await)
    }

    async fn put_raw(&self, lane: Lane, partition: u16, bytes: &[u8]) {
        let connection = self.connection().await;
        let channel = connection.create_channel().await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        let key = format!("{}.{partition}", lane.as_str());
        let options = BasicPublishOptions {
            mandatory: true,
            ..BasicPublishOptions::default()
        };
        let confirm = channel
            .basic_publish(
                self.options().exchange().into(),
                key.into(),
                options,
                bytes,
                BasicProperties::default(),
            )
            .await
            .unwrap();
        assert!(confirm.await.unwrap().take_message().is_none());
    }
}

async fn fresh() -> Option<TestBroker> {
    if Backend::chosen() == Backend::Embedded {
        println!("skipped: the embedded backend has no broker");
        return None;
    }
    let broker = TestBroker::fresh(PARTITIONS);
    // Declares the queues: some tests put something in before they open anything.
    broker.queue().await.close().await;
    Some(broker)
}

async fn done(broker: TestBroker) {
    let queue = broker.queue().await;
    depth_becomes(&queue, 0).await;
    queue.close().await;
}

super::over! { fresh, done }

async fn by_way_of(proxy: &Proxy, broker: &TestBroker) -> RabbitQueue {
    let url = proxy.url(&broker.options().url);
    RabbitQueue::connect(RabbitOptions {
        url,
        ..broker.options().clone()
    })
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_connection_is_made_again_and_what_was_open_comes_again() {
    let Some(broker) = fresh().await else { return };
    let proxy = Proxy::to(&broker.options().url).await;
    let queue = by_way_of(&proxy, &broker).await;
    publish_each(&queue, messages(Lane::Live, 0, 0..30)).await;
    let mut consumer = queue.consume(0).await.unwrap();
    let some = receive(&mut *consumer, 20, 20).await;
    acknowledge(&mut *consumer, &some[..5]).await;
    // The acknowledgement is on its way; only one that has arrived counts.
    tokio::time::sleep(WAIT).await;

    proxy.cut();
    // Until the loss is noticed, what was already here can still be handed on; it then comes once more.
    tokio::time::sleep(WAIT).await;
    let again = receive(&mut *consumer, 25, 25).await;
    assert_eq!(payloads(&again), told(Lane::Live, 5..30));
    // A receipt of the lost channel is refused: on the new one its tag is another message's.
    let stale = consumer.acknowledge(&[some[10].receipt]).await;
    assert!(matches!(stale, Err(QueueError::Unavailable(_))), "{stale:?}");
    acknowledge(&mut *consumer, &again).await;
    nothing_comes(&mut *consumer).await;

    queue.publish(&messages(Lane::Urgent, 0, 30..31)).await.unwrap();
    let last = receive(&mut *consumer, 1, 1).await;
    assert_eq!(payloads(&last), told(Lane::Urgent, 30..31));
    acknowledge(&mut *consumer, &last).await;
    consumer.close().await.unwrap();
    queue.close().await;
    done(broker).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_broker_is_away_callers_are_told_and_later_served() {
    let Some(broker) = fresh().await else { return };
    let proxy = Proxy::to(&broker.options().url).await;
    let queue = by_way_of(&proxy, &broker).await;
    let mut consumer = queue.consume(1).await.unwrap();
    proxy.refuse(true);
    proxy.cut();
    let start = Instant::now();
    let failed = queue.publish(&messages(Lane::Live, 1, 0..3)).await;
    assert!(matches!(failed, Err(QueueError::Unavailable(_))), "{failed:?}");
    assert!(
        start.elapsed() < Duration::from_secs(15),
        "told after {:?}",
        start.elapsed()
    );
    let failed = consumer.receive(10, WAIT).await;
    assert!(matches!(failed, Err(QueueError::Unavailable(_))), "{failed:?}");

    proxy.refuse(false);
    let deadline = Instant::now() + Duration::from_secs(20);
    while let Err(error) = queue.publish(&messages(Lane::Live, 1, 0..3)).await {
        assert!(Instant::now() < deadline, "{error}");
    }
    let mut came = Vec::new();
    while came.len() < 3 {
        came.extend(consumer.receive(10, WAIT).await.unwrap_or_default());
        assert!(Instant::now() < deadline, "{} came", came.len());
    }
    assert_eq!(payloads(&came), told(Lane::Live, 0..3));
    acknowledge(&mut *consumer, &came).await;
    consumer.close().await.unwrap();
    queue.close().await;
    done(broker).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queues_that_were_deleted_under_us_are_made_again() {
    let Some(broker) = fresh().await else { return };
    let queue = broker.queue().await;
    let mut consumer = queue.consume(0).await.unwrap();
    nothing_comes(&mut *consumer).await;
    let connection = broker.connection().await;
    let channel = connection.create_channel().await.unwrap();
    for lane in Lane::ALL {
        for partition in 0..PARTITIONS {
            let name = broker.options().queue(lane, partition);
            channel
                .queue_delete(name.into(), QueueDeleteOptions::default())
                .await
                .unwrap();
        }
    }
    // Partition 1 is consumed by nobody, so nobody has noticed: the message is returned, and its sender told.
    let failed = queue.publish(&[message(Lane::Live, 1, 0)]).await;
    assert!(matches!(failed, Err(QueueError::Unavailable(_))), "{failed:?}");
    queue
        .publish(&[message(Lane::Live, 1, 1), message(Lane::Live, 0, 2)])
        .await
        .unwrap();
    let some = receive(&mut *consumer, 1, 10).await;
    assert_eq!(payloads(&some), told(Lane::Live, 2..3));
    acknowledge(&mut *consumer, &some).await;
    consumer.close().await.unwrap();
    let mut consumer = queue.consume(1).await.unwrap();
    let some = receive(&mut *consumer, 1, 10).await;
    assert_eq!(payloads(&some), told(Lane::Live, 1..2));
    acknowledge(&mut *consumer, &some).await;
    consumer.close().await.unwrap();
    done(broker).await;
}

/// The queue is made again by who publishes while its consumer may not have been told yet that it was gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_was_deleted_alone_is_consumed_again() {
    let Some(broker) = fresh().await else { return };
    let queue = broker.queue().await;
    let mut consumer = queue.consume(0).await.unwrap();
    let connection = broker.connection().await;
    let channel = connection.create_channel().await.unwrap();
    for number in 0..3 {
        let name = broker.options().queue(Lane::Live, 0);
        channel
            .queue_delete(name.into(), QueueDeleteOptions::default())
            .await
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while let Err(error) = queue.publish(&[message(Lane::Live, 0, number)]).await {
            assert!(Instant::now() < deadline, "{error}");
        }
        let some = receive(&mut *consumer, 1, 10).await;
        assert_eq!(payloads(&some), told(Lane::Live, number..=number));
        acknowledge(&mut *consumer, &some).await;
    }
    consumer.close().await.unwrap();
    done(broker).await;
}

/// What is published together is one message to the broker: done when all of it is, and else it comes again whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_travels_together_is_done_together() {
    let Some(broker) = fresh().await else { return };
    let queue = broker.queue().await;
    queue.publish(&messages(Lane::Live, 0, 0..500)).await.unwrap();
    depth_becomes(&queue, 1).await;
    let mut consumer = queue.consume(0).await.unwrap();
    let some = receive(&mut *consumer, 300, 70).await;
    assert_eq!(payloads(&some), told(Lane::Live, 0..300));
    acknowledge(&mut *consumer, &some).await;
    // Once more is no harm: it must not count for those that are open.
    acknowledge(&mut *consumer, &some).await;
    consumer.close().await.unwrap();
    depth_becomes(&queue, 1).await;

    let mut consumer = queue.consume(0).await.unwrap();
    let again = receive(&mut *consumer, 500, 500).await;
    assert_eq!(payloads(&again), told(Lane::Live, 0..500));
    assert!(again.iter().all(|delivery| delivery.redelivered));
    acknowledge(&mut *consumer, &again[250..]).await;
    acknowledge(&mut *consumer, &again[..250]).await;
    consumer.close().await.unwrap();
    depth_becomes(&queue, 0).await;
    done(broker).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn returning_a_message_often_does_not_lose_it() {
    let Some(broker) = fresh().await else { return };
    let queue = broker.queue().await;
    queue.publish(&messages(Lane::Live, 0, 0..2)).await.unwrap();
    for _ in 0..30 {
        let mut consumer = queue.consume(0).await.unwrap();
        receive(&mut *consumer, 2, 2).await;
        consumer.close().await.unwrap();
    }
    let mut consumer = queue.consume(0).await.unwrap();
    let some = receive(&mut *consumer, 2, 2).await;
    assert_eq!(payloads(&some), told(Lane::Live, 0..2));
    acknowledge(&mut *consumer, &some).await;
    consumer.close().await.unwrap();
    done(broker).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_refuses_the_newest_and_keeps_the_oldest() {
    let Some(broker) = fresh().await else { return };
    let policy = format!("{}-full", broker.options().prefix);
    let pattern = format!("^{}", broker.options().queue(Lane::Bulk, 0).replace('.', "\\."));
    if !rabbitmqctl(&[
        "set_policy",
        "--apply-to",
        "queues",
        &policy,
        &pattern,
        r#"{"max-length": 3}"#,
    ])
    .await
    {
        println!("skipped: a policy can only be set with rabbitmqctl");
        return;
    }
    let queue = broker.queue().await;
    // The bound is not sharp: messages under way at once may pass it. One by one, it holds soon.
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut kept = 0;
    let refused = loop {
        match queue.publish(&[message(Lane::Bulk, 0, kept)]).await {
            Ok(()) => kept += 1,
            Err(error) => break error,
        }
        assert!(Instant::now() < deadline && kept < 100, "{kept} messages fit in");
    };
    assert!(matches!(refused, QueueError::Saturated(_)), "{refused}");
    // The other lanes go on.
    queue.publish(&[message(Lane::Live, 0, 0)]).await.unwrap();
    let mut consumer = queue.consume(0).await.unwrap();
    let all = receive(&mut *consumer, kept + 1, 100).await;
    assert_eq!(payloads(&all)[1..], told(Lane::Bulk, 0..kept));
    acknowledge(&mut *consumer, &all).await;
    consumer.close().await.unwrap();
    assert!(rabbitmqctl(&["clear_policy", &policy]).await);
    done(broker).await;
}

/// Whether the command could be given to the broker the tests use.
async fn rabbitmqctl(arguments: &[&str]) -> bool {
    if !TestBroker::url().contains("@127.0.0.1:5672/") {
        return false;
    }
    let run = tokio::process::Command::new("rabbitmqctl")
        .arg("-q")
        .args(arguments)
        .output()
        .await;
    run.is_ok_and(|output| output.status.success())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_wrongly_is_misuse() {
    let Some(broker) = fresh().await else { return };
    let queue = broker.queue().await;
    let beyond = queue.consume(PARTITIONS).await.map(|_| ());
    assert!(matches!(beyond, Err(QueueError::Misused(_))), "{beyond:?}");
    let url = "amqp://127.0.0.1:1/%2f".to_owned();
    let nobody = RabbitQueue::connect(RabbitOptions {
        url,
        ..broker.options().clone()
    })
    .await
    .map(|_| ());
    assert!(matches!(nobody, Err(QueueError::Unavailable(_))), "{nobody:?}");
    done(broker).await;
}
