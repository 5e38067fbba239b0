//! What only queue and database know: asked every few seconds, and not by whoever reads the metrics.
//!
//! Every process samples the same, so a query takes the maximum over processes, never their sum.

use std::{sync::atomic::AtomicU64, time::Duration};

use chrono::{DateTime, Utc};
use odograph_domain::{
    envelope::Lane,
    queue::{GenerationState, Waiting},
};
use odograph_store::{Figures, GenerationRow, StoreError};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::{
    meter::{LaneLabel, Meter, reason_name},
    root::Parts,
};

/// Figures with a fraction.
type Figure = Gauge<f64, AtomicU64>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PartLabel {
    part: &'static str,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Sampled {
    queue_messages: Family<LaneLabel, Gauge>,
    queue_generation: Gauge,
    queue_partitions: Gauge,
    repartition: Figure,
    partitions_unheld: Gauge,
    workers: Gauge,
    windows_due: Gauge,
    windows_waiting: Gauge,
    windows_oldest_due: Figure,
    dead_letters: Family<ReasonLabel, Gauge>,
    dead_letters_oldest: Figure,
    quarantined: Gauge,
    outbox_pending: Gauge,
    database_bytes: Gauge,
    failures: Family<PartLabel, Counter>,
    sampled_at: Figure,
}

impl Sampled {
    pub(super) fn register(&self, ours: &mut Registry) {
        for lane in Lane::ALL {
            drop(self.queue_messages.get_or_create(&LaneLabel { lane: lane.as_str() }));
        }
        for part in [QUEUE, DATABASE] {
            drop(self.failures.get_or_create(&PartLabel { part }));
        }
        let what = "Messages that wait in the queue, by lane; with RabbitMQ not those that a worker holds, and envelopes that travel together are one";
        ours.register("queue_messages", what, self.queue_messages.clone());
        let what = "Generation of queues that is published to: another with each change of the number of partitions";
        ours.register("queue_generation", what, self.queue_generation.clone());
        let what = "Partitions of the generation of queues that is consumed";
        ours.register("queue_partitions", what, self.queue_partitions.clone());
        let what = "For how long the number of partitions has been being changed; 0 where it is not";
        ours.register_with_unit("repartition", what, Unit::Seconds, self.repartition.clone());
        let what = "Partitions that no worker holds";
        ours.register("partitions_unheld", what, self.partitions_unheld.clone());
        ours.register("workers", "Workers that are there", self.workers.clone());
        let what = "Windows whose trips are due to be derived";
        ours.register("windows_due", what, self.windows_due.clone());
        let what = "Windows that wait for their time: of vehicles that drive, or fell silent a moment ago";
        ours.register("windows_waiting", what, self.windows_waiting.clone());
        let what = "For how long the oldest window has been due; 0 where none is";
        ours.register_with_unit(
            "windows_oldest_due",
            what,
            Unit::Seconds,
            self.windows_oldest_due.clone(),
        );
        let what = "Dead letters that nobody has dealt with, by reason";
        ours.register("dead_letters_open", what, self.dead_letters.clone());
        let what = "Age since arrival of the oldest open dead letter; 0 where there is none";
        ours.register_with_unit(
            "dead_letters_oldest",
            what,
            Unit::Seconds,
            self.dead_letters_oldest.clone(),
        );
        let what = "Messages in quarantine: no envelopes, of nobody known";
        ours.register("quarantined_messages", what, self.quarantined.clone());
        let what = "Events that others are still to be told, of which 100,000 are counted at most";
        ours.register("outbox_pending", what, self.outbox_pending.clone());
        let what = "Size of the database, indexes and all";
        ours.register_with_unit("database_size", what, Unit::Bytes, self.database_bytes.clone());
        let what = "Samples that could not be taken, of: queue, database";
        ours.register("sample_failures", what, self.failures.clone());
        let what = "When the sampled figures were last taken, since 1970; 0 where they never were";
        ours.register_with_unit("sampled_timestamp", what, Unit::Seconds, self.sampled_at.clone());
    }

    fn queue(&self, waiting: &[Waiting], meter: &Meter) {
        for lane in Lane::ALL {
            let messages = waiting
                .iter()
                .filter(|queue| queue.lane == lane)
                .map(|queue| queue.messages);
            let label = LaneLabel { lane: lane.as_str() };
            self.queue_messages.get_or_create(&label).set(whole(messages.sum()));
        }
        for queue in waiting {
            meter.lag.waits(queue.partition, queue.lane, queue.messages);
        }
    }

    /// Returns how many partitions are consumed; `None` where the queue was never begun.
    fn generations(&self, rows: &[GenerationRow], now: DateTime<Utc>) -> Option<u16> {
        let current = rows.iter().find(|row| row.state == GenerationState::Current)?;
        let superseded = rows.iter().find(|row| row.state.is_consumed_first());
        let partitions = superseded.unwrap_or(current).generation.partitions;
        self.queue_generation.set(i64::from(current.generation.number));
        self.queue_partitions.set(i64::from(partitions));
        let since = superseded.map(|_| current.changed_at);
        self.repartition.set(age(since, now));
        Some(partitions)
    }

