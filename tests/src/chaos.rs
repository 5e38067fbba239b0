//! The chaos run: whole processes, a broker and a database that are killed at random under load, and started again. In the
//! end nothing may be lost, nothing counted twice, and everything derived must equal the run that nothing disturbed.

mod check;
mod crew;
mod load;
mod senders;

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, atomic::Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use odograph::root::System;
use odograph_domain::{
    id::{IdSource as _, TenantId},
    outcome::Tally,
};
use rand::{RngExt, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use tokio::task::JoinSet;

pub use self::{check::Ledger, crew::Member, load::Load};
use self::{
    check::Settled,
    senders::{Post, Sent},
};
use crate::{
    platform::Platform,
    private_postgres::{PrivatePostgres, free_port},
    private_rabbit::{self, PrivateRabbit},
    snapshot::Snapshot,
};

const WORKERS: usize = 2;
/// For everything that was sent to be worked through.
const DRAINING: Duration = Duration::from_secs(300);

#[derive(Debug, Clone)]
pub struct Options {
    pub kills: usize,
    pub seed: u64,
    /// Over which the kills are spread.
    pub lasts: Duration,
    pub vehicles: usize,
    pub days: u32,
}

/// What can be killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Victim {
    Worker(usize),
    Api,
    Rabbit,
    Postgres,
}

impl std::fmt::Display for Victim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Worker(number) => write!(f, "worker {}", number + 1),
            Self::Api => f.write_str("api"),
            Self::Rabbit => f.write_str("RabbitMQ"),
            Self::Postgres => f.write_str("PostgreSQL"),
        }
    }
}

/// A kill, and what is left before it and before a server is started again.
#[derive(Debug, Clone, Copy)]
struct Kill {
    victim: Victim,
    after: Duration,
    away: Duration,
}

/// Each kind at least once, as far as there are kills enough; the rest as it comes.
fn kills(options: &Options, rng: &mut ChaCha8Rng) -> Vec<Kill> {
    let worker = |rng: &mut ChaCha8Rng| Victim::Worker(rng.random_range(0..WORKERS));
    let mut victims = vec![worker(rng), Victim::Api, Victim::Rabbit, Victim::Postgres];
    victims.shuffle(rng);
    victims.truncate(options.kills);
    while victims.len() < options.kills {
        let victim = match rng.random_range(0..10) {
            0..4 => worker(rng),
            4..6 => Victim::Api,
            6..8 => Victim::Rabbit,
            _ => Victim::Postgres,
        };
        victims.push(victim);
    }
    let mean = options.lasts.as_secs_f64() / options.kills.max(1) as f64;
    let mut kill = |victim| {
        // Now and then one comes while the last is still being got over.
        let close = rng.random_bool(0.2);
        let after = if close { rng.random_range(0.0..0.5) } else { rng.random_range(0.6..1.4) * mean };
        Kill {
            victim,
            after: Duration::from_secs_f64(after),
            away: Duration::from_millis(rng.random_range(100..3_000)),
        }
    };
    victims.into_iter().map(&mut kill).collect()
}

/// The servers and processes of a run.
struct Stage {
    postgres: PrivatePostgres,
    rabbit: PrivateRabbit,
    platform: Platform,
    api: Member,
    workers: Vec<Member>,
    database_url: String,
    url: String,
}

/// Runs, telling on standard output what happens. `None` where there is no PostgreSQL or RabbitMQ to start.
pub async fn run(options: &Options) -> Result<Option<()>> {
    let load = Load::generate(options.seed, options.vehicles, options.days, 6);
    println!(
        "seed {}: {} vehicles send {} messages; {} kills",
        options.seed,
        load.insured.len(),
        load.messages(),
        options.kills
    );
    let Some(mut stage) = Stage::set().await? else { return Ok(None) };
    let done = stage.play(options, &load).await;
    if done.is_err() {
        for member in stage.workers.iter().chain([&stage.api]) {
            println!("--- {} said at last\n{}", member.name, member.said());
        }
    }
    done?;
    stage.clear().await?;
    Ok(Some(()))
}

