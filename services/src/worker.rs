//! The worker role: holds partitions by lease, processes what their queues bring, and derives the trips that are due.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use anyhow::Result;
use chrono::TimeDelta;
use odograph_domain::{
    id::{IdSource as _, WorkerId},
    lease::Lease,
    queue::{Consumer, GenerationState, QueueError},
};
use odograph_store::StoreError;
use tokio::{
    sync::Notify,
    task::{JoinHandle, JoinSet},
    time::sleep,
};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, error, info, warn};

use crate::{
    housekeeping, lake,
    partitions::{self, Consumed},
    pipeline::{Pipeline, derive, ingest::Stop},
    root::{Parts, System},
    traces,
};

/// Between two attempts, and between two looks while a generation of queues is worked off.
const RETRY: Duration = Duration::from_millis(500);
/// Between two looks for another generation of queues, at most.
const LOOK: Duration = Duration::from_secs(2);

/// Runs until `shutdown`: then stops taking messages, finishes and commits what it has, acknowledges, and gives its
/// partitions back.
pub async fn run(parts: Parts, shutdown: CancellationToken) -> Result<()> {
    let worker: WorkerId = System.next();
    info!(worker.id = %worker, queue.partitions = parts.queue.partitions(), "worker started");
    let pipeline = Pipeline::new(&parts);
    let mut deriving = JoinSet::new();
    for _ in 0..parts.config.worker.derive_at_once {
        deriving.spawn(derive_when_due(
            pipeline.clone(),
            parts.config.worker.derive_every_ms,
            shutdown.clone(),
        ));
    }
    deriving.spawn(housekeeping::run(parts.clone(), shutdown.clone()));
    deriving.spawn(lake::run(parts.clone(), shutdown.clone()));
    let held = hold_partitions(&parts, &pipeline, worker, &shutdown).await;
    while deriving.join_next().await.is_some() {}
    info!(worker.id = %worker, "worker stopped");
    held
}

/// One partition that this worker owns, and the task that works on it.
struct Held {
    epoch: i64,
    /// Until when the lease is known to hold, in milliseconds since 1970; read by the task before each commit.
    until_ms: Arc<AtomicI64>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

async fn hold_partitions(
    parts: &Parts,
    pipeline: &Pipeline,
    worker: WorkerId,
    shutdown: &CancellationToken,
) -> Result<()> {
    let every = Duration::from_secs(u64::from(parts.config.worker.lease_s)) / 3;
    let mut held: BTreeMap<u16, Held> = BTreeMap::new();
    let mut consumed = None;
    let mut counted = BTreeMap::new();
    while !shutdown.is_cancelled() {
        if let Err(cause) = take_up_generation(parts, &mut consumed, &mut held).await {
            warn!(
                error = format!("{cause:#}"),
                "which queues to consume cannot be told; trying again"
            );
        }
        // Not even told once: there is nothing to hold yet.
        let Some(now) = consumed else {
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = sleep(RETRY) => {}
            }
            continue;
        };
        match share(parts, worker, now.generation.partitions).await {
            Ok(Share { keep, give }) => {
                count_leases(parts, &mut counted, &keep, &give);
                adjust(&mut held, keep, (parts, now), pipeline, shutdown).await;
                // Only now that nobody here works on them any more.
                if let Err(cause) = parts.store.leases().release(&give).await {
                    warn!(error = %cause, "could not give partitions back; they run out");
                }
            }
            Err(cause) => warn!(error = %cause, "could not renew the leases; trying again"),
        }
        tokio::select! {
            () = shutdown.cancelled() => {}
            // A generation that is being worked off is to be so soon.
            () = sleep(if now.state.is_consumed_first() { every.min(RETRY) } else { every.min(LOOK) }) => {}
        }
    }
    for (_, partition) in std::mem::take(&mut held) {
        stop(partition).await;
    }
    parts.meter.counts.leases_held.set(0);
    let leases = parts.store.leases();
    let ttl = TimeDelta::seconds(i64::from(parts.config.worker.lease_s));
    let last = leases.renew(worker, parts.clock.now(), ttl).await?;
    leases.release(&last).await?;
    Ok(leases.leave(worker).await?)
}

