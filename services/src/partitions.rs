//! Another number of partitions without a stop and without a loss.
//!
//! One table says which generation of queues is published to, and which are still to be worked off. Every process that
//! publishes leaves the old one within a second or two, says so, and begins with the next when all have left: meanwhile those
//! who publish wait. Then the exchange of the old one is deleted, so that not even a process that has been standing still since
//! can publish there; workers empty its queues, and only when those are empty they begin with the next. So a vehicle's
//! messages are worked on in the order they were taken in, whichever process took them and whichever queue they are in.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use odograph_domain::{
    clock::Clock,
    envelope::Envelope,
    id::PublisherId,
    queue::{Generation, GenerationState, Publisher, Queue, QueueError},
};
use odograph_store::{Attended, GenerationRow, Store, StoreError};
use tokio::{sync::RwLock, task::JoinHandle};
use tracing::{info, warn};

/// How often a publisher asks where to publish.
const EVERY: Duration = Duration::from_secs(1);
/// A publisher that could not ask for this long publishes no more …
const SURE: Duration = Duration::from_secs(6);
/// … and is not waited for after this: the difference is what the clocks of two machines may differ by.
const GONE: TimeDelta = TimeDelta::seconds(12);
/// Between two looks whether the others have left.
const AGAIN: Duration = Duration::from_millis(100);
/// How long who publishes waits while this process goes over.
const PATIENCE: Duration = Duration::from_secs(5);

/// Publishes to the generation that is current, and only while it is sure to be. A process is counted among the publishers
/// from the first message on: one that only works is not waited for.
pub struct Following {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    store: Store,
    queue: Arc<dyn Queue>,
    clock: Arc<dyn Clock>,
    id: PublisherId,
    /// `None` until the first message.
    published: Mutex<Option<Generation>>,
    /// What the queue would publish to.
    chosen: Mutex<Generation>,
    /// When was asked what was last answered with: publish there.
    asked: Mutex<Asked>,
    left: AtomicBool,
    /// Shared by everything that is being published; alone while this process goes over to other queues.
    turn: RwLock<()>,
}

/// By two clocks: the one stands still while the machine does, the other may be set.
#[derive(Debug, Clone, Copy)]
struct Asked {
    at: Instant,
    said: DateTime<Utc>,
}

impl Asked {
    fn now(clock: &dyn Clock) -> Self {
        Self {
            at: Instant::now(),
            said: clock.now(),
        }
    }

    fn is_older_than(self, age: Duration, clock: &dyn Clock) -> bool {
        self.at.elapsed() > age || (clock.now() - self.said).to_std().is_ok_and(|passed| passed > age)
    }
}

impl std::fmt::Debug for Following {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Following")
            .field("id", &self.shared.id)
            .finish_non_exhaustive()
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Following {
    /// `queue` would publish to `current`.
    pub fn start(
        (store, queue): (Store, Arc<dyn Queue>),
        clock: Arc<dyn Clock>,
        id: PublisherId,
        current: Generation,
    ) -> Self {
        let shared = Arc::new(Shared {
            store,
            queue,
            id,
            published: Mutex::default(),
            chosen: Mutex::new(current),
            asked: Mutex::new(Asked::now(&*clock)),
            clock,
            left: AtomicBool::new(false),
            turn: RwLock::default(),
        });
        let task = tokio::spawn(Arc::clone(&shared).follow());
        Self { shared, task }
    }

    /// This process publishes no more.
    pub async fn leave(&self) {
        self.shared.left.store(true, Ordering::Relaxed);
        if self.shared.published().is_none() {
            return;
        }
        if let Err(cause) = self.shared.store.generations().leave(self.shared.id).await {
            warn!(error = %cause, "a change of the number of partitions will wait for this process for some seconds");
        }
    }
}

/// The current generation: `first` where there is none yet. To be asked before connecting to the broker, which makes the queues.
pub async fn current(store: &Store, first: Generation) -> Result<Generation, StoreError> {
    store.generations().begin(first).await?;
    let rows = store.generations().all().await?;
    let current = rows.last().map_or(first, |row| row.generation);
    if current != first {
        info!(
            queue.generation = current.number,
            queue.partitions = current.partitions,
            "the queue was repartitioned"
        );
    }
    Ok(current)
}

impl Shared {
    async fn follow(self: Arc<Self>) {
        while !self.left.load(Ordering::Relaxed) {
            tokio::time::sleep(EVERY).await;
            let asked = match self.published() {
                Some(published) => self.ask(published).await.map_err(Into::into),
                None => self.keep_up().await,
            };
            if let Err(cause) = asked {
                warn!(
                    error = format!("{cause:#}"),
                    "where to publish cannot be asked; trying again"
                );
            }
        }
    }

