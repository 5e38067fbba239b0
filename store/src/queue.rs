//! The queue in the database, where one process, or a few, are enough.
//!
//! What a consumer has received and not acknowledged is known to it alone: its rows stay until they are acknowledged, so
//! whoever consumes the partition next gets them again.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use odograph_domain::{
    envelope::{Envelope, Lane, weight},
    pressure::Pressure,
    queue::{Consumer, Delivery, Generation, Portion, Publisher, Queue, QueueError, Receipt, Room, Waiting},
};
use tokio::time::Instant;

use crate::{
    error::StoreError,
    session::{Scope, now},
    store::Store,
};

/// How often a consumer looks by itself: for what other processes publish.
const POLL: Duration = Duration::from_millis(100);
/// Rows moved at a time when the number of partitions has changed.
const MOVE: i32 = 500;

#[derive(Clone)]
pub struct PgQueue {
    store: Store,
    shared: Arc<Shared>,
}

/// What the clones of a queue share. A row's generation is the number of partitions it was published under: those of another
/// are moved over, in their order, before anything is handed out, so that a change of the number needs no queue to be emptied
/// first.
struct Shared {
    published: AtomicU16,
    consumed: AtomicU16,
    portion: Portion,
    pressure: Pressure,
}

impl fmt::Debug for PgQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PgQueue")
            .field("partitions", &self.consumed())
            .finish_non_exhaustive()
    }
}

impl From<StoreError> for QueueErrorOf {
    fn from(error: StoreError) -> Self {
        Self(match error {
            StoreError::Unavailable(detail) => QueueError::Unavailable(detail),
            other => QueueError::Misused(format!("{other}: {:?}", std::error::Error::source(&other))),
        })
    }
}

/// Carries a store's error over to the port's.
struct QueueErrorOf(QueueError);

impl From<QueueErrorOf> for QueueError {
    fn from(error: QueueErrorOf) -> Self {
        error.0
    }
}

fn failed(error: impl Into<StoreError>) -> QueueError {
    QueueErrorOf::from(error.into()).into()
}

fn lane_number(lane: Lane) -> i16 {
    match lane {
        Lane::Urgent => 0,
        Lane::Live => 1,
        Lane::Bulk => 2,
    }
}

fn lane_of(number: i16) -> Result<Lane, QueueError> {
    let lane = Lane::ALL.into_iter().find(|lane| lane_number(*lane) == number);
    lane.ok_or_else(|| QueueError::Misused(format!("lane {number} in the queue's table")))
}

impl PgQueue {
    pub(crate) fn new(store: Store, partitions: u16) -> Self {
        Self::with(store, partitions, Portion::default(), 0)
    }

    /// With bounds on what is handed out at a time, and on the messages that may wait in a lane (0: none).
    fn with(store: Store, partitions: u16, portion: Portion, max_ready: u64) -> Self {
        let partitions = partitions.max(1);
        Self {
            store,
            shared: Arc::new(Shared {
                published: AtomicU16::new(partitions),
                consumed: AtomicU16::new(partitions),
                portion,
                pressure: Pressure::new(max_ready),
            }),
        }
    }

    #[must_use]
    pub fn bounded(self, portion: Portion, max_ready: u64) -> Self {
        let partitions = self.consumed();
        Self::with(self.store, partitions, portion, max_ready)
    }

    fn consumed(&self) -> u16 {
        self.shared.consumed.load(Ordering::Relaxed)
    }

