//! All parts together, as `odograph` puts them together, and small helpers to people them.

use std::path::Path;

use anyhow::Result;
use chrono::NaiveDate;
use chrono_tz::Tz;
use odograph::{
    config::Config,
    plan,
    root::{Parts, random_bytes},
};
use odograph_domain::{
    id::{ClientId, DriverId, ExternalRef, IdOrRef, PolicyId, RatingPlanId, TenantId, VehicleId},
    policy::Product,
    settings::TenantSettings,
};
use odograph_store::{NewClient, NewDriver, NewPolicy, NewTenant, NewVehicle};
use tempfile::TempDir;
use tokio::process::Command;

use crate::{Backend, MASTER_KEY, TestBroker, TestDb, binary, unique};

/// A database, a queue, and the parts of the service on them, all of this test alone.
#[derive(Debug)]
pub struct Bench {
    pub parts: Parts,
    data: TempDir,
    broker: Option<TestBroker>,
    database: Option<TestDb>,
}

/// Credentials of an API client.
#[derive(Debug, Clone)]
pub struct Client {
    pub id: ClientId,
    pub secret: String,
}

/// A vehicle with its driver and policy.
#[derive(Debug, Clone, Copy)]
pub struct Insured {
    pub vehicle: VehicleId,
    pub driver: DriverId,
    pub policy: PolicyId,
    pub plan: RatingPlanId,
}

impl Bench {
    /// Fresh parts of the backend the tests run on.
    pub async fn fresh() -> Self {
        Self::with(|_| {}).await
    }

    /// With a configuration that is a little different.
    pub async fn with(adjust: impl FnOnce(&mut Config)) -> Self {
        Self::open(adjust)
            .await
            .unwrap_or_else(|error| panic!("the parts do not start: {error:#}"))
    }

    async fn open(adjust: impl FnOnce(&mut Config)) -> Result<Self> {
        let data = TempDir::new()?;
        let mut config = Config::load(None)?;
        config.data.dir = data.path().to_owned();
        config.keys.master_key = MASTER_KEY.to_owned();
        config.queue.partitions = 4;
        adjust(&mut config);
        match Backend::chosen() {
            Backend::Server => {
                let database = TestDb::fresh().await;
                let broker = TestBroker::fresh(config.queue.partitions);
                config.database.url = database.url().to_owned();
                config.database.max_connections = 5;
                config.queue.url.clone_from(&broker.options().url);
                config.queue.prefix.clone_from(&broker.options().prefix);
                config.queue.generation = broker.options().generation;
                let parts = Parts::open(config).await?;
                Ok(Self {
                    parts,
                    data,
                    broker: Some(broker),
                    database: Some(database),
                })
            }
            Backend::Embedded => {
                config.database.url = String::new();
                config.queue.url = String::new();
                Ok(Self {
                    parts: embedded(config).await?,
                    data,
                    broker: None,
                    database: None,
                })
            }
        }
    }

    /// The database, where it is one that others can connect to.
    pub fn database(&self) -> Option<&TestDb> {
        self.database.as_ref()
    }

    pub fn broker(&self) -> Option<&TestBroker> {
        self.broker.as_ref()
    }

    /// A folder of this test's own.
    pub fn folder(&self) -> &Path {
        self.data.path()
    }

    /// The `odograph` binary, set up for the same database and queue. Only where another process can reach them.
    pub fn command(&self) -> Command {
        let config = &self.parts.config;
        assert!(
            self.database.is_some(),
            "the embedded database belongs to this process alone"
        );
        let mut command = Command::new(binary());
        command
            .env("ODOGRAPH__DATA__DIR", self.data.path())
            .env("ODOGRAPH__DATABASE__URL", &config.database.url)
            .env("ODOGRAPH__QUEUE__URL", &config.queue.url)
            .env("ODOGRAPH__QUEUE__PREFIX", &config.queue.prefix)
            .env("ODOGRAPH__QUEUE__PARTITIONS", config.queue.partitions.to_string())
            .env("ODOGRAPH__QUEUE__GENERATION", config.queue.generation.to_string())
            .env("ODOGRAPH__KEYS__MASTER_KEY", MASTER_KEY)
            .env("ODOGRAPH__API__BIND", "127.0.0.1:0")
            .kill_on_drop(true);
        command
    }