    fn database(&self, figures: &Figures, partitions: u16, now: DateTime<Utc>) {
        let held = figures.partitions_held.min(u64::from(partitions));
        self.partitions_unheld.set(whole(u64::from(partitions) - held));
        self.workers.set(whole(figures.workers));
        self.windows_due.set(whole(figures.windows_due));
        self.windows_waiting.set(whole(figures.windows_waiting));
        self.windows_oldest_due.set(age(figures.oldest_due_at, now));
        self.quarantined.set(whole(figures.quarantined));
        self.outbox_pending.set(whole(figures.outbox_pending));
        self.database_bytes.set(whole(figures.database_bytes));
        // A reason that is settled goes; the reader never sees it half done for longer than this takes.
        self.dead_letters.clear();
        for open in &figures.dead_letters {
            let reason = reason_name(&open.reason);
            self.dead_letters
                .get_or_create(&ReasonLabel { reason })
                .inc_by(whole(open.letters));
        }
        let oldest = figures.dead_letters.iter().map(|open| open.oldest_at).min();
        self.dead_letters_oldest.set(age(oldest, now));
        self.sampled_at.set(now.timestamp_millis() as f64 / 1000.0);
    }

    fn failed(&self, part: &'static str, cause: &dyn std::fmt::Display) {
        self.failures.get_or_create(&PartLabel { part }).inc();
        warn!(metrics.part = part, error = %cause, "figures to watch could not be sampled");
    }
}

const QUEUE: &str = "queue";
const DATABASE: &str = "database";

fn whole(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// In seconds; 0 where there is nothing.
fn age(at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> f64 {
    at.map_or(0.0, |at| ((now - at).num_milliseconds() as f64 / 1000.0).max(0.0))
}

/// Samples until `shutdown`.
pub(super) async fn run(sampled: Sampled, parts: Parts, every: Duration, shutdown: CancellationToken) {
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = sample(&sampled, &parts, every) => {}
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = sleep(every) => {}
        }
    }
}

async fn sample(sampled: &Sampled, parts: &Parts, patience: Duration) {
    match timeout(patience, parts.queue.waiting()).await {
        Ok(Ok(waiting)) => sampled.queue(&waiting, &parts.meter),
        Ok(Err(cause)) => sampled.failed(QUEUE, &cause),
        Err(elapsed) => sampled.failed(QUEUE, &elapsed),
    }
    let asking = async {
        let rows = parts.store.generations().all().await?;
        // Not what this process would consume: one that only serves does not hear of a change.
        let partitions = sampled.generations(&rows, parts.clock.now());
        let partitions = partitions.unwrap_or_else(|| parts.queue.partitions());
        Ok::<_, StoreError>((partitions, parts.store.figures(partitions).await?))
    };
    match timeout(patience, asking).await {
        Ok(Ok((partitions, figures))) => sampled.database(&figures, partitions, parts.clock.now()),
        Ok(Err(cause)) => sampled.failed(DATABASE, &cause),
        Err(elapsed) => sampled.failed(DATABASE, &elapsed),
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use odograph_domain::queue::Generation;
    use odograph_store::OpenLetters;

    use super::*;

    #[test]
    fn a_reason_that_is_settled_goes_and_unknown_ones_are_counted_together() {
        let (sampled, now) = (Sampled::default(), DateTime::UNIX_EPOCH);
        let open = |reason: &str, letters| OpenLetters {
            reason: reason.to_owned(),
            letters,
            oldest_at: now,
        };
        let figures = |dead_letters| Figures {
            dead_letters,
            partitions_held: 3,
            ..Figures::default()
        };
        sampled.database(&figures(vec![open("poison", 2), open("a", 3), open("b", 4)]), 8, now);
        let count = |reason| {
            sampled
                .dead_letters
                .get(&ReasonLabel { reason })
                .map(|gauge| gauge.get())
        };
        assert_eq!(
            (count("poison"), count("other"), sampled.partitions_unheld.get()),
            (Some(2), Some(7), 5)
        );
        sampled.database(&figures(vec![]), 2, now);
        assert_eq!(
            (count("poison"), count("other"), sampled.partitions_unheld.get()),
            (None, None, 0)
        );
    }

    #[test]
    fn what_is_consumed_is_what_workers_have_to_hold() {
        let (sampled, began) = (Sampled::default(), DateTime::UNIX_EPOCH);
        let row = |number, partitions, state| GenerationRow {
            generation: Generation { number, partitions },
            state,
            changed_at: began,
            publishers: 0,
        };
        let now = began + TimeDelta::seconds(90);
        assert_eq!(sampled.generations(&[], now), None);
        let changing = [row(1, 8, GenerationState::Sealed), row(2, 4, GenerationState::Current)];
        assert_eq!(sampled.generations(&changing, now), Some(8));
        assert_eq!((sampled.queue_generation.get(), sampled.repartition.get()), (2, 90.0));
        let changed = [row(1, 8, GenerationState::Drained), row(2, 4, GenerationState::Current)];
        assert_eq!(sampled.generations(&changed, now), Some(4));
        assert_eq!((sampled.queue_partitions.get(), sampled.repartition.get()), (4, 0.0));
    }
}
