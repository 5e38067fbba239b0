use std::{path::PathBuf, sync::atomic::Ordering, time::Duration};

use anyhow::Result;
use clap::{Args, Subcommand};
use odograph_domain::envelope::Lane;

use super::table;
use crate::{
    bench::{
        door, encodings,
        ingest::{self, Format},
        lanes, reads, scoring,
        world::World,
    },
    config::Config,
};

/// What is measured, with what it is compared and what limits it is in docs/benchmarks.md.
#[derive(Debug, Subcommand)]
pub(super) enum Bench {
    /// Batches through the queue to committed trips, scores and premiums, in a database made for it.
    Ingest(Ingest),
    /// How long live and urgent batches wait for their commit beside a backfill, and without one.
    Lanes(Lanes),
    /// Batches over HTTP until the queue holds them, by a database and queues made for it.
    Http(Http),
    /// Trips, scores and premiums read through the API at a fixed rate, from a database made for it.
    Reads(Reads),
    /// Trip features of samples in memory, on all cores. Beside polars: scripts/bench-scoring.
    Scoring(Scoring),
    /// Ways to write samples down: bytes and time a sample, on the same car-days. Beside Arrow IPC: scripts/bench-encodings.
    Encodings(Encodings),
}

#[derive(Debug, Args)]
pub(super) struct Encodings {
    /// Car-days of 2,400 samples.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    cars: u32,
    /// Runs of each; the fastest counts.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write the samples there as Parquet, a file a block, for others to write down.
    #[arg(long, value_name = "FOLDER")]
    write: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct Scoring {
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    vehicles: u32,
    /// Trips each vehicle drives.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=100))]
    trips: u32,
    /// Seconds of a trip, one sample each.
    #[arg(long, default_value_t = 1200, value_parser = clap::value_parser!(u32).range(60..=86_400))]
    seconds: u32,
    /// Runs of each step; the fastest counts.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write the columns there, a file each, for others to compute the same from.
    #[arg(long, value_name = "FOLDER")]
    write: Option<PathBuf>,
    /// Print the figures as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Reads {
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    vehicles: u32,
    /// Days of trips, scores and premiums that are stored.
    #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=3660))]
    days: u32,
    /// Requests a second.
    #[arg(long, default_value_t = 500.0)]
    rate: f64,
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Leave the database behind.
    #[arg(long)]
    keep: bool,
}

#[derive(Debug, Args)]
pub(super) struct Ingest {
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    vehicles: u32,
    /// Trips each vehicle drives.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=100))]
    trips: u32,
    /// Seconds of a trip, one sample each.
    #[arg(long, default_value_t = 1800, value_parser = clap::value_parser!(u32).range(60..=86_400))]
    seconds: u32,
    /// Samples in a batch.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    batch: u32,
    /// What batches are written as.
    #[arg(long, value_enum, default_value = "json")]
    format: Format,
    /// Samples offered a second; as fast as it goes without it.
    #[arg(long)]
    rate: Option<f64>,
    /// Batches on the way at most.
    #[arg(long, default_value_t = 4000)]
    in_flight: u64,
    /// Workers in this process; their partitions are worked on side by side.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    workers: u32,
    /// Publishers side by side; a vehicle's batches always go by the same.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
    publishers: u32,
    /// Fill the queue first, then start the workers: measures these alone.
    #[arg(long, conflicts_with = "rate")]
    queue_full: bool,
    /// Partitions, instead of queue.partitions.
    #[arg(long)]
    partitions: Option<u16>,
    /// Broker, instead of queue.url.
    #[arg(long, value_name = "URL")]
    queue_url: Option<String>,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Show where the workers' time went.
    #[arg(long)]
    profile: bool,
    /// Leave the database behind.
    #[arg(long)]
    keep: bool,
}

#[derive(Debug, Args)]
pub(super) struct Lanes {
    /// Vehicles that send live.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    vehicles: u32,
    /// Live batches of ten samples a second; one in ten goes by the urgent lane.
    #[arg(long, default_value_t = 100.0)]
    rate: f64,
    /// Seconds of sending, without and with a backfill.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=3600))]
    seconds: u32,
    /// Vehicles in the backfill, 1,800 samples each.
    #[arg(long, default_value_t = 1200, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    bulk_vehicles: u32,
    /// Samples in a batch of the backfill.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    bulk_batch: u32,
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    workers: u32,
    /// Broker, instead of queue.url.
    #[arg(long, value_name = "URL")]
    queue_url: Option<String>,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Leave the database behind.
    #[arg(long)]
    keep: bool,
}

#[derive(Debug, Args)]
pub(super) struct Http {
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    vehicles: u32,
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    requests: u32,
    /// Samples in a request.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    batch: u32,
    /// What they are written as.
    #[arg(long, value_enum, default_value = "json")]
    format: Format,
    /// Connections side by side, each with one request at a time.
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    connections: u32,
    /// Broker, instead of queue.url.
    #[arg(long, value_name = "URL")]
    queue_url: Option<String>,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Leave the database behind.
    #[arg(long)]
    keep: bool,
}

impl Lanes {
    async fn run(self, mut config: Config) -> Result<()> {
        if let Some(url) = &self.queue_url {
            config.queue.url.clone_from(url);
        }
        anyhow::ensure!(self.rate > 0.0, "--rate: wanted more than 0, got {}", self.rate);
        let plan = lanes::Plan {
            seed: self.seed,
            live_vehicles: self.vehicles as usize,
            rate: self.rate,
            lasts: Duration::from_secs(u64::from(self.seconds)),
            bulk_vehicles: self.bulk_vehicles as usize,
            bulk_batch: self.bulk_batch as usize,
            workers: self.workers as usize,
        };
        let world = World::make(config, self.keep).await?;
        let ran = lanes::run(&world, &plan).await;
        world.end().await?;
        let outcome = ran?;
        show_lanes(&outcome);
        outcome.check()
    }
}

fn show_lanes(outcome: &lanes::Outcome) {
    println!(
        "{} live batches alone, then as many beside a backfill of {} samples in {} batches; {} of those were left when the \
         last live one was committed, all done after {:.1} s\n",
        outcome.live_batches,
        outcome.bulk_samples,
        outcome.bulk_batches,
        outcome.bulk_left,
        outcome.bulk_took.as_secs_f64()
    );
    let ms = |us: u64| format!("{:.1}", us as f64 / 1000.0);
    let of = |name: &str, meter: &crate::meter::Meter, lane: Lane| {
        let latency = meter.lane(lane);
        let quantiles = [0.5, 0.99, 1.0].map(|share| ms(latency.quantile(share)));
        [name.to_owned(), lane.as_str().to_owned(), latency.count().to_string()]
            .into_iter()
            .chain(quantiles)
            .collect::<Vec<_>>()
    };
    let rows = [
        of("alone", &outcome.alone, Lane::Urgent),
        of("alone", &outcome.alone, Lane::Live),
        of("beside a backfill", &outcome.beside, Lane::Urgent),
        of("beside a backfill", &outcome.beside, Lane::Live),
    ];
    let header = ["", "lane", "batches", "p50 ms", "p99 ms", "max ms"];
    let mut table = table::render(&header, rows);
    table::figures(&mut table, &[2, 3, 4, 5]);
    println!("{table}");
}

impl Bench {
    pub(super) async fn run(self, config: Config) -> Result<()> {
        match self {
            Self::Ingest(ingest) => ingest.run(config).await,
            Self::Lanes(lanes) => lanes.run(config).await,
            Self::Http(http) => http.run(config).await,
            Self::Reads(reads) => reads.run(config).await,
            Self::Scoring(scoring) => scoring.run(),
            Self::Encodings(encodings) => encodings.run(),
        }
    }
}

impl Encodings {
    fn run(self) -> Result<()> {
        let blocks = encodings::blocks(self.seed, self.cars)?;
        if let Some(folder) = &self.write {
            encodings::write(&blocks, folder)?;
        }
        let samples: usize = blocks.iter().map(Vec::len).sum();
        let of_sample = |duration: Duration| format!("{:.0}", duration.as_secs_f64() * 1e9 / samples as f64);
        let rows = encodings::run(&blocks, self.rounds)?.into_iter().map(|figures| {
            vec![
                figures.name.clone(),
                format!("{:.2}", figures.bytes as f64 / samples as f64),
                format!("{:.1}", figures.bytes as f64 / f64::from(self.cars) / 1000.0),
                of_sample(figures.write),
                of_sample(figures.read),
            ]
        });
        let header = ["encoding", "bytes/sample", "kB/car-day", "ns to write", "ns to read"];
        let mut table = table::render(&header, rows);
        table::figures(&mut table, &[1, 2, 3, 4]);
        println!("{samples} samples in {} blocks\n{table}", blocks.len());
        Ok(())
    }
}

impl Ingest {
    async fn run(self, mut config: Config) -> Result<()> {
        if let Some(url) = &self.queue_url {
            config.queue.url.clone_from(url);
        }
        if let Some(partitions) = self.partitions {
            config.queue.partitions = partitions;
        }
        anyhow::ensure!(
            !config.queue.url.is_empty(),
            "the benchmark goes through RabbitMQ: give --queue-url or queue.url"
        );
        let plan = ingest::Plan {
            seed: self.seed,
            vehicles: self.vehicles as usize,
            trips: self.trips,
            trip_s: self.seconds,
            batch: self.batch as usize,
            rate: self.rate,
            in_flight: self.in_flight,
            workers: self.workers as usize,
            publishers: self.publishers as usize,
            queue_full: self.queue_full,
            format: self.format,
        };
        let world = World::make(config, self.keep).await?;
        let ran = ingest::run(&world, &plan).await;
        world.end().await?;
        let outcome = ran?;
        self.show(&outcome);
        outcome.check(&plan)
    }

