//! The chaos run: whole processes, a broker and a database that are killed at random under load, and started again. In the
//! end nothing may be lost, nothing counted twice, and everything derived must equal the run that nothing disturbed.

mod check;
mod crew;
mod load;
mod senders;
mod stage;

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use odograph::root::System;
use odograph_domain::id::IdSource as _;
use rand::{RngExt, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

use self::stage::WORKERS;
pub use self::{
    check::Ledger,
    crew::Member,
    load::Load,
    senders::{Post, Sent},
    stage::{Ended, Stage},
};

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
        let after = if close {
            rng.random_range(0.0..0.5)
        } else {
            rng.random_range(0.6..1.4) * mean
        };
        Kill {
            victim,
            after: Duration::from_secs_f64(after),
            away: Duration::from_millis(rng.random_range(100..3_000)),
        }
    };
    victims.into_iter().map(&mut kill).collect()
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
    let Some(mut stage) = Stage::set(None, &[]).await? else {
        return Ok(None);
    };
    let done = play(&mut stage, options, &load).await;
    if done.is_err() {
        stage.tell_what_was_said();
    }
    done?;
    stage.clear().await?;
    Ok(Some(()))
}

async fn play(stage: &mut Stage, options: &Options, load: &Load) -> Result<()> {
    let began = Instant::now();
    let calm = stage
        .send(load, "undisturbed", false, async |_, post| {
            post.released.add_permits(load.messages());
            Ok(())
        })
        .await?;
    println!("undisturbed: {} in {:.1?}", calm.told(), began.elapsed());
    let kills = kills(options, &mut ChaCha8Rng::seed_from_u64(options.seed));
    let began = Instant::now();
    let rough = stage
        .send(load, "disturbed", true, async |stage, post| {
            disturb(stage, kills, load.messages(), post).await
        })
        .await?;
    println!("disturbed:   {} in {:.1?}", rough.told(), began.elapsed());
    calm.same(&rough)?;
    println!("the same: {}", calm.amounts());
    Ok(())
}

/// Lets the senders go on piece by piece, with a kill into each.
async fn disturb(stage: &mut Stage, kills: Vec<Kill>, messages: usize, post: &Post) -> Result<()> {
    /// Parts in which a piece is let go, so that the kill falls into the sending.
    const PARTS: u32 = 10;
    let piece = messages / (kills.len() + 1);
    let began = Instant::now();
    let all = kills.len();
    for (number, kill) in kills.into_iter().enumerate() {
        for _ in 0..PARTS {
            post.released.add_permits(piece / PARTS as usize);
            tokio::time::sleep(kill.after / PARTS).await;
        }
        let seconds = began.elapsed().as_secs_f64();
        println!("{seconds:6.1} s  kill {} of {all}: {}", number + 1, kill.victim);
        done(stage, kill).await?;
    }
    post.released.add_permits(messages);
    Ok(())
}

async fn done(stage: &mut Stage, kill: Kill) -> Result<()> {
    match kill.victim {
        Victim::Worker(number) => stage.workers[number].kill().await,
        Victim::Api => stage.api.kill().await,
        Victim::Rabbit => {
            stage.rabbit.kill().await;
            tokio::time::sleep(kill.away).await;
            stage.rabbit.restart().await;
        }
        Victim::Postgres => {
            stage.postgres.kill().await?;
            tokio::time::sleep(kill.away).await;
            stage.postgres.restart().await.context("PostgreSQL after a kill")?;
        }
    }
    Ok(())
}

/// A seed that nobody chose.
pub fn any_seed() -> u64 {
    System.uuid().as_u64_pair().1 & 0xffff_ffff
}
