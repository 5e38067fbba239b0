//! Running a generated fleet: into files, over HTTP or into the queue, with the truth beside it; stopped and taken up
//! again at will. `docs/simulator.md` is the manual.

pub mod check;
mod folder;
mod http;
mod outlet;
mod plan;
mod render;
mod spill;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use chrono::DateTime;
use indicatif::ProgressBar;
use rayon::{
    ThreadPool,
    iter::{IntoParallelIterator as _, ParallelIterator as _},
};
use tokio_util::sync::CancellationToken;

pub(crate) use self::{folder::LAST, render::Insured};
pub use self::{
    folder::{Folder, State, read},
    http::Credentials,
    outlet::ThroughQueue,
    plan::{Format, Order, Plan, Target},
};
use self::{
    outlet::Outlet,
    render::{Rendered, Sendable, member, ndjson_line, render},
    spill::{Merged, Spill},
};
use crate::{
    fleet::Fleet,
    import::{Summary, progress},
};

/// Vehicles generated at once, by thread: what a run holds in memory.
const AHEAD: usize = 4;
/// How much a power cut can lose of a run by vehicle: what is made anew when it is taken up.
const SAVED_EVERY: Duration = Duration::from_secs(1);
/// Batches between two saves of a run in order of time. Also where its gzip members end, and so part of its bytes.
const TOGETHER: usize = 1000;

/// What a run has to do with.
#[derive(Debug)]
pub struct Means<'a> {
    pub credentials: Option<Credentials>,
    pub queue: Option<ThroughQueue<'a>>,
    /// All cores where not said.
    pub threads: Option<usize>,
}

/// How sending ended.
#[derive(Debug, Default)]
pub struct Sent {
    /// Over HTTP: batches the platform has, and those it refused by reason.
    pub accepted: u64,
    pub refused: BTreeMap<String, u64>,
    /// Through the queue.
    pub summary: Option<Summary>,
}

/// Carries a run on until it is done or interrupted; either way its folder says how far it has come.
pub async fn run(folder: &mut Folder, plan: &Plan, means: Means<'_>, interrupted: &CancellationToken) -> Result<Sent> {
    let mut run = Run {
        plan,
        pool: Arc::new(pool(means.threads)?),
        fleet: Arc::new(Fleet::new(plan.fleet.clone())),
        outlet: Outlet::open(plan, means.credentials, means.queue)?,
        interrupted,
    };
    match plan.order {
        Order::Vehicle => run.by_vehicle(folder).await?,
        Order::Time => {
            run.prepare(folder).await?;
            run.by_time(folder).await?;
        }
    }
    folder.save()?;
    Ok(match run.outlet {
        Outlet::Nowhere => Sent::default(),
        Outlet::Http { http, .. } => {
            let (accepted, refused) = http.counts().await;
            Sent {
                accepted,
                refused,
                summary: None,
            }
        }
        Outlet::Queue(queue) => Sent {
            summary: Some(queue.summary),
            ..Sent::default()
        },
    })
}

fn pool(threads: Option<usize>) -> Result<ThreadPool> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads.unwrap_or(0))
        .build()
        .context("no threads to generate on")
}

struct Run<'a> {
    plan: &'a Plan,
    pool: Arc<ThreadPool>,
    fleet: Arc<Fleet>,
    outlet: Outlet<'a>,
    interrupted: &'a CancellationToken,
}

