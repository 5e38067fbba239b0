//! A fleet that drives live, at a fixed rate, for as long as is asked: what must stay flat is looked at every minute.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use chrono::TimeDelta;
use odograph_domain::{envelope::Envelope, sample::Sample, time::EventTime};
use odograph_store::Census;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use super::{
    cpu::Cpu,
    drive::Car,
    ingest::{Format, Message, envelope, message, progresses},
    world::{Insured, World},
};
use crate::{meter::Histogram, worker};

#[derive(Debug, Clone)]
pub struct Plan {
    pub seed: u64,
    pub vehicles: usize,
    pub minutes: u32,
    /// Between two samples of a car.
    pub every_s: u32,
    /// Samples in a batch.
    pub batch: u32,
    pub drives_s: u32,
    pub stands_s: u32,
    pub format: Format,
    pub workers: usize,
}

impl Plan {
    /// Samples a second, once every car has its turn.
    pub fn rate(&self) -> f64 {
        let (drives, stands) = (f64::from(self.drives_s), f64::from(self.stands_s));
        self.vehicles as f64 / f64::from(self.every_s) * drives / (drives + stands)
    }

    fn batch_s(&self) -> u32 {
        self.batch * self.every_s
    }
}

/// What was seen at the end of a minute, of that minute.
#[derive(Debug, Clone)]
pub struct Minute {
    pub number: u32,
    /// Samples.
    pub sent_per_s: f64,
    pub committed_per_s: f64,
    /// Batches sent and not yet committed.
    pub backlog: u64,
    /// From the arrival of a batch to its commit.
    pub p50: Duration,
    pub p99: Duration,
    /// Vehicles whose trips are due to be derived.
    pub windows_due: u64,
    /// Cores kept busy by this process, publishers included, and by PostgreSQL.
    pub cpu_ours: f64,
    pub cpu_database: f64,
    /// Of this process.
    pub resident_bytes: u64,
    pub database_bytes: u64,
}

#[derive(Debug)]
pub struct Outcome {
    pub minutes: Vec<Minute>,
    pub batches: u64,
    pub samples: u64,
    /// After the last batch was sent, until nothing was left to commit and nothing due to be derived.
    pub left_over: Duration,
    pub census: Census,
}

impl Outcome {
    /// The mean of a figure over the quarter of the minutes that begins at this share of them.
    pub fn mean(&self, from: f64, figure: fn(&Minute) -> f64) -> f64 {
        let count = self.minutes.len().div_ceil(4).max(1);
        let first = ((self.minutes.len() as f64 * from) as usize).min(self.minutes.len().saturating_sub(count));
        let quarter = self.minutes.iter().skip(first).take(count);
        quarter.map(figure).sum::<f64>() / count as f64
    }

    /// Whether everything that was sent has arrived where it belongs.
    pub fn check(&self) -> Result<()> {
        let (samples, batches) = (self.samples as i64, self.batches as i64);
        let census = self.census;
        ensure!(
            (census.batches, census.ledger_samples, census.raw_samples) == (batches, samples, samples),
            "sent {batches} batches of {samples} samples, found {census:?}"
        );
        Ok(())
    }
}

/// One car of the fleet, somewhere in its round of driving and standing.
struct Live {
    car: Car,
    insured: Insured,
    number: usize,
    /// Seconds into its round.
    at_s: u32,
    batches: u64,
}

/// Batches published with one round of confirms.
const TOGETHER: usize = 200;

