//! The queue port. Two implementations: RabbitMQ (`ingest`) and a PostgreSQL table (`store`); one test suite runs over both.
//!
//! At least once, in order within a partition and lane. A message that was received and not acknowledged comes again.

use std::time::Duration;

use async_trait::async_trait;

use crate::envelope::{Envelope, Lane};

#[derive(Debug, Clone, thiserror::Error)]
pub enum QueueError {
    /// The queue cannot be reached or does not answer; trying again may help.
    #[error("the queue is unavailable: {0}")]
    Unavailable(String),
    /// The queue refused the message: it is full. Tell the sender to slow down.
    #[error("the queue is full: {0}")]
    Saturated(String),
    #[error("the queue was used wrongly: {0}")]
    Misused(String),
}

/// Names a received message towards the consumer it came from. Means nothing to another consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Receipt {
    pub lane: Lane,
    pub tag: i64,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    pub receipt: Receipt,
    /// An encoded [`Envelope`]; not decoded here, since one that does not decode must still end as a named outcome.
    pub bytes: Vec<u8>,
    /// Whether it may have been received before.
    pub redelivered: bool,
}

/// How many messages wait in one partition and lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    pub partition: u16,
    pub lane: Lane,
    pub messages: u64,
}

#[async_trait]
pub trait Publisher: Send + Sync {
    /// Returns once every envelope is durable. On an error some may be in the queue all the same: publish again, the
    /// dedup ledger takes care of the double.
    async fn publish(&self, envelopes: &[Envelope]) -> Result<(), QueueError>;

    /// Whether the queue can be reached now. An implementation whose reach is checked elsewhere need not answer.
    async fn ping(&self) -> Result<(), QueueError> {
        Ok(())
    }
}

#[async_trait]
pub trait Queue: Publisher {
    fn partitions(&self) -> u16;

    /// Takes up a partition. The caller holds its lease.
    async fn consume(&self, partition: u16) -> Result<Box<dyn Consumer>, QueueError>;

    /// Messages not yet acknowledged, over all partitions and lanes.
    async fn depth(&self) -> Result<u64, QueueError>;

    /// Messages that wait, by partition and lane; what a consumer of RabbitMQ holds already is in none of them. For who
    /// watches: it may be a moment old.
    async fn waiting(&self) -> Result<Vec<Waiting>, QueueError>;
}

#[async_trait]
pub trait Consumer: Send {
    /// Up to `max` messages (and those that travelled with the last of them), the urgent lane first, then live, then bulk; waits up to `wait` for the first. What was
    /// received before and not yet acknowledged does not come again from the same consumer.
    async fn receive(&mut self, max: usize, wait: Duration) -> Result<Vec<Delivery>, QueueError>;

    /// After the commit: these never come again, once all that travelled with them are acknowledged too (envelopes that were
    /// published together may be one message, [`crate::carrier`]).
    async fn acknowledge(&mut self, receipts: &[Receipt]) -> Result<(), QueueError>;

    /// Gives back what was received and not acknowledged, in order, and stops.
    async fn close(self: Box<Self>) -> Result<(), QueueError>;
}
