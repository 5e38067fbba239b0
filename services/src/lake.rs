//! Looking after the lake: what is new goes there, small files become large ones, what nobody needs goes, and raw data whose
//! time in the database is over leaves it.

use std::time::Duration;

use anyhow::Result;
use chrono::TimeDelta;
use odograph_domain::id::{IdSource as _, TenantId, WorkerId};
use odograph_store::{Dropped, LakeStore, Page, RawCompacted, RawSynced, Store, TripsSynced};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    cli::every,
    root::{Parts, System},
};

/// How long a worker has the turn without saying so again.
const TURN: TimeDelta = TimeDelta::minutes(15);

/// What a run brought to the lake.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Synced {
    pub trips: TripsSynced,
    pub raw: RawSynced,
}

/// Brings all that is new to the lake: days of trips that changed, and blocks.
pub async fn sync(lake: &LakeStore, stop: &CancellationToken) -> Result<Synced> {
    let mut synced = Synced::default();
    for (tenant, day) in lake.changed_days().await? {
        if stop.is_cancelled() {
            return Ok(synced);
        }
        // `None`: another is at it just now, and writes what is to be written.
        let Some(put) = lake.put_trips(tenant, day).await? else {
            continue;
        };
        let put = put.commit().await?;
        synced.trips.days += put.days;
        synced.trips.files += put.files;
        synced.trips.trips += put.trips;
        synced.trips.bytes += put.bytes;
    }
    for tenant in lake.tenants_with_new_blocks().await? {
        while !stop.is_cancelled() {
            let put = lake.put_blocks(tenant).await?;
            if put.is_empty() {
                break;
            }
            for container in put {
                let put = container.commit().await?;
                synced.raw.files += put.files;
                synced.raw.blocks += put.blocks;
                synced.raw.samples += put.samples;
                synced.raw.bytes += put.bytes;
            }
        }
    }
    Ok(synced)
}

/// Makes large containers of small ones, wherever there are some. A day that fails does not keep the others from it.
pub async fn compact(lake: &LakeStore, stop: &CancellationToken) -> Result<RawCompacted> {
    let mut compacted = RawCompacted::default();
    let mut failed = None;
    for (tenant, day) in lake.scattered_days().await? {
        if stop.is_cancelled() {
            break;
        }
        match lake.compact_day(tenant, day).await {
            Ok(more) => {
                compacted.before += more.before;
                compacted.after += more.after;
                compacted.blocks += more.blocks;
                compacted.bytes += more.bytes;
            }
            Err(cause) => {
                warn!(tenant.id = %tenant, lake.day = %day, error = %cause, "containers of the lake could not be merged");
                failed = Some(cause);
            }
        }
    }
    match failed {
        Some(cause) => Err(cause.into()),
        None => Ok(compacted),
    }
}

/// Lets go of raw data whose time is over, tenant by tenant: with a lake only of what is there.
pub async fn retain(store: &Store, now: chrono::DateTime<chrono::Utc>, lake: bool) -> Result<Vec<(TenantId, Dropped)>> {
    let operator = store.operator();
    let mut dropped = Vec::new();
    for tenant in every(|page: Page| operator.tenants(page)).await? {
        let Some(kept) = tenant.settings.raw_kept() else {
            continue;
        };
        dropped.push((tenant.id, operator.drop_raw(tenant.id, now - kept, lake).await?));
    }
    Ok(dropped)
}

/// Runs until `shutdown`; one worker at a time does it.
pub(crate) async fn run(parts: Parts, shutdown: CancellationToken) {
    let worker: WorkerId = System.next();
    let pause = Duration::from_secs(parts.config.lake.every_s);
    while !shutdown.is_cancelled() {
        if let Err(cause) = round(&parts, worker, &shutdown).await {
            warn!(
                error = format!("{cause:#}"),
                "the lake could not be looked after; trying again later"
            );
        }
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = sleep(pause) => {}
        }
    }
}

async fn round(parts: &Parts, worker: WorkerId, stop: &CancellationToken) -> Result<()> {
    let store = &parts.store;
    let configured = !parts.config.lake.url.is_empty();
    let looked_after = if configured {
        let lake = store.keep_lake()?;
        if !lake.take_turn(worker, TURN).await? {
            return Ok(());
        }
        look_after(&lake, stop).await
    } else {
        store.operator().fold_lake_marks().await?;
        Ok(())
    };
    // Whatever became of that: what is in the lake already may leave the database.
    for (tenant, dropped) in retain(store, parts.clock.now(), configured).await? {
        if dropped.blocks > 0 {
            info!(tenant.id = %tenant, blocks = dropped.blocks, kept = dropped.kept, "raw data left the database");
        }
    }
    looked_after
}

async fn look_after(lake: &LakeStore, stop: &CancellationToken) -> Result<()> {
    let Synced { trips, raw } = sync(lake, stop).await?;
    if trips.days > 0 || raw.blocks > 0 {
        info!(
            lake.days = trips.days,
            lake.trips = trips.trips,
            lake.blocks = raw.blocks,
            lake.bytes = trips.bytes + raw.bytes,
            "brought to the lake"
        );
    }
    let compacted = compact(lake, stop).await;
    let tidied = lake.tidy().await?;
    if tidied.orphans > 0 {
        warn!(
            lake.orphans = tidied.orphans,
            "objects of a process that died were deleted"
        );
    }
    let compacted = compacted?;
    if compacted.before > 0 {
        info!(
            lake.before = compacted.before,
            lake.after = compacted.after,
            "containers of the lake merged"
        );
    }
    Ok(())
}
