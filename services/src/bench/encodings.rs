//! Ways to write samples down, on car-days of 2,400 samples: what each takes, and how long.

use std::path::Path;

use anyhow::{Context, Result};
use chrono::TimeDelta;
use odograph_domain::{batch::RawSample, time::EventTime};
use odograph_store::{EncodingFigures, measure_encodings, samples_as_parquet};

use super::drive::{Car, raw};

/// A car-day: two trips of twenty minutes, a block each as compaction makes them.
pub const TRIPS: usize = 2;
pub const TRIP_S: u32 = 1200;
/// 2026-05-04T06:00:00Z.
const FIRST_MS: i64 = 1_777_874_400_000;

/// Blocks of so many car-days.
pub fn blocks(seed: u64, cars: u32) -> Result<Vec<Vec<RawSample>>> {
    let first = EventTime::from_millis(FIRST_MS).context("a time of this century")?;
    let mut blocks = Vec::new();
    for number in 0..cars {
        let mut car = Car::new(seed, u64::from(number));
        for trip in 0..TRIPS {
            blocks.push(raw(car.trip(first + TimeDelta::hours(9 * trip as i64), TRIP_S)));
        }
    }
    Ok(blocks)
}

pub fn run(blocks: &[Vec<RawSample>], rounds: usize) -> Result<Vec<EncodingFigures>> {
    Ok(measure_encodings(blocks, rounds)?)
}

/// Writes each block as Parquet, for a peer to write down in its own ways.
pub fn write(blocks: &[Vec<RawSample>], folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for (number, block) in blocks.iter().enumerate() {
        let file = folder.join(format!("block-{number:05}.parquet"));
        std::fs::write(&file, samples_as_parquet(block)?)
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}
