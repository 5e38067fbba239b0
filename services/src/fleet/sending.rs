//! How samples reach the platform: in small batches, mostly in order, mostly once.

use chrono::{DateTime, TimeDelta, Utc};
use odograph_domain::sample::Sample;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::GeneratedBatch;

/// Samples in a batch while driving; a parked car sends what it has every few hours.
const DRIVING: usize = 60;
const PARKED: usize = 8;

/// Cuts a vehicle's stretches into batches and gives them in the order they are sent.
pub(super) fn send(vehicle: &str, stretches: Vec<Vec<Sample>>, rng: &mut ChaCha8Rng) -> Vec<GeneratedBatch> {
    let mut sent = Vec::new();
    for stretch in stretches {
        let driving = stretch.first().is_some_and(|sample| sample.ignition == Some(true));
        // Now and then there is no network for a whole drive.
        let offline = if rng.random_bool(0.04) {
            TimeDelta::minutes(rng.random_range(20..600))
        } else {
            TimeDelta::zero()
        };
        for samples in stretch.chunks(if driving { DRIVING } else { PARKED }) {
            let (Some(first), Some(last)) = (samples.first(), samples.last()) else {
                continue;
            };
            let batch = GeneratedBatch {
                batch_id: format!("{vehicle}-{}", first.ts.utc().format("%Y%m%dT%H%M%SZ")),
                sent_at: sent_at(last.ts.utc() + offline, rng),
                samples: samples.to_vec(),
            };
            if rng.random_bool(0.02) {
                // The answer was lost on the way, so the device sends again.
                let again = batch.sent_at + TimeDelta::seconds(rng.random_range(30..3600));
                sent.push(GeneratedBatch {
                    sent_at: again,
                    ..batch.clone()
                });
            }
            sent.push(batch);
        }
    }
    sent.sort_by(|a, b| (a.sent_at, &a.batch_id).cmp(&(b.sent_at, &b.batch_id)));
    sent
}

fn sent_at(ready: DateTime<Utc>, rng: &mut ChaCha8Rng) -> DateTime<Utc> {
    let late = if rng.random_bool(0.03) {
        rng.random_range(60..1800)
    } else {
        0
    };
    ready + TimeDelta::seconds(late) + TimeDelta::milliseconds(rng.random_range(800..4000))
}
