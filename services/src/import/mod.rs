//! Sending a file the way live batches go: rows become batches, batches become messages in the bulk lane.

use std::{
    collections::HashMap,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use odograph_domain::{
    envelope::{ContentEncoding, ContentType, Envelope, Header, Lane, Source},
    id::{MessageId, TenantId, VehicleId},
    intake::{NewDeadLetter, Subject},
    outcome::{SampleRejection, Tally},
    queue::QueueError,
    time::ReceivedAt,
};
use odograph_ingest::file::{self, BadRow, BatchOptions, FileError, Gathered};
use odograph_store::TenantStore;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub(crate) use self::register::insured;
pub use self::{folder::files, register::Register, summary::Summary};
use crate::{
    fleet::{self, FleetSpec},
    root::Parts,
    simulate::Insured,
};

mod folder;
mod register;
mod summary;

/// The field of an envelope's header that names the import it belongs to.
pub const RUN: &str = "import_run";

/// Messages published with one round of confirms.
const PUBLISHED_TOGETHER: usize = 50;
/// Between two attempts to publish.
const PAUSE: Duration = Duration::from_secs(1);
/// How long a queue that does not answer is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// Reads the file and puts it into the queue, batch by batch. Rows that are no samples are kept as dead letters; the rest
/// of the file goes on. A file that breaks off is sent as far as it reads, and named in the summary.
pub async fn send(
    parts: &Parts,
    tenant: TenantId,
    file: &Path,
    register: Option<&Register>,
    summary: &mut Summary,
    interrupted: &CancellationToken,
) -> Result<()> {
    let store = parts.store.tenant(tenant);
    let rows = match file::open(file) {
        Ok(rows) => rows,
        Err(cause) => {
            summary.broken.push(told(file, &cause));
            return Ok(());
        }
    };
    if let Some(register) = register {
        register::found(&store, file, register, summary).await?;
    }
    let mut batches = file::batches(rows, BatchOptions::default());
    let bar = progress("sending", batches.progress().1, "{bytes}/{total_bytes}")?;
    let mut sender = Sender::new(parts, tenant, summary.run);
    while let Some(gathered) = batches.next() {
        if interrupted.is_cancelled() {
            break;
        }
        match gathered {
            Ok(Gathered::Batch(batch)) => {
                summary.count(u64::from(batch.samples));
                sender.take(&batch.vehicle, batch.payload).await?;
            }
            Ok(Gathered::Bad(row)) => {
                summary.refuse();
                sender.refuse(&row).await?;
            }
            Err(cause) => summary.broken.push(told(file, &cause)),
        }
        bar.set_position(batches.progress().0);
    }
    sender.flush().await?;
    summary
        .unknown_columns
        .extend(batches.unknown_columns().iter().cloned());
    bar.finish_and_clear();
    Ok(())
}

fn told(file: &Path, cause: &FileError) -> String {
    match cause {
        FileError::Open { .. } | FileError::Kind { .. } => cause.to_string(),
        _ => format!("{}: {cause}", file.display()),
    }
}

/// Registers a generated fleet and sends what its devices do, in the order they do.
pub async fn send_fleet(
    parts: &Parts,
    tenant: TenantId,
    spec: &FleetSpec,
    plan: &str,
    summary: &mut Summary,
    interrupted: &CancellationToken,
) -> Result<()> {
    let store = parts.store.tenant(tenant);
    let bar = progress("driving", spec.vehicles as u64, "{pos}/{len} vehicles")?;
    let mut sender = Sender::new(parts, tenant, summary.run);
    for vehicle in fleet::generate(spec) {
        if interrupted.is_cancelled() {
            break;
        }
        insured(&store, &Insured::of(&vehicle), plan, spec, summary).await?;
        for batch in &vehicle.batches {
            if interrupted.is_cancelled() {
                break;
            }
            summary.count(batch.samples.len() as u64);
            sender.take(&vehicle.external_ref, vehicle.body(batch)?).await?;
        }
        bar.inc(1);
    }
    sender.flush().await?;
    bar.finish_and_clear();
    Ok(())
}

/// Waits until every sample that was sent has its outcome.
pub async fn wait(
    parts: &Parts,
    tenant: TenantId,
    summary: &mut Summary,
    interrupted: &CancellationToken,
) -> Result<()> {
    let bar = progress("processing", summary.sent, "{pos}/{len} samples")?;
    while !interrupted.is_cancelled() {
        summary.processed = parts.store.tenant(tenant).import_outcomes(summary.run).await?;
        bar.set_position(summary.processed.received);
        if summary.processed.received >= summary.sent {
            break;
        }
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    bar.finish_and_clear();
    Ok(())
}

/// A bar on standard error; hidden where that is no terminal.
pub(crate) fn progress(what: &'static str, length: u64, counts: &str) -> Result<ProgressBar> {
    let template = format!("{{msg:12}} [{{bar:40}}] {counts} {{elapsed_precise}}");
    let style = ProgressStyle::with_template(&template)?.progress_chars("=> ");
    Ok(ProgressBar::new(length).with_style(style).with_message(what))
}

/// Puts batches into the queue, the way live batches go.
pub(crate) struct Sender<'a> {
    parts: &'a Parts,
    tenant: TenantId,
    store: TenantStore,
    run: Uuid,
    vehicles: HashMap<String, Option<VehicleId>>,
    waiting: Vec<Envelope>,
}

impl<'a> Sender<'a> {
    pub(crate) fn new(parts: &'a Parts, tenant: TenantId, run: Uuid) -> Self {
        Self {
            parts,
            tenant,
            store: parts.store.tenant(tenant),
            run,
            vehicles: HashMap::new(),
            waiting: Vec::new(),
        }
    }

    pub(crate) async fn take(&mut self, given: &str, payload: Vec<u8>) -> Result<()> {
        let vehicle = self.vehicle(given).await?;
        let mut extra = serde_json::Map::new();
        extra.insert(RUN.to_owned(), serde_json::to_value(self.run)?);
        let header = Header {
            message_id: MessageId::from_uuid(self.parts.ids.uuid()),
            tenant: self.tenant,
            client: None,
            source: Source::Import,
            lane: Lane::Bulk,
            vehicle,
            vehicle_given: given.to_owned(),
            device: None,
            received_at: ReceivedAt::new(self.parts.clock.now()),
            content_type: ContentType::Json,
            content_encoding: ContentEncoding::Identity,
            traceparent: None,
            resubmission_of: None,
            extra,
        };
        self.waiting.push(Envelope { header, payload });
        if self.waiting.len() >= PUBLISHED_TOGETHER {
            self.flush().await?;
        }
        Ok(())
    }

    pub(crate) async fn flush(&mut self) -> Result<()> {
        let began = Instant::now();
        while !self.waiting.is_empty() {
            match self.parts.publisher.publish(&self.waiting).await {
                Ok(()) => self.waiting.clear(),
                // What is told to slow down does: the file is still there.
                Err(QueueError::Saturated(why)) => {
                    tracing::warn!(queue.told = why, "the queue is full; waiting");
                    tokio::time::sleep(PAUSE).await;
                }
                Err(QueueError::Unavailable(why)) if began.elapsed() < PATIENCE => {
                    tracing::warn!(queue.told = why, "the queue does not answer; trying again");
                    tokio::time::sleep(PAUSE).await;
                }
                Err(cause) => return Err(cause).context("the queue did not take the batches"),
            }
        }
        Ok(())
    }

    async fn vehicle(&mut self, given: &str) -> Result<Option<VehicleId>> {
        if let Some(known) = self.vehicles.get(given) {
            return Ok(*known);
        }
        let vehicle = self.store.resolve_vehicle(given).await?;
        self.vehicles.insert(given.to_owned(), vehicle);
        Ok(vehicle)
    }

    /// A row of no vehicle. What it holds has no known class, so only where it stood and what was wrong is kept.
    async fn refuse(&mut self, row: &BadRow) -> Result<()> {
        let reason = SampleRejection::Malformed.as_str();
        let letter = NewDeadLetter {
            tenant: self.tenant,
            client: None,
            message: MessageId::from_uuid(self.parts.ids.uuid()),
            source: Source::Import,
            vehicle: None,
            vehicle_given: String::new(),
            subject: Subject::Tenant,
            batch_id: None,
            reason: reason.to_owned(),
            detail: format!("line {}: {}", row.line, row.detail),
            samples: 1,
            payload: Vec::new(),
            received_at: ReceivedAt::new(self.parts.clock.now()),
            resubmission_of: None,
        };
        let mut tally = Tally {
            received: 1,
            ..Tally::default()
        };
        tally.reject(reason, 1);
        Ok(self.store.put_dead_letter(&letter, &tally).await?)
    }
}
