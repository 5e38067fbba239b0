//! The command line. One file a command.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};
use odograph_store::{Listed, Page};

use crate::{config::Config, logging, traces::Traces};

mod bench;
mod checklist;
pub mod client;
mod demo;
mod healthcheck;
mod hold;
mod import;
mod lake;
mod migrate;
mod openapi;
mod queue;
mod rebuild;
mod report;
pub mod serve;
mod simulate;
pub mod table;
mod tenant;

/// Odograph: usage-based motor insurance. Telematics go in; trips, mileage, scores with reasons and premiums come out.
#[derive(Debug, Parser)]
#[command(name = "odograph", version, propagate_version = true, max_term_width = 120)]
#[command(
    after_help = "Without a database configured, Odograph runs on an embedded PostgreSQL: try `odograph demo`.\n\
    Every setting, with its default, is in config.default.toml; `odograph config` prints it."
)]
pub struct Cli {
    /// Configuration file (TOML): only what differs from the defaults.
    #[arg(long, global = true, env = "ODOGRAPH_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show everything at once: an embedded database, a small fleet, the table of drivers, then the API.
    Demo(demo::Demo),
    /// Serve the HTTP API.
    Serve,
    /// Work on the queue: ingest, derive trips, score, price. With an intake, also pass on what comes there.
    Work,
    /// Only pass on what senders gave to the broker themselves (AMQP, MQTT), from the intake queues to the workers.
    Bridge,
    /// Serve and work in one process.
    All,
    /// Ask whether the process of this role, on this machine and with these settings, can work: for containers.
    Healthcheck {
        /// What runs here.
        role: healthcheck::Role,
    },
    /// Bring the database schema up to date.
    Migrate,
    /// Send a file of telemetry (canonical CSV, plain or gzip, or Parquet) the way live batches go.
    Import(import::Import),
    /// Generate a fleet: telemetry and the truth beside it, to files, over HTTP or into the queue.
    Simulate(Box<simulate::Simulate>),
    /// Derive trips, scores and premiums anew from the raw data, or say what would come of it.
    Rebuild(rebuild::Rebuild),
    /// Raw data and trips as files in object storage.
    #[command(subcommand)]
    Lake(lake::Lake),
    /// Keep raw data beyond its retention.
    #[command(subcommand)]
    Hold(hold::Hold),
    /// Write a report of a driver or a fleet: one page that stands alone.
    #[command(subcommand)]
    Report(report::Report),
    /// Write the OpenAPI document, generated from the handlers.
    Openapi(openapi::Openapi),
    /// Write docs/operations-matrix.md: what every operation and every table answers.
    Checklist(checklist::Checklist),
    /// Show how the queue is cut into partitions, and change it.
    #[command(subcommand)]
    Queue(queue::Queue),
    /// Create and list tenants.
    #[command(subcommand)]
    Tenant(tenant::Tenant),
    /// Create and list API clients of a tenant, or of the platform's operators.
    #[command(subcommand)]
    Client(client::Client),
    /// Measure: each benchmark prints a rate and checks that what it measured was done.
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Print every setting with its default.
    Config,
}

impl Cli {
    pub async fn run(self) -> Result<()> {
        match &self.command {
            Command::Config => {
                print!("{}", Config::defaults());
                return Ok(());
            }
            Command::Openapi(command) => return command.run(),
            _ => {}
        }
        let config = Config::load(self.config.as_deref())?;
        let traces = match self.command.traced_as() {
            Some(role) => Traces::start(&config.tracing, role)?,
            None => None,
        };
        logging::start(&config.log, traces.as_ref())?;
        let ran = self.command.run(config).await;
        if let Some(traces) = traces {
            traces.stop().await;
        }
        ran
    }
}

impl Command {
    /// The role that spans are told to come from; what is over in a moment is not traced.
    fn traced_as(&self) -> Option<&'static str> {
        match self {
            Self::Serve => Some("serve"),
            Self::Work => Some("work"),
            Self::Bridge => Some("bridge"),
            Self::All => Some("all"),
            _ => None,
        }
    }

    async fn run(self, config: Config) -> Result<()> {
        match self {
            Self::Demo(command) => command.run(config).await,
            Self::Serve => serve::serve(config).await,
            Self::Work => serve::work(config).await,
            Self::Bridge => serve::bridge(config).await,
            Self::All => serve::all(config).await,
            Self::Healthcheck { role } => healthcheck::run(role, config).await,
            Self::Migrate => migrate::run(config).await,
            Self::Import(command) => command.run(config).await,
            Self::Lake(command) => command.run(config).await,
            Self::Hold(command) => command.run(config).await,
            Self::Report(command) => command.run(config).await,
            Self::Checklist(command) => command.run(config).await,
            Self::Simulate(command) => command.run(config).await,
            Self::Rebuild(command) => command.run(config).await,
            Self::Queue(command) => command.run(config).await,
            Self::Tenant(command) => command.run(config).await,
            Self::Client(command) => command.run(config).await,
            Self::Bench(command) => command.run(config).await,
            Self::Config | Self::Openapi(_) => Ok(()),
        }
    }
}

/// Reads a list to its end, page by page.
pub(crate) async fn every<T, F: Future<Output = odograph_store::Result<Listed<T>>>>(
    read: impl Fn(Page) -> F,
) -> odograph_store::Result<Vec<T>> {
    let mut items = Vec::new();
    let mut page = Page {
        after: None,
        limit: 200,
    };
    loop {
        let listed = read(page).await?;
        items.extend(listed.items);
        let Some(next) = listed.next else {
            return Ok(items);
        };
        page = Page {
            after: Some(next),
            limit: 200,
        };
    }
}