    async fn look_at_lanes(&self) -> Result<(), StoreError> {
        // Not as a worker, who asks by key: this counts.
        let mut tx = self
            .store
            .begin(Scope::Api {
                tenant: None,
                tracks: false,
            })
            .await?;
        let rows = sqlx::query!(r#"SELECT lane AS "lane!", messages AS "messages!" FROM queue_fill()"#)
            .fetch_all(&mut *tx)
            .await?;
        tx.commit().await?;
        for lane in Lane::ALL {
            let row = rows.iter().find(|row| row.lane == lane_number(lane));
            let messages = row.and_then(|row| u64::try_from(row.messages).ok()).unwrap_or(0);
            self.shared.pressure.seen(lane, messages);
        }
        Ok(())
    }

    /// Moves what was published under another number of partitions to where it belongs now. A transaction each turn; while
    /// workers with the old number still run, a message may be handed out twice, which the dedup ledger takes care of.
    async fn move_strays(&self) -> Result<(), StoreError> {
        let consumed = self.consumed();
        loop {
            let mut tx = self.store.begin(Scope::Worker(&[])).await?;
            let strays = sqlx::query!(
                r#"SELECT id AS "id!", bytes AS "bytes!" FROM queue_strays($1, $2)"#,
                i32::from(consumed),
                MOVE,
            )
            .fetch_all(&mut *tx)
            .await?;
            if strays.is_empty() {
                tx.commit().await?;
                return Ok(());
            }
            let partition = |bytes: &[u8]| match Envelope::decode(bytes) {
                Ok(envelope) => i32::from(envelope.header.partition(consumed)),
                // Whoever gets it will find out that it does not decode.
                Err(_) => 0,
            };
            let ids: Vec<i64> = strays.iter().map(|stray| stray.id).collect();
            let partitions: Vec<i32> = strays.iter().map(|stray| partition(&stray.bytes)).collect();
            sqlx::query!(
                "SELECT queue_rehome($1, $2, $3)",
                i32::from(consumed),
                &ids,
                &partitions
            )
            .fetch_one(&mut *tx)
            .await?;
            tx.commit().await?;
        }
    }
}

#[async_trait]
impl Publisher for PgQueue {
    async fn publish(&self, envelopes: &[Envelope]) -> Result<(), QueueError> {
        if envelopes.is_empty() {
            return Ok(());
        }
        let pressure = &self.shared.pressure;
        if pressure.is_due(std::time::Instant::now()) {
            self.look_at_lanes().await.map_err(failed)?;
        }
        pressure.admit(envelopes.iter().map(|envelope| envelope.header.lane))?;
        let published = self.shared.published.load(Ordering::Relaxed);
        let (mut partitions, mut lanes, mut messages) = (vec![], vec![], vec![]);
        for envelope in envelopes {
            partitions.push(i32::from(envelope.header.partition(published)));
            lanes.push(lane_number(envelope.header.lane));
            messages.push(
                envelope
                    .encode()
                    .map_err(|error| QueueError::Misused(error.to_string()))?,
            );
        }
        let mut tx = self
            .store
            .begin(Scope::Api {
                tenant: None,
                tracks: false,
            })
            .await
            .map_err(failed)?;
        sqlx::query!(
            "SELECT queue_publish($1, $2, $3, $4, $5)",
            i32::from(published),
            &partitions,
            &lanes,
            &messages,
            now(self.store.clock()),
        )
        .fetch_one(&mut *tx)
        .await
        .map_err(failed)?;
        tx.commit().await.map_err(failed)?;
        self.store.published().notify_waiters();
        Ok(())
    }
}

#[async_trait]
impl Queue for PgQueue {
    fn partitions(&self) -> u16 {
        self.consumed()
    }

    async fn consume(&self, partition: u16) -> Result<Box<dyn Consumer>, QueueError> {
        let partitions = self.consumed();
        if partition >= partitions {
            let detail = format!("partition {partition} of {partitions}");
            return Err(QueueError::Misused(detail));
        }
        self.move_strays().await.map_err(failed)?;
        Ok(Box::new(PgConsumer {
            queue: self.clone(),
            partitions,
            partition,
            in_flight: BTreeSet::new(),
        }))
    }

    async fn publish_to(&self, generation: Generation) -> Result<(), QueueError> {
        let partitions = generation.partitions.max(1);
        self.shared.published.store(partitions, Ordering::Relaxed);
        Ok(())
    }

    async fn consume_from(&self, generation: Generation, _superseded: bool) -> Result<(), QueueError> {
        let partitions = generation.partitions.max(1);
        self.shared.consumed.store(partitions, Ordering::Relaxed);
        Ok(())
    }

    async fn has_waiting(&self, _partition: u16) -> Result<bool, QueueError> {
        Ok(true)
    }

    /// What comes late is moved over, in its order, whenever it comes: there is nothing to close.
    async fn seal(&self, _generation: Generation) -> Result<(), QueueError> {
        Ok(())
    }

    /// Its rows need not be worked off first: they are moved before anything of the next is handed out.
    async fn is_drained(&self, _generation: Generation) -> Result<bool, QueueError> {
        Ok(true)
    }

    async fn remove(&self, _generation: Generation) -> Result<(), QueueError> {
        Ok(())
    }

    async fn depth(&self) -> Result<u64, QueueError> {
        let mut tx = self
            .store
            .begin(Scope::Api {
                tenant: None,
                tracks: false,
            })
            .await
            .map_err(failed)?;
        let depth = sqlx::query_scalar!("SELECT queue_depth()")
            .fetch_one(&mut *tx)
            .await
            .map_err(failed)?;
        tx.commit().await.map_err(failed)?;
        Ok(depth.and_then(|depth| u64::try_from(depth).ok()).unwrap_or(0))
    }

