//! A database, queues and an insured fleet that only one benchmark knows.

use std::{convert::Infallible, time::Duration};

use anyhow::{Context, Result, bail};
use chrono::NaiveDate;
use chrono_tz::Tz;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use odograph_domain::{
    id::{DriverId, ExternalRef, IdOrRef, PolicyId, TenantId, VehicleId},
    policy::{Month, Product},
    rating::RatingPlan,
    settings::TenantSettings,
};
use odograph_ingest::rabbit::RabbitQueue;
use odograph_store::{NewDriver, NewPolicy, NewTenant, NewVehicle, Scratch, TenantStore};
use tokio::time::sleep;

use crate::{
    config::Config,
    plan,
    root::{Parts, System, rabbit_options, random_bytes},
};

/// Registered at once: more wait for each other.
const AT_ONCE: usize = 6;
/// Germany has two offsets a year and lies where most of the made cars drive.
pub const TIME_ZONE: Tz = Tz::Europe__Berlin;

/// A vehicle, who drives it, and the policy that covers it.
#[derive(Debug, Clone, Copy)]
pub struct Insured {
    pub vehicle: VehicleId,
    pub driver: DriverId,
    pub policy: PolicyId,
}

/// Parts on a database of their own.
#[derive(Debug)]
pub struct World {
    pub parts: Parts,
    pub tenant: TenantId,
    pub scratch: Scratch,
    keep: bool,
}

impl World {
    /// Makes a database on the configured server, and names queues after it. `keep`: it stays when the benchmark is over.
    pub async fn make(mut config: Config, keep: bool) -> Result<Self> {
        if config.embedded() {
            bail!(
                "the benchmark needs a PostgreSQL server: give database.url (ODOGRAPH__DATABASE__URL) of a user who may \
                 create databases; it makes one of its own there"
            );
        }
        let name = format!("odograph_bench_{}", unique());
        let scratch = Scratch::create(&config.database.url, &name)
            .await
            .context("no database could be made on the server")?;
        config.database.url = scratch.url();
        config.queue.prefix = name.replace('_', "-");
        if config.keys.master_key.is_empty() {
            config.keys.master_key = hex::encode(random_bytes::<32>()?);
        }
        let migrating = Parts::open_to_migrate(config.clone()).await?;
        migrating.store.migrate().await?;
        migrating.close().await?;
        let parts = Parts::open(config).await?;
        let tenant = NewTenant {
            name: "bench".to_owned(),
            settings: TenantSettings::default(),
        };
        let tenant = parts.store.operator().create_tenant(tenant).await?.id;
        Ok(Self {
            parts,
            tenant,
            scratch,
            keep,
        })
    }

    /// Registers vehicles, a driver and a policy (by kilometre and behaviour) each, covered from the month of a day on.
    pub async fn insure(&self, vehicles: usize, first_day: NaiveDate) -> Result<Vec<Insured>> {
        let store = self.parts.store.tenant(self.tenant);
        let plan = plan::named_or_example(&store, "standard").await?;
        let starts_on = Month::of(first_day).first_day();
        let insured = stream::iter(0..vehicles)
            .map(|number| insure(&store, &plan, number, starts_on))
            .buffered(AT_ONCE)
            .try_collect();
        tokio::select! {
            insured = insured => insured,
            kept = self.kept_analyzed() => kept.map(|never| match never {}),
        }
    }

    /// Keeps the statistics as fresh as autovacuum would, which on a server that is young or has it turned off does not come in
    /// time: until then plans are made for empty tables. Never returns but with an error.
    pub async fn kept_analyzed(&self) -> Result<Infallible> {
        let mut pause = Duration::from_secs(1);
        loop {
            sleep(pause).await;
            self.scratch.refresh_statistics().await?;
            pause = (2 * pause).min(Duration::from_secs(60));
        }
    }

    /// Batches that the queue holds, whatever they travel in. Takes them all: nobody may be working on it.
    pub async fn envelopes_waiting(&self) -> Result<u64> {
        let mut count = 0;
        for partition in 0..self.parts.queue.partitions() {
            let mut consumer = self.parts.queue.consume(partition).await?;
            loop {
                let some = consumer.receive(10_000, Duration::from_millis(500)).await?;
                if some.is_empty() {
                    break;
                }
                count += some.len() as u64;
                let receipts: Vec<_> = some.iter().map(|delivery| delivery.receipt).collect();
                consumer.acknowledge(&receipts).await?;
            }
            consumer.close().await?;
        }
        Ok(count)
    }

    /// Deletes the queues and, unless it is to be kept, the database.
    pub async fn end(self) -> Result<()> {
        if !self.parts.config.queue.url.is_empty() {
            let queue = RabbitQueue::connect(rabbit_options(&self.parts.config)).await?;
            queue.delete().await?;
            queue.close().await;
        }
        self.parts.close().await?;
        if self.keep {
            eprintln!("the database {} stays", self.scratch.name());
            return Ok(());
        }
        Ok(self.scratch.drop_database().await?)
    }
}

/// A name that no other run has.
pub fn unique() -> String {
    use odograph_domain::id::IdSource as _;
    System.uuid().simple().to_string()
}

async fn insure(store: &TenantStore, plan: &RatingPlan, number: usize, starts_on: NaiveDate) -> Result<Insured> {
    let driver = NewDriver {
        external_ref: Some(ExternalRef::parse(format!("driver-{number}"))?),
        identity: None,
    };
    let driver = store.create_driver(driver).await?.id;
    let vehicle = NewVehicle {
        external_ref: Some(ExternalRef::parse(format!("vehicle-{number}"))?),
        ..NewVehicle::default()
    };
    let vehicle = store.create_vehicle(vehicle).await?.id;
    let policy = NewPolicy {
        external_ref: Some(ExternalRef::parse(format!("policy-{number}"))?),
        vehicle: IdOrRef::Id(vehicle),
        main_driver: Some(IdOrRef::Id(driver)),
        product: Product::Phyd,
        plan: IdOrRef::Id(plan.id),
        currency: plan.terms.currency,
        time_zone: TIME_ZONE,
        starts_on,
        ends_on: None,
    };
    let policy = store.create_policy(policy).await?.policy.id;
    Ok(Insured {
        vehicle,
        driver,
        policy,
    })
}
