//! The queue over RabbitMQ: durable quorum queues, one for each partition and lane, behind a direct exchange.
//!
//! Publishing and consuming have a connection each. A broker that runs out of memory or disk stops reading from
//! connections that publish; were the acknowledgements to travel on the same one, nothing could ever be drained again.
//!
//! A lost connection is made again by whoever next needs it, with a growing pause between attempts. What was received and
//! not acknowledged then comes again; a receipt of the lost channel is refused on the new one.

mod backoff;
mod consumer;
mod inbox;
mod intake;
mod link;
mod probe;
mod publisher;
mod topology;

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use odograph_domain::{
    envelope::{Envelope, Lane},
    pressure::Pressure,
    queue::{Consumer, Generation, Portion, Publisher, Queue, QueueError, Waiting},
};

pub use self::intake::{Arrived, IntakeConsumer, IntakeReceipt};
use self::{
    consumer::RabbitConsumer,
    link::Link,
    publisher::Publishing,
    topology::{Chosen, Topology},
};

/// For the broker to answer a request on a live connection. Every request is bounded: one that is under way while its
/// connection ends may never be answered at all.
const ANSWER: Duration = Duration::from_secs(10);
/// As [`ANSWER`], for what has to do with every queue of a generation: so much more for each partition. Quorum queues are made
/// and deleted one after the other, and a busy broker takes its time over each.
const ANSWER_BY_PARTITION: Duration = Duration::from_millis(500);
/// How long a readiness check waits for a lost broker.
const PING: Duration = Duration::from_secs(2);
/// How long a caller waits for a lost broker before it is told.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where the broker is, and how the queues are cut.
#[derive(Clone)]
pub struct RabbitOptions {
    /// `amqp://` or `amqps://`, with the credentials in it: never logged and never part of an error.
    pub url: String,
    /// First part of the name of every queue and exchange.
    pub prefix: String,
    /// Queues of another number of partitions are other queues: a change of `partitions` needs the next generation.
    pub generation: u32,
    pub partitions: u16,
    /// How many unacknowledged messages the live lane hands to a consumer ahead of its asking.
    pub prefetch: u16,
    /// The same of the urgent and of the bulk lane, whose messages are as large as there are any: the broker knows no bound in
    /// bytes.
    pub bulk_prefetch: u16,
    /// What a consumer gives at a time.
    pub portion: Portion,
    /// Messages that may wait in a lane before those who publish are told to slow down; 0 for no bound.
    pub max_ready: u64,
    /// Whether there are intake queues too, for senders that log in to the broker themselves.
    pub intake: bool,
}

impl RabbitOptions {
    pub const DEFAULT_PREFIX: &str = "odograph";

    /// The options for a broker, the rest as it is by default: 8 partitions, generation 1, 256 messages ahead, no
    /// intake.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            prefix: Self::DEFAULT_PREFIX.to_owned(),
            generation: 1,
            partitions: 8,
            prefetch: 256,
            bulk_prefetch: 32,
            portion: Portion::default(),
            max_ready: 0,
            intake: false,
        }
    }

    /// The same, of another generation.
    #[must_use]
    pub fn of(&self, generation: Generation) -> Self {
        Self {
            generation: generation.number,
            partitions: generation.partitions,
            ..self.clone()
        }
    }

    fn numbered(&self) -> Generation {
        Generation {
            number: self.generation,
            partitions: self.partitions,
        }
    }

    /// Name of the exchange everything is published to.
    pub fn exchange(&self) -> String {
        format!("{}.telemetry.g{}", self.prefix, self.generation)
    }

    pub fn queue(&self, lane: Lane, partition: u16) -> String {
        format!("{}.g{}.{}.{partition}", self.prefix, self.generation, lane.as_str())
    }

    /// Names of all queues.
    pub fn queues(&self) -> impl Iterator<Item = String> + '_ {
        (0..self.partitions).flat_map(move |partition| Lane::ALL.map(|lane| self.queue(lane, partition)))
    }

    fn check(&self) -> Result<(), QueueError> {
        // Names travel as AMQP short strings.
        const LONGEST_PREFIX: usize = 200;
        if self.prefix.is_empty() || self.prefix.len() > LONGEST_PREFIX {
            return Err(QueueError::Misused(format!(
                "the prefix has 1 to {LONGEST_PREFIX} bytes, this one has {}",
                self.prefix.len()
            )));
        }
        if self.partitions == 0 {
            return Err(QueueError::Misused(
                "a queue has at least one partition, 0 were asked for".to_owned(),
            ));
        }
        if self.prefetch == 0 || self.bulk_prefetch == 0 {
            return Err(QueueError::Misused(
                "a prefetch of 0 means no bound at all; give at least 1".to_owned(),
            ));
        }
        Ok(())
    }
}

