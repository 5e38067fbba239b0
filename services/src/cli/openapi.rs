use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use figment::{
    Figment,
    providers::{Format, Toml},
};
use odograph_api::contract::{Breaking, breaking_changes};
use serde::Deserialize;

#[derive(Debug, Args)]
pub(super) struct Openapi {
    /// Where the document goes.
    #[arg(long, default_value = "openapi/openapi.json", value_name = "FILE")]
    output: PathBuf,
    /// Change nothing; fail if the file differs from what would be written.
    #[arg(long)]
    check: bool,
    /// Write nothing; fail if the document breaks those who call by this earlier one, unless the change is declared.
    #[arg(long, value_name = "FILE", conflicts_with = "check")]
    check_against: Option<PathBuf>,
    /// Breaking changes that are meant, each with its reason (TOML).
    #[arg(long, value_name = "FILE", requires = "check_against")]
    declared: Option<PathBuf>,
}

/// Breaking changes that are meant.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Declarations {
    #[serde(default)]
    change: Vec<Declared>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Declared {
    /// As the check prints it.
    operation: String,
    change: String,
    why: String,
    /// That it comes with.
    version: String,
}

impl Openapi {
    pub(super) fn run(&self) -> Result<()> {
        let document = odograph_api::openapi_json();
        if let Some(baseline) = &self.check_against {
            return compare(baseline, &document, self.declared.as_deref());
        }
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

fn compare(baseline: &Path, document: &str, declared: Option<&Path>) -> Result<()> {
    let text = std::fs::read_to_string(baseline).with_context(|| format!("cannot read {}", baseline.display()))?;
    let old = serde_json::from_str(&text).with_context(|| format!("{} is no JSON", baseline.display()))?;
    let new = serde_json::from_str(document).context("the document is no JSON")?;
    let declared = declared.map_or(Ok(Declarations::default()), declarations)?.change;
    let found = breaking_changes(&old, &new);
    let is = |change: &Breaking, declared: &Declared| {
        (&change.operation, &change.change) == (&declared.operation, &declared.change)
    };
    let undeclared: Vec<String> = found
        .iter()
        .filter(|change| !declared.iter().any(|one| is(change, one)))
        .map(|change| format!("  {change}"))
        .collect();
    let stale: Vec<String> = declared
        .iter()
        .filter(|one| !found.iter().any(|change| is(change, one)))
        .map(|one| format!("  {}\n    {}", one.operation, one.change))
        .collect();
    if !undeclared.is_empty() {
        bail!(
            "{} breaking changes since {} are not declared:\n{}",
            undeclared.len(),
            baseline.display(),
            undeclared.join("\n")
        );
    }
    if !stale.is_empty() {
        bail!("declared, but no breaking change (any more):\n{}", stale.join("\n"));
    }
    println!(
        "nothing breaks since {}, beyond what is declared ({}).",
        baseline.display(),
        declared.len()
    );
    Ok(())
}

fn declarations(file: &Path) -> Result<Declarations> {
    let declared: Declarations = Figment::from(Toml::file_exact(file))
        .extract()
        .with_context(|| format!("{} does not read", file.display()))?;
    for one in &declared.change {
        if one.why.trim().is_empty() || one.version.trim().is_empty() {
            bail!(
                "{}: {} {}: wanted a reason and a version",
                file.display(),
                one.operation,
                one.change
            );
        }
    }
    Ok(declared)
}
