//! `odograph bench lanes`

use std::time::Duration;

use anyhow::Result;
use clap::Args;
use odograph_domain::envelope::Lane;

use super::{super::table, Made};
use crate::{
    bench::{lanes, world::World},
    config::Config,
};

#[derive(Debug, Args)]
pub(in crate::cli) struct Lanes {
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
    #[arg(long, default_value_t = 4000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    bulk_vehicles: u32,
    /// Samples in a batch of the backfill.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    bulk_batch: u32,
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    workers: u32,
    #[command(flatten)]
    made: Made,
}

impl Lanes {
    pub(super) async fn run(self, mut config: Config) -> Result<()> {
        self.made.through(&mut config);
        anyhow::ensure!(self.rate > 0.0, "--rate: wanted more than 0, got {}", self.rate);
        let plan = lanes::Plan {
            seed: self.made.seed,
            live_vehicles: self.vehicles as usize,
            rate: self.rate,
            lasts: Duration::from_secs(u64::from(self.seconds)),
            bulk_vehicles: self.bulk_vehicles as usize,
            bulk_batch: self.bulk_batch as usize,
            workers: self.workers as usize,
        };
        let world = World::make(config, self.made.keep).await?;
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
