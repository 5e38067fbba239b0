//! From the journal to trips: a vehicle's dirty window is derived again from its raw data, whole, in one transaction.
//!
//! Trips are a function of the raw data, so it does not matter in which order the data came, or how often this runs.

use std::{
    collections::{BTreeSet, HashMap},
    panic::AssertUnwindSafe,
    sync::Arc,
    time::Instant,
};

use anyhow::Result;
use chrono::{NaiveDate, TimeDelta};
use futures_util::FutureExt as _;
use odograph_domain::{
    batch::RawSample,
    correction::{Cause, Correction, Why},
    id::{DriverId, TenantId, TripId},
    intake::{DirtyWindow, VehicleContext},
    time::{EventTime, Window},
    trip::{Trip, TripRecord},
};
use odograph_ingest::{
    assemble::{self, Assembled},
    order::{self, Merged},
    window,
};
use odograph_store::{DeriveTx, PutPremium, StoredTrip, content_hash};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, error, warn};

use super::{
    Pipeline, charge,
    correct::{Replaced, Shown},
    records::{features_of, keep_ids, left_of_named},
};
use crate::meter::Step;

/// Derives every window that is due, of one tenant or of all; with `force`, those too that a timer still holds back.
/// Returns how many were derived.
pub async fn all_due(
    pipeline: &Pipeline,
    only: Option<TenantId>,
    force: bool,
    shutdown: &CancellationToken,
) -> Result<u64> {
    let mut derived = 0;
    while !shutdown.is_cancelled() {
        let Some(tx) = pipeline
            .store
            .worker()
            .next_due(pipeline.clock.now(), only, force)
            .await?
        else {
            break;
        };
        let vehicle = tx.dirty().vehicle;
        match step(pipeline, tx, force)
            .instrument(pipeline.traced.derive(vehicle))
            .await?
        {
            Ok(_) => {}
            Err(cause) if force => return Err(cause.context(format!("deriving vehicle {vehicle}"))),
            // One vehicle whose data does not derive must not keep the others waiting.
            Err(cause) => {
                error!(vehicle.id = %vehicle, error = format!("{cause:#}"), "a vehicle could not be derived; put off");
            }
        }
        derived += 1;
    }
    Ok(derived)
}

/// Derives a window that was taken, and commits it. One that does not derive is put off, and the inner error says why.
pub async fn step(pipeline: &Pipeline, mut tx: DeriveTx, force: bool) -> Result<Result<Derived>> {
    let (began, counts) = (Instant::now(), &pipeline.meter.counts);
    let derived = AssertUnwindSafe(derive(pipeline, &mut tx, force)).catch_unwind().await;
    match derived.unwrap_or_else(|_| Err(anyhow::anyhow!("deriving panicked"))) {
        Ok(derived) => {
            let _running = pipeline.meter.step(Step::Close);
            tx.commit(derived.rest.clone()).await?;
            counts.derived(began.elapsed(), Some((derived.trips, derived.corrections.as_slice())));
            Ok(Ok(derived))
        }
        Err(cause) => {
            tx.put_off(PUT_OFF).await?;
            counts.derived(began.elapsed(), None);
            Ok(Err(cause))
        }
    }
}

/// What changed, and so what must be charged anew.
#[derive(Debug, Default)]
pub struct Changes {
    /// Insured-local days whose mileage may have changed.
    pub days: BTreeSet<NaiveDate>,
    /// Drivers whose behaviour may have changed.
    pub drivers: BTreeSet<DriverId>,
    /// How far what was shown reached before.
    pub shown: Shown,
    /// Trips that are not what was shown of them.
    pub corrections: Vec<Correction>,
    pub trips: TripCounts,
}

