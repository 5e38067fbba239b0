//! A whole Odograph in the test's own process, over a database and a queue of its own.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::Mutex,
    time::{Duration, Instant},
};

use chrono::NaiveDate;
use chrono_tz::Tz;
use odograph::{
    bridge,
    cli::{client, serve},
    config::Config,
    import::{self, Summary},
    pipeline::{Pipeline, derive},
    plan,
    root::Parts,
    worker,
};
use odograph_domain::{
    id::{ExternalRef, IdOrRef, TenantId},
    outcome::Tally,
    policy::Product,
    settings::TenantSettings,
};
use odograph_store::{NewDriver, NewPolicy, NewTenant, NewVehicle, TenantStore};
use sqlx::{Connection as _, PgConnection};
use tempfile::TempDir;
use tokio::{sync::oneshot, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{Backend, MASTER_KEY, TestBroker, TestDb, http::Api, snapshot::Snapshot, unique};

/// Longest that anything is waited for before the test fails, saying for what.
const PATIENCE: Duration = Duration::from_secs(180);

/// Which implementation of the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queue {
    Rabbit,
    Table,
}

impl Queue {
    /// RabbitMQ beside a server, the table in the embedded database.
    pub fn usual() -> Self {
        match Backend::chosen() {
            Backend::Server => Self::Rabbit,
            Backend::Embedded => Self::Table,
        }
    }
}

/// A database, a queue, and the parts that work on them. Give it back with [`Platform::end`].
pub struct Platform {
    pub parts: Parts,
    db: TestDb,
    broker: Option<TestBroker>,
    folder: TempDir,
    /// Rows sent, by tenant.
    sent: Mutex<BTreeMap<TenantId, u64>>,
    running: Vec<(CancellationToken, JoinHandle<anyhow::Result<()>>)>,
}

/// A vehicle with the policy and the driver it has from the first day on.
#[derive(Debug, Clone)]
pub struct Insured {
    pub vehicle: String,
    pub driver: String,
    pub product: Product,
    pub time_zone: Tz,
    pub starts_on: NaiveDate,
}

impl Platform {
    /// Enough to see partitions at work; every one of them is three quorum queues to make and to delete.
    pub const PARTITIONS: u16 = 2;

    pub async fn start() -> Self {
        Self::start_with(Queue::usual(), |_| {}).await
    }

    pub async fn start_with(queue: Queue, configure: impl FnOnce(&mut Config)) -> Self {
        let broker = (queue == Queue::Rabbit).then(|| TestBroker::fresh(Self::PARTITIONS));
        Self::start_on(broker, configure).await
    }

    /// On this broker; on none with a queue in the database.
    pub async fn start_on(broker: Option<TestBroker>, configure: impl FnOnce(&mut Config)) -> Self {
        let partitions = Self::PARTITIONS;
        let db = TestDb::fresh().await;
        let folder = TempDir::new().expect("a temporary folder");
        let mut config = usual(folder.path(), db.url());
        config.database.max_connections = match Backend::chosen() {
            Backend::Server => 10,
            Backend::Embedded => 1,
        };
        if let Some(broker) = &broker {
            config.queue.url.clone_from(&broker.options().url);
            config.queue.prefix.clone_from(&broker.options().prefix);
            config.queue.generation = broker.options().generation;
        }
        config.queue.partitions = partitions;
        configure(&mut config);
        let parts = Parts::open(config).await.expect("the parts");
        let (sent, running) = (Mutex::default(), Vec::new());
        Self {
            parts,
            db,
            broker,
            folder,
            sent,
            running,
        }
    }

