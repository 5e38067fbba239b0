use std::{
    net::{SocketAddr, TcpListener},
    path::PathBuf,
};

use anyhow::{Context, Result};
use chrono::NaiveDate;
use chrono_tz::Tz;
use clap::Args;
use odograph_api::{Grant, Scope};
use odograph_domain::{id::TenantId, policy::Product, settings::TenantSettings};
use odograph_store::{NewTenant, Realm};
use tokio_util::sync::CancellationToken;

use super::{client, import::product, report, serve, table};
use crate::{
    config::Config,
    fleet::{FleetSpec, Mix},
    import::{self, Register, Summary},
    overview,
    pipeline::{Pipeline, derive},
    root::Parts,
    shutdown, worker,
};

/// Runs on an embedded PostgreSQL of its own, in a temporary folder: nothing to install, nothing left behind.
#[derive(Debug, Args)]
pub(super) struct Demo {
    /// Telemetry to show instead of a generated fleet: canonical CSV (plain or gzip) or Parquet. May be repeated.
    #[arg(long, value_name = "FILE")]
    data: Vec<PathBuf>,
    /// Stop after the table instead of serving the API.
    #[arg(long)]
    exit: bool,
    /// Vehicles of the generated fleet.
    #[arg(long, default_value_t = 8, conflicts_with = "data", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    vehicles: u32,
    /// Days the generated fleet drives.
    #[arg(long, default_value_t = 14, conflicts_with = "data", value_parser = clap::value_parser!(u32).range(1..=366))]
    days: u32,
    /// Seed of the generated fleet: the same seed gives the same fleet.
    #[arg(long, default_value_t = 1, conflicts_with = "data")]
    seed: u64,
    /// Product of the policies made for --data.
    #[arg(long, default_value = "phyd", value_parser = product)]
    product: Product,
    /// Time zone of the insured.
    #[arg(long, default_value = "UTC")]
    time_zone: Tz,
    /// Tenant settings as JSON, such as '{"trip":{"rest_s":null}}' to end trips by gaps only.
    #[arg(long, default_value = "{}", value_parser = settings)]
    settings: TenantSettings,
    /// Where to serve afterwards.
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    bind: SocketAddr,
}

/// The Monday on which the generated fleet begins to drive.
const FIRST_DAY: NaiveDate = NaiveDate::from_ymd_opt(2026, 5, 4).unwrap();

fn settings(text: &str) -> Result<TenantSettings, String> {
    TenantSettings::parse(text)
}

impl Demo {
    pub(super) async fn run(self, mut config: Config) -> Result<()> {
        config.queue.url.clear();
        config.api.bind = self.bind;
        // Before the long work: whoever waited for it would not want to hear of a port that is taken then.
        let listener = (!self.exit).then(|| serve::bind(&config)).transpose()?;
        let folder = tempfile::Builder::new().prefix("odograph-demo-").tempdir()?;
        config.data.dir = folder.path().to_owned();
        eprintln!("starting the embedded PostgreSQL …");
        let parts = Parts::open_temporary(config).await?;
        let done = self.show(&parts, listener).await;
        parts.close().await?;
        done
    }

    async fn show(&self, parts: &Parts, listener: Option<TcpListener>) -> Result<()> {
        let interrupted = shutdown::on_signal()?;
        let tenant = NewTenant {
            name: "demo".to_owned(),
            settings: self.settings.clone(),
        };
        let tenant = parts
            .store
            .operator()
            .create_tenant(tenant)
            .await
            .context("no tenant was created")?
            .id;
        let working = CancellationToken::new();
        let worker = tokio::spawn(worker::run(parts.clone(), working.clone()));
        let filled = self.fill(parts, tenant, &interrupted).await;
        let shown = match filled {
            Ok(()) if !interrupted.is_cancelled() => self.present(parts, tenant, listener, &interrupted).await,
            other => other,
        };
        working.cancel();
        worker.await.context("the worker panicked")??;
        shown
    }