impl Stage {
    async fn set() -> Result<Option<Self>> {
        let Some(postgres) = PrivatePostgres::start().await else { return Ok(None) };
        let Some(rabbit) = PrivateRabbit::start(private_rabbit::Options::default()).await else { return Ok(None) };
        let database_url = postgres.database("odograph").await?;
        let port = free_port()?;
        let configure = |config: &mut odograph::config::Config| {
            // Many small commits, so that a kill falls between and into them, and leases that run out soon.
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

    async fn play(&mut self, options: &Options, load: &Load) -> Result<()> {
        let began = Instant::now();
        let calm = self.send(load, "undisturbed", None).await?;
        println!("undisturbed: {} in {:.1?}", calm.told(), began.elapsed());
        let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
        let kills = kills(options, &mut rng);
        let began = Instant::now();
        let rough = self.send(load, "disturbed", Some(kills)).await?;
        println!("disturbed:   {} in {:.1?}", rough.told(), began.elapsed());
        calm.snapshot.check_holds_something()?;
        ensure!(calm.outcomes.accepted == rough.outcomes.accepted, "accepted samples differ: {:?} / {:?}", calm.outcomes, rough.outcomes);
        if let Some(difference) = calm.ledger.difference(&rough.ledger) {
            bail!("undisturbed and disturbed: {difference}");
        }
        if let Some(difference) = calm.snapshot.difference(&rough.snapshot) {
            bail!("undisturbed and disturbed: {difference}");
        }
        println!(
            "the same: {} trips, {} scores, {} premiums, {} batches of {} samples, {} refusals",
            calm.snapshot.trips(),
            calm.snapshot.scores(),
            calm.snapshot.premiums(),
            calm.ledger.batches(),
            calm.ledger.raw_samples,
            calm.ledger.letters(),
        );
        Ok(())
    }

    /// Sends everything as a tenant of its own, kills meanwhile, and waits until all is worked through.
    async fn send(&mut self, load: &Load, name: &str, kills: Option<Vec<Kill>>) -> Result<Ended> {
        let tenant = self.platform.tenant(name).await;
        self.platform.insure(tenant, &load.insured).await;
        let credentials = self.platform.client(tenant, &["telemetry:write"]).await;
        let disturbed = kills.is_some();
        let post = Arc::new(Post::new(&self.url, credentials, disturbed)?);
        let mut sending = JoinSet::new();
        for (number, messages) in load.senders.iter().enumerate() {
            sending.spawn(Arc::clone(&post).send(messages.clone(), number as u64));
        }
        self.disturb(kills.unwrap_or_default(), load.messages(), &post).await?;
        while let Some(sent) = sending.join_next().await {
            sent.context("a sender")??;
        }
        self.ended(load, tenant, &post).await
    }

    /// Lets the senders go on piece by piece, with a kill into each.
    async fn disturb(&mut self, kills: Vec<Kill>, messages: usize, post: &Post) -> Result<()> {
        let piece = messages / (kills.len() + 1);
        let began = Instant::now();
        let mut count: BTreeMap<Victim, u32> = BTreeMap::new();
        let all = kills.len();
        for (number, kill) in kills.into_iter().enumerate() {
            // Spread over the wait, so that the kill falls into the sending.
            for _ in 0..10 {
                post.released.add_permits(piece / 10);
                tokio::time::sleep(kill.after / 10).await;
            }
            println!("{:6.1} s  kill {} of {all}: {}", began.elapsed().as_secs_f64(), number + 1, kill.victim);
            *count.entry(kill.victim).or_default() += 1;
            self.kill(kill).await?;
        }
        post.released.add_permits(messages);
        Ok(())
    }

    async fn kill(&mut self, kill: Kill) -> Result<()> {
        match kill.victim {
            Victim::Worker(number) => self.workers[number].kill().await,
            Victim::Api => self.api.kill().await,
            Victim::Rabbit => {
                self.rabbit.kill().await;
                tokio::time::sleep(kill.away).await;
                self.rabbit.restart().await;
            }
            Victim::Postgres => {
                self.postgres.kill().await?;
                tokio::time::sleep(kill.away).await;
                self.postgres.restart().await.context("PostgreSQL after a kill")?;
            }
        }
        Ok(())
    }

    /// Waits until every message that was answered with 202 is settled, derives what still waits for silence, and looks at
    /// what came of it all.
    async fn ended(&self, load: &Load, tenant: TenantId, post: &Arc<Post>) -> Result<Ended> {
        let accepted = post.tally.accepted.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let began = Instant::now();
        let settled = loop {
            let settled = Settled::of(&self.database_url, tenant, &accepted).await?;
            if settled.pending == 0 && self.platform.parts.queue.depth().await.unwrap_or(1) == 0 {
                // What a process holds is not in the queue; the ledger tells.
                let ledger = Ledger::of(&self.database_url, tenant).await?;
                if ledger.check(load).is_ok() {
                    break settled;
                }
            }
            if began.elapsed() > DRAINING {
                Ledger::of(&self.database_url, tenant).await?.check(load)?;
                bail!("{} messages that were answered with 202 are not settled after {DRAINING:?}", settled.pending);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        self.platform.derive(tenant).await;
        let outcomes = self.platform.outcomes(tenant).await;
        ensure!(outcomes.balances(), "received is not accepted + duplicate + rejected: {outcomes:?}");
        let ledger = Ledger::of(&self.database_url, tenant).await?;
        ledger.check(load)?;
        ensure!(
            ledger.raw_samples == outcomes.accepted as i64,
            "the ledger holds {} samples, {} were counted as accepted",
            ledger.raw_samples,
            outcomes.accepted
        );
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

    /// Everything stops when it is asked to.
    async fn clear(self) -> Result<()> {
        for member in self.workers.into_iter().chain([self.api]) {
            if member.gave_up() > 0 {
                println!("{} gave up {} times, and was started again", member.name, member.gave_up());
            }
            member.stop().await?;
        }
        self.platform.end().await;
        Ok(())
    }
}

/// What came of a load.
struct Ended {
    snapshot: Snapshot,
    outcomes: Tally,
    ledger: Ledger,
    settled: Settled,
    post: Arc<Post>,
}

impl Ended {
    fn told(&self) -> String {
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

/// A seed that nobody chose.
pub fn any_seed() -> u64 {
    System.uuid().as_u64_pair().1 & 0xffff_ffff
}
