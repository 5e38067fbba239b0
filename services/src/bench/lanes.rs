//! How long live and urgent batches wait for their commit while a backfill is worked off, and without one.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use chrono::TimeDelta;
use odograph_domain::{
    envelope::{Envelope, Lane},
    id::TenantId,
    time::EventTime,
};
use tokio::{
    task::{JoinHandle, JoinSet},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use super::{
    ingest::{self, Format, Message, batches_of, envelope, interleave, progresses},
    world::{Insured, World},
};
use crate::{meter::Meter, root::Parts, worker};

/// One live batch in so many is urgent.
const URGENT: usize = 10;
/// Messages published with one round of confirms.
const TOGETHER: usize = 50;

#[derive(Debug, Clone)]
pub struct Plan {
    pub seed: u64,
    /// Vehicles that send live, ten samples a batch.
    pub live_vehicles: usize,
    /// Live batches a second.
    pub rate: f64,
    pub lasts: Duration,
    /// Vehicles whose half hour is in the backfill, 1,800 samples each.
    pub bulk_vehicles: usize,
    /// Samples in a batch of the backfill.
    pub bulk_batch: usize,
    pub workers: usize,
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// Without a backfill, and with one.
    pub alone: Arc<Meter>,
    pub beside: Arc<Meter>,
    pub live_batches: u64,
    pub bulk_samples: u64,
    pub bulk_batches: u64,
    /// Batches of the backfill that were left when the last live one was committed.
    pub bulk_left: u64,
    pub bulk_took: Duration,
}

pub async fn run(world: &World, plan: &Plan) -> Result<Outcome> {
    let live_s = (plan.rate * plan.lasts.as_secs_f64() * 20.0 / plan.live_vehicles as f64).ceil() as u32 + 20;
    let start = EventTime::new(world.parts.clock.now() - TimeDelta::seconds(i64::from(live_s.max(1800)) + 60));
    eprintln!("registering {} vehicles …", plan.live_vehicles + plan.bulk_vehicles);
    let fleet = world
        .insure(plan.live_vehicles + plan.bulk_vehicles, start.utc().date_naive())
        .await?;
    let (live_fleet, bulk_fleet) = fleet.split_at(plan.live_vehicles);
    let live = driven(plan, (0, live_fleet), start, (live_s, 10))?;
    let bulk = driven(plan, (plan.live_vehicles, bulk_fleet), start, (1800, plan.bulk_batch))?;
    let phase = (plan.rate * plan.lasts.as_secs_f64()) as usize;
    ensure!(
        live.len() >= 2 * phase,
        "{} live batches were driven, {} are wanted",
        live.len(),
        2 * phase
    );
    world.scratch.analyze().await?;

    eprintln!("{phase} live batches, alone …");
    let alone = world.parts.clone().measured_anew();
    let working = start_workers(&alone, plan.workers);
    send_live(&alone, world, plan, &live[..phase]).await?;
    committed(&alone.meter, phase as u64, 0).await?;
    working.stop().await?;

    let bulk_samples = bulk.iter().map(|message| message.samples).sum();
    eprintln!("{phase} live batches, beside a backfill of {bulk_samples} samples …");
    let beside = world.parts.clone().measured_anew();
    publish(&beside, world.tenant, Lane::Bulk, &bulk).await?;
    let since = Instant::now();
    let working = start_workers(&beside, plan.workers);
    send_live(&beside, world, plan, &live[phase..2 * phase]).await?;
    committed(&beside.meter, phase as u64, 0).await?;
    let bulk_batches = bulk.len() as u64;
    let bulk_left = bulk_batches.saturating_sub(beside.meter.lane(Lane::Bulk).count());
    committed(&beside.meter, phase as u64, bulk_batches).await?;
    let bulk_took = since.elapsed();
    working.stop().await?;
    Ok(Outcome {
        alone: alone.meter.clone(),
        beside: beside.meter.clone(),
        live_batches: phase as u64,
        bulk_samples,
        bulk_batches,
        bulk_left,
        bulk_took,
    })
}

impl Outcome {
    /// Whether the backfill was there all the while.
    pub fn check(&self) -> Result<()> {
        ensure!(
            self.bulk_left > 0,
            "the backfill was over before the live data: give more --bulk-vehicles"
        );
        Ok(())
    }
}

fn driven(
    plan: &Plan,
    (first, fleet): (usize, &[Insured]),
    start: EventTime,
    (trip_s, batch): (u32, usize),
) -> Result<Vec<Message>> {
    let driving = ingest::Plan {
        seed: plan.seed,
        vehicles: fleet.len(),
        trips: 1,
        trip_s,
        batch,
        rate: None,
        in_flight: 0,
        workers: 0,
        publishers: 1,
        queue_full: false,
        format: Format::Json,
        size: false,
    };
    let of_each = fleet
        .iter()
        .enumerate()
        .map(|(place, insured)| batches_of(&driving, first + place, insured, start))
        .collect::<Result<Vec<_>>>()?;
    Ok(interleave(of_each))
}

struct Working {
    stop: CancellationToken,
    tasks: Vec<JoinHandle<Result<()>>>,
}

fn start_workers(parts: &Parts, workers: usize) -> Working {
    let stop = CancellationToken::new();
    let tasks = (0..workers)
        .map(|_| tokio::spawn(worker::run(parts.clone(), stop.clone())))
        .collect();
    Working { stop, tasks }
}

impl Working {
    async fn stop(self) -> Result<()> {
        self.stop.cancel();
        for task in self.tasks {
            task.await.context("a worker panicked")??;
        }
        Ok(())
    }
}

/// Sends at an even rate, one in [`URGENT`] by the urgent lane; each when it is due, whether those before are confirmed or not.
async fn send_live(parts: &Parts, world: &World, plan: &Plan, messages: &[Message]) -> Result<()> {
    // Until the partitions are held nothing would be measured but the wait for them.
    sleep(Duration::from_secs(1)).await;
    let since = Instant::now();
    let mut sending = JoinSet::new();
    for (place, message) in messages.iter().enumerate() {
        let due = Duration::from_secs_f64(place as f64 / plan.rate);
        sleep(due.saturating_sub(since.elapsed())).await;
        let lane = if place % URGENT == 0 { Lane::Urgent } else { Lane::Live };
        let (parts, tenant, message) = (parts.clone(), world.tenant, message.clone());
        sending.spawn(async move { publish(&parts, tenant, lane, &[message]).await });
    }
    while let Some(sent) = sending.join_next().await {
        sent.context("a sender panicked")??;
    }
    Ok(())
}

async fn publish(parts: &Parts, tenant: TenantId, lane: Lane, messages: &[Message]) -> Result<()> {
    for some in messages.chunks(TOGETHER) {
        let envelopes: Vec<Envelope> = some
            .iter()
            .map(|message| {
                let mut envelope = envelope(parts, tenant, message);
                envelope.header.lane = lane;
                envelope
            })
            .collect();
        parts.publisher.publish(&envelopes).await?;
    }
    Ok(())
}

/// Waits until so many live and urgent batches, and so many of the backfill, are committed.
async fn committed(meter: &Meter, live: u64, bulk: u64) -> Result<()> {
    progresses(|| async {
        let done = |lane| meter.lane(lane).count();
        let live_left = live.saturating_sub(done(Lane::Live) + done(Lane::Urgent));
        Ok(live_left + bulk.saturating_sub(done(Lane::Bulk)))
    })
    .await
}
