//! The composition root: the only place that reads the wall clock and makes random numbers, and where the parts are
//! put together from the configuration.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use odograph_api::{
    ApiParts, ApiState, BrokerAuth, BrokerNames, IntakeBounds, Randomness, RandomnessError, TokenSigner,
};
use odograph_domain::{
    clock::Clock,
    envelope::Envelope,
    id::{IdSource, PublisherId, TenantId},
    queue::{Generation, Portion, Publisher, Queue, QueueError},
};
use odograph_ingest::rabbit::{RabbitOptions, RabbitQueue};
use odograph_scoring::{behaviour::scoring_threshold, rating::PlanRater};
use odograph_store::{LakeOptions, MasterKey, Store, StoreOptions};
use uuid::Uuid;

#[cfg(feature = "embedded")]
use crate::embedded::{Embedded, Location};
use crate::{
    config::Config,
    meter::Meter,
    partitions::{self, Following},
    tls,
    watched::{Requests, Timed},
};

/// The machine's clock, and UUIDv7 ids from it.
#[derive(Debug, Clone, Copy)]
pub struct System;

impl Clock for System {
    #[expect(
        clippy::disallowed_methods,
        reason = "the composition root is where the wall clock is read"
    )]
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }
}

impl IdSource for System {
    #[expect(clippy::disallowed_methods, reason = "the composition root is where ids come from")]
    fn uuid(&self) -> Uuid {
        Uuid::now_v7()
    }
}

impl Randomness for System {
    #[expect(
        clippy::disallowed_methods,
        reason = "the composition root is where randomness comes from"
    )]
    fn fill(&self, bytes: &mut [u8]) -> Result<(), RandomnessError> {
        getrandom::fill(bytes).map_err(|error| RandomnessError(error.to_string()))
    }
}

/// Bytes from the operating system's generator.
#[expect(
    clippy::disallowed_methods,
    reason = "the composition root is where randomness comes from"
)]
pub fn random_bytes<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).context("the operating system gave no random bytes")?;
    Ok(bytes)
}

