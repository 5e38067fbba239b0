use anyhow::{Context, Result};
use clap::Subcommand;
use odograph_domain::queue::GenerationState;

use super::table;
use crate::{config::Config, root::Parts};

#[derive(Debug, Subcommand)]
pub(super) enum Queue {
    /// Cut the queue into another number of partitions, while everything runs.
    Repartition {
        /// Partitions from now on.
        #[arg(value_parser = clap::value_parser!(u16).range(1..=1024))]
        partitions: u16,
    },
    /// Show which queues are published to and which are still to be worked off.
    Status,
}

impl Queue {
    pub(super) async fn run(self, config: Config) -> Result<()> {
        let parts = match self {
            Self::Repartition { .. } => Parts::open_database(config).await?,
            Self::Status => Parts::open(config).await?,
        };
        let done = self.act(&parts).await;
        parts.close().await?;
        done
    }

    async fn act(self, parts: &Parts) -> Result<()> {
        match self {
            Self::Repartition { partitions } => repartition(parts, partitions).await,
            Self::Status => status(parts).await,
        }
    }
}

async fn repartition(parts: &Parts, partitions: u16) -> Result<()> {
    let generations = parts.store.generations();
    if generations.all().await?.is_empty() {
        anyhow::bail!("nothing has published to this queue yet: set queue.partitions before the first start");
    }
    let begun = generations
        .repartition(partitions)
        .await
        .context("the number of partitions was not changed")?;
    println!("{begun} has begun; `odograph queue status` shows when the one before is worked off");
    Ok(())
}

async fn status(parts: &Parts) -> Result<()> {
    // Nor is it to be counted.
    parts.publish_no_more().await;
    let rows = parts.store.generations().all().await?;
    let consumed = rows
        .iter()
        .find(|row| row.state.is_consumed_first())
        .or_else(|| rows.iter().find(|row| row.state == GenerationState::Current))
        .map(|row| row.generation);
    let lines = rows.iter().map(|row| {
        let consumed = if consumed == Some(row.generation) {
            "yes"
        } else {
            "waits"
        };
        vec![
            row.generation.number.to_string(),
            row.generation.partitions.to_string(),
            row.state.to_string(),
            row.changed_at.to_rfc3339(),
            row.publishers.to_string(),
            consumed.to_owned(),
        ]
    });
    let header = ["generation", "partitions", "state", "since", "publishers", "consumed"];
    println!("{}", table::render(&header, lines));
    println!(
        "{} messages wait",
        parts.queue.depth().await.context("the queue does not answer")?
    );
    Ok(())
}
