use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;

#[derive(Debug, Args)]
pub(super) struct Openapi {
    /// Where the document goes.
    #[arg(long, default_value = "openapi/openapi.json", value_name = "FILE")]
    output: PathBuf,
    /// Change nothing; fail if the file differs from what would be written.
    #[arg(long)]
    check: bool,
}

impl Openapi {
    pub(super) fn run(&self) -> Result<()> {
        let document = odograph_api::openapi_json();
        if self.check {
            let committed = std::fs::read_to_string(&self.output)
                .with_context(|| format!("cannot read {}", self.output.display()))?;
            if committed != document {
                bail!(
                    "{} differs from the handlers; run `cargo run -- openapi`",
                    self.output.display()
                );
            }
            println!("{} is what the handlers say.", self.output.display());
            return Ok(());
        }
        std::fs::write(&self.output, document).with_context(|| format!("cannot write {}", self.output.display()))?;
        println!("wrote {}", self.output.display());
        Ok(())
    }
}