    /// Sends the fleet or the files the way live batches go, and waits for what comes of them.
    async fn fill(&self, parts: &Parts, tenant: TenantId, interrupted: &CancellationToken) -> Result<()> {
        let register = Register {
            product: self.product,
            plan: "standard".to_owned(),
            time_zone: self.time_zone,
        };
        let mut summary = Summary::new(parts.ids.uuid());
        if self.data.is_empty() {
            let spec = FleetSpec {
                mix: Mix::default(),
                ..FleetSpec::days(self.seed, self.vehicles as usize, FIRST_DAY, self.days, self.time_zone)
            };
            import::send_fleet(parts, tenant, &spec, &register.plan, &mut summary, interrupted).await?;
        }
        for file in &self.data {
            import::send(parts, tenant, file, Some(&register), &mut summary, interrupted)
                .await
                .with_context(|| format!("importing {}", file.display()))?;
        }
        import::wait(parts, tenant, &mut summary, interrupted).await?;
        eprintln!("deriving the last trips …");
        derive::all_due(&Pipeline::new(parts), Some(tenant), true, interrupted).await?;
        println!("{summary}\n");
        if !summary.broken.is_empty() {
            anyhow::bail!("{}", summary.broken.join("\n"));
        }
        Ok(())
    }

    async fn present(
        &self,
        parts: &Parts,
        tenant: TenantId,
        listener: Option<TcpListener>,
        interrupted: &CancellationToken,
    ) -> Result<()> {
        println!("{}", drivers_table(parts, tenant).await?);
        let Some(listener) = listener else {
            return Ok(());
        };
        let reports = report::latest(parts, tenant, &parts.config.data.dir).await?;
        let reader = client::create(parts, tenant, "demo", &[]).await?;
        let ready = |url: &str| {
            println!("\nAPI documentation:  {url}/docs");
            println!(
                "client_id:          {}\nclient_secret:      {}",
                reader.id, reader.secret
            );
            match token(parts, url, tenant, &reader) {
                Ok(token) => println!(
                    "\nTry it (the token is good for {} minutes):\n\n  curl -s '{url}/v1/trips?limit=2' -H 'Authorization: Bearer {token}'\n",
                    parts.config.api.token_ttl_s / 60
                ),
                Err(cause) => eprintln!("no token could be issued: {cause:#}"),
            }
            for (what, file) in &reports {
                println!("{what:<19} file://{}", file.display());
            }
            println!("\nCtrl-C stops it.");
        };
        serve::serve_on(listener, parts, interrupted.clone(), ready).await
    }
}

fn token(parts: &Parts, url: &str, tenant: TenantId, reader: &client::Credentials) -> Result<String> {
    let scopes = reader.scopes.iter().filter_map(|name| Scope::parse(name)).collect();
    Ok(parts.api_state(url)?.issue(&Grant {
        realm: Realm::Tenant(tenant),
        client: reader.id,
        scopes,
    })?)
}

/// The table of drivers: what each drove, how, and what it costs.
async fn drivers_table(parts: &Parts, tenant: TenantId) -> Result<comfy_table::Table> {
    let or_dash = |text: Option<String>| text.filter(|text| !text.is_empty()).unwrap_or_else(|| "–".to_owned());
    let rows = overview::drivers(&parts.store, tenant).await?.into_iter().map(|row| {
        let score = row.score.as_ref();
        let premiums: Vec<String> = row
            .premiums
            .iter()
            .map(|(month, premium)| format!("{month}: {premium}"))
            .collect();
        vec![
            row.driver,
            row.vehicles.join("\n"),
            or_dash(row.products.first().map(|product| product.as_str().to_owned())),
            format!("{:.1}", row.billable_m / 1000.0),
            row.trips.to_string(),
            or_dash(row.events.map(|events| events.to_string())),
            or_dash(score.map(|score| score.value.to_string())),
            or_dash(score.and_then(|score| Some(score.reasons.first()?.text.clone()))),
            or_dash(Some(premiums.join("\n"))),
        ]
    });
    let header = [
        "driver",
        "vehicles",
        "product",
        "km",
        "trips",
        "events",
        "score",
        "top reason",
        "premium",
    ];
    let mut table = table::render(&header, rows);
    table::figures(&mut table, &[3, 4, 5, 6, 8]);
    Ok(table)
}
