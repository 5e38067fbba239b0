//! One order for a vehicle's samples, whatever order they came in.

use std::collections::BTreeSet;

use odograph_domain::batch::RawSample;

use crate::canonical::raw_sample_hash;

/// A vehicle's samples, one per instant, in event-time order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Merged {
    pub samples: Vec<RawSample>,
    /// Indices of the samples that were made of two or more different ones. Copies of the same do not count.
    pub merged: Vec<usize>,
}

/// Sorts by (ts, device rank, content hash) and makes one sample of those that share an instant: each field from the
/// best that knows it. Position and its quality come together from the best fix (smaller `accuracy_m`, else smaller
/// `hdop`, else any), accelerations and rotations together with their frame from the first that has any, the rest from
/// the first in order. The result does not depend on the order of the input.
pub fn merge(mut raw: Vec<RawSample>) -> Merged {
    raw.sort_by_key(|r| (r.sample.ts, r.device_rank));
    let mut out = Merged {
        samples: Vec::with_capacity(raw.len()),
        merged: Vec::new(),
    };
    let mut rest = raw.into_iter().peekable();
    while let Some(first) = rest.next() {
        let ts = first.sample.ts;
        if rest.peek().is_none_or(|next| next.sample.ts != ts) {
            out.samples.push(first);
            continue;
        }
        let mut same = vec![first];
        while let Some(next) = rest.next_if(|next| next.sample.ts == ts) {
            same.push(next);
        }
        // Hashing is dear, and needed only where two samples share an instant.
        let mut same: Vec<_> = same
            .into_iter()
            .map(|r| (r.device_rank, raw_sample_hash(&r), r))
            .collect();
        same.sort_by_key(|(rank, hash, _)| (*rank, *hash));
        let mut seen = BTreeSet::new();
        same.retain(|(_, hash, _)| seen.insert(*hash));
        if same.len() > 1 {
            out.merged.push(out.samples.len());
        }
        out.samples
            .extend(combine(same.into_iter().map(|(_, _, r)| r).collect()));
    }
    out
}

/// Smaller is better; no fix at all is worst.
fn fix_rank(raw: &RawSample) -> (u8, f64) {
    let sample = &raw.sample;
    if sample.lat.is_none() || sample.lon.is_none() {
        return (3, 0.0);
    }
    match (sample.accuracy_m, sample.hdop) {
        (Some(accuracy_m), _) => (0, accuracy_m),
        (None, Some(hdop)) => (1, hdop),
        (None, None) => (2, 0.0),
    }
}

/// `same`: samples of one instant, by device rank and hash.
fn combine(same: Vec<RawSample>) -> Option<RawSample> {
    let mut best = same.first()?.clone();
    // `min_by` keeps the first of equals, so rank and hash decide among fixes of equal quality.
    let fix = same.iter().min_by(|a, b| {
        let ((kind_a, value_a), (kind_b, value_b)) = (fix_rank(a), fix_rank(b));
        kind_a.cmp(&kind_b).then(value_a.total_cmp(&value_b))
    })?;
    for other in &same[1..] {
        best.sample.fill_from(&other.sample);
        best.driver = best.driver.or(other.driver);
    }
    let position = &fix.sample;
    if position.lat.is_some() {
        best.sample.lat = position.lat;
        best.sample.lon = position.lon;
        best.sample.hdop = position.hdop;
        best.sample.accuracy_m = position.accuracy_m;
        best.sample.altitude_m = position.altitude_m.or(best.sample.altitude_m);
        best.sample.satellites = position.satellites.or(best.sample.satellites);
    }
    if let Some(moved) = same.iter().find(|r| has_motion(r)) {
        let motion = &moved.sample;
        best.accel_frame = moved.accel_frame;
        best.gravity = moved.gravity;
        best.sample.accel_x_ms2 = motion.accel_x_ms2;
        best.sample.accel_y_ms2 = motion.accel_y_ms2;
        best.sample.accel_z_ms2 = motion.accel_z_ms2;
        best.sample.gyro_x_rads = motion.gyro_x_rads;
        best.sample.gyro_y_rads = motion.gyro_y_rads;
        best.sample.gyro_z_rads = motion.gyro_z_rads;
    }
    Some(best)
}

