//! Telemetry of senders that log in to the broker themselves: AMQP clients and MQTT devices. It waits in an intake queue of
//! its own until the bridge has found out whose it is.
//!
//! AMQP clients publish to a fanout exchange: whatever routing key they give, the message is kept. The broker has checked that
//! `user_id`, where there is one, is the user who is logged in. MQTT devices publish by the broker's own plugin, whose
//! messages have no `user_id`; there the topic, for which the broker has asked leave, tells the credential.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use futures_util::{StreamExt, future::try_join_all, stream};
use lapin::{
    Channel, Connection,
    message::Delivery,
    options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions, QueueBindOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable, ShortString},
};
use odograph_domain::{envelope::Source, queue::QueueError};
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::JoinHandle,
};

use super::{
    PATIENCE, RabbitOptions, RabbitQueue, Shared, answered,
    topology::{GONE, arguments, declare_exchange, found},
};

/// Where the broker's MQTT plugin publishes, unless it is told otherwise.
const MQTT_EXCHANGE: &str = "amq.topic";
const WAYS: [Source; 2] = [Source::Amqp, Source::Mqtt];

impl RabbitOptions {
    /// Where AMQP clients publish.
    pub fn intake_exchange(&self) -> String {
        format!("{}.intake", self.prefix)
    }

    /// Where telemetry waits that came by AMQP, or by MQTT.
    pub fn intake_queue(&self, way: Source) -> String {
        let way = if way == Source::Mqtt { "mqtt" } else { "amqp" };
        format!("{}.intake.{way}", self.prefix)
    }

    /// Every intake queue.
    pub fn intake_queues(&self) -> impl Iterator<Item = String> + '_ {
        WAYS.into_iter().map(|way| self.intake_queue(way))
    }

    /// Whose telemetry came by this routing key, which is the topic `{prefix}/{sender}/telemetry` as the plugin writes it.
    fn sender<'a>(&self, routing_key: &'a str) -> Option<&'a str> {
        let rest = routing_key.strip_prefix(self.prefix.as_str())?.strip_prefix('.')?;
        rest.strip_suffix(".telemetry")
    }
}

/// One message of a sender that the broker knows.
#[derive(Debug, Clone, PartialEq)]
pub struct Arrived {
    pub receipt: IntakeReceipt,
    /// [`Source::Amqp`] or [`Source::Mqtt`].
    pub source: Source,
    /// The user that the broker let in; absent where an AMQP client did not say `user_id`.
    pub sender: Option<String>,
    /// The sender's own properties; MQTT has none.
    pub content_type: Option<String>,
    pub content_encoding: Option<String>,
    pub message_id: Option<String>,
    pub traceparent: Option<String>,
    pub bytes: Vec<u8>,
}

/// Names a received message towards the channel it came by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IntakeReceipt {
    epoch: u32,
    tag: u64,
}

impl IntakeReceipt {
    /// Of nothing, for tests of what is done with a message.
    pub const fn none() -> Self {
        Self { epoch: 0, tag: 0 }
    }
}

impl Arrived {
    pub fn source_name(&self) -> &'static str {
        if self.source == Source::Mqtt { "mqtt" } else { "amqp" }
    }
}

/// Both intake queues, on a channel of their own. Any number may consume at once: whoever is first has the message.
pub struct IntakeConsumer {
    shared: Arc<Shared>,
    line: Option<Line>,
}

impl std::fmt::Debug for IntakeConsumer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IntakeConsumer").finish_non_exhaustive()
    }
}

struct Line {
    epoch: u32,
    channel: Channel,
    arriving: UnboundedReceiver<Result<(Source, Delivery), String>>,
    pump: JoinHandle<()>,
}

impl Drop for Line {
    fn drop(&mut self) {
        // It holds the channel's streams; without it the channel closes and the broker takes everything back.
        self.pump.abort();
    }
}

impl RabbitQueue {
    /// Takes up the intake queues, which [`RabbitOptions::intake`] has to ask for.
    pub fn intake(&self) -> Result<IntakeConsumer, QueueError> {
        if !self.shared.options.intake {
            return Err(QueueError::Misused("this queue has no intake".to_owned()));
        }
        Ok(IntakeConsumer {
            shared: Arc::clone(&self.shared),
            line: None,
        })
    }
}

