//! How long the parts of the work take: counters that cost a few additions a micro-batch, read by `odograph bench`.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use odograph_domain::envelope::Lane;

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

/// Time spent by step, sizes of micro-batches, time from arrival to commit.
#[derive(Debug, Default)]
pub struct Meter {
    nanos: [AtomicU64; Step::ALL.len()],
    times: [AtomicU64; Step::ALL.len()],
    /// Messages.
    pub batch_sizes: Histogram,
    /// From the arrival of a message to the commit that holds it, in microseconds.
    pub commit_us: Histogram,
    /// The same, of each lane.
    lane_us: [Histogram; Lane::ALL.len()],
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

    /// Measures until the guard is dropped.
    pub fn step(&self, step: Step) -> Running<'_> {
        Running {
            meter: self,
            step,
            since: Instant::now(),
        }
    }

    /// How often the step ran, and how long in all.
    pub fn spent(&self, step: Step) -> (u64, Duration) {
        (
            self.times[step as usize].load(Ordering::Relaxed),
            Duration::from_nanos(self.nanos[step as usize].load(Ordering::Relaxed)),
        )
    }
}

/// A step that goes on.
#[derive(Debug)]
#[must_use = "it measures until it is dropped"]
pub struct Running<'a> {
    meter: &'a Meter,
    step: Step,
    since: Instant,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let nanos = u64::try_from(self.since.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.meter.nanos[self.step as usize].fetch_add(nanos, Ordering::Relaxed);
        self.meter.times[self.step as usize].fetch_add(1, Ordering::Relaxed);
    }
}

/// Values below this have a bucket of their own; above, each doubling has half as many: 1.6 % at most between neighbours.
const FINE: u64 = 128;
const HALF: u64 = FINE / 2;
const BUCKETS: usize = (FINE + HALF * 57) as usize;

/// Counts of whole numbers, exact when small and within 1.6 % above.
pub struct Histogram(Box<[AtomicU64]>);

impl Default for Histogram {
    fn default() -> Self {
        Self((0..BUCKETS).map(|_| AtomicU64::new(0)).collect())
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Histogram")
            .field("count", &self.count())
            .finish_non_exhaustive()
    }
}

impl Histogram {
    pub fn add(&self, value: u64) {
        self.add_times(value, 1);
    }

    pub fn add_times(&self, value: u64, times: u64) {
        self.0[bucket(value)].fetch_add(times, Ordering::Relaxed);
    }

    pub fn count(&self) -> u64 {
        self.0.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// The value that this share of all does not exceed (the upper end of its bucket); 0 where there is none.
    pub fn quantile(&self, share: f64) -> u64 {
        let wanted = ((self.count() as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        for (place, count) in self.0.iter().enumerate() {
            seen += count.load(Ordering::Relaxed);
            if seen >= wanted {
                return upper(place as u64);
            }
        }
        0
    }

    pub fn max(&self) -> u64 {
        self.quantile(1.0)
    }
}

fn bucket(value: u64) -> usize {
    if value < FINE {
        return value as usize;
    }
    // How far to shift until the value has seven bits, the first of which is set.
    let shift = u64::from(57 - value.leading_zeros());
    (FINE + (shift - 1) * HALF + ((value >> shift) - HALF)) as usize
}

fn upper(bucket: u64) -> u64 {
    if bucket < FINE {
        return bucket;
    }
    let shift = (bucket - FINE) / HALF + 1;
    let first = HALF + (bucket - FINE) % HALF;
    (first << shift) + ((1 << shift) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_its_own_values() {
        let mut before = 0;
        for value in (0..100_000).chain([1 << 20, (1 << 40) + 12345, u64::MAX / 3, u64::MAX]) {
            let place = bucket(value);
            assert!(place < BUCKETS, "{value}");
            assert!(place >= before, "{value}");
            before = place;
            let most = upper(place as u64);
            assert!(
                value <= most && (most - value) as f64 <= value as f64 / 63.0,
                "{value} {most}"
            );
        }
    }

    #[test]
    fn quantiles() {
        let histogram = Histogram::default();
        assert_eq!(histogram.quantile(0.5), 0);
        (1..=100).for_each(|value| histogram.add(value));
        assert_eq!(
            [0.0, 0.5, 0.99, 1.0].map(|share| histogram.quantile(share)),
            [1, 50, 99, 100]
        );
        histogram.add_times(1_000_000, 900);
        assert!((1_000_000..1_016_000).contains(&histogram.quantile(0.5)));
    }
}
