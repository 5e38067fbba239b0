//! One partition, consumed on a channel of its own.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use futures_util::{StreamExt, future::try_join_all, stream};
use lapin::{
    Channel,
    options::{BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions},
    types::FieldTable,
};
use odograph_domain::{
    envelope::Lane,
    queue::{Consumer, Delivery, QueueError, Receipt},
};
use tokio::task::JoinHandle;

use super::{
    Shared, answered,
    backoff::Backoff,
    inbox::{Inbox, Message},
    probe, reason,
    topology::Topology,
};

/// A receipt's tag is the channel's epoch, the delivery tag on that channel, and the place of the envelope in the message,
/// in this many bits: 16, 34 and 13, so that the number is not negative.
const TAG_BITS: u32 = 34;
const PART_BITS: u32 = 13;
/// Quorum queues before RabbitMQ 4 keep the order of what is given back only up to this many messages at a time.
const GIVE_BACK: usize = 32;
/// For the pump to move what is already here.
const DRAIN: Duration = Duration::from_secs(1);

pub(super) struct RabbitConsumer {
    shared: Arc<Shared>,
    topology: Arc<Topology>,
    partition: u16,
    backoff: Backoff,
    last_error: String,
    line: Option<Line>,
}

/// A live channel and what came by it.
struct Line {
    epoch: i64,
    channel: Channel,
    inbox: Arc<Inbox>,
    pump: JoinHandle<()>,
    /// Delivery tags that were handed on, in part at least, and of each the envelopes that are not acknowledged.
    handed: BTreeMap<u64, Parts>,
    settled: Settled,
}

/// The envelopes of one message that have not been acknowledged yet, by their places.
struct Parts(BTreeSet<usize>);

impl Parts {
    fn of(message: &Message) -> Self {
        Self((0..message.parts).collect())
    }
}

/// Which delivery tags of a channel are acknowledged. They count up from 1 over all lanes, so a run without a hole can be
/// acknowledged in one go; a hole may be a message the pump has not even seen yet.
#[derive(Debug, Clone, Default, PartialEq)]
struct Settled {
    /// All up to here.
    floor: u64,
    /// And these above.
    above: BTreeSet<u64>,
}

impl Settled {
    /// Adds `tags`; tells up to which one to acknowledge together, and which to acknowledge singly.
    fn add(&mut self, tags: &BTreeSet<u64>) -> (Option<u64>, Vec<u64>) {
        self.above.extend(tags);
        while self.above.remove(&(self.floor + 1)) {
            self.floor += 1;
        }
        // The tag that is named must itself be one that is still open.
        let together = tags.range(..=self.floor).next_back().copied();
        let singly = tags.range(self.floor + 1..).copied().collect();
        (together, singly)
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        // The pump holds the channel's streams; without it the channel closes and the broker takes everything back.
        self.pump.abort();
    }
}

impl RabbitConsumer {
    pub(super) async fn open(shared: Arc<Shared>, partition: u16, deadline: Instant) -> Result<Self, QueueError> {
        let mut consumer = Self {
            topology: shared.consumed.get(),
            shared,
            partition,
            backoff: Backoff::default(),
            last_error: String::new(),
            line: None,
        };
        consumer.ensure_line(deadline).await?;
        Ok(consumer)
    }

    /// Makes sure there is a live channel; waits for the pause between attempts, but not beyond `deadline`.
    async fn ensure_line(&mut self, deadline: Instant) -> Result<&mut Line, QueueError> {
        if let Some(why) = self.line.as_ref().and_then(|line| line.inbox.lost()) {
            tracing::warn!(queue.partition = self.partition, error = %why, "the partition's channel was lost");
            self.line = None;
        }
        let line = match self.line.take() {
            Some(line) => line,
            None => self.new_line(deadline).await?,
        };
        Ok(self.line.insert(line))
    }

    async fn new_line(&mut self, deadline: Instant) -> Result<Line, QueueError> {
        loop {
            let connection = self.shared.consuming.connection(deadline).await?;
            if !self.backoff.ready(deadline).await {
                return Err(QueueError::Unavailable(self.last_error.clone()));
            }
            let doing = format!("taking up partition {}", self.partition);
            match answered(&doing, self.subscribe(&connection)).await {
                Ok(line) => {
                    self.backoff.succeeded();
                    return Ok(line);
                }
                Err(error) => {
                    tracing::warn!(queue.partition = self.partition, %error, "the partition cannot be taken up");
                    self.backoff.failed(Instant::now());
                    if Instant::now() >= deadline {
                        return Err(error);
                    }
                    self.last_error = reason(&error);
                }
            }
        }
    }

