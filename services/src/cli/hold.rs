use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use odograph_domain::id::{IdOrRef, VehicleId};
use odograph_store::NewHold;
use uuid::Uuid;

use super::{rebuild::instant, table};
use crate::{config::Config, root::Parts};

#[derive(Debug, Subcommand)]
pub(super) enum Hold {
    /// Keep a vehicle's raw data of a time beyond its retention: for a claim, a court, an auditor.
    Place(Place),
    /// Show the holds of a tenant.
    List {
        /// Name or id of the tenant.
        #[arg(long)]
        tenant: String,
        /// Those released, too.
        #[arg(long)]
        all: bool,
    },
    /// End a hold: what it kept goes when its time is over.
    Release {
        /// Name or id of the tenant.
        #[arg(long)]
        tenant: String,
        /// Id of the hold.
        hold: Uuid,
    },
}

#[derive(Debug, Args)]
pub(super) struct Place {
    /// Name or id of the tenant.
    #[arg(long)]
    tenant: String,
    /// The vehicle, by id or external reference.
    #[arg(long)]
    vehicle: IdOrRef<VehicleId>,
    /// From this event time on: 2026-03-01T07:00:00Z, or 2026-03-01 for the start of a day in UTC.
    #[arg(long, value_parser = instant)]
    from: DateTime<Utc>,
    /// Up to this event time.
    #[arg(long, value_parser = instant)]
    to: DateTime<Utc>,
    /// Why, such as the number of a claim.
    #[arg(long)]
    reason: String,
    /// Who wants it.
    #[arg(long)]
    by: String,
}

impl Hold {
    pub(super) async fn run(self, config: Config) -> Result<()> {
        let parts = Parts::open_database(config).await?;
        let done = self.act(&parts).await;
        parts.close().await?;
        done
    }

    async fn act(self, parts: &Parts) -> Result<()> {
        let operator = parts.store.operator();
        match self {
            Self::Place(place) => {
                let tenant = parts.tenant_named(&place.tenant).await?;
                let new = NewHold {
                    vehicle: place.vehicle,
                    from: place.from,
                    to: place.to,
                    reason: place.reason,
                    placed_by: place.by,
                };
                let hold = operator.place_hold(tenant, new).await.context("the hold")?;
                println!("{}", hold.id);
            }
            Self::List { tenant, all } => {
                let tenant = parts.tenant_named(&tenant).await?;
                let rows = operator.holds(tenant, all).await?.into_iter().map(|hold| {
                    vec![
                        hold.id.to_string(),
                        hold.vehicle.to_string(),
                        hold.from.to_rfc3339(),
                        hold.to.to_rfc3339(),
                        hold.reason,
                        hold.placed_by,
                        hold.released_at.map_or_else(String::new, |at| at.to_rfc3339()),
                    ]
                });
                println!(
                    "{}",
                    table::render(&["hold", "vehicle", "from", "to", "reason", "by", "released"], rows)
                );
            }
            Self::Release { tenant, hold } => {
                let tenant = parts.tenant_named(&tenant).await?;
                operator.release_hold(tenant, hold).await?;
            }
        }
        Ok(())
    }
}