impl Run<'_> {
    /// The next vehicles, on all threads, in order.
    async fn generate(&self, from: usize) -> Result<Vec<Rendered>> {
        let to = (from + AHEAD * self.pool.current_num_threads()).min(self.plan.fleet.vehicles);
        let (fleet, plan, pool) = (self.fleet.clone(), self.plan.clone(), self.pool.clone());
        let made = tokio::task::spawn_blocking(move || {
            pool.install(|| {
                (from..to)
                    .into_par_iter()
                    .map(|index| render(&fleet, &plan, index))
                    .collect()
            })
        });
        let made: std::io::Result<Vec<Rendered>> = made.await.context("generating panicked")?;
        Ok(made?)
    }

    async fn by_vehicle(&mut self, folder: &mut Folder) -> Result<()> {
        let bar = self.bar("driving", folder)?;
        let mut saved = Instant::now();
        while folder.state.vehicles < self.plan.fleet.vehicles && !self.interrupted.is_cancelled() {
            let made = self.generate(folder.state.vehicles).await?;
            self.outlet
                .register(made.iter().map(|vehicle| &vehicle.insured), self.interrupted)
                .await?;
            let mut batches = Vec::new();
            for mut vehicle in made {
                batches.push((vehicle.insured.vehicle.clone(), std::mem::take(&mut vehicle.sendable)));
                folder.add(self.plan, &vehicle)?;
            }
            // Sent before it is vouched for: what is sent twice counts once, what is not sent is lost.
            self.outlet.send(batches, self.interrupted).await?;
            if saved.elapsed() >= SAVED_EVERY {
                folder.save()?;
                saved = Instant::now();
            }
            bar.set_position(folder.state.vehicles as u64);
        }
        folder.state.done = folder.state.vehicles == self.plan.fleet.vehicles;
        bar.finish_and_clear();
        Ok(())
    }

    fn bar(&self, what: &'static str, folder: &Folder) -> Result<ProgressBar> {
        let bar = progress(what, self.plan.fleet.vehicles as u64, "{pos}/{len} vehicles")?;
        bar.set_position(folder.state.vehicles as u64);
        Ok(bar)
    }

    /// Generates the whole fleet into sorted runs.
    async fn prepare(&mut self, folder: &mut Folder) -> Result<()> {
        let mut spill = Spill::open(&folder.path().join("spill"), folder.state.spilled)?;
        let bar = self.bar("driving", folder)?;
        while folder.state.vehicles < self.plan.fleet.vehicles && !self.interrupted.is_cancelled() {
            let made = self.generate(folder.state.vehicles).await?;
            self.outlet
                .register(made.iter().map(|vehicle| &vehicle.insured), self.interrupted)
                .await?;
            for mut vehicle in made {
                spill.add(std::mem::take(&mut vehicle.sendable));
                folder.add(self.plan, &vehicle)?;
            }
            bar.set_position(folder.state.vehicles as u64);
            let whole = folder.state.vehicles == self.plan.fleet.vehicles;
            // Only what is in a run is vouched for.
            if (spill.is_full() || whole || self.interrupted.is_cancelled()) && spill.flush(folder.state.spilled)? {
                folder.state.spilled += 1;
                folder.save()?;
            }
        }
        bar.finish_and_clear();
        Ok(())
    }

    /// Merges the runs, at the pace asked for.
    async fn by_time(&mut self, folder: &mut Folder) -> Result<()> {
        if folder.state.done || folder.state.vehicles < self.plan.fleet.vehicles {
            return Ok(());
        }
        let mut merged = Merged::open(&folder.path().join("spill"), folder.state.spilled)?;
        let mut last: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
        for _ in 0..folder.state.batches {
            if let Some(batch) = merged.next()? {
                last.insert(batch.vehicle, batch.last);
            }
        }
        let bar = progress("sending", 0, "{pos} batches {msg}")?;
        bar.set_position(folder.state.batches);
        let mut pace: Option<Pace> = None;
        let mut ended = false;
        while !ended && !self.interrupted.is_cancelled() {
            let mut together = Vec::with_capacity(TOGETHER);
            while together.len() < TOGETHER {
                match merged.next()? {
                    Some(batch) => together.push(batch),
                    None => break,
                }
            }
            ended = together.len() < TOGETHER;
            if let (Some(speed), Some(first)) = (self.plan.speed, together.first()) {
                pace.get_or_insert_with(|| Pace::new(first.sent_ms, speed));
            }
            let sent = self.emit(together, pace.as_ref(), &mut last, folder).await?;
            bar.inc(sent);
            // A member that is broken off is not vouched for, and written anew.
            if self.interrupted.is_cancelled() && !ended {
                break;
            }
        }
        folder.state.done = ended && !self.interrupted.is_cancelled();
        folder.write_last(last.values().map(Vec::as_slice))?;
        if folder.state.done {
            std::fs::remove_dir_all(folder.path().join("spill")).context("cannot remove the sorted runs")?;
        }
        bar.finish_and_clear();
        Ok(())
    }

    /// Sends what belongs together as its time comes, then writes it down.
    async fn emit(
        &mut self,
        together: Vec<Sendable>,
        pace: Option<&Pace>,
        last: &mut BTreeMap<u32, Vec<u8>>,
        folder: &mut Folder,
    ) -> Result<u64> {
        let (count, mut lines) = (together.len() as u64, Vec::new());
        let mut due: BTreeMap<u32, (String, Vec<Sendable>)> = BTreeMap::new();
        for batch in together {
            if let Some(pace) = pace
                && pace.ahead(batch.sent_ms) > Duration::ZERO
            {
                self.outlet
                    .send(std::mem::take(&mut due).into_values().collect(), self.interrupted)
                    .await?;
                tokio::select! {
                    () = tokio::time::sleep(pace.ahead(batch.sent_ms)) => {}
                    () = self.interrupted.cancelled() => return Ok(0),
                }
            }
            if self.plan.format.ndjson() {
                let sent_at = DateTime::from_timestamp_millis(batch.sent_ms).context("a time beyond the calendar")?;
                ndjson_line(&mut lines, sent_at, &batch.body);
            }
            last.insert(batch.vehicle, batch.last.clone());
            let name = self.plan.fleet.vehicle_ref(batch.vehicle as usize + 1);
            due.entry(batch.vehicle)
                .or_insert_with(|| (name, Vec::new()))
                .1
                .push(batch);
        }
        self.outlet.send(due.into_values().collect(), self.interrupted).await?;
        folder.append(folder::ndjson_name(self.plan.gzip), &member(lines, self.plan.gzip)?)?;
        folder.state.batches += count;
        folder.save()?;
        Ok(count)
    }
}

/// Simulated time against the clock on the wall.
struct Pace {
    began: Instant,
    first_ms: i64,
    speed: f64,
}

impl Pace {
    fn new(first_ms: i64, speed: f64) -> Self {
        Self {
            began: Instant::now(),
            first_ms,
            speed,
        }
    }

    /// How long until this is due.
    fn ahead(&self, sent_ms: i64) -> Duration {
        let due = Duration::from_secs_f64((sent_ms - self.first_ms).max(0) as f64 / 1000.0 / self.speed);
        due.saturating_sub(self.began.elapsed())
    }
}
