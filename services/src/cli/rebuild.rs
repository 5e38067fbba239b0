use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use clap::Args;
use odograph_domain::{
    correction::Why,
    id::{IdOrRef, TenantId, VehicleId},
};
use odograph_store::{CorrectionFilter, TenantStore};
use tokio_util::sync::CancellationToken;

use super::{every, table};
use crate::{
    config::Config,
    import,
    rebuild::{self, Outlook, Span},
    root::Parts,
    shutdown,
};

#[derive(Debug, Args)]
pub(super) struct Rebuild {
    /// Name or id of the tenant.
    #[arg(long)]
    tenant: String,
    /// Only this vehicle, by id or external reference; can be given several times. Without it, all vehicles.
    #[arg(long = "vehicle", value_name = "VEHICLE")]
    vehicles: Vec<IdOrRef<VehicleId>>,
    /// From this event time on: 2026-03-01T07:00:00Z, or 2026-03-01 for the start of a day in UTC.
    #[arg(long, value_parser = instant)]
    from: Option<DateTime<Utc>>,
    /// Before this event time.
    #[arg(long, value_parser = instant)]
    to: Option<DateTime<Utc>>,
    /// Why, in your words: it goes with every correction that comes of it.
    #[arg(long, value_name = "NOTE")]
    reason: Option<String>,
    /// Say what would change, and change nothing.
    #[arg(long, conflicts_with = "no_wait")]
    dry_run: bool,
    /// Only mark what is to be derived, and leave it to running workers.
    #[arg(long)]
    no_wait: bool,
}

pub(super) fn instant(text: &str) -> Result<DateTime<Utc>, String> {
    if let Ok(day) = text.parse::<NaiveDate>() {
        return Ok(day.and_time(NaiveTime::MIN).and_utc());
    }
    text.parse::<DateTime<Utc>>()
        .map_err(|_| format!("wanted a time such as 2026-03-01T07:00:00Z or a day such as 2026-03-01, got {text:?}"))
}

/// A vehicle, and how it is called.
struct Named {
    id: VehicleId,
    name: String,
}

impl Rebuild {
    pub(super) async fn run(self, config: Config) -> Result<()> {
        let parts = Parts::open_database(config).await?;
        let done = self.act(&parts).await;
        parts.close().await?;
        done
    }

    async fn act(self, parts: &Parts) -> Result<()> {
        if let (Some(from), Some(to)) = (self.from, self.to)
            && to <= from
        {
            bail!("--to {to} is not after --from {from}");
        }
        let tenant = parts.tenant_named(&self.tenant).await?;
        let vehicles = self.named(&parts.store.tenant(tenant)).await?;
        let stop = shutdown::on_signal()?;
        let span = Span {
            from: self.from,
            to: self.to,
            note: self.reason.clone(),
        };
        if self.dry_run {
            return dry_run(parts, tenant, &vehicles, &span, &stop).await;
        }
        self.rebuild(parts, tenant, &vehicles, &span, &stop).await
    }

    async fn named(&self, store: &TenantStore) -> Result<Vec<Named>> {
        let records = if self.vehicles.is_empty() {
            every(|page| store.vehicles(page)).await?
        } else {
            let mut records = Vec::new();
            for given in &self.vehicles {
                let found = store.vehicle(given).await;
                records.push(found.with_context(|| format!("vehicle {given}"))?);
            }
            records
        };
        let name = |record: odograph_store::VehicleRecord| Named {
            id: record.id,
            name: record
                .external_ref
                .map_or_else(|| record.id.to_string(), |name| name.to_string()),
        };
        Ok(records.into_iter().map(name).collect())
    }

    async fn rebuild(
        &self,
        parts: &Parts,
        tenant: TenantId,
        vehicles: &[Named],
        span: &Span,
        stop: &CancellationToken,
    ) -> Result<()> {
        let began = parts.clock.now();
        let ids: Vec<VehicleId> = vehicles.iter().map(|vehicle| vehicle.id).collect();
        let marked = rebuild::mark(parts, tenant, &ids, span).await?;
        println!(
            "marked {} of {} vehicles to be derived anew",
            marked.len(),
            vehicles.len()
        );
        if self.no_wait {
            return Ok(());
        }
        let bar = import::progress("rebuilding", 0, "{pos}/{len} h of history")?;
        let failed = rebuild::work_off(parts, tenant, &marked, &bar, stop).await?;
        if stop.is_cancelled() {
            bail!("interrupted: the rest stays marked, for running workers or for this command again");
        }
        println!("{}", corrected(&parts.store.tenant(tenant), began).await?);
        if failed > 0 {
            bail!("{failed} vehicles could not be derived; they stay marked, and workers try again");
        }
        Ok(())
    }
}

