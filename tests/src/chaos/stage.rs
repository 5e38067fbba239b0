//! The servers and processes of a run: a database, a broker, an API and workers, of which each can be disturbed.

use std::{
    path::Path,
    sync::{Arc, PoisonError, atomic::Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use odograph_domain::{id::TenantId, outcome::Tally};
use tokio::task::JoinSet;

use super::{
    check::{Ledger, Settled},
    crew::Member,
    load::Load,
    senders::{Post, Sent},
};
use crate::{
    platform::Platform,
    private_postgres::{PrivatePostgres, free_port},
    private_rabbit::{self, PrivateRabbit},
    snapshot::Snapshot,
};

pub(super) const WORKERS: usize = 2;
/// For everything that was sent to be worked through.
const DRAINING: Duration = Duration::from_secs(300);

#[derive(Debug)]
pub struct Stage {
    pub postgres: PrivatePostgres,
    pub rabbit: PrivateRabbit,
    pub platform: Platform,
    pub api: Member,
    pub workers: Vec<Member>,
    database_url: String,
    url: String,
}

impl Stage {
    /// The database's data in a folder of its own, if one is given, and with these settings. `None` where there is no
    /// PostgreSQL or RabbitMQ to start.
    pub async fn set(data: Option<&Path>, settings: &[&str]) -> Result<Option<Self>> {
        let Some(postgres) = PrivatePostgres::start_in(data, settings).await else {
            return Ok(None);
        };
        let Some(rabbit) = PrivateRabbit::start(private_rabbit::Options::default()).await else {
            return Ok(None);
        };
        let database_url = postgres.database("odograph").await?;
        let port = free_port()?;
        let configure = |config: &mut odograph::config::Config| {
            // Many small commits, so that a fault falls between and into them, and leases that run out soon.
            config.worker.batch_messages = 5;
            config.worker.lease_s = 2;
            config.api.bind = ([127, 0, 0, 1], port).into();
        };
        let platform = Platform::on(&database_url, &rabbit.amqp_url(), configure).await;
        let (environment, folder) = (platform.environment(), platform.folder());
        let workers = (1..=WORKERS)
            .map(|number| Member::start(&format!("worker-{number}"), &["work"], &environment, folder))
            .collect();
        let api = Member::start("api", &["serve"], &environment, folder);
        Ok(Some(Self {
            url: format!("http://127.0.0.1:{port}"),
            postgres,
            rabbit,
            platform,
            api,
            workers,
            database_url,
        }))
    }

    /// Sends everything as a tenant of its own, as fast as `disturb` lets it, and waits until all is worked through.
    pub async fn send(
        &mut self,
        load: &Load,
        name: &str,
        resends: bool,
        disturb: impl AsyncFnOnce(&mut Self, &Post) -> Result<()>,
    ) -> Result<Ended> {
        let tenant = self.platform.tenant(name).await;
        self.platform.insure(tenant, &load.insured).await;
        let credentials = self.platform.client(tenant, &["telemetry:write"]).await;
        let post = Arc::new(Post::new(&self.url, credentials, resends)?);
        let mut sending = JoinSet::new();
        for (number, messages) in load.senders.iter().enumerate() {
            sending.spawn(Arc::clone(&post).send(messages.clone(), number as u64));
        }
        disturb(&mut *self, &post).await?;
        while let Some(sent) = sending.join_next().await {
            sent.context("a sender")??;
        }
        self.ended(load, tenant, &post).await
    }

    /// Waits until every message that was answered with 202 is settled, derives what still waits for silence, and looks at
    /// what came of it all.
    async fn ended(&self, load: &Load, tenant: TenantId, post: &Arc<Post>) -> Result<Ended> {
        let accepted = post
            .tally
            .accepted
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let began = Instant::now();
        loop {
            let settled = Settled::of(&self.database_url, tenant, &accepted).await?;
            if settled.pending == 0 && self.platform.parts.queue.depth().await.unwrap_or(1) == 0 {
                // What a process holds is not in the queue; the ledger tells.
                let ledger = Ledger::of(&self.database_url, tenant).await?;
                if ledger.check(load).is_ok() {
                    break;
                }
            }
            if began.elapsed() > DRAINING {
                Ledger::of(&self.database_url, tenant).await?.check(load)?;
                bail!(
                    "{} messages that were answered with 202 are not settled after {DRAINING:?}",
                    settled.pending
                );
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        self.platform.derive(tenant).await;
        let outcomes = self.platform.outcomes(tenant).await;
        ensure!(
            outcomes.balances(),
            "received is not accepted + duplicate + rejected: {outcomes:?}"
        );
        let ledger = Ledger::of(&self.database_url, tenant).await?;
        ledger.check(load)?;
        let settled = Settled::of(&self.database_url, tenant, &accepted).await?;
        if settled.unnoted == 0 {
            ensure!(
                settled.tally.accepted == outcomes.accepted,
                "messages: {:?}, samples: {outcomes:?}",
                settled.tally
            );
        }
        Ok(Ended {
            snapshot: self.platform.snapshot(tenant).await,
            outcomes,
            ledger,
            settled,
            post: Arc::clone(post),
        })
    }

    pub fn tell_what_was_said(&self) {
        for member in self.workers.iter().chain([&self.api]) {
            println!("--- {} said at last\n{}", member.name, member.said());
        }
    }

    /// Everything stops when it is asked to.
    pub async fn clear(self) -> Result<()> {
        for member in self.workers.into_iter().chain([self.api]) {
            if member.gave_up() > 0 {
                println!(
                    "{} gave up {} times, and was started again",
                    member.name,
                    member.gave_up()
                );
            }
            member.stop().await?;
        }
        self.platform.end().await;
        Ok(())
    }
}

/// What came of a load.
#[derive(Debug)]
pub struct Ended {
    snapshot: Snapshot,
    pub outcomes: Tally,
    ledger: Ledger,
    settled: Settled,
    pub post: Arc<Post>,
}

impl Ended {
    /// Whether the same came of the same load.
    pub fn same(&self, other: &Self) -> Result<()> {
        self.snapshot.check_holds_something()?;
        ensure!(
            self.outcomes.accepted == other.outcomes.accepted,
            "accepted samples differ: {:?} / {:?}",
            self.outcomes,
            other.outcomes
        );
        if let Some(difference) = self.ledger.difference(&other.ledger) {
            bail!("{difference}");
        }
        match self.snapshot.difference(&other.snapshot) {
            Some(difference) => bail!("{difference}"),
            None => Ok(()),
        }
    }

    pub fn amounts(&self) -> String {
        format!(
            "{} trips, {} scores, {} premiums, {} batches, {} samples, {} refusals",
            self.snapshot.trips(),
            self.snapshot.scores(),
            self.snapshot.premiums(),
            self.ledger.batches(),
            self.outcomes.accepted,
            self.ledger.letters(),
        )
    }

    pub fn told(&self) -> String {
        let Sent {
            posts,
            refused,
            unanswered,
            put_off,
            failed,
            ..
        } = &self.post.tally;
        let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        format!(
            "{} posts (202: {}, refused: {}, put off: {}, unanswered: {}, failed: {}; slowest {:.1?}), samples received {} = \
             accepted {} + duplicate {} + rejected {}; {} messages settled, {} unnoted",
            count(posts),
            self.settled.settled + self.settled.unnoted,
            count(refused),
            count(put_off),
            count(unanswered),
            count(failed),
            self.post.tally.slowest(),
            self.outcomes.received,
            self.outcomes.accepted,
            self.outcomes.duplicate,
            self.outcomes.rejected_total(),
            self.settled.settled,
            self.settled.unnoted,
        )
    }
}
