//! The bridge: takes what senders gave to the broker themselves from the intake queues, finds out whose it is, and passes it on
//! to the partitions, confirmed, before the intake lets go of it.
//!
//! **Nothing is lost, nothing counts twice.** A crash between passing on and letting go brings a message once more. So its id
//! is not drawn but follows from who sent it and what it is: the ledger then knows it for the same message, and neither it nor
//! its dead letters are written or counted again. A sender that repeats itself because it did not hear the broker's confirm is
//! the same case, and cannot be told from it; one that wants its repetition counted, as a duplicate, gives it a `message_id`
//! of its own.
//!
//! **Nothing is judged here that ingest judges.** A batch of an unknown vehicle, or one that does not read, goes on: its sender
//! has been told that it is safe and may have forgotten it, so it is refused where refusing keeps it, as a dead letter.
//! Refused here is only what may not go on: what came by a credential that does not hold any more, and what a device says of
//! others than itself. What is nobody's goes to quarantine.

mod message;
mod sender;

use std::time::Duration;

use anyhow::{Context, Result};
use odograph_domain::{envelope::Source, queue::QueueError};
use odograph_ingest::{
    decode::DecodeLimits,
    intake, minimise,
    rabbit::{Arrived, IntakeReceipt},
};
use odograph_store::StoreError;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use self::{
    message::{Message, Way, encoding_of},
    sender::Known,
};
use crate::{
    meter::{Bridged, Ended},
    root::Parts,
};

/// Messages passed on with one round of look-ups and confirms.
const TOGETHER: usize = 500;
const WAIT: Duration = Duration::from_secs(1);
/// After a failure of the database or the broker.
const PAUSE: Duration = Duration::from_secs(1);

/// Runs until `shutdown`, if there is an intake. Any number of bridges share the work, whoever is first; that a vehicle's
/// batches may overtake each other so does no harm, since trips do not depend on the order of arrival.
pub async fn run(parts: Parts, shutdown: CancellationToken) -> Result<()> {
    if !parts.config.intake.enabled {
        return Ok(());
    }
    let rabbit = parts.rabbit.clone().context("an intake needs RabbitMQ (queue.url)")?;
    let mut consumer = rabbit.intake()?;
    let bridge = Bridge {
        parts,
        limits: DecodeLimits::default(),
    };
    info!("bridge started");
    while !shutdown.is_cancelled() {
        let received = tokio::select! {
            () = shutdown.cancelled() => break,
            received = consumer.receive(TOGETHER, WAIT) => received,
        };
        let passed_on = match received {
            Ok(arrived) if arrived.is_empty() => continue,
            Ok(arrived) => {
                let receipts: Vec<IntakeReceipt> = arrived.iter().map(|one| one.receipt).collect();
                if bridge.pass_on(arrived, &shutdown).await.is_none() {
                    break;
                }
                consumer.acknowledge(&receipts).await
            }
            Err(cause) => Err(cause),
        };
        if let Err(cause) = passed_on {
            warn!(error = %cause, "the intake cannot be read now; trying again");
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = sleep(PAUSE) => {}
            }
        }
    }
    consumer.close().await;
    info!("bridge stopped");
    Ok(())
}

struct Bridge {
    parts: Parts,
    limits: DecodeLimits,
}

#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Queue(#[from] QueueError),
}

impl Failed {
    fn blames_data(&self) -> bool {
        matches!(self, Self::Store(cause) if cause.blames_data()) || matches!(self, Self::Queue(QueueError::Misused(_)))
    }
}

impl Bridge {
    /// Returns when every message is in a partition, a dead letter, or in quarantine; `None` if asked to stop before. What
    /// cannot be passed on because of what is in it is found by halving, as ingest does it.
    async fn pass_on(&self, arrived: Vec<Arrived>, shutdown: &CancellationToken) -> Option<()> {
        let mut waiting = vec![arrived];
        while let Some(mut part) = waiting.pop() {
            if part.is_empty() {
                continue;
            }
            match self.pass_on_once(&part).await {
                Ok(()) => {}
                Err(cause) if cause.blames_data() && part.len() > 1 => {
                    let rest = part.split_off(part.len() / 2);
                    waiting.push(rest);
                    waiting.push(part);
                }
                Err(cause) => {
                    let given_up =
                        cause.blames_data() && self.quarantine(&part, "it cannot be passed on").await.is_ok();
                    if !given_up {
                        warn!(messages = part.len(), error = %cause, "intake cannot be passed on now; waiting");
                        tokio::select! {
                            () = shutdown.cancelled() => return None,
                            () = sleep(PAUSE) => {}
                        }
                        waiting.push(part);
                    }
                }
            }
        }
        Some(())
    }

    async fn pass_on_once(&self, arrived: &[Arrived]) -> Result<(), Failed> {
        let senders = self.senders(arrived).await?;
        let mut messages = Vec::with_capacity(arrived.len());
        for (one, known) in arrived.iter().zip(senders) {
            match known {
                Known::Sender(sender) => {
                    messages.push(Message::open(one, sender, &self.limits, self.parts.clock.now()))
                }
                Known::Nobody(why) => {
                    warn!(source = ?one.source, "a message of nobody's: {why}");
                    self.quarantine(std::slice::from_ref(one), why).await?;
                }
            }
        }
        let (mut onwards, mut refused) = (Vec::new(), Vec::new());
        for (message, way) in self.ways(messages).await? {
            match way {
                Way::On => onwards.push(message.envelope),
                Way::Refused(refusal) => refused.push((message.envelope, refusal)),
            }
        }
        debug!(messages = onwards.len(), refused = refused.len(), "passing intake on");
        self.parts.publisher.publish(&onwards).await?;
        let counts = &self.parts.meter.counts;
        for source in [Source::Amqp, Source::Mqtt] {
            let messages = onwards.iter().filter(|envelope| envelope.header.source == source);
            counts.bridged(source, Bridged::PassedOn, messages.count());
        }
        for (envelope, refusal) in refused {
            let source = envelope.header.source;
            let judged = intake::refuse(&envelope.header, refusal, &envelope.payload, None);
            let store = self.parts.store.tenant(envelope.header.tenant);
            let (mut ended, mut first) = (Ended::default(), false);
            for letter in &judged.dead_letters {
                first |= store.put_refused(letter, &judged.tally).await?;
            }
            if first {
                ended.add(source, &judged);
            } else {
                ended.redelivered(source, judged.part);
            }
            counts.add(&ended);
            counts.bridged(source, Bridged::Refused, 1);
        }
        Ok(())
    }

    /// Whose it is is not known, so nobody has allowed behaviour to be kept.
    async fn quarantine(&self, arrived: &[Arrived], reason: &str) -> Result<(), StoreError> {
        for one in arrived {
            let kept = minimise::scrub(&one.bytes, encoding_of(one), &|_| false);
            let reason = format!("{}: {reason}", one.source_name());
            self.parts.store.worker().quarantine(&kept, &reason).await?;
            let counts = &self.parts.meter.counts;
            counts.quarantined.inc();
            counts.bridged(one.source, Bridged::Quarantined, 1);
        }
        Ok(())
    }
}