impl fmt::Debug for RabbitOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RabbitOptions")
            .field("prefix", &self.prefix)
            .field("generation", &self.generation)
            .field("partitions", &self.partitions)
            .field("prefetch", &self.prefetch)
            .finish_non_exhaustive()
    }
}

/// A queue on a RabbitMQ broker. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct RabbitQueue {
    shared: Arc<Shared>,
}

/// What consumers and publishers share.
struct Shared {
    options: RabbitOptions,
    publishing: Publishing,
    consumed: Arc<Chosen>,
    pressure: Pressure,
    /// Connected when the first partition is taken up: what only publishes needs no second connection.
    consuming: Link,
    held: Held,
    epochs: AtomicU32,
}

impl RabbitQueue {
    /// Connects and declares what is missing: the exchange, and a queue for each partition and lane.
    ///
    /// Makes one attempt, so that a wrong address or password shows at once.
    pub async fn connect(options: RabbitOptions) -> Result<Self, QueueError> {
        options.check()?;
        let topology = Arc::new(Topology::new(&options));
        let published = Arc::new(Chosen::new(Arc::clone(&topology)));
        let consumed = Arc::new(Chosen::new(topology));
        let publish_link = Link::new(&options, "publish", Arc::clone(&published))?;
        let consuming = Link::new(&options, "consume", Arc::clone(&consumed))?;
        publish_link.connection(Instant::now()).await?;
        Ok(Self {
            shared: Arc::new(Shared {
                publishing: Publishing::new(publish_link, published),
                consuming,
                consumed,
                pressure: Pressure::new(options.max_ready),
                options,
                held: Held::default(),
                epochs: AtomicU32::new(1),
            }),
        })
    }

    /// Closes both connections. Consumers still open lose what they hold, and it comes again elsewhere.
    pub async fn close(&self) {
        self.shared.publishing.close().await;
        self.shared.consuming.close().await;
    }

    /// Deletes the exchange and every queue of the generation that is published to, with all that waits in them: for who made
    /// them for a while only, such as a benchmark.
    pub async fn delete(&self) -> Result<(), QueueError> {
        let connection = self.shared.publishing.connection(Instant::now() + PATIENCE).await?;
        let topology = self.shared.publishing.topology();
        answered_within(topology.patience(), "deleting the queues", topology.delete(&connection)).await
    }

    pub fn options(&self) -> &RabbitOptions {
        &self.shared.options
    }
}

impl fmt::Debug for RabbitQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RabbitQueue")
            .field("options", &self.shared.options)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Publisher for RabbitQueue {
    /// Whether the broker answers: opens a channel, which closes again by itself.
    async fn ping(&self) -> Result<(), QueueError> {
        let connection = self.shared.publishing.connection(Instant::now() + PING).await?;
        answered("opening a channel", connection.create_channel())
            .await
            .map(drop)
    }

    async fn publish(&self, envelopes: &[Envelope]) -> Result<(), QueueError> {
        if self.shared.pressure.is_due(Instant::now()) {
            let shared = Arc::clone(&self.shared);
            // Beside the publishing, which goes by the last look meanwhile.
            tokio::spawn(async move {
                if let Err(error) = shared.look_at_lanes().await {
                    tracing::debug!(%error, "how full the lanes are could not be seen");
                }
            });
        }
        self.shared
            .pressure
            .admit(envelopes.iter().map(|envelope| envelope.header.lane))?;
        self.shared.publishing.publish(envelopes).await
    }
}

