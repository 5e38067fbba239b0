//! From the queue to the journal: one micro-batch of one partition, committed as a whole.

use std::{
    collections::{BTreeSet, HashMap},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use odograph_domain::{
    envelope::{ContentEncoding, Envelope, Header, Source},
    id::{MessageId, TenantId, VehicleId},
    intake::{NewBatch, VehicleContext, VehicleState},
    lease::Lease,
    outcome::{MessageOutcome, MessageRejection},
    queue::Delivery,
    time::EventTime,
};
use odograph_ingest::{
    decode::{self, Decoded, Refusal},
    dedup::Known,
    intake::{self, Judged, Named, Part},
    minimise, watch,
};
use odograph_store::{Settled, StoreError, WorkerTx, Writes};
use tokio::time::{Duration, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use uuid::Uuid;

use super::Pipeline;
use crate::{
    import,
    meter::{Ended, Step},
};

/// Why the partition cannot be worked on further by this worker.
#[derive(Debug, thiserror::Error)]
pub enum Stop {
    /// Another worker owns the partition now.
    #[error("the lease was lost")]
    Fenced,
    #[error("asked to stop while the database was unavailable")]
    Shutdown,
}

/// A message that is an envelope, with what its payload decoded to.
struct Message {
    envelope: Envelope,
    decoded: Result<Decoded, Refusal>,
}

impl Pipeline {
    /// Commits all deliveries, or returns why not. A failing micro-batch is bisected until only the poison is left, and
    /// that becomes a dead letter; a database that is away is waited for. After `Ok` all of them may be acknowledged.
    pub async fn ingest(
        &self,
        lease: &Lease,
        deliveries: Vec<Delivery>,
        shutdown: &CancellationToken,
    ) -> Result<(), Stop> {
        let messages = self.open(deliveries, shutdown).await?;
        let headers = messages.iter().map(|message| &message.envelope.header);
        self.meter.lag.takes(lease.partition, headers);
        let mut waiting = vec![messages];
        while let Some(mut part) = waiting.pop() {
            if part.is_empty() {
                continue;
            }
            let committed = self.commit(lease, &part).await;
            match committed.inspect_err(|cause| self.meter.counts.commit_failed(cause)) {
                Ok(()) => {}
                Err(StoreError::Fenced) => return Err(Stop::Fenced),
                Err(cause) if !cause.blames_data() => {
                    // The database is away, behind or misconfigured: no message's fault, so none of them is given up.
                    warn!(error = %cause, "a micro-batch cannot be committed now; waiting");
                    pause(shutdown).await?;
                    waiting.push(part);
                }
                Err(cause) if part.len() == 1 => {
                    let message = part.remove(0);
                    error!(message.id = %message.envelope.header.message_id, error = %cause, "a message is poison");
                    self.bury(lease, message, &cause, shutdown).await?;
                }
                Err(cause) => {
                    warn!(messages = part.len(), error = %cause, "a micro-batch failed; looking for the poison");
                    let rest = part.split_off(part.len() / 2);
                    waiting.push(rest);
                    waiting.push(part);
                }
            }
        }
        Ok(())
    }

    /// Opens the envelopes and decodes their payloads. What is no envelope has no tenant: it goes to quarantine.
    async fn open(&self, deliveries: Vec<Delivery>, shutdown: &CancellationToken) -> Result<Vec<Message>, Stop> {
        let _running = self.meter.step(Step::Open);
        let mut messages = Vec::with_capacity(deliveries.len());
        for delivery in deliveries {
            match Envelope::decode(&delivery.bytes) {
                Ok(envelope) => {
                    let decode = AssertUnwindSafe(|| decode::decode(&envelope, &self.limits));
                    let mut decoded = catch_unwind(decode)
                        .unwrap_or_else(|_| Err(Refusal::new(MessageRejection::Poison, "decoding failed")));
                    // A device that logged in to the broker as itself need not say so once more.
                    if let (Ok(decoded), Some(device)) = (&mut decoded, envelope.header.device) {
                        decoded.device.get_or_insert_with(|| device.to_string());
                    }
                    messages.push(Message { envelope, decoded });
                }
                Err(reason) => self.quarantine(&delivery.bytes, &reason.to_string(), shutdown).await?,
            }
        }
        Ok(messages)
    }

    /// Keeps what nobody's dead letters can hold. Whose it is is not known, so nobody has allowed behaviour to be kept.
    async fn quarantine(&self, bytes: &[u8], reason: &str, shutdown: &CancellationToken) -> Result<(), Stop> {
        let kept = minimise::scrub(bytes, ContentEncoding::Identity, &|_| false);
        // A parser's words can quote what PostgreSQL's text cannot hold.
        let reason = reason.replace('\0', "\u{fffd}");
        while let Err(cause) = self.store.worker().quarantine(&kept, &reason).await {
            warn!(error = %cause, "a message cannot be put in quarantine yet; waiting");
            pause(shutdown).await?;
        }
        self.meter.counts.quarantined.inc();
        Ok(())
    }

    /// The way of a micro-batch, in one transaction.
    async fn commit(&self, lease: &Lease, messages: &[Message]) -> Result<(), StoreError> {
        let tenants: BTreeSet<TenantId> = messages.iter().map(|message| message.envelope.header.tenant).collect();
        let tenants: Vec<TenantId> = tenants.into_iter().collect();
        let running = self.meter.step(Step::Begin);
        let mut tx = self.store.worker().begin(lease, &tenants).await?;
        drop(running);
        let judged = self.judge(&mut tx, messages).await?;
        let mut ended = Ended::default();
        let writes = self.settle(&mut tx, judged, &mut ended).await?;
        let at_once = writes.dirty.iter().any(|dirty| dirty.at_once);
        let running = self.meter.step(Step::Write);
        tx.write(&writes).await?;
        drop(running);
        // Before whoever derives can see the windows.
        self.traced.keep(writes.dirty.iter().map(|dirty| dirty.vehicle));
        let running = self.meter.step(Step::Commit);
        tx.commit().await?;
        drop(running);
        self.meter.batch_sizes.add(messages.len() as u64);
        let now = self.clock.now();
        for message in messages {
            let waited = now - message.envelope.header.received_at.utc();
            let waited_us = waited.num_microseconds().and_then(|us| u64::try_from(us).ok());
            self.meter.commit_us.add(waited_us.unwrap_or(0));
            self.meter
                .lane(message.envelope.header.lane)
                .add(waited_us.unwrap_or(0));
        }
        let committed = messages
            .iter()
            .map(|message| (&message.envelope.header, message.last_at()));
        self.meter.committed(lease.partition, committed, &ended, now);
        if at_once {
            self.derive_wanted.notify_one();
        }
        Ok(())
    }

    /// Resolves vehicle and drivers, drops what may not be kept, validates each sample by itself.
    async fn judge<'a>(&self, tx: &mut WorkerTx, messages: &'a [Message]) -> Result<Judgement<'a>, StoreError> {
        let _running = self.meter.step(Step::Judge);
        let named = named_in(tx, messages).await?;
        let vehicles = vehicles_of(tx, messages, &named).await?;
        let of_tenant = |(message, vehicles): (&Message, &Vec<VehicleId>)| {
            let tenant = message.envelope.header.tenant;
            vehicles
                .iter()
                .map(move |vehicle| (tenant, *vehicle))
                .collect::<Vec<_>>()
        };
        let wanted: BTreeSet<(TenantId, VehicleId)> = messages.iter().zip(&vehicles).flat_map(of_tenant).collect();
        let wanted: Vec<_> = wanted.into_iter().collect();
        // Locked from here on, so that a second message of the same vehicle is kept out until the ledger is written.
        let (mut states, mut contexts) = (HashMap::new(), HashMap::new());
        for (state, context) in tx.lock(&wanted).await? {
            contexts.insert(state.vehicle, context);
            states.insert(state.vehicle, state);
        }
        let mut judged = Vec::with_capacity(messages.len());
        for ((message, vehicles), named) in messages.iter().zip(&vehicles).zip(&named) {
            if vehicles.is_empty() {
                judged.push((message, judge_one(message, None, named, Part::Whole)));
            }
            for (place, vehicle) in vehicles.iter().enumerate() {
                let part = match (message.names_vehicle(), place) {
                    (true, _) => Part::Whole,
                    (false, 0) => Part::Leading,
                    (false, _) => Part::Following,
                };
                let context = contexts.get(vehicle).map(Arc::as_ref);
                judged.push((message, judge_one(message, context, named, part)));
            }
        }
        Ok(Judgement {
            contexts,
            states,
            judged,
        })
    }

    /// Decides what is new, moves the vehicles' states on, and gathers everything that is to be written.
    async fn settle(
        &self,
        tx: &mut WorkerTx,
        judgement: Judgement<'_>,
        ended: &mut Ended,
    ) -> Result<Writes, StoreError> {
        let _running = self.meter.step(Step::Settle);
        let Judgement {
            contexts,
            mut states,
            judged,
        } = judgement;
        let batches: Vec<&NewBatch> = judged.iter().filter_map(|(_, judged)| judged.batch.as_ref()).collect();
        let touched: BTreeSet<(TenantId, VehicleId)> = batches
            .iter()
            .map(|batch| (batch.key.tenant, batch.key.vehicle))
            .collect();
        let mut known = Known::new(tx.enter(&batches).await?);
        let judged: Vec<(&Message, Judged)> = judged
            .into_iter()
            .map(|(message, judged)| (message, settle_one(message, judged, &contexts, &mut known)))
            .collect();
        // Committed before, and not acknowledged then: it has been counted. A batch is known by the ledger, the rest by this.
        let buried = tx.buried(&letters_only(&judged)).await?;
        let mut refused: HashMap<MessageId, &Message> = HashMap::new();
        let mut writes = Writes::default();
        for (message, judged) in judged {
            let header = &message.envelope.header;
            if !judged.unknown.is_empty() {
                debug!(message.id = %header.message_id, fields = ?judged.unknown, "fields of a newer version were kept");
            }
            if let Some(batch) = &judged.batch
                && let Some(context) = contexts.get(&batch.key.vehicle)
                && let Some(state) = states.remove(&batch.key.vehicle)
            {
                let (state, mut dirty) =
                    watch::advance(state, batch, &context.settings, &self.detectors, self.clock.now());
                for window in &mut dirty {
                    window.cause.clients.extend(header.client);
                }
                writes.dirty.extend(dirty);
                states.insert(state.vehicle, state);
            }
            let letters_only = judged.batch.is_none() && !judged.dead_letters.is_empty();
            // By another of this micro-batch: the same message came twice.
            let twice = letters_only && !std::ptr::eq(*refused.entry(header.message_id).or_insert(message), message);
            if judged.outcome == MessageOutcome::Redelivered
                || twice
                || letters_only && buried.contains(&header.message_id)
            {
                ended.redelivered(header.source, judged.part);
                continue;
            }
            ended.add(header.source, &judged);
            if let Some(run) = import_run(header) {
                writes.imports.push((header.tenant, run, judged.tally.clone()));
            }
            writes.settled.extend(settled(header, &judged));
            writes.outcomes.push((header.tenant, judged.tally));
            writes.dead_letters.extend(judged.dead_letters);
            writes.batches.extend(judged.batch);
        }
        writes.settled = Settled::by_message(writes.settled);
        for (tenant, vehicle) in touched {
            writes
                .states
                .extend(states.remove(&vehicle).map(|state| (tenant, state)));
        }
        Ok(writes)
    }

    /// Keeps a message whose every attempt failed, and goes on without it.
    async fn bury(
        &self,
        lease: &Lease,
        message: Message,
        cause: &StoreError,
        shutdown: &CancellationToken,
    ) -> Result<(), Stop> {
        let Envelope { header, payload } = &message.envelope;
        let mut refusal = Refusal::new(MessageRejection::Poison, format!("processing failed: {}", cause.kind()));
        refusal.samples = message
            .decoded
            .as_ref()
            .map_or(1, |decoded| decoded.samples.len().max(1) as u32);
        refusal.batch_id = message
            .decoded
            .as_ref()
            .ok()
            .map(|decoded| decoded.batch_id.to_string());
        // What the vehicle may keep could not be established: only what every product may is kept.
        let buried = intake::refuse(header, refusal, payload, None);
        let mut ended = Ended::default();
        ended.add(header.source, &buried);
        let writes = Writes {
            settled: settled(header, &buried).into_iter().collect(),
            dead_letters: buried.dead_letters,
            imports: import_run(header)
                .map(|run| (header.tenant, run, buried.tally.clone()))
                .into_iter()
                .collect(),
            outcomes: vec![(header.tenant, buried.tally)],
            ..Writes::default()
        };
        loop {
            let written = async {
                let mut tx = self.store.worker().begin(lease, &[header.tenant]).await?;
                tx.write(&writes).await?;
                tx.commit().await
            };
            match written.await {
                Ok(()) => {
                    self.meter.counts.add(&ended);
                    return Ok(());
                }
                Err(StoreError::Fenced) => return Err(Stop::Fenced),
                // Not even its dead letter can be written: its tenant is not in this database, for one.
                Err(cause) if cause.blames_data() => {
                    return self.quarantine(payload, "its dead letter was refused", shutdown).await;
                }
                Err(cause) => {
                    warn!(error = %cause, "a poisoned message cannot be kept yet; waiting");
                    pause(shutdown).await?;
                }
            }
        }
    }
}

