//! Exchange, queues and bindings of one generation.

use futures_util::future::try_join_all;
use lapin::{
    Channel, Connection, ExchangeKind,
    options::{
        ExchangeDeclareOptions, ExchangeDeleteOptions, QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions,
    },
    types::{AMQPValue, FieldTable},
};
use odograph_domain::envelope::Lane;

use super::RabbitOptions;

/// As good as none. RabbitMQ 4 gives up on a message after 20 returns unless told otherwise, and what it gives up on is lost;
/// -1 would switch that off there, but to 3.10 it is a limit that the first return exceeds.
const DELIVERY_LIMIT: i32 = i32::MAX;

pub(super) struct Topology {
    options: RabbitOptions,
}

impl Topology {
    pub(super) fn new(options: &RabbitOptions) -> Self {
        Self {
            options: options.clone(),
        }
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

    pub(super) fn prefetch(&self) -> u16 {
        self.options.prefetch
    }

    pub(super) fn routing_key(lane: Lane, partition: u16) -> String {
        format!("{}.{partition}", lane.as_str())
    }

    /// Declares everything. What is there already stays as it is.
    pub(super) async fn declare(&self, connection: &Connection) -> lapin::Result<()> {
        let channel = connection.create_channel().await?;
        let durable = ExchangeDeclareOptions {
            durable: true,
            ..ExchangeDeclareOptions::default()
        };
        channel
            .exchange_declare(
                self.exchange().into(),
                ExchangeKind::Direct,
                durable,
                FieldTable::default(),
            )
            .await?;
        for partition in 0..self.options.partitions {
            self.declare_partition(connection, partition).await?;
        }
        Ok(())
    }

    pub(super) async fn delete(&self, connection: &Connection) -> lapin::Result<()> {
        let channel = connection.create_channel().await?;
        for queue in self.options.queues() {
            channel
                .queue_delete(queue.into(), QueueDeleteOptions::default())
                .await?;
        }
        channel
            .exchange_delete(self.exchange().into(), ExchangeDeleteOptions::default())
            .await
    }

    /// On a channel of its own: a refused declaration closes the channel it was made on.
    pub(super) async fn declare_partition(&self, connection: &Connection, partition: u16) -> lapin::Result<()> {
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

    /// Messages that wait to be delivered, over all queues.
    pub(super) async fn waiting(&self, connection: &Connection) -> lapin::Result<u64> {
        let channel = connection.create_channel().await?;
        let names: Vec<String> = self.options.queues().collect();
        let asked = names.into_iter().map(|name| {
            channel.queue_declare(
                name.into(),
                QueueDeclareOptions::durable().passive(),
                FieldTable::default(),
            )
        });
        let queues = try_join_all(asked).await?;
        Ok(queues.iter().map(|queue| u64::from(queue.message_count())).sum())
    }
}

fn arguments() -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    // An operator may bound the length by a policy. The broker's own choice would then be to drop the oldest message,
    // which someone was told is safe; refusing the newest is a nack to its sender.
    arguments.insert("x-overflow".into(), AMQPValue::LongString("reject-publish".into()));
    arguments.insert("x-delivery-limit".into(), AMQPValue::LongInt(DELIVERY_LIMIT));
    arguments
}
