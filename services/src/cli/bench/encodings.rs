//! `odograph bench encodings`

use std::{path::PathBuf, time::Duration};

use anyhow::Result;
use clap::Args;

use super::super::table;
use crate::bench::encodings;

#[derive(Debug, Args)]
pub(in crate::cli) struct Encodings {
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

impl Encodings {
    pub(super) fn run(self) -> Result<()> {
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
