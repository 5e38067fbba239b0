//! How samples reach the platform: in small batches, mostly in order, mostly once.

use chrono::{DateTime, TimeDelta, Utc};
use odograph_domain::{batch::Impact, sample::Sample};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::{device::Recorded, math::chance, spec::Rates};

/// What a device sends at once. A batch that is sent twice is the same to the byte, its id included.
#[derive(Debug, Clone, PartialEq)]
pub struct GeneratedBatch {
    pub batch_id: String,
    pub sent_at: DateTime<Utc>,
    pub samples: Vec<Sample>,
    pub impacts: Vec<Impact>,
}

/// Rows that belong together: a drive, or a while of standing parked.
#[derive(Debug, Default)]
pub(super) struct Stretch {
    pub(super) driving: bool,
    pub(super) rows: Vec<Recorded>,
    /// A shock, and the row it goes with.
    pub(super) impact: Option<(usize, Impact)>,
}

/// Samples in a batch while driving; a parked car sends what it has every few hours; a device that was without network
/// sends larger ones.
const DRIVING: usize = 60;
const PARKED: usize = 8;
const BACKLOG: usize = 150;
/// Rows of the batch before that an overlapping one begins with.
const OVERLAP: usize = 12;

/// Cuts a vehicle's stretches into batches and gives them in the order they are sent.
pub(super) fn send(vehicle: &str, stretches: Vec<Stretch>, rates: &Rates, mut rng: ChaCha8Rng) -> Vec<GeneratedBatch> {
    let mut sender = Sender {
        vehicle,
        rates,
        count: 0,
        sent: Vec::new(),
        rng: &mut rng,
    };
    for stretch in stretches {
        sender.stretch(stretch);
    }
    let mut sent = sender.sent;
    sent.sort_by(|a, b| (a.sent_at, &a.batch_id).cmp(&(b.sent_at, &b.batch_id)));
    sent
}

struct Sender<'a> {
    vehicle: &'a str,
    rates: &'a Rates,
    count: u64,
    sent: Vec<GeneratedBatch>,
    rng: &'a mut ChaCha8Rng,
}

impl Sender<'_> {
    fn stretch(&mut self, stretch: Stretch) {
        // Now and then there is no network for a whole drive.
        let offline = if stretch.impact.is_none() && chance(self.rng, self.rates.offline) {
            TimeDelta::minutes(self.rng.random_range(20..600))
        } else {
            TimeDelta::zero()
        };
        let size = if stretch.driving { DRIVING } else { PARKED };
        let mut from = 0;
        while from < stretch.rows.len() {
            let shock = stretch
                .impact
                .as_ref()
                .filter(|(row, _)| (from..from + size).contains(row));
            // What a shock belongs to goes out at once.
            let to = shock.map_or(from + size, |(row, _)| row + 1).min(stretch.rows.len());
            let overlaps = from > 0 && chance(self.rng, self.rates.overlapping);
            let begin = if overlaps { from.saturating_sub(OVERLAP) } else { from };
            let impacts = shock.map(|(_, impact)| impact.clone()).into_iter().collect();
            self.batch(&stretch.rows[begin..to], impacts, offline);
            from = to;
        }
        if !offline.is_zero() && chance(self.rng, self.rates.resent) {
            // It does not know what of it arrived: everything again, cut anew and under new ids.
            let again = offline + TimeDelta::minutes(self.rng.random_range(1..20));
            for rows in stretch.rows.chunks(BACKLOG) {
                self.batch(rows, Vec::new(), again);
            }
        }
    }

    fn batch(&mut self, rows: &[Recorded], impacts: Vec<Impact>, offline: TimeDelta) {
        let Some(last) = rows.last() else { return };
        self.count += 1;
        let urgent = !impacts.is_empty();
        let late = if !urgent && chance(self.rng, self.rates.late) {
            self.rng.random_range(60..1800)
        } else {
            0
        };
        let network = TimeDelta::seconds(late) + TimeDelta::milliseconds(self.rng.random_range(800..4000));
        let batch = GeneratedBatch {
            batch_id: format!("{}-{:06}", self.vehicle, self.count),
            sent_at: last.at + offline + network,
            samples: rows.iter().map(|row| row.sample.clone()).collect(),
            impacts,
        };
        if chance(self.rng, self.rates.duplicate) {
            // The answer was lost on the way, so the device sends again.
            let again = batch.sent_at + TimeDelta::seconds(self.rng.random_range(30..3600));
            self.sent.push(GeneratedBatch {
                sent_at: again,
                ..batch.clone()
            });
        }
        self.sent.push(batch);
    }
}
