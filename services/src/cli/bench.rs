//! `odograph bench`: arguments of the benchmarks, and how their figures are printed.

mod encodings;
mod http;
mod ingest;
mod lanes;
mod reads;
mod scoring;
mod soak;

use anyhow::Result;
use clap::{Args, Subcommand};

use self::{
    encodings::Encodings, http::Http, ingest::Ingest, lanes::Lanes, reads::Reads, scoring::Scoring, soak::Soak,
};
use crate::config::Config;

/// What is measured, with what it is compared and what limits it is in docs/benchmarks.md.
#[derive(Debug, Subcommand)]
pub(super) enum Bench {
    /// Batches through the queue to committed trips, scores and premiums, in a database made for it.
    Ingest(Ingest),
    /// A fleet that drives live at a fixed rate for as long as is asked: memory, lag and backlog minute by minute.
    Soak(Soak),
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

impl Bench {
    pub(super) async fn run(self, config: Config) -> Result<()> {
        match self {
            Self::Ingest(ingest) => ingest.run(config).await,
            Self::Soak(soak) => soak.run(config).await,
            Self::Lanes(lanes) => lanes.run(config).await,
            Self::Http(http) => http.run(config).await,
            Self::Reads(reads) => reads.run(config).await,
            Self::Scoring(scoring) => scoring.run(),
            Self::Encodings(encodings) => encodings.run(),
        }
    }
}

/// What a benchmark is made with that has a database and queues of its own.
#[derive(Debug, Args)]
struct Made {
    /// Broker, instead of queue.url.
    #[arg(long, value_name = "URL")]
    queue_url: Option<String>,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Leave the database behind.
    #[arg(long)]
    keep: bool,
}

impl Made {
    /// The broker of the command line, if one is given there.
    fn through(&self, config: &mut Config) {
        if let Some(url) = &self.queue_url {
            config.queue.url.clone_from(url);
        }
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