    async fn subscribe(&self, connection: &lapin::Connection) -> lapin::Result<Line> {
        // A queue that was deleted under us is the usual reason for a lost channel on a live connection.
        self.topology.declare_partition(connection, self.partition).await?;
        let channel = connection.create_channel().await?;
        let mut streams = Vec::with_capacity(Lane::ALL.len());
        for lane in Lane::ALL {
            // Holds for the consumers made after it.
            channel
                .basic_qos(self.topology.prefetch(lane), BasicQosOptions::default())
                .await?;
            let queue = self.topology.queue(lane, self.partition);
            let options = BasicConsumeOptions::default();
            let consumer = channel
                .basic_consume(queue.into(), lane.as_str().into(), options, FieldTable::default())
                .await?;
            streams.push((lane, consumer));
        }
        let inbox = Arc::new(Inbox::new(self.shared.held.counter(), self.shared.options.portion));
        let pump = tokio::spawn(pump(streams, Arc::clone(&inbox)));
        let epoch = i64::from(self.shared.epochs.fetch_add(1, Ordering::Relaxed) & 0xffff);
        Ok(Line {
            epoch,
            channel,
            inbox,
            pump,
            handed: BTreeMap::new(),
            settled: Settled::default(),
        })
    }
}

/// Moves what the broker sends into the inbox, each lane in order, until the channel is gone.
async fn pump(streams: Vec<(Lane, lapin::Consumer)>, inbox: Arc<Inbox>) {
    let lanes = streams.into_iter().map(|(lane, consumer)| {
        let ends = stream::iter([None]);
        consumer.map(Some).chain(ends).map(move |item| (lane, item))
    });
    let mut arriving = stream::select_all(lanes);
    while let Some((lane, item)) = arriving.next().await {
        match item {
            Some(Ok(delivery)) if probe::is_probe(&delivery.properties) => {
                // Not waited for: whoever put it there looks again.
                drop(delivery.ack(BasicAckOptions::default()).await);
                inbox.drop_tag(delivery.delivery_tag);
            }
            Some(Ok(delivery)) => inbox.put(lane, delivery.delivery_tag, delivery.redelivered, delivery.data),
            Some(Err(error)) => return inbox.lose(error.to_string()),
            None if inbox.is_closed() => {}
            None => return inbox.lose("the broker ended the subscription".to_owned()),
        }
    }
}

#[async_trait]
impl Consumer for RabbitConsumer {
    async fn receive(&mut self, max: usize, wait: Duration) -> Result<Vec<Delivery>, QueueError> {
        let deadline = Instant::now() + wait;
        loop {
            let line = self.ensure_line(deadline).await?;
            let epoch = line.epoch;
            let taken = line.inbox.take(max);
            if !taken.is_empty() {
                for message in &taken {
                    line.handed.entry(message.tag).or_insert_with(|| Parts::of(message));
                }
                return Ok(taken
                    .into_iter()
                    .map(|message| Delivery {
                        receipt: Receipt {
                            lane: message.lane,
                            tag: receipt_tag(epoch, &message),
                        },
                        bytes: message.bytes,
                        redelivered: message.redelivered,
                    })
                    .collect());
            }
            let arrived = tokio::time::timeout_at(deadline.into(), line.inbox.arrived());
            if max == 0 || arrived.await.is_err() {
                return Ok(Vec::new());
            }
        }
    }

    async fn acknowledge(&mut self, receipts: &[Receipt]) -> Result<(), QueueError> {
        let partition = self.partition;
        let lost = || {
            let why = format!("the channel of partition {partition} was lost; its messages come again");
            QueueError::Unavailable(why)
        };
        let Some(line) = self.line.as_mut() else {
            return if receipts.is_empty() { Ok(()) } else { Err(lost()) };
        };
        let (ours, others): (Vec<_>, Vec<_>) = receipts
            .iter()
            .partition(|receipt| receipt.tag >> (TAG_BITS + PART_BITS) == line.epoch);
        let whole = line.settle(ours.iter().map(|receipt: &&Receipt| tag_and_part(receipt.tag)));
        line.acknowledge(whole).await?;
        if others.is_empty() { Ok(()) } else { Err(lost()) }
    }