struct Judgement<'a> {
    contexts: HashMap<VehicleId, Arc<VehicleContext>>,
    states: HashMap<VehicleId, VehicleState>,
    judged: Vec<(&'a Message, Judged)>,
}

impl Message {
    /// Time of the last sample that reads: of the newest, where a device sends in order.
    fn last_at(&self) -> Option<EventTime> {
        let decoded = self.decoded.as_ref().ok()?;
        decoded.samples.iter().rev().flatten().next().map(|sample| sample.ts)
    }

    fn names_vehicle(&self) -> bool {
        let header = &self.envelope.header;
        header.vehicle.is_some() || !header.vehicle_given.is_empty()
    }
}

/// The vehicles of each message: that which it names, or those its device was in. None where there is none.
async fn vehicles_of(
    tx: &mut WorkerTx,
    messages: &[Message],
    named: &[Named],
) -> Result<Vec<Vec<VehicleId>>, StoreError> {
    let given: Vec<(TenantId, &str)> = messages
        .iter()
        .map(|message| &message.envelope.header)
        .filter(|header| header.vehicle.is_none() && !header.vehicle_given.is_empty())
        .map(|header| (header.tenant, header.vehicle_given.as_str()))
        .collect();
    let mut found = tx.resolve_vehicles(&given).await?.into_iter();
    let vehicles = messages.iter().zip(named).map(|(message, named)| {
        let header = &message.envelope.header;
        match (header.vehicle, &message.decoded) {
            (Some(vehicle), _) => vec![vehicle],
            (None, _) if message.names_vehicle() => found.next().flatten().into_iter().collect(),
            (None, Ok(decoded)) => named.vehicles(decoded),
            (None, Err(_)) => vec![],
        }
    });
    Ok(vehicles.collect())
}