    pub async fn tenant(&self, name: &str) -> TenantId {
        self.tenant_with(name, TenantSettings::default()).await
    }

    pub async fn tenant_with(&self, name: &str, settings: TenantSettings) -> TenantId {
        let new = NewTenant {
            name: name.to_owned(),
            settings,
        };
        self.parts.store.operator().create_tenant(new).await.unwrap().id
    }

    /// An API client of the tenant that may ask for these scopes.
    pub async fn client(&self, tenant: TenantId, scopes: &[&str]) -> Client {
        let secret = unique();
        let new = NewClient {
            name: format!("test {}", unique()),
            secret_hash: odograph_api::auth::secret::hash_secret(&secret, random_bytes().unwrap()).unwrap(),
            scopes: scopes.iter().map(|&scope| scope.to_owned()).collect(),
        };
        let client = self.parts.store.operator().create_client(tenant, new).await.unwrap();
        Client { id: client.id, secret }
    }

    /// Registers a vehicle and its driver (`NAME-driver`), insured from a day on by the example plan.
    pub async fn insure(&self, tenant: TenantId, name: &str, product: Product, zone: Tz, from: NaiveDate) -> Insured {
        let store = self.parts.store.tenant(tenant);
        let currency = Currency::parse("EUR").unwrap();
        let plan = plan::named_or_example(&store, "standard").await.unwrap();
        let vehicle = NewVehicle {
            external_ref: Some(reference(name)),
            ..NewVehicle::default()
        };
        let vehicle = store.create_vehicle(vehicle).await.unwrap().id;
        let driver = NewDriver {
            external_ref: Some(reference(&format!("{name}-driver"))),
            identity: None,
        };
        let driver = store.create_driver(driver).await.unwrap().id;
        let policy = NewPolicy {
            external_ref: Some(reference(&format!("{name}-policy"))),
            vehicle: IdOrRef::Id(vehicle),
            main_driver: Some(IdOrRef::Id(driver)),
            product,
            plan: IdOrRef::Id(plan.id),
            currency: plan.terms.currency,
            time_zone: zone,
            starts_on: from,
            ends_on: None,
        };
        let policy = store.create_policy(policy).await.unwrap().policy.id;
        Insured {
            vehicle,
            driver,
            policy,
            plan: plan.id,
        }
    }

    /// No message is left behind: everything that was sent has been dealt with.
    pub async fn assert_drained(&self) {
        let depth = self.parts.queue.depth().await.unwrap();
        assert_eq!(depth, 0, "{depth} messages are still in the queue");
    }

    /// Checks that the queue is empty, and takes everything down.
    pub async fn finish(self) {
        self.assert_drained().await;
        let Self {
            parts,
            data,
            broker,
            database,
        } = self;
        parts.close().await.unwrap();
        drop(broker);
        if let Some(database) = database {
            database.finish().await.unwrap();
        }
        data.close().unwrap();
    }
}

#[cfg(feature = "embedded")]
async fn embedded(config: Config) -> Result<Parts> {
    use odograph::embedded::{Embedded, Location};
    Parts::on_embedded(config, Embedded::start(Location::Temporary).await?, MASTER_KEY).await
}

#[cfg(not(feature = "embedded"))]
#[expect(clippy::unused_async, reason = "its other half awaits")]
async fn embedded(_config: Config) -> Result<Parts> {
    anyhow::bail!("this build has no embedded PostgreSQL")
}

fn reference(name: &str) -> ExternalRef {
    ExternalRef::parse(name).unwrap()
}