/// Drives the fleet for so many minutes; `each` is told of every minute that is over.
pub async fn run(world: &World, plan: &Plan, mut each: impl FnMut(&Minute)) -> Result<Outcome> {
    let day = world.parts.clock.now().date_naive();
    eprintln!("registering {} vehicles …", plan.vehicles);
    let mut fleet = on_the_road(plan, world.insure(plan.vehicles, day).await?);
    world.scratch.analyze().await?;
    let stop = CancellationToken::new();
    let working: Vec<_> = (0..plan.workers)
        .map(|_| tokio::spawn(worker::run(world.parts.clone(), stop.clone())))
        .collect();
    // Until the partitions are held nothing would be measured but the wait for them.
    sleep(Duration::from_secs(1)).await;
    let sent = Arc::new(Sent::default());
    let measured = async {
        let minutes = minutes(world, plan, &mut fleet, &sent, &mut each).await?;
        let since = Instant::now();
        settled(world, &sent).await?;
        Ok((minutes, since.elapsed()))
    };
    let ran = tokio::select! {
        ran = measured => ran,
        kept = world.kept_analyzed() => kept.map(|never| match never {}),
    };
    stop.cancel();
    for worker in working {
        worker.await.context("a worker panicked")??;
    }
    let (minutes, left_over) = ran?;
    Ok(Outcome {
        minutes,
        batches: sent.batches.load(Ordering::Relaxed),
        samples: sent.samples.load(Ordering::Relaxed),
        left_over,
        census: world.parts.store.worker().census(world.tenant).await?,
    })
}

#[derive(Debug, Default)]
struct Sent {
    batches: AtomicU64,
    samples: AtomicU64,
}

/// Sends, and watches, until the minutes are over. What is being published then is published to its end: what was sent must be
/// known to the batch.
async fn minutes(
    world: &World,
    plan: &Plan,
    fleet: &mut [Live],
    sent: &Arc<Sent>,
    each: &mut impl FnMut(&Minute),
) -> Result<Vec<Minute>> {
    let over = CancellationToken::new();
    let watching = Watching::begin(world, sent.clone());
    let driving = async {
        // Whichever ends first, the other is told to.
        let _told = over.clone().drop_guard();
        drive(world, plan, fleet, sent, &over).await
    };
    let watched = async {
        let _told = over.clone().drop_guard();
        watching.minutes(plan.minutes, &over, each).await
    };
    let (driven, minutes) = tokio::join!(driving, watched);
    driven.and(minutes)
}

/// The cars, evenly spread over the round.
fn on_the_road(plan: &Plan, fleet: Vec<Insured>) -> Vec<Live> {
    let round_s = u64::from(plan.drives_s + plan.stands_s);
    let of = |(number, insured)| Live {
        car: Car::new(plan.seed, number as u64),
        insured,
        number,
        at_s: (number as u64 * round_s / plan.vehicles.max(1) as u64) as u32,
        batches: 0,
    };
    fleet.into_iter().enumerate().map(of).collect()
}

/// Sends each car's batch when its last sample has been taken, until it is `over`.
async fn drive(world: &World, plan: &Plan, fleet: &mut [Live], sent: &Sent, over: &CancellationToken) -> Result<()> {
    let batch_s = plan.batch_s();
    let mut tick = interval(Duration::from_secs(1));
    // A sender that was held up makes up for it: the rate is what is asked for.
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let began = world.parts.clock.now();
    for second in 1_u32.. {
        tokio::select! {
            biased;
            () = over.cancelled() => break,
            _ = tick.tick() => {}
        }
        let now = EventTime::new(began + TimeDelta::seconds(i64::from(second)));
        // Each second another part of the fleet, so that the load is even.
        let due = fleet
            .iter_mut()
            .filter(|live| live.number as u32 % batch_s == second % batch_s);
        let mut messages = Vec::new();
        for live in due {
            messages.extend(live.next(plan, now)?);
        }
        for some in messages.chunks(TOGETHER) {
            let envelopes: Vec<Envelope> = some
                .iter()
                .map(|message| envelope(&world.parts, world.tenant, message))
                .collect();
            world.parts.publisher.publish(&envelopes).await?;
            sent.batches.fetch_add(some.len() as u64, Ordering::Relaxed);
            let samples = some.iter().map(|message| message.samples).sum();
            sent.samples.fetch_add(samples, Ordering::Relaxed);
        }
    }
    Ok(())
}

impl Live {
    /// The batch that ends now, if the car drives; its round goes on by as long.
    fn next(&mut self, plan: &Plan, now: EventTime) -> Result<Option<Message>> {
        let batch_s = plan.batch_s();
        let (from_s, round_s) = (self.at_s, plan.drives_s + plan.stands_s);
        self.at_s = (from_s + batch_s) % round_s;
        if from_s >= plan.drives_s {
            return Ok(None);
        }
        let ends = from_s + batch_s >= plan.drives_s;
        let start = now + TimeDelta::seconds(-i64::from(batch_s - plan.every_s));
        let samples: Vec<Sample> = self.car.some(start, plan.batch, plan.every_s, ends);
        self.batches += 1;
        let id = format!("vehicle-{}-{}", self.number, self.batches);
        message(&self.insured, self.number, id, &samples, plan.format).map(Some)
    }
}