fn has_motion(raw: &RawSample) -> bool {
    let s = &raw.sample;
    let axes = [
        s.accel_x_ms2,
        s.accel_y_ms2,
        s.accel_z_ms2,
        s.gyro_x_rads,
        s.gyro_y_rads,
        s.gyro_z_rads,
    ];
    axes.iter().any(Option::is_some)
}

#[cfg(test)]
mod tests {
    use odograph_domain::{
        batch::{AccelFrame, Gravity},
        sample::{Sample, parse_ts},
    };
    use proptest::prelude::*;

    use super::*;

    fn raw(second: u32, rank: u8, edit: impl FnOnce(&mut Sample)) -> RawSample {
        let mut sample = Sample::at(parse_ts(&format!("2026-01-31T07:15:{second:02}Z")).unwrap());
        edit(&mut sample);
        RawSample {
            sample,
            accel_frame: AccelFrame::Vehicle,
            gravity: Gravity::Included,
            device_rank: rank,
            driver: None,
        }
    }

    fn fix(s: &mut Sample, lat: f64, hdop: Option<f64>) {
        (s.lat, s.lon, s.hdop) = (Some(lat), Some(1.0), hdop);
    }

    #[test]
    fn the_better_fix_wins_and_the_rest_goes_by_rank() {
        let merged = merge(vec![
            raw(1, 1, |s| {
                fix(s, 48.0, Some(0.8));
                s.speed_kmh = Some(31.0);
                s.fuel_pct = Some(50.0);
            }),
            raw(0, 0, |s| s.speed_kmh = Some(29.0)),
            raw(1, 0, |s| {
                fix(s, 47.0, Some(4.0));
                s.speed_kmh = Some(30.0);
            }),
        ]);
        assert_eq!((merged.samples.len(), merged.merged), (2, vec![1]));
        let one = &merged.samples[1].sample;
        assert_eq!(
            (one.lat, one.hdop, one.speed_kmh, one.fuel_pct),
            (Some(48.0), Some(0.8), Some(30.0), Some(50.0))
        );
    }

    #[test]
    fn accelerations_keep_their_frame() {
        let mut earth = raw(1, 1, |s| s.accel_x_ms2 = Some(2.0));
        earth.accel_frame = AccelFrame::Earth;
        let merged = merge(vec![raw(1, 0, |s| s.speed_kmh = Some(3.0)), earth]);
        assert_eq!(merged.samples[0].accel_frame, AccelFrame::Earth);
        assert_eq!(merged.samples[0].sample.accel_x_ms2, Some(2.0));
    }

    #[test]
    fn copies_are_not_merges() {
        let sample = raw(1, 0, |s| s.speed_kmh = Some(3.0));
        let merged = merge(vec![
            sample.clone(),
            sample.clone(),
            RawSample {
                device_rank: 2,
                ..sample.clone()
            },
        ]);
        assert_eq!(
            merged,
            Merged {
                samples: vec![sample],
                merged: vec![]
            }
        );
    }

    fn any_raw() -> impl Strategy<Value = RawSample> {
        let speed = prop::option::of(0..4u8);
        let position = prop::option::of((0..3u8, prop::option::of(0..3u8)));
        (
            0..4u32,
            0..3u8,
            speed,
            position,
            prop::option::of(0..3u8),
            any::<bool>(),
        )
            .prop_map(|(second, rank, speed, position, accel, earth)| {
                let mut one = raw(second, rank, |s| {
                    s.speed_kmh = speed.map(f64::from);
                    if let Some((lat, hdop)) = position {
                        fix(s, f64::from(lat), hdop.map(f64::from));
                    }
                    s.accel_x_ms2 = accel.map(f64::from);
                });
                if earth {
                    one.accel_frame = AccelFrame::Earth;
                }
                one
            })
    }

    proptest! {
        #[test]
        fn the_order_of_arrival_does_not_matter(
            (given, shuffled) in prop::collection::vec(any_raw(), 0..12)
                .prop_flat_map(|given| (Just(given.clone()), Just(given).prop_shuffle())),
        ) {
            let merged = merge(given);
            prop_assert_eq!(&merged, &merge(shuffled));
            prop_assert!(merged.samples.windows(2).all(|pair| pair[0].sample.ts < pair[1].sample.ts));
        }
    }
}
