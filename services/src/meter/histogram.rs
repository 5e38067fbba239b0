//! Counts of values: [`Histogram`] for quantiles to the digit, which `odograph bench` prints, and [`Buckets`] for Prometheus.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder, NoLabelSet},
    metrics::{MetricType, TypedMetric},
};

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

    /// As it is now.
    #[must_use]
    pub fn copied(&self) -> Self {
        Self(
            self.0
                .iter()
                .map(|count| AtomicU64::new(count.load(Ordering::Relaxed)))
                .collect(),
        )
    }

    /// What has come since `before` was copied.
    #[must_use]
    pub fn less(&self, before: &Self) -> Self {
        let since = |(now, before): (&AtomicU64, &AtomicU64)| {
            let (now, before) = (now.load(Ordering::Relaxed), before.load(Ordering::Relaxed));
            AtomicU64::new(now.saturating_sub(before))
        };
        Self(self.0.iter().zip(&before.0).map(since).collect())
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

/// Upper ends of the buckets of times, in seconds.
const SECONDS: &[f64] = &[
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];
/// Of times that a queue may make long: minutes and hours count as well.
const WAITS: &[f64] = &[
    0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 86_400.0,
];
/// Of numbers of messages.
const SIZES: &[f64] = &[
    1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0,
];

/// A histogram as Prometheus knows it, counted without a lock. Clones share their counts.
#[derive(Clone)]
pub struct Buckets(Arc<Counted>);

struct Counted {
    bounds: &'static [f64],
    /// What is counted in one of the unit of the bounds: times are in nanoseconds.
    scale: f64,
    /// One more than there are bounds: the last is of all that is beyond.
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
}

/// Of times, in seconds, from 100 µs to 30 s.
impl Default for Buckets {
    fn default() -> Self {
        Self::new(SECONDS, 1e9)
    }
}

impl fmt::Debug for Buckets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buckets")
            .field("count", &self.count())
            .finish_non_exhaustive()
    }
}

impl Buckets {
    /// Of times that a queue may make long, in seconds, from 10 ms to a day.
    pub fn of_waits() -> Self {
        Self::new(WAITS, 1e9)
    }

    /// Of numbers of messages, from 1 to 5,000.
    pub fn of_sizes() -> Self {
        Self::new(SIZES, 1.0)
    }

    fn new(bounds: &'static [f64], scale: f64) -> Self {
        Self(Arc::new(Counted {
            bounds,
            scale,
            counts: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(),
            sum: AtomicU64::new(0),
        }))
    }

    pub fn took(&self, time: Duration) {
        self.add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    /// In nanoseconds, or in whatever else it counts.
    pub fn add(&self, value: u64) {
        let scaled = value as f64 / self.0.scale;
        let place = self.0.bounds.partition_point(|bound| *bound < scaled);
        self.0.counts[place].fetch_add(1, Ordering::Relaxed);
        self.0.sum.fetch_add(value, Ordering::Relaxed);
    }

    pub fn count(&self) -> u64 {
        self.0.counts.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// Of all values, as they were given.
    pub fn sum(&self) -> u64 {
        self.0.sum.load(Ordering::Relaxed)
    }
}

impl TypedMetric for Buckets {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for Buckets {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let ends = self.0.bounds.iter().copied().chain([f64::INFINITY]);
        let counts = self.0.counts.iter().map(|count| count.load(Ordering::Relaxed));
        let buckets: Vec<(f64, u64)> = ends.zip(counts).collect();
        // From the same look as the buckets, or the two might not agree.
        let count = buckets.iter().map(|(_, count)| count).sum();
        encoder.encode_histogram::<NoLabelSet>(self.sum() as f64 / self.0.scale, count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
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

    #[test]
    fn a_value_counts_in_the_first_bucket_that_holds_it() {
        let buckets = Buckets::default();
        for (micros, place) in [
            (0, 0),
            (100, 0),
            (101, 1),
            (1_000, 3),
            (30_000_000, 16),
            (30_000_001, 17),
        ] {
            let before = buckets.0.counts[place].load(Ordering::Relaxed);
            buckets.took(Duration::from_micros(micros));
            assert_eq!(
                buckets.0.counts[place].load(Ordering::Relaxed),
                before + 1,
                "{micros} µs"
            );
        }
        assert_eq!((buckets.count(), buckets.sum()), (6, 60_001_202_000));
    }
}