impl IntakeConsumer {
    /// Up to `max` messages, in order by queue; waits up to `wait` for the first. What was received before and not
    /// acknowledged does not come again, unless the channel is lost.
    pub async fn receive(&mut self, max: usize, wait: Duration) -> Result<Vec<Arrived>, QueueError> {
        let deadline = Instant::now() + wait;
        let mut line = match self.line.take() {
            Some(line) => line,
            None => self.new_line(deadline).await?,
        };
        let mut taken = Vec::new();
        let mut next = tokio::time::timeout_at(deadline.into(), line.arriving.recv())
            .await
            .ok();
        while let Some(arrived) = next {
            match arrived {
                Some(Ok((source, delivery))) => taken.push(self.read(line.epoch, source, delivery)),
                // What is taken already cannot be acknowledged any more either: it comes again.
                Some(Err(why)) => return Err(QueueError::Unavailable(why)),
                None => return Err(QueueError::Unavailable("the intake's channel was lost".to_owned())),
            }
            next = (taken.len() < max)
                .then(|| line.arriving.try_recv().ok().map(Some))
                .flatten();
        }
        self.line = Some(line);
        Ok(taken)
    }

    /// After the partition queues have them: these never come again.
    pub async fn acknowledge(&mut self, receipts: &[IntakeReceipt]) -> Result<(), QueueError> {
        let lost = || QueueError::Unavailable("the intake's channel was lost; its messages come again".to_owned());
        let line = self.line.as_ref().ok_or_else(lost)?;
        if receipts.iter().any(|receipt| receipt.epoch != line.epoch) {
            return Err(lost());
        }
        let tags: BTreeSet<u64> = receipts.iter().map(|receipt| receipt.tag).collect();
        let acks = tags
            .into_iter()
            .map(|tag| line.channel.basic_ack(tag, BasicAckOptions::default()));
        answered("acknowledging intake", try_join_all(acks)).await.map(drop)
    }

    /// Gives back what was not acknowledged.
    pub async fn close(mut self) {
        if let Some(line) = self.line.take() {
            // A channel that does not close is gone already, and what it held with it.
            let _ = answered("leaving the intake", line.channel.close(200, "done".into())).await;
        }
    }

    async fn new_line(&self, deadline: Instant) -> Result<Line, QueueError> {
        let connection = self
            .shared
            .consuming
            .connection(deadline.max(Instant::now() + PATIENCE))
            .await?;
        answered("taking up the intake", self.subscribe(&connection)).await
    }

    async fn subscribe(&self, connection: &Connection) -> lapin::Result<Line> {
        let options = &self.shared.options;
        // One that was deleted under us is the usual reason for a lost channel on a live connection.
        declare(connection, options).await?;
        let channel = connection.create_channel().await?;
        channel.basic_qos(options.prefetch, BasicQosOptions::default()).await?;
        let mut streams = Vec::with_capacity(WAYS.len());
        for way in WAYS {
            let queue = options.intake_queue(way);
            let consumer = channel
                .basic_consume(
                    queue.as_str().into(),
                    queue.as_str().into(),
                    BasicConsumeOptions::default(),
                    FieldTable::default(),
                )
                .await?;
            streams.push((way, consumer));
        }
        let (sender, arriving) = unbounded_channel();
        Ok(Line {
            epoch: self.shared.epochs.fetch_add(1, Ordering::Relaxed),
            channel,
            arriving,
            pump: tokio::spawn(pump(streams, sender)),
        })
    }

