//! How long the parts of the work take, and what comes of it: counters that cost a few additions a micro-batch. They have two
//! readers: `odograph bench` prints them, and `/metrics` shows them to Prometheus ([`crate::metrics`]).

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use odograph_domain::{
    envelope::{Header, Lane},
    time::EventTime,
};
use prometheus_client::metrics::family::Family;
use tracing::Span;

use self::counts::StepLabel;
pub(crate) use self::counts::{LaneLabel, reason_name};
pub use self::{
    counts::{Bridged, Counts, Ended},
    histogram::{Buckets, Histogram},
    lag::{Lag, Lags},
};
use crate::traces;

mod counts;
mod histogram;
mod lag;

/// A part of the work that is measured by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Open,
    Begin,
    Judge,
    Settle,
    Write,
    Commit,
    Claim,
    Rebuild,
    Features,
    Replace,
    Charge,
    Compact,
    Close,
}

impl Step {
    pub const ALL: [Self; 13] = [
        Self::Open,
        Self::Begin,
        Self::Judge,
        Self::Settle,
        Self::Write,
        Self::Commit,
        Self::Claim,
        Self::Rebuild,
        Self::Features,
        Self::Replace,
        Self::Charge,
        Self::Compact,
        Self::Close,
    ];

    /// As metrics and traces name it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Begin => "begin",
            Self::Judge => "judge",
            Self::Settle => "settle",
            Self::Write => "write",
            Self::Commit => "commit",
            Self::Claim => "derive_claim",
            Self::Rebuild => "derive_rebuild",
            Self::Features => "derive_features",
            Self::Replace => "derive_replace",
            Self::Charge => "derive_charge",
            Self::Compact => "derive_compact",
            Self::Close => "derive_commit",
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "ingest: open and decode",
            Self::Begin => "ingest: begin, fence",
            Self::Judge => "ingest: resolve, validate",
            Self::Settle => "ingest: lock, dedup, advance",
            Self::Write => "ingest: write",
            Self::Commit => "ingest: commit",
            Self::Claim => "derive: claim, context",
            Self::Rebuild => "derive: read, merge, assemble",
            Self::Features => "derive: features",
            Self::Replace => "derive: write trips",
            Self::Charge => "derive: usage, scores, premiums",
            Self::Compact => "derive: compact",
            Self::Close => "derive: commit",
        }
    }
}

/// What this process did, and how long it took.
#[derive(Debug)]
pub struct Meter {
    /// By the place of the step in [`Step::ALL`]; the family holds the same.
    steps: [Buckets; Step::ALL.len()],
    pub(crate) step_seconds: Family<StepLabel, Buckets>,
    /// Messages.
    pub batch_sizes: Histogram,
    pub(crate) batch_messages: Buckets,
    /// From the arrival of a message to the commit that holds it, in microseconds.
    pub commit_us: Histogram,
    /// The same, of each lane.
    lane_us: [Histogram; Lane::ALL.len()],
    /// The same by lane, and from the time of a message's last sample.
    arrival: [Buckets; Lane::ALL.len()],
    event: [Buckets; Lane::ALL.len()],
    pub(crate) arrival_seconds: Family<LaneLabel, Buckets, fn() -> Buckets>,
    pub(crate) event_seconds: Family<LaneLabel, Buckets, fn() -> Buckets>,
    pub lag: Lag,
    pub counts: Counts,
}

impl Default for Meter {
    fn default() -> Self {
        let step_seconds: Family<StepLabel, Buckets> = Family::default();
        let steps = Step::ALL.map(|step| step_seconds.get_or_create_owned(&StepLabel { step: step.label() }));
        let by_lane = || Family::<LaneLabel, Buckets, fn() -> Buckets>::new_with_constructor(Buckets::of_waits);
        let of = |family: &Family<LaneLabel, Buckets, fn() -> Buckets>| {
            Lane::ALL.map(|lane| family.get_or_create_owned(&LaneLabel { lane: lane.as_str() }))
        };
        let (arrival_seconds, event_seconds) = (by_lane(), by_lane());
        let counts = Counts::default();
        counts.begin();
        Self {
            steps,
            step_seconds,
            batch_sizes: Histogram::default(),
            batch_messages: Buckets::of_sizes(),
            commit_us: Histogram::default(),
            lane_us: Default::default(),
            arrival: of(&arrival_seconds),
            event: of(&event_seconds),
            arrival_seconds,
            event_seconds,
            lag: Lag::default(),
            counts,
        }
    }
}

impl Meter {
    /// From the arrival of a lane's messages to their commits, in microseconds.
    pub fn lane(&self, lane: Lane) -> &Histogram {
        match lane {
            Lane::Urgent => &self.lane_us[0],
            Lane::Live => &self.lane_us[1],
            Lane::Bulk => &self.lane_us[2],
        }
    }

    /// Measures until the guard is dropped; where traces are on, a span as well.
    pub fn step(&self, step: Step) -> Running<'_> {
        Running {
            spent: &self.steps[step as usize],
            since: Instant::now(),
            _span: tracing::info_span!(target: traces::TARGET, "step", otel.name = step.label()),
        }
    }

    /// How often the step ran, and how long in all.
    pub fn spent(&self, step: Step) -> (u64, Duration) {
        let spent = &self.steps[step as usize];
        (spent.count(), Duration::from_nanos(spent.sum()))
    }

    /// A micro-batch of a partition has been committed: its messages, each with the time of its last sample, and how they
    /// ended.
    pub fn committed<'a>(
        &self,
        partition: u16,
        messages: impl ExactSizeIterator<Item = (&'a Header, Option<EventTime>)>,
        ended: &Ended,
        now: DateTime<Utc>,
    ) {
        let since = |at: DateTime<Utc>| {
            let nanos = (now - at).num_nanoseconds().unwrap_or(i64::MAX);
            u64::try_from(nanos).unwrap_or(0)
        };
        self.batch_messages.add(messages.len() as u64);
        let messages = messages.inspect(|(header, last)| {
            self.arrival[header.lane as usize].add(since(header.received_at.utc()));
            if let Some(last) = last {
                self.event[header.lane as usize].add(since(last.utc()));
            }
        });
        self.lag.committed(partition, messages, now);
        self.counts.add(ended);
    }
}

/// A step that goes on.
#[derive(Debug)]
#[must_use = "it measures until it is dropped"]
pub struct Running<'a> {
    spent: &'a Buckets,
    since: Instant,
    _span: Span,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.spent.took(self.since.elapsed());
    }
}
