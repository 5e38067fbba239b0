//! `odograph bench soak`

use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;

use super::{super::table, Made};
use crate::{
    bench::{
        ingest::Format,
        soak::{self, Minute},
        world::World,
    },
    config::Config,
};

#[derive(Debug, Args)]
pub(in crate::cli) struct Soak {
    /// Vehicles; each drives and stands by turns, so that at any time the same share of them is on the road.
    #[arg(long, default_value_t = 15_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    vehicles: u32,
    /// Minutes of sending.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=10_080))]
    minutes: u32,
    /// Seconds between two samples of a car.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=300))]
    every: u32,
    /// Samples in a batch.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    batch: u32,
    /// Seconds a car drives …
    #[arg(long, default_value_t = 1200, value_parser = clap::value_parser!(u32).range(60..=86_400))]
    drives: u32,
    /// … and stands before it drives again.
    #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u32).range(0..=86_400))]
    stands: u32,
    /// What batches are written as.
    #[arg(long, value_enum, default_value = "json")]
    format: Format,
    /// Workers in this process; their partitions are worked on side by side.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    workers: u32,
    #[command(flatten)]
    made: Made,
}

impl Soak {
    pub(super) async fn run(self, mut config: Config) -> Result<()> {
        self.made.through(&mut config);
        ensure!(
            !config.queue.url.is_empty(),
            "the benchmark goes through RabbitMQ: give --queue-url or queue.url"
        );
        let batch_s = u64::from(self.batch) * u64::from(self.every);
        ensure!(
            batch_s <= u64::from(self.drives),
            "--batch × --every: wanted at most the {} s of --drives, got {batch_s} s",
            self.drives
        );
        let plan = soak::Plan {
            seed: self.made.seed,
            vehicles: self.vehicles as usize,
            minutes: self.minutes,
            every_s: self.every,
            batch: self.batch,
            drives_s: self.drives,
            stands_s: self.stands,
            format: self.format,
            workers: self.workers as usize,
        };
        println!(
            "{} vehicles, {:.0} samples/s expected; a line each minute",
            plan.vehicles,
            plan.rate()
        );
        println!(
            "{:>6} {:>11} {:>11} {:>8} {:>8} {:>8} {:>8} {:>9} {:>9} {:>8} {:>11}",
            "minute",
            "sent/s",
            "committed/s",
            "backlog",
            "p50 ms",
            "p99 ms",
            "to trip",
            "CPU ours",
            "CPU db",
            "RSS MiB",
            "database MB"
        );
        let world = World::make(config, self.made.keep).await?;
        let ran = soak::run(&world, &plan, show).await;
        world.end().await?;
        let outcome = ran?;
        let rows = [("first quarter", 0.0), ("last quarter", 0.75)].map(|(name, from)| {
            let of = |value: fn(&Minute) -> f64| outcome.mean(from, value);
            vec![
                name.to_owned(),
                format!("{:.0}", of(|minute| minute.committed_per_s)),
                format!("{:.0}", of(|minute| minute.p50.as_secs_f64() * 1000.0)),
                format!("{:.0}", of(|minute| minute.p99.as_secs_f64() * 1000.0)),
                format!("{:.0}", of(|minute| minute.resident_bytes as f64 / 1_048_576.0)),
            ]
        });
        let header = ["", "committed/s", "p50 ms", "p99 ms", "RSS MiB"];
        let mut table = table::render(&header, rows);
        table::figures(&mut table, &[1, 2, 3, 4]);
        println!("\n{table}");
        println!(
            "{} batches of {} samples sent; all committed, and what was due derived, {:.1} s after the last",
            outcome.batches,
            outcome.samples,
            outcome.left_over.as_secs_f64()
        );
        outcome.check()
    }
}

fn show(minute: &Minute) {
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    println!(
        "{:>6} {:>11.0} {:>11.0} {:>8} {:>8.0} {:>8.0} {:>8} {:>8.0}% {:>8.0}% {:>8.0} {:>11.0}",
        minute.number,
        minute.sent_per_s,
        minute.committed_per_s,
        minute.backlog,
        ms(minute.p50),
        ms(minute.p99),
        minute.windows_due,
        minute.cpu_ours * 100.0,
        minute.cpu_database * 100.0,
        minute.resident_bytes as f64 / 1_048_576.0,
        minute.database_bytes as f64 / 1e6
    );
}