/// For each message the device and every driver that it names and its tenant knows.
async fn named_in(tx: &mut WorkerTx, messages: &[Message]) -> Result<Vec<Named>, StoreError> {
    let decoded = || {
        messages.iter().enumerate().filter_map(|(place, message)| {
            let decoded = message.decoded.as_ref().ok()?;
            Some((place, message.envelope.header.tenant, decoded))
        })
    };
    let drivers: Vec<(usize, TenantId, &str)> = decoded()
        .flat_map(|(place, tenant, decoded)| decoded.drivers().into_iter().map(move |name| (place, tenant, name)))
        .collect();
    let devices: Vec<(usize, TenantId, &str)> = decoded()
        .filter_map(|(place, tenant, decoded)| Some((place, tenant, decoded.device.as_deref()?)))
        .collect();
    let mut named: Vec<Named> = messages.iter().map(|_| Named::default()).collect();
    let wanted: Vec<(TenantId, &str)> = drivers.iter().map(|(_, tenant, name)| (*tenant, *name)).collect();
    for ((place, _, name), driver) in drivers.into_iter().zip(tx.resolve_drivers(&wanted).await?) {
        if let Some(driver) = driver {
            named[place].drivers.insert(name.to_owned(), driver);
        }
    }
    let wanted: Vec<(TenantId, &str)> = devices.iter().map(|(_, tenant, name)| (*tenant, *name)).collect();
    for ((place, _, _), device) in devices.into_iter().zip(tx.resolve_devices(&wanted).await?) {
        named[place].device = device;
    }
    Ok(named)
}

