//! The queue port. Two implementations: RabbitMQ (`ingest`) and a PostgreSQL table (`store`); one test suite runs over both.
//!
//! At least once, in order within a partition and lane. A message that was received and not acknowledged comes again.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{
    envelope::{Envelope, Lane},
    outcome::named,
};

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

/// All queues of one number of partitions. Another number is another generation: a vehicle's messages are then in other queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Generation {
    /// Counts up from 1.
    pub number: u32,
    pub partitions: u16,
}

impl std::fmt::Display for Generation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "generation {} ({} partitions)", self.number, self.partitions)
    }
}

named! {
    /// How far a generation is.
    GenerationState {
        /// Published to.
        Current = "current",
        /// Superseded; some may still publish to it.
        Draining = "draining",
        /// Takes no more messages.
        Sealed = "sealed",
        /// Empty.
        Drained = "drained",
        /// Its queues are gone.
        Removed = "removed",
    }
}

impl GenerationState {
    /// Whether what comes after it has to wait.
    pub fn is_consumed_first(self) -> bool {
        matches!(self, Self::Draining | Self::Sealed)
    }
}

/// What is taken from a queue at a time: by number, and by what the messages weigh ([`crate::envelope::weight`]). The bulk
/// lane has a bound of its own, so that the live message that comes next does not wait for a large backfill's commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Portion {
    pub bytes: usize,
    pub bulk_bytes: usize,
}

impl Default for Portion {
    fn default() -> Self {
        Self {
            bytes: 16 << 20,
            bulk_bytes: 4 << 20,
        }
    }
}

/// Room in a portion, as it is filled lane by lane.
#[derive(Debug)]
pub struct Room {
    portion: Portion,
    messages: usize,
    bytes: usize,
    bulk: Option<usize>,
    empty: bool,
}

impl Room {
    pub fn new(portion: Portion, messages: usize) -> Self {
        Self {
            portion,
            messages,
            bytes: portion.bytes,
            bulk: None,
            empty: true,
        }
    }

    /// Whether what comes next in a lane, so many messages that travel together, still goes in. The first always does, however
    /// much it weighs, and so does the first of the bulk lane while there is any room: neither may starve.
    pub fn admits(&mut self, lane: Lane, messages: usize, weight: usize) -> bool {
        if self.messages == 0 {
            return false;
        }
        let fits = match (lane, self.bulk) {
            (Lane::Bulk, None) => self.bytes > 0,
            (Lane::Bulk, Some(left)) => weight <= left && weight <= self.bytes,
            _ => weight <= self.bytes,
        };
        if !(fits || self.empty) {
            return false;
        }
        if lane == Lane::Bulk {
            self.bulk = Some(self.bulk.unwrap_or(self.portion.bulk_bytes).saturating_sub(weight));
        }
        self.messages = self.messages.saturating_sub(messages);
        self.bytes = self.bytes.saturating_sub(weight);
        self.empty = false;
        true
    }
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
    /// Of the generation that is consumed.
    fn partitions(&self) -> u16;

    /// Takes up a partition of the generation that is consumed. The caller holds its lease.
    async fn consume(&self, partition: u16) -> Result<Box<dyn Consumer>, QueueError>;

    /// Messages not yet acknowledged, over all partitions and lanes.
    async fn depth(&self) -> Result<u64, QueueError>;

    /// Messages that wait, by partition and lane; what a consumer of RabbitMQ holds already is in none of them. For who
    /// watches: it may be a moment old.
    async fn waiting(&self) -> Result<Vec<Waiting>, QueueError>;

    /// From now on publishes to this generation. Returns once nothing is under way to the one before.
    async fn publish_to(&self, generation: Generation) -> Result<(), QueueError>;

    /// From now on consumes this generation; one that is superseded is taken as it is, and nothing of it made again.
    async fn consume_from(&self, generation: Generation, superseded: bool) -> Result<(), QueueError>;

    /// Whether there is something for the next who consumes the partition.
    async fn has_waiting(&self, partition: u16) -> Result<bool, QueueError>;

    /// Nobody can publish to this generation any more, however long ago they were told to.
    async fn seal(&self, generation: Generation) -> Result<(), QueueError>;

    /// Whether a sealed generation is empty, and nobody holds anything of it.
    async fn is_drained(&self, generation: Generation) -> Result<bool, QueueError>;

    /// Takes down the queues of a generation that is drained.
    async fn remove(&self, generation: Generation) -> Result<(), QueueError>;
}

#[async_trait]
pub trait Consumer: Send {
    /// Up to `max` messages (and those that travelled with the last of them) and a [`Portion`] of bytes, the urgent lane first, then
    /// live, then bulk; waits up to `wait` for the first. What was received before and not yet acknowledged does not come again
    /// from the same consumer.
    async fn receive(&mut self, max: usize, wait: Duration) -> Result<Vec<Delivery>, QueueError>;

    /// After the commit: these never come again, once all that travelled with them are acknowledged too (envelopes that were
    /// published together may be one message, [`crate::carrier`]).
    async fn acknowledge(&mut self, receipts: &[Receipt]) -> Result<(), QueueError>;

    /// Gives back what was received and not acknowledged, in order, and stops.
    async fn close(self: Box<Self>) -> Result<(), QueueError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    const PORTION: Portion = Portion {
        bytes: 100,
        bulk_bytes: 30,
    };

    #[test]
    fn a_portion_is_bounded_by_number_and_by_bytes_and_bulk_has_its_own_bound() {
        let mut room = Room::new(PORTION, 4);
        assert!(room.admits(Lane::Live, 1, 60));
        assert!(!room.admits(Lane::Live, 1, 50));
        assert!(room.admits(Lane::Bulk, 1, 10));
        assert!(!room.admits(Lane::Bulk, 1, 25));
        assert!(room.admits(Lane::Bulk, 1, 20));
        assert!(!room.admits(Lane::Bulk, 1, 1), "30 bytes of bulk are in it");
        assert!(room.admits(Lane::Live, 1, 10));
        assert!(!room.admits(Lane::Live, 1, 0), "four messages are in it");
    }

    #[test]
    fn what_is_too_large_goes_alone_and_bulk_is_never_starved() {
        let mut room = Room::new(PORTION, 10);
        assert!(room.admits(Lane::Urgent, 1, 1_000));
        assert!(!room.admits(Lane::Live, 1, 1));
        assert!(!room.admits(Lane::Bulk, 1, 1));
        let mut room = Room::new(PORTION, 10);
        assert!(room.admits(Lane::Live, 1, 99));
        assert!(room.admits(Lane::Bulk, 1, 5_000));
        assert!(!room.admits(Lane::Bulk, 1, 1));
        assert!(!Room::new(PORTION, 0).admits(Lane::Live, 1, 1));
    }
}