impl Shared {
    async fn connection(&self) -> Result<Arc<lapin::Connection>, QueueError> {
        self.publishing.connection(Instant::now() + PATIENCE).await
    }

    async fn look_at_lanes(&self) -> Result<(), QueueError> {
        let connection = self.connection().await?;
        let topology = self.publishing.topology();
        for lane in Lane::ALL {
            let waiting = answered("counting messages", topology.waiting_in(&connection, lane)).await?;
            self.pressure.seen(lane, waiting);
        }
        Ok(())
    }
}

#[async_trait]
impl Queue for RabbitQueue {
    fn partitions(&self) -> u16 {
        self.shared.consumed.get().partitions()
    }

    async fn consume(&self, partition: u16) -> Result<Box<dyn Consumer>, QueueError> {
        let partitions = self.partitions();
        if partition >= partitions {
            return Err(QueueError::Misused(format!(
                "partitions are numbered 0 to {}, got {partition}",
                partitions - 1
            )));
        }
        let consumer = RabbitConsumer::open(Arc::clone(&self.shared), partition, Instant::now() + PATIENCE).await?;
        Ok(Box::new(consumer))
    }

    /// Messages waiting at the broker, and those that consumers of this `RabbitQueue` hold. AMQP does not tell what other
    /// processes hold, and a message on its way between the two is in neither count: a figure to watch, and exact only
    /// when nothing is being consumed.
    async fn depth(&self) -> Result<u64, QueueError> {
        let connection = self.shared.connection().await?;
        let (published, consumed) = (self.shared.publishing.topology(), self.shared.consumed.get());
        let mut waiting = answered("counting messages", published.waiting(&connection)).await?;
        if published.generation() != consumed.generation() {
            waiting += answered("counting messages", consumed.waiting(&connection)).await?;
        }
        Ok(waiting + self.shared.held.total())
    }

    async fn waiting(&self) -> Result<Vec<Waiting>, QueueError> {
        let connection = self.shared.connection().await?;
        let (published, consumed) = (self.shared.publishing.topology(), self.shared.consumed.get());
        let mut waiting = answered("counting messages", consumed.waiting_by_queue(&connection)).await?;
        // Who only publishes has not heard which generation is consumed: of one that is gone nothing waits.
        if published.generation() != consumed.generation() {
            for more in answered("counting messages", published.waiting_by_queue(&connection)).await? {
                let same = |one: &&mut Waiting| (one.partition, one.lane) == (more.partition, more.lane);
                match waiting.iter_mut().find(same) {
                    Some(one) => one.messages += more.messages,
                    None => waiting.push(more),
                }
            }
        }
        Ok(waiting)
    }

    async fn publish_to(&self, generation: Generation) -> Result<(), QueueError> {
        let options = self.shared.options.of(generation);
        options.check()?;
        self.shared.publishing.go_over_to(Topology::new(&options)).await
    }

    async fn consume_from(&self, generation: Generation, superseded: bool) -> Result<(), QueueError> {
        let mut topology = Topology::new(&self.shared.options.of(generation));
        if superseded {
            topology = topology.superseded();
        } else {
            // The connection may be there already, and then declares nothing by itself.
            let connection = self.shared.connection().await?;
            let declaring = topology.declare(&connection);
            answered_within(topology.patience(), "declaring the queues", declaring).await?;
        }
        self.shared.consumed.set(Arc::new(topology));
        Ok(())
    }

    async fn has_waiting(&self, partition: u16) -> Result<bool, QueueError> {
        let connection = self.shared.connection().await?;
        let topology = self.shared.consumed.get();
        let waiting = topology.waiting_of(&connection, partition);
        Ok(answered("counting messages", waiting).await? > 0)
    }

    async fn seal(&self, generation: Generation) -> Result<(), QueueError> {
        let connection = self.shared.connection().await?;
        let topology = Topology::new(&self.shared.options.of(generation));
        answered("deleting an exchange", topology.seal(&connection)).await
    }

