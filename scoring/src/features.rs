//! From a trip's samples to its features.
//!
//! Samples become columns first ([`SampleFrame`]), and each trip's features are computed straight from its part of them; many
//! trips on all cores.

use std::{
    num::NonZero,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use chrono_tz::Tz;
use odograph_domain::{batch::RawSample, features::TripFeatures, trip::TripBounds};
use polars::{error::PolarsError, frame::DataFrame};

mod columns;
#[cfg(test)]
mod tests;
mod trip;

/// Version of the features: grows with every change that can change a figure.
pub const PLAN_VERSION: u16 = 1;

/// One trip's samples and what must be known to read them.
#[derive(Debug, Clone, Copy)]
pub struct TripInput<'a> {
    /// Merged (one sample a time) and in event-time order, of this trip alone.
    pub samples: &'a [RawSample],
    pub bounds: TripBounds,
    /// Of the insured.
    pub time_zone: Tz,
    /// Whether product and consent allow behaviour to be kept.
    pub behaviour_allowed: bool,
}

/// What must be known of a trip besides its samples.
#[derive(Debug, Clone, Copy)]
pub struct TripMeta {
    pub bounds: TripBounds,
    pub time_zone: Tz,
    pub behaviour_allowed: bool,
}

impl From<&TripInput<'_>> for TripMeta {
    fn from(trip: &TripInput<'_>) -> Self {
        Self {
            bounds: trip.bounds,
            time_zone: trip.time_zone,
            behaviour_allowed: trip.behaviour_allowed,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum FeatureError {
    #[error("the samples do not make a frame: {0}")]
    Frame(#[from] PolarsError),
}

/// Features of each trip, in the order given; a trip without samples has none but its duration.
///
/// Bit for bit the same for the same samples, whatever other trips are given with them.
pub fn features(trips: &[TripInput<'_>]) -> Result<Vec<TripFeatures>, FeatureError> {
    let meta: Vec<TripMeta> = trips.iter().map(TripMeta::from).collect();
    SampleFrame::of_rows(trips)?.features(&meta)
}

/// The samples of some trips as columns, one trip below the other.
#[derive(Debug, Clone)]
pub struct SampleFrame(DataFrame);

/// Fewer rows than this are done sooner than a thread is started.
const ROWS_A_THREAD: usize = 20_000;
/// Trips a thread takes at a time.
const TAKEN: usize = 8;

impl SampleFrame {
    pub fn of_rows(trips: &[TripInput<'_>]) -> Result<Self, FeatureError> {
        Ok(Self(columns::frame(trips)?))
    }

    pub fn rows(&self) -> usize {
        self.0.height()
    }

    /// Features of each trip, in the order of `trips`, which the frame was made of.
    pub fn features(&self, trips: &[TripMeta]) -> Result<Vec<TripFeatures>, FeatureError> {
        let columns = columns::Columns::of(&self.0)?;
        let with_samples = columns.trips();
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        let threads = cores.min(self.rows() / ROWS_A_THREAD).max(1);
        let next = AtomicUsize::new(0);
        let work = || {
            let mut found = Vec::new();
            loop {
                let first = next.fetch_add(TAKEN, Ordering::Relaxed);
                let taken = with_samples.iter().skip(first).take(TAKEN);
                if taken.len() == 0 {
                    return found;
                }
                found.extend(taken.filter_map(|(number, x)| Some((*number, trip::features(x, trips.get(*number)?)))));
            }
        };
        let found = thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
            let mut found = work();
            for other in others {
                match other.join() {
                    Ok(more) => found.extend(more),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            found
        });
        let mut features: Vec<Option<TripFeatures>> = vec![None; trips.len()];
        for (number, of_trip) in found {
            features[number] = Some(of_trip);
        }
        let all = features.into_iter().zip(trips);
        Ok(all
            .map(|(found, meta)| found.unwrap_or_else(|| trip::nothing(meta)))
            .collect())
    }
}
