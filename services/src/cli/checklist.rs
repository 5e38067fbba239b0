use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::{checklist, config::Config, root::Parts};

#[derive(Debug, Args)]
pub(super) struct Checklist {
    /// Where the page goes.
    #[arg(long, default_value = "docs/operations-matrix.md", value_name = "FILE")]
    output: PathBuf,
    /// Change nothing; fail if the file differs from what would be written.
    #[arg(long)]
    check: bool,
}

impl Checklist {
    /// The tables' answers come from a database: the one configured, else an embedded one made for this.
    pub(super) async fn run(self, mut config: Config) -> Result<()> {
        config.queue.url.clear();
        let parts = if config.embedded() {
            Parts::open_temporary(config).await?
        } else {
            Parts::open_database(config).await?
        };
        let page = checklist::page(&parts).await;
        parts.close().await?;
        self.put(&page?)
    }

    fn put(&self, page: &str) -> Result<()> {
        let file = self.output.display();
        if self.check {
            let committed = std::fs::read_to_string(&self.output).with_context(|| format!("cannot read {file}"))?;
            if committed != page {
                bail!("{file} is not what operations and tables answer; run `cargo run -- checklist`");
            }
            println!("{file} is what operations and tables answer.");
            return Ok(());
        }
        std::fs::write(&self.output, page).with_context(|| format!("cannot write {file}"))?;
        println!("wrote {file}");
        Ok(())
    }
}