/// The parts a role runs on.
#[derive(Clone)]
pub struct Parts {
    pub config: Config,
    pub store: Store,
    pub queue: Arc<dyn Queue>,
    pub publisher: Arc<dyn Publisher>,
    /// The queue, where it is RabbitMQ.
    pub rabbit: Option<RabbitQueue>,
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<dyn IdSource>,
    /// Of all that this process does.
    pub meter: Arc<Meter>,
    /// Of a process that publishes: where to.
    following: Option<Arc<Following>>,
    #[cfg(feature = "embedded")]
    embedded: Option<Arc<Embedded>>,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl Parts {
    /// Opens the database and the queue. The embedded database is brought up to date by itself; a server's schema is
    /// changed by `odograph migrate` only.
    pub async fn open(config: Config) -> Result<Self> {
        Self::open_for(config, Opened::Working).await
    }

    /// For administration, which has nothing to do with the broker.
    pub async fn open_database(mut config: Config) -> Result<Self> {
        config.queue.url.clear();
        Self::open_for(config, Opened::Administering).await
    }

    /// For `migrate`: whatever state the schema is in.
    pub async fn open_to_migrate(mut config: Config) -> Result<Self> {
        config.queue.url.clear();
        Self::open_for(config, Opened::Migrating).await
    }

    async fn open_for(config: Config, opened: Opened) -> Result<Self> {
        if config.embedded() {
            Self::open_embedded(config, opened).await
        } else {
            Self::open_server(config, opened).await
        }
    }

    async fn open_server(config: Config, opened: Opened) -> Result<Self> {
        if config.keys.master_key.is_empty() {
            bail!(
                "keys.master_key is not set: give 64 hex digits in ODOGRAPH__KEYS__MASTER_KEY (openssl rand -hex 32 makes \
                 one). A key made here would be lost with this machine, and the raw data with it"
            );
        }
        let master_key = MasterKey::from_text(&config.keys.master_key).context("keys.master_key")?;
        let options = StoreOptions {
            url: config.database.url.clone(),
            max_connections: config.database.max_connections,
        };
        let (clock, ids) = (Arc::new(System), Arc::new(System));
        let store = Store::connect(&options, master_key, clock, ids)
            .await
            .context("the database does not answer")?;
        Self::with_store(
            config,
            store,
            opened,
            #[cfg(feature = "embedded")]
            None,
        )
        .await
    }

    #[cfg(feature = "embedded")]
    async fn open_embedded(config: Config, opened: Opened) -> Result<Self> {
        let folder = config.data.dir.join("postgres");
        std::fs::create_dir_all(&config.data.dir)
            .with_context(|| format!("cannot make the data folder {}", config.data.dir.display()))?;
        let embedded = Embedded::start(Location::Folder(folder)).await?;
        let master_key = if config.keys.master_key.is_empty() {
            kept_key(&config.data.dir.join("master.key"))?
        } else {
            config.keys.master_key.clone()
        };
        Self::on_running(config, embedded, &master_key, opened).await
    }

    /// On an embedded PostgreSQL of its own, in a temporary folder and under a key that are gone when it ends.
    #[cfg(feature = "embedded")]
    pub async fn open_temporary(config: Config) -> Result<Self> {
        let master_key = hex::encode(random_bytes::<32>()?);
        Self::on_embedded(config, Embedded::start(Location::Temporary).await?, &master_key).await
    }

    #[cfg(not(feature = "embedded"))]
    pub async fn open_temporary(_config: Config) -> Result<Self> {
        bail!("this needs the embedded PostgreSQL, and this build has none (feature `embedded`)")
    }

    /// On an embedded database that is already running.
    #[cfg(feature = "embedded")]
    pub async fn on_embedded(config: Config, embedded: Embedded, master_key: &str) -> Result<Self> {
        Self::on_running(config, embedded, master_key, Opened::Working).await
    }

    #[cfg(feature = "embedded")]
    async fn on_running(config: Config, embedded: Embedded, master_key: &str, opened: Opened) -> Result<Self> {
        let master_key = MasterKey::from_text(master_key).context("the master key")?;
        let options = StoreOptions {
            url: embedded.url(),
            max_connections: 1,
        };
        let (clock, ids) = (Arc::new(System), Arc::new(System));
        let store = Store::connect(&options, master_key, clock, ids)
            .await
            .context("the embedded PostgreSQL does not answer")?;
        store
            .migrate()
            .await
            .context("the embedded database could not be brought up to date")?;
        Self::with_store(config, store, opened, Some(Arc::new(embedded))).await
    }

    #[cfg(not(feature = "embedded"))]
    async fn open_embedded(_config: Config, _opened: Opened) -> Result<Self> {
        bail!("database.url is not set, and this build has no embedded PostgreSQL")
    }

    async fn with_store(
        config: Config,
        store: Store,
        opened: Opened,
        #[cfg(feature = "embedded")] embedded: Option<Arc<Embedded>>,
    ) -> Result<Self> {
        if opened != Opened::Migrating {
            store.check().await.context("the database is not fit to work with")?;
        }
        tls::install();
        if !config.lake.url.is_empty() {
            let options = LakeOptions {
                url: config.lake.url.clone(),
                file_bytes: config.lake.file_bytes,
            };
            store.open_lake(&options).context("the lake")?;
        }
        let Opening {
            queue,
            rabbit,
            following,
        } = open_queue(&config, &store, opened).await?;
        let publisher: Arc<dyn Publisher> = match &following {
            Some(following) => following.clone(),
            None => Arc::new(Direct(Arc::clone(&queue))),
        };
        let meter: Arc<Meter> = Arc::default();
        let publisher = Arc::new(Timed {
            publisher,
            meter: meter.clone(),
        });
        Ok(Self {
            config,
            store,
            queue,
            publisher,
            rabbit,
            clock: Arc::new(System),
            ids: Arc::new(System),
            meter,
            following,
            #[cfg(feature = "embedded")]
            embedded,
        })
    }

    /// The same with a meter at zero.
    #[must_use]
    pub fn measured_anew(self) -> Self {
        Self {
            meter: Arc::default(),
            ..self
        }
    }

    /// What the API works with, known to the world as `url`.
    pub fn api_state(&self, url: &str) -> Result<ApiState> {
        let mut state = ApiState::new(ApiParts {
            store: self.store.clone(),
            publisher: self.publisher.clone(),
            rater: Arc::new(PlanRater),
            event_threshold: scoring_threshold,
            clock: self.clock.clone(),
            ids: self.ids.clone(),
            randomness: Arc::new(System),
            signer: self.signer()?,
            issuer: url.to_owned(),
        });
        state.token_ttl = Duration::from_secs(u64::from(self.config.api.token_ttl_s));
        state.idempotency_ttl = Duration::from_secs(u64::from(self.config.api.idempotency_ttl_s));
        state.limits.batch_bytes = self.config.api.body_bytes;
        let api = &self.config.api;
        state.bound_intake(IntakeBounds {
            at_once: api.intake_at_once,
            bytes: api.intake_bytes,
            requests_per_s: f64::from(api.rate.requests_per_s),
            bytes_per_s: f64::from(api.rate.bytes_per_s),
            burst_s: f64::from(api.rate.burst_s),
        });
        state.allowed_origins.clone_from(&self.config.api.cors.allowed_origins);
        state.watch = Arc::new(Requests(self.meter.clone()));
        Ok(state)
    }

    /// What the broker's questions are answered by, and where; `None` where they are not.
    pub fn broker_auth(&self) -> Option<(SocketAddr, BrokerAuth)> {
        let config = &self.config.broker_auth;
        let options = self.rabbit.as_ref()?.options();
        let names = BrokerNames {
            vhost: config.vhost.clone(),
            intake_exchange: options.intake_exchange(),
            topic_prefix: options.prefix.clone(),
        };
        let key = config.key.clone();
        Some((config.address()?, BrokerAuth { key, names }))
    }

    /// The key that signs tokens: from the file given, else made once and kept in the data folder.
    fn signer(&self) -> Result<TokenSigner> {
        let given = &self.config.keys.signing_key_file;
        let pem = if given.as_os_str().is_empty() {
            let kept = self.config.data.dir.join("signing-key.pem");
            std::fs::create_dir_all(&self.config.data.dir)
                .with_context(|| format!("cannot make the data folder {}", self.config.data.dir.display()))?;
            kept_secret(&kept, || {
                Ok(TokenSigner::generate(&random_bytes()?)?.to_pem().to_owned())
            })?
        } else {
            std::fs::read_to_string(given)
                .with_context(|| format!("cannot read keys.signing_key_file {}", given.display()))?
        };
        TokenSigner::from_pem(&pem).context("the key that signs tokens does not read")
    }

    /// The tenant of this name or id.
    pub async fn tenant_named(&self, given: &str) -> Result<TenantId> {
        let operator = self.store.operator();
        if let Some(tenant) = operator.tenant_by_name(given).await? {
            return Ok(tenant.id);
        }
        let by_id = match given.parse::<TenantId>() {
            Ok(id) => operator.tenant(id).await.ok(),
            Err(_) => None,
        };
        by_id
            .map(|tenant| tenant.id)
            .with_context(|| format!("there is no tenant {given:?}; `odograph tenant list` shows them"))
    }

    /// This process publishes no more; a change of the number of partitions need not wait for it.
    pub async fn publish_no_more(&self) {
        if let Some(following) = &self.following {
            following.leave().await;
        }
    }

    /// Closes the database, and stops it if it is ours. Call last.
    pub async fn close(self) -> Result<()> {
        self.publish_no_more().await;
        drop((self.queue, self.publisher, self.following, self.rabbit));
        self.store.close().await;
        #[cfg(feature = "embedded")]
        if let Some(embedded) = self.embedded.and_then(Arc::into_inner) {
            embedded.stop().await?;
        }
        Ok(())
    }
}

/// What a process opens its parts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Opened {
    Working,
    Administering,
    Migrating,
}

