//! From the publisher to committed trips, scores and premiums: how many samples a second.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use chrono::TimeDelta;
use futures_util::future::try_join_all;
use odograph_domain::{
    batch::{AccelFrame, Batch, BatchId, Gravity},
    envelope::{ContentEncoding, ContentType, Envelope, Header, Lane, Source},
    id::{MessageId, TenantId, VehicleId},
    queue::{Publisher, Queue},
    sample::Sample,
    time::{EventTime, ReceivedAt},
};
use odograph_ingest::rabbit::RabbitQueue;
use odograph_store::{Census, PayloadTable};
use serde::Serialize;
use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    cpu::Cpu,
    drive::Car,
    world::{Insured, World, unique},
};
use crate::{
    meter::{Meter, Step},
    root::{Parts, rabbit_options},
    worker,
};

/// What is to be driven, sent and worked on.
#[derive(Debug, Clone)]
pub struct Plan {
    pub seed: u64,
    pub vehicles: usize,
    pub trips: u32,
    pub trip_s: u32,
    /// Samples in a batch.
    pub batch: usize,
    /// Samples offered a second; as fast as it goes where `None`.
    pub rate: Option<f64>,
    /// Batches sent and not yet committed, at most: a fleet does not send faster than it is served for long.
    pub in_flight: u64,
    pub workers: usize,
    pub publishers: usize,
    /// Everything is in the queue before anybody works on it, so that the workers alone are measured.
    pub queue_full: bool,
    pub format: Format,
    /// Look at what it takes in the database, too.
    pub size: bool,
}

/// How batches are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    Json,
    Protobuf,
}

impl Format {
    fn content_type(self) -> ContentType {
        match self {
            Self::Json => ContentType::Json,
            Self::Protobuf => ContentType::Protobuf,
        }
    }
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    pub samples: u64,
    pub batches: u64,
    /// Until the last batch was committed.
    pub ingested: Duration,
    /// Until nothing was left to derive.
    pub derived: Duration,
    pub census: Census,
    pub meter: Arc<Meter>,
    /// Processor time until the last batch was committed, and until all was derived: ours (publishers, unless the queue was full
    /// before, and workers) and the servers'.
    pub cpu_ingested: Spent,
    pub cpu: Spent,
    /// What all that was sent takes in the database with nothing dead in it.
    pub bytes_at_rest: Option<u64>,
    pub reference: Reference,
}