    async fn waiting(&self) -> Result<Vec<Waiting>, QueueError> {
        let mut tx = self
            .store
            .begin(Scope::Api {
                tenant: None,
                tracks: false,
            })
            .await
            .map_err(failed)?;
        let rows = sqlx::query!(
            r#"SELECT partition AS "partition!", lane AS "lane!", messages AS "messages!" FROM queue_waiting()"#
        )
        .fetch_all(&mut *tx)
        .await
        .map_err(failed)?;
        tx.commit().await.map_err(failed)?;
        rows.into_iter()
            .map(|row| {
                Ok(Waiting {
                    partition: u16::try_from(row.partition).unwrap_or(u16::MAX),
                    lane: lane_of(row.lane)?,
                    messages: u64::try_from(row.messages).unwrap_or(0),
                })
            })
            .collect()
    }
}

struct PgConsumer {
    queue: PgQueue,
    partitions: u16,
    partition: u16,
    in_flight: BTreeSet<i64>,
}

impl PgConsumer {
    async fn look(&mut self, most: usize) -> Result<Vec<Delivery>, QueueError> {
        let in_flight: Vec<i64> = self.in_flight.iter().copied().collect();
        let mut tx = self.queue.store.begin(Scope::Worker(&[])).await.map_err(failed)?;
        let rows = sqlx::query!(
            r#"SELECT id AS "id!", lane AS "lane!", bytes AS "bytes!", redelivered AS "redelivered!"
               FROM queue_receive($1, $2, $3, $4)"#,
            i32::from(self.partitions),
            i32::from(self.partition),
            &in_flight,
            i32::try_from(most).unwrap_or(i32::MAX),
        )
        .fetch_all(&mut *tx)
        .await
        .map_err(failed)?;
        tx.commit().await.map_err(failed)?;
        let mut room = Room::new(self.queue.shared.portion, most);
        let mut deliveries = Vec::with_capacity(rows.len());
        for row in rows {
            let receipt = Receipt {
                lane: lane_of(row.lane)?,
                tag: row.id,
            };
            // Those left out come with the next look. Nothing of a lane passes one that is left out.
            if !room.admits(receipt.lane, 1, weight(&row.bytes)) {
                break;
            }
            deliveries.push(Delivery {
                receipt,
                bytes: row.bytes,
                redelivered: row.redelivered,
            });
        }
        self.in_flight
            .extend(deliveries.iter().map(|delivery| delivery.receipt.tag));
        Ok(deliveries)
    }

    /// Nothing is handed out while there are rows of another number of partitions: those of a process that has not heard of
    /// the change yet, too.
    async fn move_strays(&self) -> Result<(), QueueError> {
        let mut tx = self.queue.store.begin(Scope::Worker(&[])).await.map_err(failed)?;
        let found = sqlx::query_scalar!("SELECT queue_has_strays($1)", i32::from(self.partitions))
            .fetch_one(&mut *tx)
            .await
            .map_err(failed)?;
        tx.commit().await.map_err(failed)?;
        if found == Some(true) && self.queue.consumed() == self.partitions {
            self.queue.move_strays().await.map_err(failed)?;
        }
        Ok(())
    }
}

#[async_trait]
impl Consumer for PgConsumer {
    async fn receive(&mut self, max: usize, wait: Duration) -> Result<Vec<Delivery>, QueueError> {
        let until = Instant::now() + wait;
        loop {
            // Heard from before the look, or what is published right after it would go unnoticed.
            let store = self.queue.store.clone();
            let published = store.published().notified();
            tokio::pin!(published);
            published.as_mut().enable();
            let found = self.look(max).await?;
            if !found.is_empty() {
                return Ok(found);
            }
            self.move_strays().await?;
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(found);
            }
            tokio::select! {
                () = published => {}
                () = tokio::time::sleep(left.min(POLL)) => {}
            }
        }
    }

    async fn acknowledge(&mut self, receipts: &[Receipt]) -> Result<(), QueueError> {
        if receipts.is_empty() {
            return Ok(());
        }
        let ids: Vec<i64> = receipts.iter().map(|receipt| receipt.tag).collect();
        let mut tx = self.queue.store.begin(Scope::Worker(&[])).await.map_err(failed)?;
        sqlx::query!("SELECT queue_acknowledge($1)", &ids)
            .fetch_one(&mut *tx)
            .await
            .map_err(failed)?;
        tx.commit().await.map_err(failed)?;
        for id in ids {
            self.in_flight.remove(&id);
        }
        Ok(())
    }

    async fn close(self: Box<Self>) -> Result<(), QueueError> {
        // The rows are where they were: whoever comes next gets them.
        self.queue.store.published().notify_waiters();
        Ok(())
    }
}
