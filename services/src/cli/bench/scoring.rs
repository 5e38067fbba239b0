//! `odograph bench scoring`

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use crate::bench::scoring;

#[derive(Debug, Args)]
pub(in crate::cli) struct Scoring {
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

impl Scoring {
    pub(super) fn run(&self) -> Result<()> {
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