/// Processor time by who spent it.
pub type Spent = Vec<(&'static str, Duration)>;

/// The same messages published, consumed and inserted as they are, and nothing else done with them.
#[derive(Debug, Clone, Copy)]
pub struct Reference {
    pub took: Duration,
    pub rows: i64,
}

/// A batch as a device sends it.
#[derive(Clone)]
pub(super) struct Message {
    vehicle: VehicleId,
    given: Arc<str>,
    pub(super) content_type: ContentType,
    pub(super) payload: Vec<u8>,
    pub(super) samples: u64,
}

/// A trip ends and the next begins this much later.
const BETWEEN: TimeDelta = TimeDelta::minutes(20);
/// Messages published with one round of confirms.
const TOGETHER: usize = 100;
/// Nothing moves for this long: the run has failed.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs the benchmark on a world of its own.
pub async fn run(world: &World, plan: &Plan) -> Result<Outcome> {
    let span = (TimeDelta::seconds(i64::from(plan.trip_s)) + BETWEEN) * plan.trips as i32;
    let start = EventTime::new(world.parts.clock.now() - span);
    eprintln!("registering {} vehicles …", plan.vehicles);
    let fleet = world.insure(plan.vehicles, start.utc().date_naive()).await?;
    eprintln!("driving …");
    let mut lanes = drive(plan, &fleet, start)?;
    world.scratch.analyze().await?;
    let samples = lanes.iter().flatten().map(|message| message.samples).sum();
    let batches = lanes.iter().map(|lane| lane.len() as u64).sum();
    eprintln!("reference: {batches} messages published, consumed and inserted as they are …");
    let reference = reference(world, plan, &lanes).await?;
    let empty_bytes = at_rest(world, plan).await?;
    eprintln!("{samples} samples through the pipeline …");
    let stop = CancellationToken::new();
    let work = || -> Vec<JoinHandle<Result<()>>> {
        let worker = |_| tokio::spawn(worker::run(world.parts.clone(), stop.clone()));
        (0..plan.workers).map(worker).collect()
    };
    let mut working = Vec::new();
    if plan.queue_full {
        publish_all(world, plan, std::mem::take(&mut lanes), Instant::now()).await?;
    } else {
        working = work();
        // Until the partitions are held nothing would be measured but the wait for them.
        sleep(Duration::from_secs(1)).await;
    }
    let (before, since) = (Cpu::now(), Instant::now());
    if plan.queue_full {
        working = work();
    }
    let through = async {
        publish_all(world, plan, lanes, since).await?;
        finished(world, batches, (since, &before)).await
    };
    let ran = tokio::select! {
        ran = through => ran,
        kept = world.kept_analyzed() => kept.map(|never| match never {}),
    };
    let cpu = before.since();
    stop.cancel();
    for worker in working {
        worker.await.context("a worker panicked")??;
    }
    let (ingested, cpu_ingested, derived) = ran?;
    let full_bytes = at_rest(world, plan).await?;
    let census = world.parts.store.worker().census(world.tenant).await?;
    Ok(Outcome {
        samples,
        batches,
        ingested,
        derived,
        census,
        meter: world.parts.meter.clone(),
        cpu_ingested,
        cpu,
        bytes_at_rest: full_bytes
            .zip(empty_bytes)
            .map(|(full, empty)| full.saturating_sub(empty)),
        reference,
    })
}

impl Outcome {
    /// Whether everything that was sent has arrived where it belongs.
    pub fn check(&self, plan: &Plan) -> Result<()> {
        let (samples, batches) = (self.samples as i64, self.batches as i64);
        let trips = plan.vehicles as i64 * i64::from(plan.trips);
        let census = self.census;
        ensure!(
            self.reference.rows == batches,
            "the reference inserted {} of {batches} rows",
            self.reference.rows
        );
        ensure!(
            (census.batches, census.ledger_samples, census.raw_samples) == (batches, samples, samples),
            "sent {batches} batches of {samples} samples, found {census:?}"
        );
        ensure!(
            census.trips == trips && census.trip_samples == samples && census.dirty == 0,
            "drove {trips} trips of {samples} samples, found {census:?}"
        );
        // An hour in town is more than enough to be scored by; less may be too little.
        let scored = plan.trips * plan.trip_s >= 3600;
        ensure!(
            census.premiums >= plan.vehicles as i64 && (!scored || census.scores >= plan.vehicles as i64),
            "{} drivers and policies, found {census:?}",
            plan.vehicles
        );
        Ok(())
    }
}

/// Each publisher's messages in the order they are sent: all its vehicles side by side, batch after batch.
pub(super) fn drive(plan: &Plan, fleet: &[Insured], start: EventTime) -> Result<Vec<Vec<Message>>> {
    let mut lanes: Vec<Vec<Vec<Message>>> = vec![Vec::new(); plan.publishers];
    for (number, insured) in fleet.iter().enumerate() {
        lanes[number % plan.publishers].push(batches_of(plan, number, insured, start)?);
    }
    Ok(lanes.into_iter().map(interleave).collect())
}

pub(super) fn interleave(vehicles: Vec<Vec<Message>>) -> Vec<Message> {
    let mut waiting: Vec<_> = vehicles.into_iter().map(Vec::into_iter).collect();
    let mut out = Vec::new();
    loop {
        let before = out.len();
        out.extend(waiting.iter_mut().filter_map(Iterator::next));
        if out.len() == before {
            return out;
        }
    }
}

pub(super) fn batches_of(plan: &Plan, number: usize, insured: &Insured, start: EventTime) -> Result<Vec<Message>> {
    let mut car = Car::new(plan.seed, number as u64);
    let mut messages = Vec::new();
    let mut begins = start;
    for trip in 0..plan.trips {
        let samples = car.trip(begins, plan.trip_s);
        begins = begins + TimeDelta::seconds(i64::from(plan.trip_s)) + BETWEEN;
        for (place, samples) in samples.chunks(plan.batch).enumerate() {
            let id = format!("{}-{trip}-{place}", name_of(number));
            messages.push(message(insured, number, id, samples, plan.format)?);
        }
    }
    Ok(messages)
}

/// What a fleet's vehicle of this number is called.
fn name_of(number: usize) -> String {
    format!("vehicle-{number}")
}

/// A batch of a fleet's vehicle.
pub(super) fn message(
    insured: &Insured,
    number: usize,
    batch_id: String,
    samples: &[Sample],
    format: Format,
) -> Result<Message> {
    let given = name_of(number);
    let batch = Batch {
        batch_id: BatchId::parse(batch_id)?,
        vehicle: given.clone(),
        device: None,
        driver: None,
        accel_frame: AccelFrame::Vehicle,
        gravity: Gravity::Included,
        samples: samples.to_vec(),
        impacts: Vec::new(),
    };
    Ok(Message {
        vehicle: insured.vehicle,
        given: given.into(),
        content_type: format.content_type(),
        payload: match format {
            Format::Json => json(&batch)?,
            Format::Protobuf => batch.to_protobuf(),
        },
        samples: samples.len() as u64,
    })
}

/// As a device writes it.
fn json(batch: &Batch) -> Result<Vec<u8>> {
    #[derive(Serialize)]
    struct Body<'a> {
        schema: u8,
        batch_id: &'a BatchId,
        vehicle: &'a str,
        accel_frame: AccelFrame,
        gravity: Gravity,
        samples: &'a [Sample],
    }

    Ok(serde_json::to_vec(&Body {
        schema: 1,
        batch_id: &batch.batch_id,
        vehicle: &batch.vehicle,
        accel_frame: batch.accel_frame,
        gravity: batch.gravity,
        samples: &batch.samples,
    })?)
}