    fn read(&self, epoch: u32, source: Source, delivery: Delivery) -> Arrived {
        let properties = &delivery.properties;
        let text = |property: &Option<ShortString>| property.as_ref().map(|text| text.as_str().to_owned());
        let sender = match source {
            Source::Mqtt => self
                .shared
                .options
                .sender(delivery.routing_key.as_str())
                .map(str::to_owned),
            _ => text(properties.user_id()),
        };
        let headers = properties.headers().as_ref();
        let traceparent = headers.and_then(|headers| match headers.inner().get("traceparent") {
            Some(AMQPValue::LongString(text)) => traceparent(text.as_bytes()),
            _ => None,
        });
        Arrived {
            receipt: IntakeReceipt {
                epoch,
                tag: delivery.delivery_tag,
            },
            source,
            sender,
            content_type: text(properties.content_type()),
            content_encoding: text(properties.content_encoding()),
            message_id: text(properties.message_id()),
            traceparent,
            bytes: delivery.data,
        }
    }
}

/// A sender's trace context, where it has the form of one (W3C Trace Context, version 00).
fn traceparent(given: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(given).ok()?;
    let hex = text
        .bytes()
        .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-'));
    let lengths: Vec<usize> = text.split('-').map(str::len).collect();
    (hex && text.starts_with("00-") && lengths == [2, 32, 16, 2]).then(|| text.to_owned())
}

/// Passes on what the broker sends until the channel is gone. The prefetch bounds how much waits here.
async fn pump(streams: Vec<(Source, lapin::Consumer)>, arrived: UnboundedSender<Result<(Source, Delivery), String>>) {
    let ways = streams.into_iter().map(|(way, consumer)| {
        let ends = stream::iter([None]);
        consumer.map(Some).chain(ends).map(move |item| (way, item))
    });
    let mut arriving = stream::select_all(ways);
    while let Some((way, item)) = arriving.next().await {
        let (told, last) = match item {
            Some(Ok(delivery)) => (Ok((way, delivery)), false),
            Some(Err(error)) => (Err(error.to_string()), true),
            None => (Err("the broker ended the intake's subscription".to_owned()), true),
        };
        if arrived.send(told).is_err() || last {
            return;
        }
    }
}

/// Declares what is missing. What senders publish before there is a queue would be confirmed to them, and gone: so whoever
/// lets them in declares it first.
pub(super) async fn declare(connection: &Connection, options: &RabbitOptions) -> lapin::Result<()> {
    let fanout = lapin::ExchangeKind::Fanout;
    let first = declare_exchange(connection, &options.intake_exchange(), fanout).await?;
    if !first && missing(connection, options).await? {
        tracing::warn!("intake queues were deleted; making them again");
        tokio::time::sleep(GONE).await;
    }
    let channel = connection.create_channel().await?;
    for way in WAYS {
        let name = options.intake_queue(way);
        channel
            .queue_declare(name.as_str().into(), QueueDeclareOptions::durable(), arguments())
            .await?;
        let (exchange, key) = match way {
            Source::Mqtt => (MQTT_EXCHANGE.to_owned(), format!("{}.*.telemetry", options.prefix)),
            _ => (options.intake_exchange(), String::new()),
        };
        channel
            .queue_bind(
                name.into(),
                exchange.into(),
                key.into(),
                QueueBindOptions::default(),
                FieldTable::default(),
            )
            .await?;
    }
    channel.close(200, "declared".into()).await
}

async fn missing(connection: &Connection, options: &RabbitOptions) -> lapin::Result<bool> {
    for queue in options.intake_queues() {
        let channel = connection.create_channel().await?;
        let passive = QueueDeclareOptions::durable().passive();
        if !found(
            channel
                .queue_declare(queue.into(), passive, FieldTable::default())
                .await,
        )? {
            return Ok(true);
        }
        channel.close(200, "looked".into()).await?;
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_names_its_sender() {
        let options = RabbitOptions::new("amqp://x");
        assert_eq!(options.sender("odograph.abc.telemetry"), Some("abc"));
        for other in [
            "odograph.telemetry",
            "odographabc.telemetry",
            "other.abc.telemetry",
            "odograph.abc.position",
        ] {
            assert_eq!(options.sender(other), None, "{other}");
        }
        assert_eq!(options.intake_exchange(), "odograph.intake");
        assert_eq!(
            options.intake_queues().collect::<Vec<_>>(),
            ["odograph.intake.amqp", "odograph.intake.mqtt"]
        );
    }
}