impl Changes {
    /// Trips that nothing is left to derive from stay, but a policy or an assignment made since may charge them.
    fn of_kept(kept: &[StoredTrip]) -> Self {
        let mut changes = Self::default();
        for trip in kept {
            changes.days.extend(trip.days.iter().copied());
            changes.days.insert(trip.start_day);
            changes.drivers.extend(trip.driver);
        }
        changes
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TripCounts {
    pub added: u64,
    pub changed: u64,
    pub withdrawn: u64,
}

/// What deriving a window came to.
#[derive(Debug)]
pub struct Derived {
    /// What of it is still to be derived, later.
    pub rest: Option<DirtyWindow>,
    pub trips: TripCounts,
    /// Premiums that are new or another.
    pub premiums: Vec<PutPremium>,
    /// Of trips, scores and premiums.
    pub corrections: Vec<Correction>,
}

/// How much of a window is derived in one transaction: one old sample beside a new one makes a window of a year.
const SLICE: TimeDelta = TimeDelta::days(7);

/// The least that event times differ by.
const INSTANT: TimeDelta = TimeDelta::milliseconds(1);

/// How long a window that failed is left alone.
const PUT_OFF: TimeDelta = TimeDelta::minutes(1);

/// Derives one window: writes into the transaction what comes of it, and leaves the commit to the caller.
pub async fn derive(pipeline: &Pipeline, tx: &mut DeriveTx, force: bool) -> Result<Derived> {
    let meter = &pipeline.meter;
    let running = meter.step(Step::Claim);
    let mut context = Arc::unwrap_or_clone(tx.context().await?);
    drop(running);
    let mut whole = tx.dirty().window;
    let mut kept = Vec::new();
    let floor = tx.floor(window::reach(&context.settings.trip)).await?;
    if let Some(floor) = floor.filter(|floor| whole.from < *floor) {
        let to = whole.to.min(floor - INSTANT);
        kept = tx.trips_overlapping(Window { to, ..whole }).await?;
        whole.from = floor;
    }
    let changes = Changes::of_kept(&kept);
    if whole.to < whole.from {
        return keep(pipeline, tx, &context, changes).await;
    }
    let slice = Window {
        to: whole.to.min(whole.from + SLICE),
        ..whole
    };
    let running = meter.step(Step::Rebuild);
    let Rebuilt {
        window,
        old,
        merged,
        mut trips,
        next,
    } = rebuild_at_home(tx, &context, slice, floor).await?;
    let next = match next {
        Some(at) if window.to < whole.to && at <= whole.to => Some(Window { from: at, ..whole }),
        _ => None,
    };
    let timed_out = tx.dirty().due_at <= pipeline.clock.now() && !tx.dirty().at_once;
    let silent = force || timed_out || next.is_some();
    let open = close_last(&mut trips, &old, silent)?;
    drop(running);
    let running = meter.step(Step::Features);
    context.left.extend(left_of_named(tx, &merged).await?);
    let mut records = features_of(&merged, &trips, &context)?;
    drop(running);
    let running = meter.step(Step::Replace);
    let removed = keep_ids(&mut records, &old, &context, pipeline);
    let changes = replace(tx, changes, &removed, records, &old).await?;
    drop(running);
    let running = meter.step(Step::Charge);
    let charged = charge::charge(pipeline, tx, &context, &changes, next.is_none()).await?;
    let corrections = [changes.corrections, charged.corrections].concat();
    tx.correct(&corrections).await?;
    drop(running);
    let running = meter.step(Step::Compact);
    tx.compact(open.map_or(window.to + INSTANT, |open| open.from)).await?;
    drop(running);
    let dirty = tx.dirty().clone();
    let rest = match (next, open) {
        (Some(window), _) => Some(DirtyWindow { window, ..dirty }),
        (None, Some(window)) => Some(DirtyWindow {
            window,
            due_at: pipeline.clock.now() + context.settings.trip.memory(),
            at_once: false,
            // Why the window was dirty is settled; the trip under way waits for what follows.
            cause: Cause::of(Why::NewData),
            open_s: u32::try_from(context.settings.trip.memory().num_seconds()).ok(),
            ..dirty
        }),
        (None, None) => None,
    };
    Ok(Derived {
        rest,
        trips: changes.trips,
        premiums: charged.premiums,
        corrections,
    })
}

/// A window of a time whose raw data is gone for good: its trips stay as they are, and are charged as they are.
async fn keep(pipeline: &Pipeline, tx: &mut DeriveTx, context: &VehicleContext, changes: Changes) -> Result<Derived> {
    let changes = replace(tx, changes, &[], Vec::new(), &[]).await?;
    let charged = charge::charge(pipeline, tx, context, &changes, true).await?;
    tx.correct(&charged.corrections).await?;
    let dirty = tx.dirty().clone();
    let rows = tx.compact(dirty.window.to + INSTANT).await?;
    if rows > 0 {
        warn!(
            vehicle.id = %dirty.vehicle,
            rows,
            "raw data came of a time whose trips can be derived no more; it is kept, and they stay as they are"
        );
    }
    Ok(Derived {
        rest: None,
        trips: changes.trips,
        premiums: charged.premiums,
        corrections: charged.corrections,
    })
}

/// Whether raw data can turn out to be of another vehicle or person by it.
fn moves_data(why: Why) -> bool {
    matches!(
        why,
        Why::DeviceChanged | Why::AssignmentChanged | Why::OwnershipChanged | Why::PolicyChanged
    )
}

/// As [`rebuild`], once all that was read lies where it belongs by what is known now: what the window grows to, too.
async fn rebuild_at_home(
    tx: &mut DeriveTx,
    context: &VehicleContext,
    slice: Window,
    floor: Option<EventTime>,
) -> Result<Rebuilt> {
    if !tx.dirty().cause.why.iter().any(|why| moves_data(*why)) {
        return rebuild(tx, context, slice, floor).await;
    }
    let mut settled = slice;
    tx.rehome(context, settled).await?;
    loop {
        let rebuilt = rebuild(tx, context, slice, floor).await?;
        let grown = settled.union(rebuilt.window);
        if grown == settled {
            return Ok(rebuilt);
        }
        settled = grown;
        if tx.rehome(context, settled).await? == 0 {
            return Ok(rebuilt);
        }
    }
}

/// A window that holds every trip its change can touch, as it was and as it is now.
struct Rebuilt {
    window: Window,
    old: Vec<StoredTrip>,
    merged: Merged,
    trips: Vec<Assembled>,
    /// Time of the first sample after the window.
    next: Option<EventTime>,
}

/// Derives the dirty window, grown until neither a stored trip nor a derived one is within reach of its edges. It does not grow
/// beyond the floor: what lies before has no raw data any more, and its trips stay as they are.
async fn rebuild(
    tx: &mut DeriveTx,
    context: &VehicleContext,
    dirty: Window,
    floor: Option<EventTime>,
) -> Result<Rebuilt> {
    let settings = &context.settings.trip;
    let bounded = |window: Window| Window {
        from: floor.map_or(window.from, |floor| window.from.max(floor)),
        ..window
    };
    let mut window = dirty;
    let mut raw = Raw::default();
    loop {
        let reading = bounded(window::reading(window, settings));
        let old = tx.trips_overlapping(reading).await?;
        let stored: Vec<Window> = old.iter().map(|trip| trip.bounds.window()).collect();
        let grown = bounded(window::expand(window, settings, &stored));
        if grown != window {
            window = grown;
            continue;
        }
        let merged = order::merge(raw.read(tx, reading).await?.to_vec());
        let later = tx.raw_after(reading.to).await?;
        let trips = assemble::assemble_between(&merged.samples, &context.handovers, settings);
        let trips = assemble::close_before(trips, later, &context.handovers, settings);
        let derived: Vec<Window> = trips.iter().map(|trip| extent(&trip.trip)).collect();
        let grown = bounded(window::expand(window, settings, &derived));
        if grown == window {
            let within = merged
                .samples
                .iter()
                .map(|raw| raw.sample.ts)
                .find(|ts| *ts > window.to);
            return Ok(Rebuilt {
                window,
                old,
                merged,
                trips,
                next: within.or(later),
            });
        }
        window = grown;
    }
}

/// The raw samples of a window that grows. What was read and decrypted once is not again.
#[derive(Default)]
struct Raw {
    window: Option<Window>,
    samples: Vec<RawSample>,
}

impl Raw {
    /// The samples of a window that holds those before it.
    async fn read(&mut self, tx: &mut DeriveTx, window: Window) -> Result<&[RawSample]> {
        match self.window.replace(window) {
            None => self.samples = tx.raw(window).await?,
            Some(known) => {
                if window.from < known.from {
                    let to = known.from - INSTANT;
                    let earlier = tx.raw(Window { to, ..window }).await?;
                    self.samples.splice(0..0, earlier);
                }
                if known.to < window.to {
                    let from = known.to + INSTANT;
                    self.samples.extend(tx.raw(Window { from, ..window }).await?);
                }
            }
        }
        Ok(&self.samples)
    }
}

fn extent(trip: &Trip) -> Window {
    match *trip {
        Trip::Open { start, last, .. } => Window { from: start, to: last },
        Trip::Provisional(bounds) | Trip::Closed(bounds) => bounds.window(),
    }
}

/// The last trip may have no end yet. It is ended by silence when the timer says so, or where it was shown to the world
/// already; else it is left out, and its window is returned: it is still to be derived.
fn close_last(assembled: &mut Vec<Assembled>, old: &[StoredTrip], silent: bool) -> Result<Option<Window>> {
    let Some(last) = assembled.last_mut() else {
        return Ok(None);
    };
    let Trip::Open { start, last: end, .. } = last.trip else {
        return Ok(None);
    };
    let open = Window { from: start, to: end };
    if silent || old.iter().any(|trip| trip.bounds.window().overlaps(open)) {
        last.trip = last.trip.fall_silent()?;
        return Ok((!silent).then_some(open));
    }
    assembled.pop();
    Ok(Some(open))
}

/// Writes what differs, and says what the window touches, beside what is known to change.
async fn replace(
    tx: &mut DeriveTx,
    mut changes: Changes,
    removed: &[TripId],
    records: Vec<TripRecord>,
    old: &[StoredTrip],
) -> Result<Changes> {
    let known: HashMap<TripId, &StoredTrip> = old.iter().map(|trip| (trip.id, trip)).collect();
    let mut changed = Vec::new();
    for mut record in records {
        match known.get(&record.id) {
            Some(before) if before.content_hash == content_hash(&record) => {
                // The trip stays, but a policy or an assignment made since may charge it.
                changes.days.extend(before.days.iter().copied());
                changes.days.insert(record.local_day());
                changes.drivers.extend(before.driver);
                continue;
            }
            Some(before) => record.version = before.version + 1,
            None => {}
        }
        changed.push(record);
    }
    for id in removed.iter().copied().chain(changed.iter().map(|record| record.id)) {
        if let Some(before) = known.get(&id) {
            changes.days.extend(before.days.iter().copied());
            changes.drivers.extend(before.driver);
        }
    }
    for record in &changed {
        changes
            .days
            .extend(record.features.mileage.by_day.iter().map(|share| share.day));
        changes.days.insert(record.local_day());
        changes.drivers.extend(record.driver);
    }
    let added = changed.iter().filter(|record| record.version == 1).count();
    changes.trips = TripCounts {
        added: added as u64,
        changed: (changed.len() - added) as u64,
        withdrawn: removed.len() as u64,
    };
    let drivers: Vec<DriverId> = changes.drivers.iter().copied().collect();
    changes.shown = Shown {
        vehicle: tx.shown_until().await?,
        drivers: tx.shown_of_drivers(&drivers).await?,
    };
    let replaced = Replaced {
        vehicle: tx.dirty().vehicle,
        old,
        removed,
        changed: &changed,
    };
    changes.corrections = replaced.corrections(&changes.shown, &tx.dirty().cause);
    tx.put_trips(removed, &changed).await?;
    tell(tx, &changed, removed, &changes.corrections);
    Ok(changes)
}

/// Leaves word of each trip that is another than before.
fn tell(tx: &mut DeriveTx, changed: &[TripRecord], removed: &[TripId], corrections: &[Correction]) {
    for record in changed {
        let corrected = corrections.iter().any(|correction| correction.trip == Some(record.id));
        let topic = match (corrected, record.version) {
            (true, _) => "trip.corrected",
            (false, 1) => "trip.completed",
            (false, _) => "trip.continued",
        };
        let payload = json!({ "trip": record.id, "vehicle": record.vehicle, "version": record.version,
            "start": record.bounds.start, "end": record.bounds.end, "state": record.state(),
            "billable_m": record.features.mileage.billable_m });
        tx.outbox(topic, record.id, payload);
    }
    for id in removed {
        tx.outbox("trip.withdrawn", id, json!({ "trip": id }));
    }
}
