//! `odograph bench ingest`

use anyhow::Result;
use clap::Args;

use super::{super::table, Made};
use crate::{
    bench::{
        ingest::{self, Format},
        world::World,
    },
    config::Config,
};

#[derive(Debug, Args)]
pub(in crate::cli) struct Ingest {
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
    /// Show what a car-day of 2,400 samples takes in the database, once all is derived and compacted.
    #[arg(long)]
    size: bool,
    /// Show where the workers' time went.
    #[arg(long)]
    profile: bool,
    #[command(flatten)]
    made: Made,
}

impl Ingest {
    pub(super) async fn run(self, mut config: Config) -> Result<()> {
        self.made.through(&mut config);
        if let Some(partitions) = self.partitions {
            config.queue.partitions = partitions;
        }
        anyhow::ensure!(
            !config.queue.url.is_empty(),
            "the benchmark goes through RabbitMQ: give --queue-url or queue.url"
        );
        let plan = ingest::Plan {
            seed: self.made.seed,
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
            size: self.size,
        };
        let world = World::make(config, self.made.keep).await?;
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
        let us = |spent: &std::time::Duration| spent.as_secs_f64() * 1e6 / samples;
        for (who, derived) in &outcome.cpu {
            let ingested = outcome.cpu_ingested.iter().find(|(name, _)| name == who);
            println!(
                "processor time    {:9.2} µs a sample until ingested, {:.2} until derived    {who}",
                ingested.map_or(0.0, |(_, ingested)| us(ingested)),
                us(derived)
            );
        }
        if let Some(bytes) = outcome.bytes_at_rest {
            println!(
                "at rest           {:9.1} kB a car-day of 2,400 samples in the database",
                bytes as f64 / samples * 2.4
            );
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