/// Goes over to the generation of queues that is to be consumed now. What is held of the one before is given back first.
async fn take_up_generation(
    parts: &Parts,
    consumed: &mut Option<Consumed>,
    held: &mut BTreeMap<u16, Held>,
) -> Result<()> {
    let next = partitions::advance(&parts.store, &*parts.queue).await?;
    if *consumed == Some(next) {
        return Ok(());
    }
    for (_, partition) in std::mem::take(held) {
        stop(partition).await;
    }
    let superseded = next.state != GenerationState::Current;
    parts.queue.consume_from(next.generation, superseded).await?;
    info!(
        queue.generation = next.generation.number,
        queue.partitions = next.generation.partitions,
        queue.state = %next.state,
        "consuming"
    );
    *consumed = Some(next);
    Ok(())
}

/// What a worker goes on with, and what it gives to others.
struct Share {
    keep: Vec<Lease>,
    give: Vec<Lease>,
}

/// Renews what this worker holds and takes what is free, up to its fair share: all partitions over all live workers,
/// rounded up. With more than that, it gives some back so that a worker that came later gets its part.
async fn share(parts: &Parts, worker: WorkerId, partitions: u16) -> Result<Share, StoreError> {
    let (leases, now) = (parts.store.leases(), parts.clock.now());
    let ttl = TimeDelta::seconds(i64::from(parts.config.worker.lease_s));
    let workers = leases.attend(worker, now, ttl).await?.len().max(1);
    let fair = usize::from(partitions).div_ceil(workers);
    // Those of a generation with more partitions are of no more use.
    let (mut keep, beyond): (Vec<Lease>, Vec<Lease>) = leases
        .renew(worker, now, ttl)
        .await?
        .into_iter()
        .partition(|lease| lease.partition < partitions);
    if keep.len() < fair {
        let want = (fair - keep.len()) as u16;
        keep.extend(leases.acquire(worker, partitions, want, now, ttl).await?);
    }
    let mut give = keep.split_off(fair.min(keep.len()));
    give.extend(beyond);
    Ok(Share { keep, give })
}

/// What changed hands. What is neither kept nor given was lost: the lease ran out, and another took it. By the leases, and not by
/// what is being worked on, which ends and begins with every generation of queues.
fn count_leases(parts: &Parts, counted: &mut BTreeMap<u16, i64>, keep: &[Lease], give: &[Lease]) {
    let epochs = |leases: &[Lease]| -> BTreeMap<u16, i64> {
        leases.iter().map(|lease| (lease.partition, lease.epoch)).collect()
    };
    let (kept, given) = (epochs(keep), epochs(give));
    let counts = &parts.meter.counts;
    for (partition, epoch) in &*counted {
        if given.get(partition) == Some(epoch) {
            counts.leases_given.inc();
        } else if kept.get(partition) != Some(epoch) {
            counts.leases_lost.inc();
        }
    }
    let gained = kept
        .iter()
        .filter(|(partition, epoch)| counted.get(*partition) != Some(*epoch));
    counts.leases_gained.inc_by(gained.count() as u64);
    counts.leases_held.set(kept.len() as i64);
    *counted = kept;
}

/// Starts work on partitions that were gained and ends it on those that were lost.
async fn adjust(
    held: &mut BTreeMap<u16, Held>,
    current: Vec<Lease>,
    (parts, consumed): (&Parts, Consumed),
    pipeline: &Pipeline,
    shutdown: &CancellationToken,
) {
    let lost: Vec<u16> = held
        .iter()
        .filter(|(number, partition)| {
            let kept = current
                .iter()
                .any(|lease| lease.partition == **number && lease.epoch == partition.epoch);
            !kept || partition.task.is_finished()
        })
        .map(|(number, _)| *number)
        .collect();
    for number in lost {
        if let Some(partition) = held.remove(&number) {
            stop(partition).await;
        }
    }
    for lease in current {
        let until_ms = lease.until.timestamp_millis();
        if let Some(partition) = held.get(&lease.partition) {
            partition.until_ms.store(until_ms, Ordering::Relaxed);
            continue;
        }
        let until_ms = Arc::new(AtomicI64::new(until_ms));
        let stop = shutdown.child_token();
        let sealed = consumed.state == GenerationState::Sealed;
        let work = work_on(
            (parts.clone(), sealed),
            pipeline.clone(),
            lease,
            until_ms.clone(),
            stop.clone(),
        );
        let task = tokio::spawn(work);
        held.insert(
            lease.partition,
            Held {
                epoch: lease.epoch,
                until_ms,
                stop,
                task,
            },
        );
    }
}

