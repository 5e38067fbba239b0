//! Deriving anew, on purpose: marks windows with the reason `rebuild` and works them off, or says what would come of it.
//!
//! A mark is a row: whoever is stopped halfway leaves the rest to running workers, or to the same command again. It is
//! derived the way live data is, so that nothing comes of it that live data would not have given.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use anyhow::{Result, bail};
use chrono::{DateTime, Utc};
use indicatif::ProgressBar;
use odograph_domain::{
    correction::{Cause, Why},
    id::{PolicyId, TenantId, VehicleId},
    intake::DirtyWindow,
    money::Money,
    policy::Month,
};
use odograph_store::TripTotals;
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::{
    pipeline::{
        Pipeline,
        derive::{self, Derived, TripCounts},
    },
    root::Parts,
};

/// What is to be derived anew, by event time; the end is exclusive. No bound: as far as there is data.
#[derive(Debug, Clone)]
pub struct Span {
    pub from: Option<DateTime<Utc>>,
    pub to: Option<DateTime<Utc>>,
    /// Why, in an operator's words: it goes with every correction that comes of it.
    pub note: Option<String>,
}

/// Marks the span of these vehicles; returns those that have any data of it.
pub async fn mark(parts: &Parts, tenant: TenantId, vehicles: &[VehicleId], span: &Span) -> Result<Vec<VehicleId>> {
    let store = parts.store.tenant(tenant);
    let mut marked = Vec::new();
    for vehicle in vehicles {
        if store
            .mark_rebuild(*vehicle, span.from, span.to, span.note.as_deref())
            .await?
        {
            marked.push(*vehicle);
        }
    }
    Ok(marked)
}

/// Works off what is marked of these vehicles, beside workers that do the same, and returns once nothing is left. Returns
/// how many vehicles could not be derived; they stay marked.
pub async fn work_off(
    parts: &Parts,
    tenant: TenantId,
    vehicles: &[VehicleId],
    bar: &ProgressBar,
    stop: &CancellationToken,
) -> Result<usize> {
    let (pipeline, store) = (Pipeline::new(parts), parts.store.tenant(tenant));
    let mut failed: BTreeSet<VehicleId> = BTreeSet::new();
    let mut most = 0;
    while !stop.is_cancelled() {
        let left: Vec<DirtyWindow> = store
            .dirty(Some(vehicles))
            .await?
            .into_iter()
            .filter(|dirty| dirty.cause.why.contains(&Why::Rebuild) && !failed.contains(&dirty.vehicle))
            .collect();
        if left.is_empty() {
            break;
        }
        let hours: i64 = left
            .iter()
            .map(|dirty| (dirty.window.to - dirty.window.from).num_hours() + 1)
            .sum();
        most = most.max(hours.unsigned_abs());
        bar.set_length(most);
        bar.set_position(most - hours.unsigned_abs());
        let mut derived = false;
        for vehicle in left.iter().map(|dirty| dirty.vehicle).collect::<BTreeSet<_>>() {
            if stop.is_cancelled() {
                break;
            }
            let due = parts
                .store
                .worker()
                .next_due_of(parts.clock.now(), tenant, vehicle)
                .await?;
            let Some(tx) = due else { continue };
            derived = true;
            if let Err(cause) = derive::step(&pipeline, tx, false).await? {
                error!(vehicle.id = %vehicle, error = format!("{cause:#}"), "a vehicle could not be derived; it stays marked");
                failed.insert(vehicle);
            }
        }
        if !derived {
            // All that is left is in a worker's hands.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    bar.finish_and_clear();
    Ok(failed.len())
}

/// What deriving a vehicle's span anew would come to.
#[derive(Debug, Default)]
pub struct Outlook {
    /// Trips of the span and their metres, as they are and as they would be.
    pub before: TripTotals,
    pub after: TripTotals,
    pub trips: TripCounts,
    pub corrections: usize,
    /// Premiums that would be others: what they are, if there is one, and what they would be.
    pub premiums: BTreeMap<(PolicyId, Month), (Option<Money>, Money)>,
}

/// Derives a vehicle's span and takes it all back; `None` where there is no data of it.
pub async fn outlook(
    parts: &Parts,
    tenant: TenantId,
    vehicle: VehicleId,
    span: &Span,
    stop: &CancellationToken,
) -> Result<Option<Outlook>> {
    let pipeline = Pipeline::new(parts);
    let cause = Cause::of(Why::Rebuild).noted(span.note.as_deref());
    let taken = parts
        .store
        .worker()
        .take(tenant, vehicle, (span.from, span.to), cause)
        .await?;
    let Some(mut tx) = taken else { return Ok(None) };
    let window = tx.dirty().window;
    let mut outlook = Outlook {
        before: tx.trip_totals(window).await?,
        ..Outlook::default()
    };
    loop {
        if stop.is_cancelled() {
            bail!("interrupted: nothing was changed");
        }
        let derived = derive::derive(&pipeline, &mut tx, false).await?;
        outlook.add(&derived);
        match derived.rest {
            Some(rest) if rest.cause.why.contains(&Why::Rebuild) => tx.go_on(rest),
            _ => break,
        }
    }
    outlook.after = tx.trip_totals(window).await?;
    tx.release().await?;
    Ok(Some(outlook))
}

impl Outlook {
    fn add(&mut self, derived: &Derived) {
        self.trips.added += derived.trips.added;
        self.trips.changed += derived.trips.changed;
        self.trips.withdrawn += derived.trips.withdrawn;
        self.corrections += derived.corrections.len();
        for put in &derived.premiums {
            let amount = put.row.rated.premium;
            self.premiums
                .entry((put.row.policy, put.row.rated.inputs.period))
                .and_modify(|(_, after)| *after = amount)
                .or_insert_with(|| (put.before.as_ref().map(|row| row.rated.premium), amount));
        }
    }
}