/// Publishes through the queue as it is.
struct Direct(Arc<dyn Queue>);

#[async_trait]
impl Publisher for Direct {
    async fn publish(&self, envelopes: &[Envelope]) -> Result<(), QueueError> {
        self.0.publish(envelopes).await
    }

    async fn ping(&self) -> Result<(), QueueError> {
        self.0.ping().await
    }
}

/// The queue as a process uses it.
struct Opening {
    queue: Arc<dyn Queue>,
    rabbit: Option<RabbitQueue>,
    following: Option<Arc<Following>>,
}

async fn open_queue(config: &Config, store: &Store, opened: Opened) -> Result<Opening> {
    let first = Generation {
        number: config.queue.generation,
        partitions: config.queue.partitions,
    };
    let table = |partitions| {
        let queue = store.queue(partitions);
        Arc::new(queue.bounded(portion(config), config.queue.max_ready))
    };
    if opened != Opened::Working {
        return Ok(Opening {
            queue: table(first.partitions),
            rabbit: None,
            following: None,
        });
    }
    let current = partitions::current(store, first)
        .await
        .context("how the queue is cut into partitions cannot be told")?;
    let rabbit = if config.queue.url.is_empty() {
        None
    } else {
        let options = rabbit_options(config).of(current);
        let connected = RabbitQueue::connect(options).await;
        Some(connected.context("RabbitMQ does not answer")?)
    };
    let queue: Arc<dyn Queue> = match &rabbit {
        Some(rabbit) => Arc::new(rabbit.clone()),
        None => table(current.partitions),
    };
    // While this process has the embedded database, nobody else can change anything.
    let following = (!config.embedded()).then(|| {
        let id = PublisherId::from(System.uuid());
        let (store, queue) = (store.clone(), Arc::clone(&queue));
        Arc::new(Following::start((store, queue), Arc::new(System), id, current))
    });
    Ok(Opening {
        queue,
        rabbit,
        following,
    })
}