    /// On servers of a test's own, which are migrated to and taken down by it.
    pub async fn on(database_url: &str, amqp_url: &str, configure: impl FnOnce(&mut Config)) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let mut config = usual(folder.path(), database_url);
        config.database.max_connections = 10;
        config.queue.url = amqp_url.to_owned();
        config.queue.prefix = format!("odograph-test-{}", unique());
        config.queue.partitions = 2;
        configure(&mut config);
        let parts = Parts::open_to_migrate(config.clone()).await.expect("the database");
        parts.store.migrate().await.expect("a migrated database");
        parts.close().await.expect("a database that closes");
        Self {
            parts: Parts::open(config).await.expect("the parts"),
            db: TestDb::elsewhere(database_url),
            broker: None,
            folder,
            sent: Mutex::default(),
            running: Vec::new(),
        }
    }

    /// Looks at the database as a superuser, past every row-level security. Nothing may be running: the embedded database
    /// has one connection, which the parts have to let go for this.
    pub async fn as_superuser<T>(&mut self, look: impl AsyncFnOnce(&mut PgConnection) -> T) -> T {
        assert!(
            self.running.is_empty(),
            "stop what is running before looking at the database"
        );
        let alone = Backend::chosen() == Backend::Embedded;
        if alone {
            self.parts.clone().close().await.expect("parts that close");
        }
        let mut connection = self.db.superuser().await;
        let seen = look(&mut connection).await;
        connection.close().await.expect("a connection that closes");
        if alone {
            self.parts = Parts::open(self.parts.config.clone()).await.expect("the parts again");
        }
        seen
    }

    /// Holds generated keys and whatever a test puts there; gone at the end.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The settings of this platform for processes of the binary.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let config = &self.parts.config;
        vec![
            ("ODOGRAPH__DATA__DIR", config.data.dir.display().to_string()),
            ("ODOGRAPH__DATABASE__URL", config.database.url.clone()),
            ("ODOGRAPH__DATABASE__MAX_CONNECTIONS", "6".to_owned()),
            ("ODOGRAPH__QUEUE__URL", config.queue.url.clone()),
            ("ODOGRAPH__QUEUE__PREFIX", config.queue.prefix.clone()),
            ("ODOGRAPH__QUEUE__GENERATION", config.queue.generation.to_string()),
            ("ODOGRAPH__QUEUE__PARTITIONS", config.queue.partitions.to_string()),
            ("ODOGRAPH__INTAKE__ENABLED", config.intake.enabled.to_string()),
            ("ODOGRAPH__KEYS__MASTER_KEY", config.keys.master_key.clone()),
            ("ODOGRAPH__API__BIND", config.api.bind.to_string()),
            ("ODOGRAPH__METRICS__BIND", config.metrics.bind.clone()),
            (
                "ODOGRAPH__WORKER__BATCH_MESSAGES",
                config.worker.batch_messages.to_string(),
            ),
            (
                "ODOGRAPH__WORKER__BATCH_WAIT_MS",
                config.worker.batch_wait_ms.to_string(),
            ),
            ("ODOGRAPH__WORKER__LEASE_S", config.worker.lease_s.to_string()),
            (
                "ODOGRAPH__WORKER__DERIVE_EVERY_MS",
                config.worker.derive_every_ms.to_string(),
            ),
        ]
    }

    pub async fn tenant(&self, name: &str) -> TenantId {
        self.tenant_with(name, "{}").await
    }

    /// `settings` as JSON, as an operator gives them.
    pub async fn tenant_with(&self, name: &str, settings: &str) -> TenantId {
        let settings: TenantSettings = serde_json::from_str(settings).expect("tenant settings");
        let new = NewTenant {
            name: name.to_owned(),
            settings,
        };
        self.parts
            .store
            .operator()
            .create_tenant(new)
            .await
            .expect("a new tenant")
            .id
    }

    pub fn store(&self, tenant: TenantId) -> TenantStore {
        self.parts.store.tenant(tenant)
    }

    /// Registers drivers, vehicles and their policies, all on the example plan.
    pub async fn insure(&self, tenant: TenantId, insured: &[Insured]) {
        let store = self.store(tenant);
        let plan = plan::named_or_example(&store, "standard")
            .await
            .expect("the example plan");
        for Insured {
            vehicle,
            driver,
            product,
            time_zone,
            starts_on,
        } in insured
        {
            if store.resolve_driver(driver).await.expect("drivers").is_none() {
                let new = NewDriver {
                    external_ref: Some(named(driver)),
                    identity: None,
                };
                store.create_driver(new).await.expect("a new driver");
            }
            let new = NewVehicle {
                external_ref: Some(named(vehicle)),
                ..NewVehicle::default()
            };
            store.create_vehicle(new).await.expect("a new vehicle");
            let policy = NewPolicy {
                external_ref: Some(named(&format!("{vehicle}-policy"))),
                vehicle: IdOrRef::Ref(named(vehicle)),
                main_driver: Some(IdOrRef::Ref(named(driver))),
                product: *product,
                plan: IdOrRef::Id(plan.id),
                currency: plan.terms.currency,
                time_zone: *time_zone,
                starts_on: *starts_on,
                ends_on: None,
            };
            store.create_policy(policy).await.expect("a new policy");
        }
    }

    /// Starts a worker; [`Platform::end`] stops it.
    pub fn work(&mut self) {
        let stop = CancellationToken::new();
        let task = tokio::spawn(worker::run(self.parts.clone(), stop.clone()));
        self.running.push((stop, task));
    }

    /// Starts a bridge; [`Platform::end`] stops it.
    pub fn bridge(&mut self) {
        let stop = CancellationToken::new();
        let task = tokio::spawn(bridge::run(self.parts.clone(), stop.clone()));
        self.running.push((stop, task));
    }

    /// Stops what was started, in order, as a signal would.
    pub async fn stop(&mut self) {
        for (stop, task) in self.running.drain(..) {
            stop.cancel();
            task.await
                .expect("a role that does not panic")
                .expect("a role that stops cleanly");
        }
    }

    /// Starts the API.
    pub async fn serve(&mut self) -> Api {
        let (stop, parts) = (CancellationToken::new(), self.parts.clone());
        let (bound, address) = oneshot::channel();
        let stopping = stop.clone();
        let task = tokio::spawn(async move {
            serve::serve_until(&parts, stopping, move |url| drop(bound.send(url.to_owned()))).await
        });
        self.running.push((stop, task));
        let url = address.await.expect("the address that the API is bound to");
        Api::at(&url)
    }

    /// A client with these scopes (none given: all but the special ones), and its secret.
    pub async fn client(&self, tenant: TenantId, scopes: &[&str]) -> client::Credentials {
        let scopes: Vec<String> = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        client::create(&self.parts, tenant, &unique(), &scopes)
            .await
            .expect("a new client")
    }

    /// A client of the platform's operators with these scopes (none given: all there are), and its secret.
    pub async fn operator(&self, scopes: &[&str]) -> client::Credentials {
        let scopes: Vec<String> = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        client::create_operator(&self.parts, &unique(), &scopes)
            .await
            .expect("a new operator's client")
    }

    /// Puts a file into the queue the way `odograph import` does.
    pub async fn send(&self, tenant: TenantId, file: &Path) -> Summary {
        let mut summary = Summary::new(self.parts.ids.uuid());
        import::send(&self.parts, tenant, file, None, &mut summary, &CancellationToken::new())
            .await
            .unwrap_or_else(|error| panic!("importing {}: {error:#}", file.display()));
        *self
            .sent
            .lock()
            .expect("no test panics with this held")
            .entry(tenant)
            .or_default() += summary.rows;
        summary
    }

    /// Waits until the queue is empty and every row that was sent has its outcome. A worker must be running.
    pub async fn drained(&self) {
        let began = Instant::now();
        let mut empty = 0;
        // A message on its way from a broker is neither there nor here yet: one look is not enough.
        while empty < 5 {
            let depth = self.parts.queue.depth().await.expect("the depth of the queue");
            let missing = if depth == 0 { self.missing().await } else { 0 };
            empty = if depth + missing == 0 { empty + 1 } else { 0 };
            assert!(
                began.elapsed() < PATIENCE,
                "{depth} messages are in the queue and {missing} rows without an outcome after {PATIENCE:?}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Rows that were sent by [`Platform::send`] and have no outcome yet.
    async fn missing(&self) -> u64 {
        let sent = self.sent.lock().expect("no test panics with this held").clone();
        let mut missing = 0;
        for (tenant, rows) in sent {
            missing += rows.saturating_sub(self.outcomes(tenant).await.received);
        }
        missing
    }

    /// Derives every window of the tenant, those too that still wait for silence.
    pub async fn derive(&self, tenant: TenantId) {
        let (pipeline, never) = (Pipeline::new(&self.parts), CancellationToken::new());
        let began = Instant::now();
        loop {
            derive::all_due(&pipeline, Some(tenant), true, &never)
                .await
                .expect("derived windows");
            // A window that a worker is deriving just now is passed over, and is still there.
            let left = self.store(tenant).dirty(None).await.expect("dirty windows").len();
            if left == 0 {
                return;
            }
            assert!(
                began.elapsed() < PATIENCE,
                "{left} windows are still to be derived after {PATIENCE:?}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Sends a file, waits until it is worked through, and derives what came of it.
    pub async fn import(&self, tenant: TenantId, file: &Path) -> Summary {
        let summary = self.send(tenant, file).await;
        self.drained().await;
        self.derive(tenant).await;
        summary
    }

    pub async fn snapshot(&self, tenant: TenantId) -> Snapshot {
        Snapshot::of(&self.parts.store, tenant).await
    }

    /// How everything the tenant ever sent has ended, refused rows of files included.
    pub async fn outcomes(&self, tenant: TenantId) -> Tally {
        let mut tally = Tally::default();
        for count in self
            .store(tenant)
            .outcome_counts(None, None)
            .await
            .expect("counts of outcomes")
        {
            let samples = u64::try_from(count.samples).expect("a count");
            match count.outcome.as_str() {
                "received" => tally.received += samples,
                "accepted" => tally.accepted += samples,
                "duplicate" => tally.duplicate += samples,
                reason => tally.reject(reason, samples),
            }
        }
        tally
    }

    /// Stops everything, checks that no message was left behind, and gives database and queue back.
    pub async fn end(mut self) {
        self.stop().await;
        let depth = self.parts.queue.depth().await.expect("the depth of the queue");
        assert_eq!(depth, 0, "messages were left in the queue");
        self.abandon().await;
    }

    /// [`Platform::end`] of a test that leaves messages in the queue on purpose.
    pub async fn abandon(mut self) {
        self.stop().await;
        let Self { parts, db, broker, .. } = self;
        if broker.is_some() {
            // Of generations that the test has begun.
            for row in parts.store.generations().all().await.unwrap_or_default() {
                drop(parts.queue.remove(row.generation).await);
            }
        }
        parts.close().await.expect("parts that close");
        drop(broker);
        db.finish().await.expect("a database that goes");
    }
}

/// The configuration that tests begin with: the queue in the database.
fn usual(folder: &Path, database_url: &str) -> Config {
    let mut config = Config::load(None).expect("the default configuration");
    config.data.dir = folder.to_owned();
    config.database.url = database_url.to_owned();
    config.queue.url = String::new();
    config.keys.master_key = MASTER_KEY.to_owned();
    config.api.bind = ([127, 0, 0, 1], 0).into();
    config.metrics.bind = String::new();
    config.metrics.sample_s = 1;
    config.worker.batch_wait_ms = 20;
    config.worker.derive_every_ms = 50;
    config.worker.lease_s = 5;
    config
}

impl std::fmt::Debug for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Platform")
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

/// An external reference, in a test that knows it is one.
pub fn named(reference: &str) -> ExternalRef {
    ExternalRef::parse(reference).unwrap_or_else(|error| panic!("{error}"))
}
