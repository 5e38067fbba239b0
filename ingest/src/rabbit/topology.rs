//! Exchange, queues and bindings of one generation.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use futures_util::{StreamExt as _, TryStreamExt as _, future::try_join_all, stream};
use lapin::{
    Channel, Connection, ErrorKind, ExchangeKind,
    options::{
        ExchangeDeclareOptions, ExchangeDeleteOptions, QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions,
    },
    protocol::{AMQPErrorKind, AMQPSoftError},
    types::{AMQPValue, FieldTable},
};
use odograph_domain::{
    envelope::Lane,
    queue::{Generation, Waiting},
};

use super::{ANSWER, ANSWER_BY_PARTITION, RabbitOptions, intake, probe};

/// Channels open at once to look at queues.
const LOOKS_AT_ONCE: usize = 16;
/// Looks that may be told of something that is not there, but is not what was looked for.
const LOOKS_AGAIN: usize = 5;
/// As good as none. RabbitMQ 4 gives up on a message after 20 returns unless told otherwise, and what it gives up on is lost;
/// -1 would switch that off there, but to 3.10 it is a limit that the first return exceeds.
const DELIVERY_LIMIT: i32 = i32::MAX;
/// For how long a queue is left missing before it is made again. When a queue is deleted, RabbitMQ before 4 first tries, for
/// some tens of milliseconds, to subscribe its consumers once more. If there is a queue of that name again by then, it
/// succeeds, tells nobody, and drops whatever it should deliver to them from then on; only if there is none are they told.
pub(super) const GONE: Duration = Duration::from_secs(1);

pub(super) struct Topology {
    options: RabbitOptions,
    /// Nothing of it is made again: it is being worked off.
    superseded: bool,
}

/// The topology that is worked with just now.
pub(super) struct Chosen(RwLock<Arc<Topology>>);

impl Chosen {
    pub(super) fn new(topology: Arc<Topology>) -> Self {
        Self(RwLock::new(topology))
    }

    pub(super) fn get(&self) -> Arc<Topology> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn set(&self, topology: Arc<Topology>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = topology;
    }
}

impl Topology {
    pub(super) fn new(options: &RabbitOptions) -> Self {
        Self {
            options: options.clone(),
            superseded: false,
        }
    }

    pub(super) fn superseded(self) -> Self {
        Self {
            superseded: true,
            ..self
        }
    }

    pub(super) fn generation(&self) -> Generation {
        self.options.numbered()
    }

    pub(super) fn exchange(&self) -> String {
        self.options.exchange()
    }

    pub(super) fn queue(&self, lane: Lane, partition: u16) -> String {
        self.options.queue(lane, partition)
    }

    pub(super) fn partitions(&self) -> u16 {
        self.options.partitions
    }

    /// How long the broker may take over all queues.
    pub(super) fn patience(&self) -> Duration {
        ANSWER + ANSWER_BY_PARTITION * u32::from(self.options.partitions)
    }

    pub(super) fn prefetch(&self, lane: Lane) -> u16 {
        match lane {
            Lane::Live => self.options.prefetch,
            Lane::Urgent | Lane::Bulk => self.options.bulk_prefetch,
        }
    }

    pub(super) fn routing_key(lane: Lane, partition: u16) -> String {
        format!("{}.{partition}", lane.as_str())
    }