async fn publish_all(world: &World, plan: &Plan, lanes: Vec<Vec<Message>>, since: Instant) -> Result<()> {
    let sent = Arc::new(AtomicU64::new(0));
    let publishing = lanes.into_iter().map(|lane| {
        let publisher = Sender {
            parts: world.parts.clone(),
            tenant: world.tenant,
            sent: sent.clone(),
            plan: plan.clone(),
            since,
        };
        tokio::spawn(publisher.send(lane))
    });
    for published in try_join_all(publishing).await? {
        published?;
    }
    Ok(())
}

/// The size of the database, if it is asked for.
async fn at_rest(world: &World, plan: &Plan) -> Result<Option<u64>> {
    match plan.size {
        true => Ok(Some(world.scratch.bytes_at_rest().await?)),
        false => Ok(None),
    }
}

/// Waits until all of it is committed, then until it is derived; tells the times of both, and the processor time of the first.
async fn finished(
    world: &World,
    batches: u64,
    (since, before): (Instant, &Cpu),
) -> Result<(Duration, Spent, Duration)> {
    let meter = &world.parts.meter;
    progresses(|| async { Ok(batches.saturating_sub(meter.commit_us.count())) }).await?;
    let (ingested, cpu) = (since.elapsed(), before.since());
    let worker = world.parts.store.worker();
    progresses(|| async { Ok(worker.dirty_left(world.tenant).await?) }).await?;
    Ok((ingested, cpu, since.elapsed()))
}

/// Waits until nothing is left; fails when that no longer changes.
pub(super) async fn progresses<F: Future<Output = Result<u64>>>(left: impl Fn() -> F) -> Result<()> {
    let (mut least, mut since) = (u64::MAX, Instant::now());
    loop {
        let now_left = left().await?;
        if now_left == 0 {
            return Ok(());
        }
        if now_left < least {
            (least, since) = (now_left, Instant::now());
        }
        ensure!(since.elapsed() < PATIENCE, "{now_left} are left and nothing moves");
        sleep(Duration::from_millis(20)).await;
    }
}

struct Sender {
    parts: Parts,
    tenant: TenantId,
    sent: Arc<AtomicU64>,
    plan: Plan,
    since: Instant,
}

impl Sender {
    async fn send(self, lane: Vec<Message>) -> Result<()> {
        let mut samples = 0;
        for some in lane.chunks(TOGETHER) {
            self.wait_for_room(samples).await;
            let envelopes: Vec<Envelope> = some
                .iter()
                .map(|message| envelope(&self.parts, self.tenant, message))
                .collect();
            self.sent.fetch_add(some.len() as u64, Ordering::Relaxed);
            self.parts.publisher.publish(&envelopes).await?;
            samples += some.iter().map(|message| message.samples).sum::<u64>();
        }
        Ok(())
    }

    /// Until it is time for the next, and not too many are on the way.
    async fn wait_for_room(&self, samples: u64) {
        if let Some(rate) = self.plan.rate {
            let due = samples as f64 / (rate / self.plan.publishers as f64);
            sleep(Duration::from_secs_f64(due).saturating_sub(self.since.elapsed())).await;
        }
        let on_the_way = || {
            let committed = self.parts.meter.commit_us.count();
            self.sent.load(Ordering::Relaxed).saturating_sub(committed)
        };
        while !self.plan.queue_full && on_the_way() > self.plan.in_flight {
            sleep(Duration::from_millis(2)).await;
        }
    }
}

