//! `odograph bench reads`

use std::{sync::atomic::Ordering, time::Duration};

use anyhow::Result;
use clap::Args;

use super::{super::table, own_address};
use crate::{
    bench::{reads, world::World},
    config::Config,
};

#[derive(Debug, Args)]
pub(in crate::cli) struct Reads {
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

impl Reads {
    pub(super) async fn run(self, mut config: Config) -> Result<()> {
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
