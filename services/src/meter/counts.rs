//! What comes of the work. No count has a label for a tenant, a vehicle or a driver: there is no bound to how many there are, and
//! `GET /v1/outcomes` counts by tenant.

use std::{collections::BTreeMap, time::Duration};

use odograph_domain::{
    correction::{Correction, CorrectionKind},
    envelope::Source,
    outcome::{MessageOutcome, MessageRejection, SampleRejection, Tally},
    queue::QueueError,
};
use odograph_ingest::intake::{Judged, Part};
use odograph_store::StoreError;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
};

use super::histogram::Buckets;
use crate::pipeline::derive::TripCounts;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct StepLabel {
    pub(crate) step: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct LaneLabel {
    pub(crate) lane: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct EndLabels {
    pub(crate) source: &'static str,
    pub(crate) outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct RefusalLabels {
    pub(crate) source: &'static str,
    pub(crate) reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct OutcomeLabel {
    pub(crate) outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct CauseLabel {
    pub(crate) cause: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ChangeLabel {
    pub(crate) change: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct KindLabel {
    pub(crate) kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct OperationLabel {
    pub(crate) operation: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct RequestLabels {
    pub(crate) operation: &'static str,
    pub(crate) status: u16,
}

#[derive(Debug, Default)]
pub struct Counts {
    pub(crate) messages: Family<EndLabels, Counter>,
    pub(crate) samples: Family<EndLabels, Counter>,
    /// Messages of which something was refused.
    pub(crate) refusals: Family<RefusalLabels, Counter>,
    pub(crate) quarantined: Counter,
    /// Messages from the intake.
    pub(crate) bridged: Family<EndLabels, Counter>,
    pub(crate) commits_failed: Family<CauseLabel, Counter>,
    pub(crate) publish_seconds: Family<OutcomeLabel, Buckets>,
    pub(crate) published: Counter,
    pub(crate) leases_held: Gauge,
    pub(crate) leases_gained: Counter,
    pub(crate) leases_given: Counter,
    pub(crate) leases_lost: Counter,
    pub(crate) derive_seconds: Family<OutcomeLabel, Buckets>,
    pub(crate) trips: Family<ChangeLabel, Counter>,
    pub(crate) corrections: Family<KindLabel, Counter>,
    pub(crate) requests: Family<RequestLabels, Counter>,
    pub(crate) request_seconds: Family<OperationLabel, Buckets>,
}

/// What the bridge did with a message from the intake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bridged {
    PassedOn,
    Refused,
    Quarantined,
}

impl Bridged {
    const ALL: [Self; 3] = [Self::PassedOn, Self::Refused, Self::Quarantined];

    fn as_str(self) -> &'static str {
        match self {
            Self::PassedOn => "passed_on",
            Self::Refused => "refused",
            Self::Quarantined => "quarantined",
        }
    }
}

/// How the messages of a micro-batch ended: counted once it is committed, since what is not is tried again.
#[derive(Debug, Default)]
pub struct Ended {
    messages: BTreeMap<(&'static str, &'static str), u64>,
    tallies: BTreeMap<&'static str, Tally>,
    /// Messages of which something was refused, by source and reason.
    refusals: BTreeMap<(&'static str, &'static str), u64>,
}

impl Ended {
    /// The parts of a message that was judged for several vehicles are one message.
    pub fn add(&mut self, source: Source, judged: &Judged) {
        let source = source_name(source);
        self.message(source, judged.part, judged.outcome);
        self.tally(source, &judged.tally);
    }

    /// It was committed before, and counted then.
    pub fn redelivered(&mut self, source: Source, part: Part) {
        self.message(source_name(source), part, MessageOutcome::Redelivered);
    }

    fn message(&mut self, source: &'static str, part: Part, outcome: MessageOutcome) {
        if part != Part::Following {
            *self.messages.entry((source, outcome.as_str())).or_default() += 1;
        }
    }

    /// What was turned away before it reached the queue.
    pub fn turned_away(tally: &Tally) -> Self {
        let mut ended = Self::default();
        let source = source_name(Source::Http);
        ended.message(source, Part::Whole, MessageOutcome::Rejected);
        ended.tally(source, tally);
        ended
    }

    fn tally(&mut self, source: &'static str, tally: &Tally) {
        for reason in tally.rejected.keys() {
            *self.refusals.entry((source, reason_name(reason))).or_default() += 1;
        }
        self.tallies.entry(source).or_default().merge(tally);
    }
}

impl Counts {
    /// Makes what there is only one small set of, so that it is 0 from the beginning: a rate needs a value before the first.
    pub(super) fn begin(&self) {
        for source in SOURCES {
            for outcome in MessageOutcome::ALL.iter().map(|outcome| outcome.as_str()) {
                drop(self.messages.get_or_create(&EndLabels { source, outcome }));
            }
            for outcome in ["accepted", "duplicate"] {
                drop(self.samples.get_or_create(&EndLabels { source, outcome }));
            }
            let reason = MessageRejection::Poison.as_str();
            drop(self.refusals.get_or_create(&RefusalLabels { source, reason }));
        }
        for source in [Source::Amqp, Source::Mqtt].map(source_name) {
            for outcome in Bridged::ALL.map(Bridged::as_str) {
                drop(self.bridged.get_or_create(&EndLabels { source, outcome }));
            }
        }
        for cause in ["lease_lost", "data", "unavailable", "database"] {
            drop(self.commits_failed.get_or_create(&CauseLabel { cause }));
        }
        for outcome in ["confirmed", "unavailable", "saturated", "misused"] {
            drop(self.publish_seconds.get_or_create(&OutcomeLabel { outcome }));
        }
        for outcome in ["derived", "put_off"] {
            drop(self.derive_seconds.get_or_create(&OutcomeLabel { outcome }));
        }
        for change in ["added", "changed", "withdrawn"] {
            drop(self.trips.get_or_create(&ChangeLabel { change }));
        }
        for kind in CorrectionKind::ALL.iter().map(|kind| kind.as_str()) {
            drop(self.corrections.get_or_create(&KindLabel { kind }));
        }
    }

    pub fn add(&self, ended: &Ended) {
        for ((source, outcome), messages) in &ended.messages {
            self.messages
                .get_or_create(&EndLabels { source, outcome })
                .inc_by(*messages);
        }
        for ((source, reason), messages) in &ended.refusals {
            self.refusals
                .get_or_create(&RefusalLabels { source, reason })
                .inc_by(*messages);
        }
        for (source, tally) in &ended.tallies {
            let rejected = tally
                .rejected
                .iter()
                .map(|(reason, samples)| (reason_name(reason), *samples));
            let kept = [("accepted", tally.accepted), ("duplicate", tally.duplicate)];
            for (outcome, samples) in kept.into_iter().chain(rejected) {
                self.samples
                    .get_or_create(&EndLabels { source, outcome })
                    .inc_by(samples);
            }
        }
    }

    /// A micro-batch, or a part of it, was not committed.
    pub fn commit_failed(&self, cause: &StoreError) {
        let cause = match cause {
            StoreError::Fenced => "lease_lost",
            cause if cause.blames_data() => "data",
            StoreError::Unavailable(_) => "unavailable",
            _ => "database",
        };
        self.commits_failed.get_or_create(&CauseLabel { cause }).inc();
    }

    /// What came again counts again.
    pub fn bridged(&self, source: Source, done: Bridged, messages: usize) {
        let (source, outcome) = (source_name(source), done.as_str());
        self.bridged
            .get_or_create(&EndLabels { source, outcome })
            .inc_by(messages as u64);
    }

    pub fn published(&self, messages: usize, took: Duration, outcome: Result<(), &QueueError>) {
        let outcome = match outcome {
            Ok(()) => {
                self.published.inc_by(messages as u64);
                "confirmed"
            }
            Err(QueueError::Unavailable(_)) => "unavailable",
            Err(QueueError::Saturated(_)) => "saturated",
            Err(QueueError::Misused(_)) => "misused",
        };
        self.publish_seconds.get_or_create(&OutcomeLabel { outcome }).took(took);
    }

    /// A window was derived and committed, or put off.
    pub fn derived(&self, took: Duration, derived: Option<(TripCounts, &[Correction])>) {
        let outcome = if derived.is_some() { "derived" } else { "put_off" };
        self.derive_seconds.get_or_create(&OutcomeLabel { outcome }).took(took);
        let Some((trips, corrections)) = derived else { return };
        let changes = [
            ("added", trips.added),
            ("changed", trips.changed),
            ("withdrawn", trips.withdrawn),
        ];
        for (change, trips) in changes {
            self.trips.get_or_create(&ChangeLabel { change }).inc_by(trips);
        }
        for correction in corrections {
            let kind = correction.kind.as_str();
            self.corrections.get_or_create(&KindLabel { kind }).inc();
        }
    }

    pub fn answered(&self, operation: &'static str, status: u16, took: Duration) {
        self.requests.get_or_create(&RequestLabels { operation, status }).inc();
        self.request_seconds
            .get_or_create(&OperationLabel { operation })
            .took(took);
    }
}

const SOURCES: [&str; 5] = ["http", "amqp", "mqtt", "import", "resubmission"];

fn source_name(source: Source) -> &'static str {
    match source {
        Source::Http => "http",
        Source::Amqp => "amqp",
        Source::Mqtt => "mqtt",
        Source::Import => "import",
        Source::Resubmission => "resubmission",
    }
}

/// The name of a reason that this version knows: what another has written must not make labels without bound.
pub(crate) fn reason_name(reason: &str) -> &'static str {
    let of_message = MessageRejection::parse(reason).map(MessageRejection::as_str);
    let of_sample = || SampleRejection::parse(reason).map(SampleRejection::as_str);
    of_message.or_else(of_sample).unwrap_or("other")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_turned_away_balances() {
        let counts = Counts::default();
        let mut tally = Tally {
            received: 10,
            ..Tally::default()
        };
        tally.reject(MessageRejection::UnknownVehicle.as_str(), 10);
        counts.add(&Ended::turned_away(&tally));
        let (source, outcome, reason) = ("http", "unknown_vehicle", "unknown_vehicle");
        let refused = counts.samples.get_or_create(&EndLabels { source, outcome }).get();
        let messages = counts.refusals.get_or_create(&RefusalLabels { source, reason }).get();
        let outcome = "rejected";
        let rejected = counts.messages.get_or_create(&EndLabels { source, outcome }).get();
        assert_eq!((refused, messages, rejected), (10, 1, 1));
    }

    #[test]
    fn a_reason_of_another_version_is_no_label_of_its_own() {
        assert_eq!(reason_name("ts_in_future"), "ts_in_future");
        assert_eq!(reason_name("poison"), "poison");
        assert_eq!(reason_name("whatever comes"), "other");
    }
}
