use std::{
    io::Write as _,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use odograph_api::report::{self, Ask, Period, gather};
use odograph_domain::{
    id::{DriverId, FleetId, IdOrRef, TenantId},
    policy::Month,
};
use odograph_scoring::behaviour::scoring_threshold;
use odograph_store::{Page, TenantStore, TripFilter};

use crate::{config::Config, root::Parts};

#[derive(Debug, Subcommand)]
pub(super) enum Report {
    /// A driver's: distance, score with reasons, behaviour, premium with its trace.
    Driver {
        /// Id or external reference.
        driver: IdOrRef<DriverId>,
        /// Draw where the trips went. Each track that is read is written to the audit log.
        #[arg(long)]
        tracks: bool,
        /// Say the driver's name. That it was read is written to the audit log.
        #[arg(long)]
        identity: bool,
        #[command(flatten)]
        of: Of,
    },
    /// A fleet's, or that of all vehicles: totals, ranking, who is far from the others.
    #[command(group(clap::ArgGroup::new("whose").required(true).args(["fleet", "all"])))]
    Fleet {
        /// Id or external reference.
        fleet: Option<IdOrRef<FleetId>>,
        /// All vehicles of the tenant.
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        of: Of,
    },
}

#[derive(Debug, Args)]
pub(super) struct Of {
    /// Name or id of the tenant.
    #[arg(long)]
    tenant: String,
    /// A month (2026-05), a quarter (2026-Q2), a year (2026) or days (2026-05-01..2026-05-31).
    #[arg(long)]
    period: Period,
    /// Where the page goes; else to standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// The figures as JSON instead of a page.
    #[arg(long)]
    json: bool,
}

impl Report {
    pub(super) async fn run(self, config: Config) -> Result<()> {
        let parts = Parts::open_database(config).await?;
        let made = self.make(&parts).await;
        parts.close().await?;
        let (text, out) = made?;
        match out {
            Some(file) => {
                std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
                println!("wrote {}", file.display());
            }
            None => std::io::stdout().write_all(text.as_bytes())?,
        }
        Ok(())
    }

    async fn make(self, parts: &Parts) -> Result<(String, Option<PathBuf>)> {
        match self {
            Self::Driver {
                driver,
                tracks,
                identity,
                of,
            } => {
                let (store, mut ask) = of.ask(parts).await?;
                (ask.tracks, ask.identity) = (tracks, identity);
                let record = store.driver(&driver).await;
                let record = record.with_context(|| format!("driver {driver} of tenant {}", of.tenant))?;
                let report = gather::driver(&store, record, &ask).await?;
                let text = match of.json {
                    true => serde_json::to_string_pretty(&report)? + "\n",
                    false => report::driver_page(&report),
                };
                Ok((text, of.out))
            }
            Self::Fleet { fleet, all: _, of } => {
                let (store, ask) = of.ask(parts).await?;
                let record = match fleet {
                    Some(fleet) => {
                        let record = store.fleet(&fleet).await;
                        Some(record.with_context(|| format!("fleet {fleet} of tenant {}", of.tenant))?)
                    }
                    None => None,
                };
                let report = gather::fleet(&store, record, &ask).await?;
                let text = match of.json {
                    true => serde_json::to_string_pretty(&report)? + "\n",
                    false => report::fleet_page(&report),
                };
                Ok((text, of.out))
            }
        }
    }
}

impl Of {
    async fn ask(&self, parts: &Parts) -> Result<(TenantStore, Ask)> {
        let tenant = parts.tenant_named(&self.tenant).await?;
        let ask = Ask {
            period: self.period.clone(),
            now: parts.clock.now(),
            tracks: false,
            identity: false,
            event_threshold: scoring_threshold,
        };
        Ok((parts.store.tenant(tenant), ask))
    }
}

/// Writes the reports of the month that was driven last, of its driver and of all vehicles: what each is, and its file.
/// None where nothing was driven.
pub(super) async fn latest(parts: &Parts, tenant: TenantId, folder: &Path) -> Result<Vec<(&'static str, PathBuf)>> {
    let store = parts.store.tenant(tenant);
    let page = Page { after: None, limit: 1 };
    let Some(last) = store.trips(TripFilter::default(), page).await?.items.pop() else {
        return Ok(Vec::new());
    };
    let ask = Ask {
        period: Month::of(last.record.local_day()).to_string().parse()?,
        now: parts.clock.now(),
        tracks: true,
        identity: false,
        event_threshold: scoring_threshold,
    };
    let mut written = Vec::new();
    let mut write = |what, name: &str, page: String| {
        let file = folder.join(name);
        std::fs::write(&file, page).with_context(|| format!("cannot write {}", file.display()))?;
        written.push((what, file));
        anyhow::Ok(())
    };
    if let Some(driver) = last.record.driver {
        let record = store.driver(&IdOrRef::Id(driver)).await?;
        let report = gather::driver(&store, record, &ask).await?;
        write("a driver's report:", "driver.html", report::driver_page(&report))?;
    }
    let report = gather::fleet(&store, None, &ask).await?;
    write("the fleet's report:", "fleet.html", report::fleet_page(&report))?;
    Ok(written)
}
