//! Publishing with confirms, a whole batch in flight at once.

use std::{
    collections::{BTreeMap, VecDeque},
    future::Future,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use lapin::{
    BasicProperties, Channel, Confirmation, Connection, PublisherConfirm,
    options::{BasicPublishOptions, ConfirmSelectOptions},
};
use odograph_domain::{
    carrier,
    envelope::{Envelope, Lane},
    queue::QueueError,
};
use tokio::sync::{RwLock, Semaphore};

use super::{
    ANSWER, PATIENCE, answered, answered_within,
    link::Link,
    topology::{Chosen, Topology},
};

/// Messages of one batch that may be unconfirmed at once.
const WINDOW: usize = 512;
/// Batches published at once; the rest wait for their turn. Bounds the channels in use.
const AT_ONCE: usize = 64;
/// Quorum queues confirm within milliseconds; a broker that takes this long is of no use to a waiting sender.
const CONFIRM: Duration = Duration::from_secs(10);
/// How often a publisher that waits looks whether the broker has blocked it.
const LOOK: Duration = Duration::from_millis(100);
const PERSISTENT: u8 = 2;

pub(super) struct Publishing {
    link: Link,
    topology: Arc<Chosen>,
    /// Shared by everything under way; taken alone to go over to other queues.
    under_way: RwLock<()>,
    permits: Semaphore,
    /// Channels in confirm mode with nothing in flight. A batch has its channel to itself, so that a message the broker
    /// returns can only be one of its own.
    idle: Mutex<Vec<Channel>>,
}

struct Message {
    routing_key: String,
    bytes: Vec<u8>,
}

impl Publishing {
    pub(super) fn new(link: Link, topology: Arc<Chosen>) -> Self {
        Self {
            link,
            topology,
            under_way: RwLock::default(),
            permits: Semaphore::new(AT_ONCE),
            idle: Mutex::default(),
        }
    }

    pub(super) async fn connection(&self, deadline: Instant) -> Result<Arc<Connection>, QueueError> {
        self.link.connection(deadline).await
    }

    pub(super) async fn publish(&self, envelopes: &[Envelope]) -> Result<(), QueueError> {
        if envelopes.is_empty() {
            return Ok(());
        }
        let deadline = Instant::now() + PATIENCE;
        let busy = |_| QueueError::Saturated("too much is being published at once".to_owned());
        let permit = tokio::time::timeout_at(deadline.into(), self.permits.acquire()).await;
        let _permit = permit
            .map_err(busy)?
            .map_err(|_| QueueError::Unavailable("the queue has been closed".to_owned()))?;
        let _under_way = tokio::time::timeout_at(deadline.into(), self.under_way.read())
            .await
            .map_err(busy)?;
        let topology = self.topology.get();
        let messages = messages(&topology, envelopes)?;
        let connection = self.link.connection(deadline).await?;
        let channel = self.channel(&connection).await?;
        match unless_blocked(&connection, send(&channel, &topology.exchange(), messages)).await {
            Ok(()) => {
                self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(channel);
                Ok(())
            }
            // The channel is dropped, and closed by that: what is still in flight on it must not be taken for the next
            // batch's.
            Err(Failure::Unroutable(why)) => {
                self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
                self.link.forget(&connection).await;
                Err(QueueError::Unavailable(why))
            }
            Err(Failure::Queue(error)) => Err(error),
        }
    }

    pub(super) fn topology(&self) -> Arc<Topology> {
        self.topology.get()
    }

    /// Declares what is missing, and publishes there once nothing is under way to where it was before.
    pub(super) async fn go_over_to(&self, next: Topology) -> Result<(), QueueError> {
        let connection = self.link.connection(Instant::now() + PATIENCE).await?;
        answered_within(next.patience(), "declaring the queues", next.declare(&connection)).await?;
        let alone = tokio::time::timeout(ANSWER + CONFIRM, self.under_way.write()).await;
        let _alone = alone.map_err(|_| QueueError::Unavailable("what is being published does not end".to_owned()))?;
        self.topology.set(Arc::new(next));
        Ok(())
    }

    async fn channel(&self, connection: &Connection) -> Result<Channel, QueueError> {
        loop {
            let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            match idle {
                Some(channel) if channel.status().connected() => return Ok(channel),
                Some(_) => {}
                None => break,
            }
        }
        let opening = answered("opening a channel", async {
            let channel = connection.create_channel().await?;
            channel.confirm_select(ConfirmSelectOptions::default()).await?;
            Ok(channel)
        });
        unless_blocked(connection, async { opening.await.map_err(Failure::Queue) })
            .await
            .map_err(Failure::into_error)
    }

    pub(super) async fn close(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.link.close().await;
    }
}

/// What goes to the same queue travels together, in order.
fn messages(topology: &Topology, envelopes: &[Envelope]) -> Result<Vec<Message>, QueueError> {
    let mut by_queue: BTreeMap<(Lane, u16), Vec<Vec<u8>>> = BTreeMap::new();
    for envelope in envelopes {
        let bytes = envelope
            .encode()
            .map_err(|error| QueueError::Misused(error.to_string()))?;
        let partition = envelope.header.partition(topology.partitions());
        by_queue
            .entry((envelope.header.lane, partition))
            .or_default()
            .push(bytes);
    }
    let message = |((lane, partition), envelopes)| {
        let routing_key = Topology::routing_key(lane, partition);
        carrier::pack(envelopes).into_iter().map(move |bytes| Message {
            routing_key: routing_key.clone(),
            bytes,
        })
    };
    Ok(by_queue.into_iter().flat_map(message).collect())
}

/// Sends in order, and returns when the broker has confirmed all. One at a time, since only then the order holds; the
/// confirms come while later ones are sent.
async fn send(channel: &Channel, exchange: &str, messages: Vec<Message>) -> Result<(), Failure> {
    let options = BasicPublishOptions {
        mandatory: true,
        ..BasicPublishOptions::default()
    };
    let properties = BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_content_type("application/octet-stream".into());
    let mut in_flight = VecDeque::with_capacity(WINDOW.min(messages.len()));
    for message in messages {
        if in_flight.len() >= WINDOW
            && let Some(oldest) = in_flight.pop_front()
        {
            confirmed(oldest).await?;
        }
        let sent = channel.basic_publish(
            exchange.into(),
            message.routing_key.into(),
            options,
            &message.bytes,
            properties.clone(),
        );
        in_flight.push_back(answered("publishing", sent).await.map_err(Failure::Queue)?);
    }
    for confirm in in_flight {
        confirmed(confirm).await?;
    }
    Ok(())
}

enum Failure {
    /// No queue takes it: what was declared is gone.
    Unroutable(String),
    Queue(QueueError),
}

impl Failure {
    fn into_error(self) -> QueueError {
        match self {
            Self::Unroutable(why) => QueueError::Unavailable(why),
            Self::Queue(error) => error,
        }
    }
}

async fn confirmed(confirm: PublisherConfirm) -> Result<(), Failure> {
    let Ok(answer) = tokio::time::timeout(CONFIRM, confirm).await else {
        let why = format!("the broker did not confirm within {} s", CONFIRM.as_secs());
        return Err(Failure::Queue(QueueError::Unavailable(why)));
    };
    let lost = |error| Failure::Queue(QueueError::Unavailable(format!("waiting for a confirm: {error}")));
    match answer.map_err(lost)? {
        Confirmation::Ack(None) => Ok(()),
        Confirmation::Ack(Some(returned)) | Confirmation::Nack(Some(returned)) => Err(Failure::Unroutable(format!(
            "no queue takes routing key {}",
            returned.routing_key
        ))),
        Confirmation::Nack(None) => Err(Failure::Queue(QueueError::Saturated(
            "the broker refused the message".to_owned(),
        ))),
        Confirmation::NotRequested => Err(Failure::Queue(QueueError::Misused(
            "the channel is not in confirm mode".to_owned(),
        ))),
    }
}

/// Runs `work`, but gives up as soon as the broker has blocked the connection: nothing would go on until its memory or disk
/// is freed, and the sender had better be told to slow down.
async fn unless_blocked<T>(
    connection: &Connection,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let mut work = pin!(work);
    let mut look = tokio::time::interval(LOOK);
    loop {
        if connection.status().blocked() {
            let why = "the broker has blocked publishing: it is short of memory or disk".to_owned();
            return Err(Failure::Queue(QueueError::Saturated(why)));
        }
        tokio::select! {
            biased;
            done = &mut work => return done,
            _ = look.tick() => {}
        }
    }
}
