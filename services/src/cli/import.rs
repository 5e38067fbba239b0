use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use chrono_tz::Tz;
use clap::Args;
use odograph_domain::policy::Product;
use tokio_util::sync::CancellationToken;

use crate::{
    config::Config,
    import::{self, Register, Summary},
    pipeline::{Pipeline, derive},
    root::Parts,
    shutdown, worker,
};

#[derive(Debug, Args)]
pub(super) struct Import {
    /// Name or id of the tenant whose vehicles these are.
    #[arg(long)]
    tenant: String,
    /// Canonical CSV (plain or gzip) or Parquet, recognised by content; or folders, of which every file that ends in .csv,
    /// .csv.gz or .parquet is taken, in the order of their names. One that was imported before counts as duplicate.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Create vehicles and drivers the tenant does not know yet, each vehicle with a policy from the first of the month
    /// of its first sample. Without this, their rows end as unknown_vehicle, and are kept.
    #[arg(long)]
    register: bool,
    /// Product of the policies made by --register.
    #[arg(long, default_value = "phyd", value_parser = product, requires = "register")]
    product: Product,
    /// Rating plan of the policies made by --register, by name; made with example terms where there is none.
    #[arg(long, default_value = "standard", requires = "register")]
    plan: String,
    /// Time zone of the insured of the policies made by --register, such as Europe/Berlin.
    #[arg(long, default_value = "UTC", requires = "register")]
    time_zone: Tz,
    /// Only put the batches into the queue, for workers elsewhere; do not wait for them either.
    #[arg(long)]
    no_work: bool,
}

pub(super) fn product(text: &str) -> Result<Product, String> {
    Product::parse(text).ok_or_else(|| format!("wanted payd or phyd, got {text:?}"))
}

impl Import {
    pub(super) async fn run(self, config: Config) -> Result<()> {
        let parts = Parts::open(config).await?;
        let done = self.import(&parts).await;
        parts.close().await?;
        done
    }

    async fn import(&self, parts: &Parts) -> Result<()> {
        let tenant = parts.tenant_named(&self.tenant).await?;
        let interrupted = shutdown::on_signal()?;
        let register = self.register.then(|| Register {
            product: self.product,
            plan: self.plan.clone(),
            time_zone: self.time_zone,
        });
        let working = CancellationToken::new();
        let worker = (!self.no_work).then(|| tokio::spawn(worker::run(parts.clone(), working.clone())));
        let imported = self.send_all(parts, tenant, register.as_ref(), &interrupted).await;
        working.cancel();
        if let Some(worker) = worker {
            worker.await.context("the worker panicked")??;
        }
        let summary = imported?;
        if !self.no_work && !interrupted.is_cancelled() {
            derive::all_due(&Pipeline::new(parts), Some(tenant), true, &interrupted).await?;
        }
        println!("{summary}");
        for cause in &summary.broken {
            eprintln!("{cause}");
        }
        if interrupted.is_cancelled() {
            bail!("interrupted: what was sent is safe; import the same files again to send the rest");
        }
        if !summary.broken.is_empty() {
            bail!(
                "{} of {} files could not be read to the end",
                summary.broken.len(),
                import::files(&self.files)?.len()
            );
        }
        Ok(())
    }

    async fn send_all(
        &self,
        parts: &Parts,
        tenant: odograph_domain::id::TenantId,
        register: Option<&Register>,
        interrupted: &CancellationToken,
    ) -> Result<Summary> {
        let files = import::files(&self.files)?;
        let mut all = Summary::new(parts.ids.uuid());
        for (place, file) in files.iter().enumerate() {
            // Each file is a run of its own, so that it is known how each ended.
            let mut summary = Summary::new(parts.ids.uuid());
            import::send(parts, tenant, file, register, &mut summary, interrupted)
                .await
                .with_context(|| format!("importing {}", file.display()))?;
            if !self.no_work {
                import::wait(parts, tenant, &mut summary, interrupted).await?;
            }
            if files.len() > 1 {
                println!("[{}/{}] {}: {}", place + 1, files.len(), file.display(), summary.line());
            }
            all.add(summary);
            if interrupted.is_cancelled() {
                break;
            }
        }
        Ok(all)
    }
}