    /// Declares what is missing. What is there already stays as it is.
    pub(super) async fn declare(&self, connection: &Connection) -> lapin::Result<()> {
        if self.superseded {
            return Ok(());
        }
        if self.options.intake {
            intake::declare(connection, &self.options).await?;
        }
        let first = declare_exchange(connection, &self.exchange(), ExchangeKind::Direct).await?;
        let mut missing = Vec::new();
        for partition in 0..self.options.partitions {
            // Nobody can have consumed from queues that never were.
            if first {
                self.declare_partition(connection, partition).await?;
            } else {
                missing.append(&mut self.declare_present(connection, partition).await?);
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        tracing::warn!(queue.missing = missing.len(), "queues were deleted; making them again");
        tokio::time::sleep(GONE).await;
        // Only those: what was deleted in the meantime has not been missing for long enough.
        let channel = connection.create_channel().await?;
        for (lane, partition) in missing {
            self.declare_queue(&channel, lane, partition).await?;
        }
        channel.close(200, "declared".into()).await
    }

    /// Declares those queues of a partition that are there, which tells whether they are as they should be; returns those
    /// that are not there.
    async fn declare_present(&self, connection: &Connection, partition: u16) -> lapin::Result<Vec<(Lane, u16)>> {
        let mut missing = Vec::new();
        for lane in Lane::ALL {
            let channel = connection.create_channel().await?;
            let name = self.queue(lane, partition).into();
            let passive = QueueDeclareOptions::durable().passive();
            if found(channel.queue_declare(name, passive, FieldTable::default()).await)? {
                self.declare_queue(&channel, lane, partition).await?;
                channel.close(200, "declared".into()).await?;
            } else {
                missing.push((lane, partition));
            }
        }
        Ok(missing)
    }

    pub(super) async fn delete(&self, connection: &Connection) -> lapin::Result<()> {
        let channel = connection.create_channel().await?;
        for queue in self.options.queues() {
            channel
                .queue_delete(queue.into(), QueueDeleteOptions::default())
                .await?;
        }
        if self.options.intake {
            for queue in self.options.intake_queues() {
                channel
                    .queue_delete(queue.into(), QueueDeleteOptions::default())
                    .await?;
            }
            channel
                .exchange_delete(self.options.intake_exchange().into(), ExchangeDeleteOptions::default())
                .await?;
        }
        channel
            .exchange_delete(self.exchange().into(), ExchangeDeleteOptions::default())
            .await
    }

    /// At once, also what is missing: for who consumes the partition, and so knows of no other subscription that could still
    /// have to be told.
    ///
    /// On a channel of its own: a refused declaration closes the channel it was made on.
    pub(super) async fn declare_partition(&self, connection: &Connection, partition: u16) -> lapin::Result<()> {
        if self.superseded {
            return Ok(());
        }
        let channel = connection.create_channel().await?;
        try_join_all(Lane::ALL.map(|lane| self.declare_queue(&channel, lane, partition))).await?;
        channel.close(200, "declared".into()).await
    }

    async fn declare_queue(&self, channel: &Channel, lane: Lane, partition: u16) -> lapin::Result<()> {
        let name = self.queue(lane, partition);
        channel
            .queue_declare(name.as_str().into(), QueueDeclareOptions::durable(), arguments())
            .await?;
        let key = Self::routing_key(lane, partition);
        channel
            .queue_bind(
                name.into(),
                self.exchange().into(),
                key.into(),
                QueueBindOptions::default(),
                FieldTable::default(),
            )
            .await
    }

    /// Without its exchange nobody can publish to it any more, whatever they believe.
    pub(super) async fn seal(&self, connection: &Connection) -> lapin::Result<()> {
        let channel = connection.create_channel().await?;
        channel
            .exchange_delete(self.exchange().into(), ExchangeDeleteOptions::default())
            .await?;
        channel.close(200, "sealed".into()).await
    }

    /// Whether every queue is empty and nobody consumes from one, so that nobody holds anything of it either.
    ///
    /// A quorum queue that still reads its log, after its broker was started, says that it is empty. So what seems to be
    /// empty is asked to take a message and to give it back as its first.
    pub(super) async fn is_drained(&self, connection: &Connection) -> lapin::Result<bool> {
        let mut looks = stream::iter(self.options.queues())
            .map(|queue| async move { self.look(connection, &queue).await })
            .buffer_unordered(LOOKS_AT_ONCE);
        while let Some(seen) = looks.try_next().await? {
            if seen != (0, 0) {
                return Ok(false);
            }
        }
        let mut probes = stream::iter(self.options.queues())
            .map(|queue| async move { probe::comes_first(connection, &queue).await })
            .buffer_unordered(LOOKS_AT_ONCE);
        while let Some(first) = probes.try_next().await? {
            if !first {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Messages that wait to be delivered, over all queues.
    pub(super) async fn waiting(&self, connection: &Connection) -> lapin::Result<u64> {
        self.waiting_over(connection, self.options.queues()).await
    }

    pub(super) async fn waiting_in(&self, connection: &Connection, lane: Lane) -> lapin::Result<u64> {
        let queues = (0..self.options.partitions).map(|partition| self.queue(lane, partition));
        self.waiting_over(connection, queues).await
    }

    pub(super) async fn waiting_of(&self, connection: &Connection, partition: u16) -> lapin::Result<u64> {
        let queues = Lane::ALL.into_iter().map(|lane| self.queue(lane, partition));
        self.waiting_over(connection, queues).await
    }

    async fn waiting_over(&self, connection: &Connection, queues: impl Iterator<Item = String>) -> lapin::Result<u64> {
        stream::iter(queues)
            .map(|queue| async move { self.look(connection, &queue).await })
            .buffer_unordered(LOOKS_AT_ONCE)
            .try_fold(0, |sum, (messages, _)| async move { Ok(sum + u64::from(messages)) })
            .await
    }

    /// Messages that wait in a queue and who consumes from it; nothing of one that is not there.
    async fn look(&self, connection: &Connection, queue: &str) -> lapin::Result<(u32, u32)> {
        let once = async || {
            let channel = connection.create_channel().await?;
            let passive = QueueDeclareOptions::durable().passive();
            let queue = channel
                .queue_declare(queue.into(), passive, FieldTable::default())
                .await?;
            let seen = (queue.message_count(), queue.consumer_count());
            channel.close(200, "looked".into()).await?;
            lapin::Result::Ok(seen)
        };
        let mut left = LOOKS_AGAIN;
        loop {
            match once().await {
                Err(error) if is_not_found(&error) && error.to_string().contains(&format!("'{queue}'")) => {
                    return Ok((0, 0));
                }
                // lapin gives a channel the number of one that was just refused something, and sometimes that refusal too.
                Err(error) if is_not_found(&error) && left > 0 => left -= 1,
                seen => return seen,
            }
        }
    }

    /// As [`Topology::waiting`], each queue by itself.
    pub(super) async fn waiting_by_queue(&self, connection: &Connection) -> lapin::Result<Vec<Waiting>> {
        let queues = (0..self.options.partitions).flat_map(|partition| Lane::ALL.map(|lane| (partition, lane)));
        stream::iter(queues)
            .map(|(partition, lane)| async move {
                let (messages, _) = self.look(connection, &self.queue(lane, partition)).await?;
                lapin::Result::Ok(Waiting {
                    partition,
                    lane,
                    messages: u64::from(messages),
                })
            })
            .buffer_unordered(LOOKS_AT_ONCE)
            .try_collect()
            .await
    }
}

/// Declares a durable exchange; returns whether there was none.
pub(super) async fn declare_exchange(connection: &Connection, name: &str, kind: ExchangeKind) -> lapin::Result<bool> {
    let declare = async |passive| {
        let options = ExchangeDeclareOptions {
            passive,
            durable: true,
            ..ExchangeDeclareOptions::default()
        };
        let channel = connection.create_channel().await?;
        channel
            .exchange_declare(name.into(), kind.clone(), options, FieldTable::default())
            .await
    };
    let first = !found(declare(true).await)?;
    declare(false).await?;
    Ok(first)
}

/// Whether the broker has what was asked for. If not, it has closed the channel.
pub(super) fn found<T>(answer: lapin::Result<T>) -> lapin::Result<bool> {
    match answer {
        Ok(_) => Ok(true),
        Err(error) if is_not_found(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

pub(super) fn is_not_found(error: &lapin::Error) -> bool {
    const NOT_FOUND: AMQPErrorKind = AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND);
    matches!(error.kind(), ErrorKind::ProtocolError(error) if *error.kind() == NOT_FOUND)
}

pub(super) fn arguments() -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    // An operator may bound the length by a policy. The broker's own choice would then be to drop the oldest message,
    // which someone was told is safe; refusing the newest is a nack to its sender.
    arguments.insert("x-overflow".into(), AMQPValue::LongString("reject-publish".into()));
    arguments.insert("x-delivery-limit".into(), AMQPValue::LongInt(DELIVERY_LIMIT));
    arguments
}