async fn stop(partition: Held) {
    partition.stop.cancel();
    if let Err(cause) = partition.task.await {
        error!(error = %cause, "a partition's task ended badly");
    }
}

/// Until it is stopped, or the lease is lost, or a sealed partition has nothing more: whoever wants to know whether it is empty
/// must not see it being consumed.
async fn work_on(
    (parts, sealed): (Parts, bool),
    pipeline: Pipeline,
    lease: Lease,
    until_ms: Arc<AtomicI64>,
    stop: CancellationToken,
) {
    if sealed && !matches!(parts.queue.has_waiting(lease.partition).await, Ok(true)) {
        return;
    }
    let mut consumer = match parts.queue.consume(lease.partition).await {
        Ok(consumer) => consumer,
        Err(cause) => {
            warn!(queue.partition = lease.partition, error = %cause, "cannot consume the partition; trying again");
            return;
        }
    };
    parts.meter.lag.holds(lease.partition, parts.clock.now());
    let outcome = take_and_commit((&parts, sealed), &pipeline, &lease, &until_ms, consumer.as_mut(), &stop).await;
    parts.meter.lag.leaves(lease.partition);
    if let Err(cause) = outcome {
        warn!(queue.partition = lease.partition, error = %cause, "left the partition");
    }
    if let Err(cause) = consumer.close().await {
        warn!(queue.partition = lease.partition, error = %cause, "the consumer did not close cleanly");
    }
}

#[derive(Debug, thiserror::Error)]
enum Left {
    #[error(transparent)]
    Queue(#[from] QueueError),
    #[error(transparent)]
    Stopped(#[from] Stop),
}

async fn take_and_commit(
    (parts, sealed): (&Parts, bool),
    pipeline: &Pipeline,
    lease: &Lease,
    until_ms: &AtomicI64,
    consumer: &mut dyn Consumer,
    stop: &CancellationToken,
) -> Result<(), Left> {
    let (most, wait) = (
        parts.config.worker.batch_messages,
        Duration::from_millis(parts.config.worker.batch_wait_ms),
    );
    while !stop.is_cancelled() {
        // The epoch is the fence; this only spares work that the fence would refuse.
        if parts.clock.now().timestamp_millis() > until_ms.load(Ordering::Relaxed) {
            sleep(wait).await;
            continue;
        }
        let deliveries = consumer.receive(most, wait).await?;
        if deliveries.is_empty() && sealed {
            return Ok(());
        }
        if deliveries.is_empty() {
            parts.meter.lag.idle(lease.partition);
            continue;
        }
        let receipts: Vec<_> = deliveries.iter().map(|delivery| delivery.receipt).collect();
        let traced = traces::micro_batch(lease.partition, &deliveries);
        let ingesting = pipeline.ingest(lease, deliveries, stop);
        ingesting.instrument(traced.span.clone()).await?;
        drop(traced);
        consumer.acknowledge(&receipts).await?;
        parts.meter.lag.done(lease.partition);
    }
    Ok(())
}

async fn derive_when_due(pipeline: Pipeline, every_ms: u64, shutdown: CancellationToken) {
    let woken: Arc<Notify> = pipeline.derive_wanted();
    while !shutdown.is_cancelled() {
        let done = derive::all_due(&pipeline, None, false, &shutdown).await;
        if let Err(cause) = done {
            error!(error = format!("{cause:#}"), "trips could not be derived; trying again");
            sleep(Duration::from_millis(every_ms)).await;
        }
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = woken.notified() => {}
            () = sleep(Duration::from_millis(every_ms)) => {}
        }
    }
}
