use anyhow::{Result, bail};
use clap::Subcommand;
use odograph_store::{LakeStatus, LakeStore};

use super::{every, table};
use crate::{
    config::Config,
    lake::{self, Synced},
    root::Parts,
    shutdown,
};

/// Workers do all of this by themselves; by hand it is done at once.
#[derive(Debug, Subcommand)]
pub(super) enum Lake {
    /// Bring what is new to the lake: days of trips that changed, and raw blocks.
    Sync,
    /// Make large containers of small ones, and delete what nobody needs any more.
    Compact,
    /// How much lies in the lake, and how far it is behind the database.
    Status,
    /// Read everything in the lake and hold it against the database; fails where they differ.
    Verify {
        /// Only of this tenant, by name or id.
        #[arg(long)]
        tenant: Option<String>,
        /// Mark what of the trips is wrong to be written anew, and delete objects that nobody knows of.
        #[arg(long)]
        repair: bool,
    },
    /// Let go of raw data in the database whose time is over and that no hold names.
    Retain,
}

impl Lake {
    pub(super) async fn run(self, config: Config) -> Result<()> {
        let parts = Parts::open_database(config).await?;
        let done = self.act(&parts).await;
        parts.close().await?;
        done
    }

    async fn act(self, parts: &Parts) -> Result<()> {
        let stop = shutdown::on_signal()?;
        if let Self::Retain = self {
            return retain(parts).await;
        }
        let keeper = parts.store.keep_lake()?;
        match self {
            Self::Sync => {
                let Synced { trips, raw } = lake::sync(&keeper, &stop).await?;
                println!(
                    "{} trips of {} days in {} files ({} bytes); {} blocks of {} samples in {} containers ({} bytes)",
                    trips.trips, trips.days, trips.files, trips.bytes, raw.blocks, raw.samples, raw.files, raw.bytes
                );
            }
            Self::Compact => {
                let compacted = lake::compact(&keeper, &stop).await?;
                let tidied = keeper.tidy().await?;
                println!(
                    "{} containers became {} ({} blocks, {} bytes); deleted {} objects that were replaced and {} of processes \
                     that died",
                    compacted.before,
                    compacted.after,
                    compacted.blocks,
                    compacted.bytes,
                    tidied.replaced,
                    tidied.orphans
                );
            }
            Self::Status => println!("{}", status(&keeper.status().await?)),
            Self::Verify { tenant, repair } => verify(parts, &keeper, tenant.as_deref(), repair).await?,
            Self::Retain => {}
        }
        if stop.is_cancelled() {
            bail!("interrupted: what is left is left for workers, or for this command again");
        }
        Ok(())
    }
}

async fn retain(parts: &Parts) -> Result<()> {
    let configured = !parts.config.lake.url.is_empty();
    let dropped = lake::retain(&parts.store, parts.clock.now(), configured).await?;
    let rows = dropped
        .into_iter()
        .map(|(tenant, dropped)| vec![tenant.to_string(), dropped.blocks.to_string(), dropped.kept.to_string()]);
    let mut table = table::render(&["tenant", "blocks dropped", "kept beyond their time"], rows);
    table::figures(&mut table, &[1, 2]);
    println!("{table}");
    Ok(())
}

fn status(tenants: &[LakeStatus]) -> String {
    let rows = tenants.iter().map(|t| {
        let figures = [
            t.trip_files,
            t.trip_bytes,
            t.trips,
            t.days_behind,
            t.raw_files,
            t.raw_bytes,
            t.blocks,
            t.block_samples,
            t.dropped_blocks,
            t.blocks_behind,
            t.unsettled,
        ];
        let mut row = vec![t.tenant.to_string(), format!("{:.3}", t.metres / 1000.0)];
        row.extend(figures.map(|figure| figure.to_string()));
        row
    });
    let header = [
        "tenant",
        "km",
        "trip files",
        "bytes",
        "trips",
        "days behind",
        "containers",
        "bytes",
        "blocks",
        "samples",
        "only here",
        "blocks behind",
        "unsettled",
    ];
    let mut table = table::render(&header, rows);
    table::figures(&mut table, &(1..header.len()).collect::<Vec<_>>());
    table.to_string()
}

async fn verify(parts: &Parts, keeper: &LakeStore, tenant: Option<&str>, repair: bool) -> Result<()> {
    let tenants = match tenant {
        Some(given) => vec![parts.tenant_named(given).await?],
        None => {
            let operator = parts.store.operator();
            let all = every(|page| operator.tenants(page)).await?;
            all.into_iter().map(|tenant| tenant.id).collect()
        }
    };
    let mut faults = 0;
    for tenant in tenants {
        let found = keeper.verify(tenant, repair).await?;
        println!(
            "tenant {tenant}: {} objects, {} bytes, {} trips, {} blocks",
            found.objects, found.bytes, found.trips, found.blocks
        );
        for fault in &found.faults {
            println!("  {} {}", fault.place, fault.what);
        }
        faults += found.faults.len();
    }
    match (faults, repair) {
        (0, _) => Ok(()),
        (_, false) => {
            bail!("{faults} things in the lake are not as the database says; --repair mends what can be mended")
        }
        (_, true) => bail!("{faults} things were not as the database says; `odograph lake sync` writes trips anew"),
    }
}