    /// A process that has published nothing waits for nobody and is not waited for. But with a broker that it has to connect to
    /// again it must not make queues that have been taken down.
    async fn keep_up(&self) -> anyhow::Result<()> {
        let rows = self.store.generations().all().await?;
        let Some(current) = rows.last().map(|row| row.generation) else {
            return Ok(());
        };
        if current != self.chosen() {
            let _alone = self.turn.write().await;
            if self.published().is_none() {
                self.choose(current).await?;
            }
        }
        Ok(())
    }

    fn chosen(&self) -> Generation {
        *self.chosen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn choose(&self, next: Generation) -> Result<(), QueueError> {
        self.queue.publish_to(next).await?;
        *self.chosen.lock().unwrap_or_else(PoisonError::into_inner) = next;
        Ok(())
    }

    async fn ask(&self, published: Generation) -> Result<(), StoreError> {
        let told = self.attend(Some(published)).await?;
        if told.current != published {
            let _alone = self.turn.write().await;
            while let Err(cause) = self.go_over(told).await {
                warn!(
                    error = format!("{cause:#}"),
                    "the new queues cannot be published to yet; trying again"
                );
                tokio::time::sleep(EVERY).await;
            }
            // The new queues may have taken their time, and the number may have changed once more by then.
            self.attend(self.published()).await?;
        }
        Ok(())
    }

    /// Says that this process is going to publish, and begins to.
    async fn begin(&self) -> anyhow::Result<()> {
        let _alone = self.turn.write().await;
        if self.published().is_some() {
            return Ok(());
        }
        let told = self.attend(None).await?;
        self.go_over(told).await
    }

    /// Waits until all others have left the old queues, and begins with the new ones. Alone: nothing of ours is under way.
    async fn go_over(&self, mut told: Attended) -> anyhow::Result<()> {
        loop {
            let others_left = told.others_left;
            let next = told.current;
            if others_left && self.published() != Some(next) {
                self.choose(next).await?;
                *self.published.lock().unwrap_or_else(PoisonError::into_inner) = Some(next);
                info!(
                    queue.generation = next.number,
                    queue.partitions = next.partitions,
                    "publishing"
                );
                return Ok(());
            }
            told = self.attend(Some(next)).await?;
            if !told.others_left {
                tokio::time::sleep(AGAIN).await;
            }
        }
    }

    async fn attend(&self, published: Option<Generation>) -> Result<Attended, StoreError> {
        let asked = Asked::now(&*self.clock);
        let told = self
            .store
            .generations()
            .attend(self.id, published, asked.said + GONE)
            .await?;
        // No other answer makes sure: one that stood still for long may hear of the new queues when the old ones are gone, and
        // what is being published to those just then would make them again.
        if published.is_none_or(|published| published == told.current) {
            *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = asked;
        }
        Ok(told)
    }

    fn published(&self) -> Option<Generation> {
        *self.published.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sure(&self) -> Result<(), QueueError> {
        let asked = *self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.is_older_than(SURE, &*self.clock) {
            let why = format!("which queues are current has not been known for {} s", SURE.as_secs());
            return Err(QueueError::Unavailable(why));
        }
        Ok(())
    }
}

#[async_trait]
impl Publisher for Following {
    async fn publish(&self, envelopes: &[Envelope]) -> Result<(), QueueError> {
        let shared = &self.shared;
        let waiting = |_| {
            QueueError::Unavailable(
                "the queue is being repartitioned, and not all publishers have left the old one".into(),
            )
        };
        if shared.published().is_none() {
            let begun = tokio::time::timeout(PATIENCE, shared.begin()).await;
            begun
                .map_err(waiting)?
                .map_err(|cause| QueueError::Unavailable(format!("where to publish cannot be asked: {cause:#}")))?;
        }
        let _turn = tokio::time::timeout(PATIENCE, shared.turn.read())
            .await
            .map_err(waiting)?;
        shared.sure()?;
        shared.queue.publish(envelopes).await?;
        // One that stood still in the middle may have published to queues that have been taken down since: what it sent does
        // not count.
        shared.sure()
    }

    async fn ping(&self) -> Result<(), QueueError> {
        self.shared.queue.ping().await
    }
}

/// What a worker works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Consumed {
    pub generation: Generation,
    pub state: GenerationState,
}

impl Consumed {
    /// The oldest generation that is not worked off.
    fn of(rows: &[GenerationRow]) -> Option<Self> {
        let first = rows.iter().find(|row| row.state.is_consumed_first());
        let row = first.or_else(|| rows.iter().find(|row| row.state == GenerationState::Current))?;
        Some(Self {
            generation: row.generation,
            state: row.state,
        })
    }
}

/// Moves a change of the number of partitions on as far as it goes, and tells what is to be consumed. Each step may be tried by
/// several workers, and by another once more where one dies in it.
pub async fn advance(store: &Store, queue: &dyn Queue) -> anyhow::Result<Consumed> {
    let generations = store.generations();
    let mut rows = generations.all().await?;
    for row in rows.clone() {
        let next = match row.state {
            GenerationState::Draining if is_left(&rows, row.generation) => {
                queue.seal(row.generation).await?;
                GenerationState::Sealed
            }
            GenerationState::Sealed if queue.is_drained(row.generation).await? => GenerationState::Drained,
            // By now nobody consumes from it who could hold anything. What came late all the same, from a publisher that was
            // no longer sure, was not called durable.
            GenerationState::Drained => {
                queue.remove(row.generation).await?;
                GenerationState::Removed
            }
            _ => continue,
        };
        if generations.moves(row.generation, row.state, next).await? {
            info!(queue.generation = row.generation.number, queue.state = %next, "a superseded generation of queues");
        }
        rows = generations.all().await?;
    }
    Consumed::of(&rows).ok_or_else(|| anyhow::anyhow!("there is no current generation of queues"))
}

/// Whether nobody publishes to it, or to one before it.
fn is_left(rows: &[GenerationRow], generation: Generation) -> bool {
    rows.iter()
        .filter(|row| row.generation.number <= generation.number)
        .all(|row| row.publishers == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(number: u32, state: GenerationState, publishers: i64) -> GenerationRow {
        GenerationRow {
            generation: Generation { number, partitions: 2 },
            state,
            changed_at: DateTime::UNIX_EPOCH,
            publishers,
        }
    }

    #[test]
    fn the_oldest_that_is_not_worked_off_is_consumed() {
        use GenerationState::{Current, Drained, Draining, Sealed};
        let consumed = |rows: &[GenerationRow]| Consumed::of(rows).map(|consumed| consumed.generation.number);
        assert_eq!(consumed(&[]), None);
        assert_eq!(consumed(&[row(1, Current, 3)]), Some(1));
        assert_eq!(consumed(&[row(1, Draining, 1), row(2, Current, 2)]), Some(1));
        assert_eq!(consumed(&[row(1, Sealed, 0), row(2, Current, 3)]), Some(1));
        assert_eq!(consumed(&[row(1, Drained, 0), row(2, Current, 3)]), Some(2));
    }

    #[test]
    fn a_generation_is_left_when_nobody_publishes_to_it_or_before_it() {
        let rows = [
            row(1, GenerationState::Draining, 0),
            row(2, GenerationState::Current, 3),
        ];
        assert!(is_left(&rows, rows[0].generation));
        let rows = [
            row(1, GenerationState::Draining, 1),
            row(2, GenerationState::Current, 3),
        ];
        assert!(!is_left(&rows, rows[0].generation));
    }
}
