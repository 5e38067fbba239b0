use anyhow::{Context, Result};

use crate::{config::Config, root::Parts};

pub(super) async fn run(config: Config) -> Result<()> {
    let parts = Parts::open_to_migrate(config).await?;
    parts
        .store
        .migrate()
        .await
        .context("the schema could not be brought up to date")?;
    println!("The database schema is up to date.");
    parts.close().await
}