    fn show(&self, outcome: &ingest::Outcome) {
        let (samples, batches) = (outcome.samples as f64, outcome.batches as f64);
        let rate = |took: std::time::Duration| samples / took.as_secs_f64();
        let meter = &outcome.meter;
        let ms = |us: u64| us as f64 / 1000.0;
        println!("{} samples in {} batches\n", outcome.samples, outcome.batches);
        println!(
            "trips derived     {:9.0} samples/s  {:7.0} batches/s  {:6.2} s",
            rate(outcome.derived),
            batches / outcome.derived.as_secs_f64(),
            outcome.derived.as_secs_f64()
        );
        println!(
            "ingested          {:9.0} samples/s  {:7.0} batches/s  {:6.2} s",
            rate(outcome.ingested),
            batches / outcome.ingested.as_secs_f64(),
            outcome.ingested.as_secs_f64()
        );
        println!(
            "reference         {:9.0} samples/s  {:7.0} batches/s  {:6.2} s   publish, consume, insert as it is",
            rate(outcome.reference.took),
            batches / outcome.reference.took.as_secs_f64(),
            outcome.reference.took.as_secs_f64()
        );
        println!(
            "ratio             {:9.2} of the reference's rate",
            outcome.reference.took.as_secs_f64() / outcome.derived.as_secs_f64()
        );
        for (who, spent) in &outcome.cpu {
            let us = spent.as_secs_f64() * 1e6;
            println!("processor time    {:9.2} µs a sample    {who}", us / samples);
        }
        println!(
            "commit latency    p50 {:.0} ms, p99 {:.0} ms, max {:.0} ms",
            ms(meter.commit_us.quantile(0.5)),
            ms(meter.commit_us.quantile(0.99)),
            ms(meter.commit_us.max())
        );
        println!(
            "micro-batches     {} of p50 {}, p99 {}, max {} messages",
            meter.batch_sizes.count(),
            meter.batch_sizes.quantile(0.5),
            meter.batch_sizes.quantile(0.99),
            meter.batch_sizes.max()
        );
        if self.profile {
            let header = ["step", "times", "s in all", "ms each"];
            let rows = ingest::profile(meter).into_iter().map(Vec::from);
            let mut table = table::render(&header, rows);
            table::figures(&mut table, &[1, 2, 3]);
            println!("\n{table}");
        }
    }
}

impl Http {
    async fn run(self, mut config: Config) -> Result<()> {
        if let Some(url) = &self.queue_url {
            config.queue.url.clone_from(url);
        }
        let keys = own_address(&mut config)?;
        let plan = door::Plan {
            seed: self.seed,
            vehicles: self.vehicles as usize,
            requests: self.requests as usize,
            batch: self.batch as usize,
            connections: self.connections as usize,
            format: self.format,
        };
        let world = World::make(config, self.keep).await?;
        let ran = door::run(&world, &plan).await;
        world.end().await?;
        drop(keys);
        let outcome = ran?;
        let (requests, took) = (outcome.requests as f64, outcome.took.as_secs_f64());
        println!("{} requests of {} samples\n", outcome.requests, outcome.samples);
        println!(
            "accepted          {:9.0} requests/s  {:9.0} samples/s  {took:6.2} s",
            requests / took,
            outcome.samples as f64 / took
        );
        for (who, spent) in &outcome.cpu {
            println!(
                "processor time    {:9.1} µs a request    {who}",
                spent.as_secs_f64() * 1e6 / requests
            );
        }
        let ms = |share| outcome.latency_us.quantile(share) as f64 / 1000.0;
        println!(
            "latency           p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms",
            ms(0.5),
            ms(0.99),
            ms(1.0)
        );
        outcome.check()
    }
}

/// An address of its own for an API that only the benchmark knows, and a folder for its keys.
fn own_address(config: &mut Config) -> Result<tempfile::TempDir> {
    config.api.bind = ([127, 0, 0, 1], 0).into();
    config.api.public_url.clear();
    let keys = tempfile::tempdir()?;
    config.data.dir = keys.path().to_owned();
    Ok(keys)
}

impl Scoring {
    fn run(&self) -> Result<()> {
        let plan = scoring::Plan {
            seed: self.seed,
            vehicles: self.vehicles as usize,
            trips: self.trips as usize,
            trip_s: self.seconds,
            rounds: self.rounds as usize,
        };
        let outcome = scoring::run(&plan, self.write.as_deref())?;
        let (samples, columns_s, features_s) = (
            outcome.samples as f64,
            outcome.to_columns.as_secs_f64(),
            outcome.to_features.as_secs_f64(),
        );
        if self.json {
            let figures = serde_json::json!({ "samples": outcome.samples, "trips": outcome.trips,
                "to_columns_s": columns_s, "to_features_s": features_s, "sums": outcome.sums });
            println!("{figures}");
            return Ok(());
        }
        println!("{} samples of {} trips", outcome.samples, outcome.trips);
        println!(
            "columns to features  {features_s:7.3} s  {:6.1} M samples/s",
            samples / features_s / 1e6
        );
        println!(
            "rows to columns      {columns_s:7.3} s  {:6.1} M samples/s",
            samples / columns_s / 1e6
        );
        println!(
            "ratio                {:7.2} of the time goes into making columns",
            columns_s / (columns_s + features_s)
        );
        Ok(())
    }
}

impl Reads {
    async fn run(self, mut config: Config) -> Result<()> {
        // Nothing is sent: the queue may be the table.
        config.queue.url.clear();
        let keys = own_address(&mut config)?;
        let plan = reads::Plan {
            seed: self.seed,
            vehicles: self.vehicles as usize,
            days: self.days,
            rate: self.rate,
            lasts: Duration::from_secs(self.seconds),
        };
        let world = World::make(config, self.keep).await?;
        let ran = reads::run(&world, &plan).await;
        world.end().await?;
        drop(keys);
        let outcome = ran?;
        show_reads(&plan, &outcome);
        outcome.check(&plan)
    }
}

fn show_reads(plan: &reads::Plan, outcome: &reads::Outcome) {
    let (stored, took) = (outcome.stored, outcome.stored_in.as_secs_f64());
    println!(
        "{} trips, {} scores and {} premiums stored in {took:.1} s, {:.0} trips/s",
        stored.trips,
        stored.scores,
        stored.premiums,
        stored.trips as f64 / took
    );
    println!(
        "{} requests a second for {} s; the load was {:.1} ms behind its plan at most\n",
        plan.rate,
        plan.lasts.as_secs(),
        outcome.behind.as_secs_f64() * 1000.0
    );
    let ms = |us: u64| format!("{:.1}", us as f64 / 1000.0);
    let rows = outcome.answered.iter().map(|answered| {
        let latency = &answered.latency_us;
        let quantiles = [0.5, 0.9, 0.99, 1.0].map(|share| ms(latency.quantile(share)));
        [answered.name.to_owned(), latency.count().to_string()]
            .into_iter()
            .chain(quantiles)
            .chain([answered.errors.load(Ordering::Relaxed).to_string()])
            .collect()
    });
    let header = ["request", "answers", "p50 ms", "p90 ms", "p99 ms", "max ms", "errors"];
    let mut table = table::render(&header, rows);
    table::figures(&mut table, &[1, 2, 3, 4, 5, 6]);
    println!("{table}");
}
