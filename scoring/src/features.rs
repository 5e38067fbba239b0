//! From a trip's samples to its features: one lazy plan over all the trips given.

use std::sync::Arc;

use chrono_tz::Tz;
use odograph_domain::{batch::RawSample, features::TripFeatures, trip::TripBounds};
use polars::error::PolarsError;

mod column;
mod frame;
mod kernels;
mod plan;
mod read;
#[cfg(test)]
mod tests;

/// Version of the plan: grows with every change that can change a figure.
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

#[derive(Debug, thiserror::Error)]
pub enum FeatureError {
    #[error("the feature plan failed: {0}")]
    Plan(#[from] PolarsError),
}

/// Features of each trip, in the order given; a trip without samples has none but its duration.
///
/// Bit for bit the same for the same samples, whatever other trips are given with them.
pub fn features(trips: &[TripInput<'_>]) -> Result<Vec<TripFeatures>, FeatureError> {
    let zones: Arc<[Tz]> = trips.iter().map(|trip| trip.time_zone).collect();
    let rows = plan::plan(frame::frame(trips)?, zones).collect()?;
    Ok(read::read(&rows, trips)?)
}
