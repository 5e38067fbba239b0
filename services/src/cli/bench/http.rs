//! `odograph bench http`

use anyhow::Result;
use clap::Args;

use super::{Made, own_address};
use crate::{
    bench::{door, ingest::Format, world::World},
    config::Config,
};

#[derive(Debug, Args)]
pub(in crate::cli) struct Http {
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
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    connections: u32,
    #[command(flatten)]
    made: Made,
}

impl Http {
    pub(super) async fn run(self, mut config: Config) -> Result<()> {
        self.made.through(&mut config);
        let keys = own_address(&mut config)?;
        let plan = door::Plan {
            seed: self.made.seed,
            vehicles: self.vehicles as usize,
            requests: self.requests as usize,
            batch: self.batch as usize,
            connections: self.connections as usize,
            format: self.format,
        };
        let world = World::make(config, self.made.keep).await?;
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