fn portion(config: &Config) -> Portion {
    Portion {
        bytes: config.worker.batch_bytes,
        bulk_bytes: config.worker.bulk_bytes,
    }
}

/// The broker and its queues as configured: their number as it was at first.
pub fn rabbit_options(config: &Config) -> RabbitOptions {
    RabbitOptions {
        url: config.queue.url.clone(),
        prefix: config.queue.prefix.clone(),
        generation: config.queue.generation,
        partitions: config.queue.partitions,
        prefetch: config.queue.prefetch,
        bulk_prefetch: config.queue.bulk_prefetch,
        portion: portion(config),
        max_ready: config.queue.max_ready,
        intake: config.intake.enabled,
    }
}

/// A key of 32 bytes in hex, made once and kept readable by its owner only.
pub fn kept_key(file: &Path) -> Result<String> {
    kept_secret(file, || Ok(hex::encode(random_bytes::<32>()?)))
}

/// Reads a secret kept in a file, or makes it and keeps it.
pub fn kept_secret(file: &Path, make: impl FnOnce() -> Result<String>) -> Result<String> {
    match std::fs::read_to_string(file) {
        Ok(text) => Ok(text.trim().to_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let secret = make()?;
            write_private(file, &secret).with_context(|| format!("cannot keep a key in {}", file.display()))?;
            Ok(secret)
        }
        Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
    }
}

fn write_private(file: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(file)?.write_all(text.as_bytes())
}