/// Until nothing is left to commit, and no window is due; those of cars still on the road wait for their time.
async fn settled(world: &World, sent: &Sent) -> Result<()> {
    let parts = &world.parts;
    progresses(|| async {
        let committed = parts.meter.commit_us.count();
        Ok(sent.batches.load(Ordering::Relaxed).saturating_sub(committed))
    })
    .await?;
    progresses(|| async {
        let figures = parts.store.figures(parts.queue.partitions()).await?;
        // More become due meanwhile: progress is that there are fewer altogether.
        Ok(match figures.windows_due {
            0 => 0,
            due => due + figures.windows_waiting,
        })
    })
    .await
}

/// What is looked at, and how it was a minute ago.
struct Watching<'a> {
    world: &'a World,
    sent: Arc<Sent>,
    cpu: Cpu,
    since: Instant,
    sent_before: u64,
    commits: Histogram,
}

impl<'a> Watching<'a> {
    fn begin(world: &'a World, sent: Arc<Sent>) -> Self {
        Self {
            world,
            sent,
            cpu: Cpu::now(),
            since: Instant::now(),
            sent_before: 0,
            commits: Histogram::default(),
        }
    }

    async fn minutes(
        mut self,
        count: u32,
        over: &CancellationToken,
        each: &mut impl FnMut(&Minute),
    ) -> Result<Vec<Minute>> {
        let mut tick = interval(Duration::from_secs(60));
        tick.tick().await;
        let mut minutes = Vec::new();
        for number in 1..=count {
            tokio::select! {
                () = over.cancelled() => break,
                _ = tick.tick() => {}
            }
            let minute = self.minute(number).await?;
            each(&minute);
            minutes.push(minute);
        }
        Ok(minutes)
    }

    async fn minute(&mut self, number: u32) -> Result<Minute> {
        let parts = &self.world.parts;
        let figures = parts.store.figures(parts.queue.partitions()).await?;
        let took_s = self.since.elapsed().as_secs_f64();
        let cpu = self.cpu.since();
        let busy = |who: &str| {
            let spent = cpu.iter().find(|(name, _)| *name == who);
            spent.map_or(0.0, |(_, spent)| spent.as_secs_f64() / took_s)
        };
        let (batches, samples) = (
            self.sent.batches.load(Ordering::Relaxed),
            self.sent.samples.load(Ordering::Relaxed),
        );
        let commits = parts.meter.commit_us.copied();
        let of_minute = commits.less(&self.commits);
        let a_batch = samples as f64 / batches.max(1) as f64;
        let micros = |share| Duration::from_micros(of_minute.quantile(share));
        let minute = Minute {
            number,
            sent_per_s: (samples - self.sent_before) as f64 / took_s,
            committed_per_s: of_minute.count() as f64 * a_batch / took_s,
            backlog: batches.saturating_sub(commits.count()),
            p50: micros(0.5),
            p99: micros(0.99),
            windows_due: figures.windows_due,
            cpu_ours: busy("odograph"),
            cpu_database: busy("PostgreSQL"),
            resident_bytes: resident_bytes(),
            database_bytes: figures.database_bytes,
        };
        (self.cpu, self.since, self.sent_before, self.commits) = (Cpu::now(), Instant::now(), samples, commits);
        Ok(minute)
    }
}

/// Memory of this process that is in RAM: proc(5), `VmRSS` of `/proc/self/status`; 0 where there is none.
fn resident_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_this_process_is_known() {
        assert!(resident_bytes() > 1 << 20);
    }

    #[test]
    fn the_rate_is_that_of_the_cars_on_the_road() {
        let plan = Plan {
            seed: 1,
            vehicles: 900,
            minutes: 1,
            every_s: 2,
            batch: 10,
            drives_s: 1200,
            stands_s: 600,
            format: Format::Json,
            workers: 1,
        };
        assert_eq!(plan.rate(), 300.0);
    }
}