    async fn is_drained(&self, generation: Generation) -> Result<bool, QueueError> {
        let connection = self.shared.connection().await?;
        let topology = Topology::new(&self.shared.options.of(generation));
        let looking = topology.is_drained(&connection);
        answered_within(topology.patience(), "looking whether the queues are empty", looking).await
    }

    async fn remove(&self, generation: Generation) -> Result<(), QueueError> {
        let connection = self.shared.connection().await?;
        // The intake is of no generation: what senders have put there is still to be passed on.
        let options = RabbitOptions {
            intake: false,
            ..self.shared.options.of(generation)
        };
        let topology = Topology::new(&options);
        answered_within(topology.patience(), "deleting the queues", topology.delete(&connection)).await
    }
}

/// How many messages each live channel has been given and has not acknowledged.
#[derive(Default)]
struct Held(Mutex<Vec<Weak<AtomicU64>>>);

impl Held {
    fn counter(&self) -> Arc<AtomicU64> {
        let counter = Arc::new(AtomicU64::new(0));
        let mut counters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counters.retain(|other| other.strong_count() > 0);
        counters.push(Arc::downgrade(&counter));
        counter
    }

    fn total(&self) -> u64 {
        let counters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counters
            .iter()
            .filter_map(Weak::upgrade)
            .map(|counter| counter.load(Ordering::Relaxed))
            .sum()
    }
}

/// Waits for what was asked of the broker; what goes wrong, as the port says it. The messages of lapin hold host names at
/// most, never credentials.
async fn answered<T>(doing: &str, work: impl Future<Output = lapin::Result<T>>) -> Result<T, QueueError> {
    answered_within(ANSWER, doing, work).await
}

async fn answered_within<T>(
    limit: Duration,
    doing: &str,
    work: impl Future<Output = lapin::Result<T>>,
) -> Result<T, QueueError> {
    match tokio::time::timeout(limit, work).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(QueueError::Unavailable(format!("{doing}: {error}"))),
        Err(_) => {
            let why = format!("{doing}: no answer from the broker for {} s", limit.as_secs());
            Err(QueueError::Unavailable(why))
        }
    }
}

/// The reason alone, to be told again.
fn reason(error: &QueueError) -> String {
    match error {
        QueueError::Unavailable(why) | QueueError::Saturated(why) | QueueError::Misused(why) => why.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> RabbitOptions {
        RabbitOptions {
            partitions: 2,
            ..RabbitOptions::new("amqp://user:hunter2@broker.example:5672/%2f")
        }
    }

    #[test]
    fn names() {
        let options = options();
        assert_eq!(options.exchange(), "odograph.telemetry.g1");
        assert_eq!(
            options.queues().collect::<Vec<_>>(),
            [
                "odograph.g1.urgent.0",
                "odograph.g1.live.0",
                "odograph.g1.bulk.0",
                "odograph.g1.urgent.1",
                "odograph.g1.live.1",
                "odograph.g1.bulk.1",
            ]
        );
    }

    #[test]
    fn options_are_checked() {
        for wrong in [
            RabbitOptions {
                partitions: 0,
                ..options()
            },
            RabbitOptions {
                prefetch: 0,
                ..options()
            },
            RabbitOptions {
                prefix: String::new(),
                ..options()
            },
            RabbitOptions {
                prefix: "x".repeat(201),
                ..options()
            },
        ] {
            assert!(matches!(wrong.check(), Err(QueueError::Misused(_))), "{wrong:?}");
        }
        assert!(options().check().is_ok());
    }

    #[tokio::test]
    async fn the_password_is_in_no_message() {
        let options = options();
        assert!(!format!("{options:?}").contains("hunter2"));
        for url in [
            "http://user:hunter2@x/",
            "amqp://user:hunter2@[::1",
            "amqp://user:hunter2@127.0.0.1:1/%2f",
        ] {
            let error = RabbitQueue::connect(RabbitOptions {
                url: url.to_owned(),
                ..options.clone()
            })
            .await
            .unwrap_err();
            let told = format!("{error} {error:?}");
            assert!(!told.contains("hunter2"), "{told}");
        }
    }
}