/// What was corrected by rebuilding since a time.
async fn corrected(store: &TenantStore, began: DateTime<Utc>) -> Result<String> {
    let filter = CorrectionFilter {
        why: Some(Why::Rebuild),
        from: Some(began),
        ..CorrectionFilter::default()
    };
    let mut kinds: BTreeMap<&'static str, u64> = BTreeMap::new();
    for row in every(|page| store.corrections(&filter, page)).await? {
        *kinds.entry(row.correction.kind.as_str()).or_default() += 1;
    }
    if kinds.is_empty() {
        return Ok("nothing changed: what is shown is what the raw data says".to_owned());
    }
    let rows = kinds
        .into_iter()
        .map(|(kind, count)| vec![kind.to_owned(), count.to_string()]);
    let mut table = table::render(&["correction", "count"], rows);
    table::figures(&mut table, &[1]);
    Ok(format!(
        "{table}\nGET /v1/corrections?why=rebuild tells each with before and after"
    ))
}

async fn dry_run(
    parts: &Parts,
    tenant: TenantId,
    vehicles: &[Named],
    span: &Span,
    stop: &CancellationToken,
) -> Result<()> {
    let bar = import::progress("looking", vehicles.len() as u64, "{pos}/{len} vehicles")?;
    let mut outlooks = Vec::new();
    for vehicle in vehicles {
        let found = rebuild::outlook(parts, tenant, vehicle.id, span, stop).await;
        if let Some(outlook) = found.with_context(|| format!("deriving vehicle {}", vehicle.name))? {
            outlooks.push((vehicle, outlook));
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    let changed = outlooks.iter().filter(|(_, outlook)| changes(outlook)).count();
    println!(
        "{changed} of {} vehicles with data would change; nothing was written",
        outlooks.len()
    );
    if changed == 0 {
        return Ok(());
    }
    let trips = outlooks
        .iter()
        .filter(|(_, outlook)| changes(outlook))
        .map(|(vehicle, outlook)| {
            let km = |metres: f64| format!("{:.3}", metres / 1000.0);
            vec![
                vehicle.name.clone(),
                outlook.before.trips.to_string(),
                outlook.after.trips.to_string(),
                km(outlook.before.metres),
                km(outlook.after.metres),
                outlook.trips.added.to_string(),
                outlook.trips.changed.to_string(),
                outlook.trips.withdrawn.to_string(),
                outlook.corrections.to_string(),
            ]
        });
    let header = [
        "vehicle",
        "trips",
        "would be",
        "km",
        "would be",
        "added",
        "changed",
        "withdrawn",
        "corrections",
    ];
    let mut table = table::render(&header, trips);
    table::figures(&mut table, &[1, 2, 3, 4, 5, 6, 7, 8]);
    println!("{table}");
    println!("{}", premiums(&outlooks));
    Ok(())
}

fn changes(outlook: &Outlook) -> bool {
    outlook.trips != Default::default() || !outlook.premiums.is_empty() || outlook.corrections > 0
}

fn premiums(outlooks: &[(&Named, Outlook)]) -> String {
    let rows: Vec<Vec<String>> = outlooks
        .iter()
        .flat_map(|(vehicle, outlook)| outlook.premiums.iter().map(move |change| (vehicle, change)))
        .map(|(vehicle, ((policy, month), (before, after)))| {
            vec![
                vehicle.name.clone(),
                policy.to_string(),
                month.to_string(),
                before.map_or_else(String::new, |before| before.to_string()),
                after.to_string(),
            ]
        })
        .collect();
    if rows.is_empty() {
        return "no premium would change".to_owned();
    }
    let mut table = table::render(&["vehicle", "policy", "period", "premium", "would be"], rows);
    table::figures(&mut table, &[3, 4]);
    table.to_string()
}