pub(super) fn envelope(parts: &Parts, tenant: TenantId, message: &Message) -> Envelope {
    let header = Header {
        message_id: MessageId::from_uuid(parts.ids.uuid()),
        tenant,
        client: None,
        source: Source::Http,
        lane: Lane::Live,
        vehicle: Some(message.vehicle),
        vehicle_given: message.given.to_string(),
        device: None,
        received_at: ReceivedAt::new(parts.clock.now()),
        content_type: message.content_type,
        content_encoding: ContentEncoding::Identity,
        traceparent: None,
        resubmission_of: None,
        extra: serde_json::Map::new(),
    };
    Envelope {
        header,
        payload: message.payload.clone(),
    }
}

/// Publishes the same messages to queues of their own, and inserts what comes out of them into one table.
async fn reference(world: &World, plan: &Plan, lanes: &[Vec<Message>]) -> Result<Reference> {
    let mut options = rabbit_options(&world.parts.config);
    options.prefix = format!("odograph-bench-{}", unique());
    let queue = RabbitQueue::connect(options).await?;
    let table = world.scratch.payload_table(4).await?;
    let batches: u64 = lanes.iter().map(|lane| lane.len() as u64).sum();
    let inserted = Arc::new(AtomicU64::new(0));
    let stop = CancellationToken::new();
    let since = Instant::now();
    let consuming: Vec<JoinHandle<Result<()>>> = (0..queue.partitions())
        .map(|partition| {
            let most = world.parts.config.worker.batch_messages;
            let (queue, table, inserted, stop) = (queue.clone(), table.clone(), inserted.clone(), stop.clone());
            tokio::spawn(insert(queue, partition, table, most, inserted, stop))
        })
        .collect();
    let publishing = lanes.iter().map(|lane| publish(world, &queue, lane));
    try_join_all(publishing).await?;
    timeout(PATIENCE, async {
        while inserted.load(Ordering::Relaxed) < batches {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .with_context(|| format!("the reference with {} publishers did not end", plan.publishers))?;
    let took = since.elapsed();
    stop.cancel();
    for consumer in consuming {
        consumer.await??;
    }
    let rows = table.count().await?;
    table.end().await?;
    queue.delete().await?;
    queue.close().await;
    Ok(Reference { took, rows })
}

async fn publish(world: &World, queue: &RabbitQueue, lane: &[Message]) -> Result<()> {
    for some in lane.chunks(TOGETHER) {
        let envelopes: Vec<Envelope> = some
            .iter()
            .map(|message| envelope(&world.parts, world.tenant, message))
            .collect();
        queue.publish(&envelopes).await?;
    }
    Ok(())
}

async fn insert(
    queue: RabbitQueue,
    partition: u16,
    table: PayloadTable,
    most: usize,
    inserted: Arc<AtomicU64>,
    stop: CancellationToken,
) -> Result<()> {
    let mut consumer = queue.consume(partition).await?;
    while !stop.is_cancelled() {
        let deliveries = consumer.receive(most, Duration::from_millis(50)).await?;
        let receipts: Vec<_> = deliveries.iter().map(|delivery| delivery.receipt).collect();
        let mut ids: Vec<Uuid> = Vec::with_capacity(deliveries.len());
        let mut payloads = Vec::with_capacity(deliveries.len());
        for delivery in deliveries {
            let envelope = Envelope::decode(&delivery.bytes)?;
            ids.push(envelope.header.message_id.uuid());
            payloads.push(envelope.payload);
        }
        if !ids.is_empty() {
            table.insert(&ids, &payloads).await?;
            consumer.acknowledge(&receipts).await?;
            inserted.fetch_add(ids.len() as u64, Ordering::Relaxed);
        }
    }
    Ok(consumer.close().await?)
}

/// Where the time went: worker seconds by step.
pub fn profile(meter: &Meter) -> Vec<[String; 4]> {
    Step::ALL
        .into_iter()
        .map(|step| {
            let (times, spent) = meter.spent(step);
            let each_ms = spent.as_secs_f64() * 1000.0 / (times.max(1) as f64);
            [
                step.name().to_owned(),
                times.to_string(),
                format!("{:.2}", spent.as_secs_f64()),
                format!("{each_ms:.2}"),
            ]
        })
        .collect()
}