    async fn close(mut self: Box<Self>) -> Result<(), QueueError> {
        let Some(line) = self.line.take() else { return Ok(()) };
        if line.inbox.lost().is_some() {
            return Ok(());
        }
        answered("giving back messages", line.give_back()).await
    }
}

fn receipt_tag(epoch: i64, message: &Message) -> i64 {
    (epoch << (TAG_BITS + PART_BITS)) | ((message.tag as i64) << PART_BITS) | message.part as i64
}

fn tag_and_part(tag: i64) -> (u64, usize) {
    let message = (tag >> PART_BITS) & ((1 << TAG_BITS) - 1);
    (message as u64, (tag & ((1 << PART_BITS) - 1)) as usize)
}

impl Line {
    /// Notes envelopes as done; returns the messages of which none is left. Those that are not ours to acknowledge (any more)
    /// are left alone: a second acknowledgement would make the broker close the channel.
    fn settle(&mut self, done: impl Iterator<Item = (u64, usize)>) -> BTreeSet<u64> {
        let mut whole = BTreeSet::new();
        for (tag, part) in done {
            if let Some(parts) = self.handed.get_mut(&tag) {
                parts.0.remove(&part);
                if parts.0.is_empty() {
                    whole.insert(tag);
                }
            }
        }
        whole
    }

    /// Tells the broker that these messages are done. What fails is still open, and may be acknowledged again.
    async fn acknowledge(&mut self, tags: BTreeSet<u64>) -> Result<(), QueueError> {
        self.settled.above.extend(self.inbox.dropped());
        let mut settled = self.settled.clone();
        let (together, singly) = settled.add(&tags);
        let mut sent = Vec::with_capacity(singly.len() + 1);
        if let Some(upto) = together {
            sent.push(self.channel.basic_ack(upto, BasicAckOptions { multiple: true }));
        }
        sent.extend(
            singly
                .iter()
                .map(|&tag| self.channel.basic_ack(tag, BasicAckOptions::default())),
        );
        answered("acknowledging", try_join_all(sent)).await?;
        self.settled = settled;
        self.handed.retain(|tag, _| !tags.contains(tag));
        self.inbox.settled(tags.len());
        Ok(())
    }

    /// Stops the deliveries, gives back everything in order, and only then closes: the next consumer must not be served
    /// newer messages while the broker still learns that these are free.
    async fn give_back(mut self) -> lapin::Result<()> {
        self.inbox.close();
        for lane in Lane::ALL {
            self.channel
                .basic_cancel(lane.as_str().into(), BasicCancelOptions::default())
                .await?;
        }
        // Every stream has ended, so the pump ends once it has moved what was still in them.
        if tokio::time::timeout(DRAIN, &mut self.pump).await.is_err() {
            self.pump.abort();
        }
        let mut tags: Vec<u64> = std::mem::take(&mut self.handed).into_keys().collect();
        tags.extend(self.inbox.take_all().iter().map(|message| message.tag));
        tags.sort_unstable();
        tags.dedup();
        for some in tags.chunks(GIVE_BACK) {
            if let Some(&last) = some.last() {
                self.channel
                    .basic_nack(
                        last,
                        BasicNackOptions {
                            multiple: true,
                            requeue: true,
                        },
                    )
                    .await?;
            }
        }
        self.channel.close(200, "done".into()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_acknowledged_together_only_where_no_hole_is_below() {
        let mut settled = Settled::default();
        let tags = |tags: &[u64]| tags.iter().copied().collect::<BTreeSet<_>>();
        assert_eq!(settled.add(&tags(&[2, 4])), (None, vec![2, 4]));
        assert_eq!(settled.add(&tags(&[1, 5])), (Some(1), vec![5]));
        assert_eq!(settled.add(&tags(&[3, 6, 8])), (Some(6), vec![8]));
        assert_eq!(
            settled,
            Settled {
                floor: 6,
                above: tags(&[8])
            }
        );
        assert_eq!(settled.add(&tags(&[])), (None, vec![]));
    }
}