/// What is left of a message once the ledger has been asked.
fn settle_one(
    message: &Message,
    judged: Judged,
    contexts: &HashMap<VehicleId, Arc<VehicleContext>>,
    known: &mut Known,
) -> Judged {
    let Envelope { header, payload } = &message.envelope;
    let context = judged.batch.as_ref().and_then(|batch| contexts.get(&batch.key.vehicle));
    match (&judged.batch, context) {
        (Some(batch), Some(context)) => {
            let verdict = known.judge(batch);
            intake::settle(judged, verdict, header, payload, context)
        }
        _ => judged,
    }
}

/// The messages of which nothing is written but dead letters.
fn letters_only(judged: &[(&Message, Judged)]) -> Vec<(TenantId, MessageId)> {
    judged
        .iter()
        .filter(|(_, judged)| judged.batch.is_none() && !judged.dead_letters.is_empty())
        .map(|(message, _)| (message.envelope.header.tenant, message.envelope.header.message_id))
        .collect()
}

/// How a message ended, of those that somebody may ask about.
fn settled(header: &Header, judged: &Judged) -> Option<Settled> {
    matches!(header.source, Source::Http | Source::Resubmission).then(|| Settled {
        tenant: header.tenant,
        message: header.message_id,
        outcome: judged.outcome,
        tally: judged.tally.clone(),
    })
}

/// The import a message belongs to.
fn import_run(header: &Header) -> Option<Uuid> {
    header.extra.get(import::RUN)?.as_str()?.parse().ok()
}

fn judge_one(message: &Message, context: Option<&VehicleContext>, named: &Named, part: Part) -> Judged {
    let Envelope { header, payload } = &message.envelope;
    let refusal = match (&message.decoded, context) {
        (Ok(decoded), Some(context)) => return intake::judge(header, decoded, context, named, part),
        (Err(refusal), _) => refusal.clone(),
        (Ok(decoded), None) => {
            let mut refusal = of_no_vehicle(message, named);
            refusal.batch_id = Some(decoded.batch_id.to_string());
            refusal.samples = decoded.samples.len() as u32;
            refusal
        }
    };
    intake::refuse(header, refusal, payload, context)
}

fn of_no_vehicle(message: &Message, named: &Named) -> Refusal {
    let (reason, detail) = match (message.names_vehicle(), &named.device) {
        (true, _) => (
            MessageRejection::UnknownVehicle,
            "vehicle: wanted the id or external_ref of a vehicle of this tenant",
        ),
        (false, None) => (
            MessageRejection::UnknownDevice,
            "device: wanted the id or external_ref of a device of this tenant",
        ),
        (false, Some(_)) => (
            MessageRejection::DeviceUnpaired,
            "device: wanted one that is in a vehicle at that time, got one that is in none",
        ),
    };
    Refusal::new(reason, detail)
}

async fn pause(shutdown: &CancellationToken) -> Result<(), Stop> {
    tokio::select! {
        () = shutdown.cancelled() => Err(Stop::Shutdown),
        () = sleep(Duration::from_secs(1)) => Ok(()),
    }
}
