//! What happens to telemetry, in two short functions: [`ingest`] takes a micro-batch from the queue to the journal,
//! [`derive`] takes a vehicle's dirty window from the journal to trips, scores and premiums.

use std::sync::Arc;

use odograph_domain::{clock::Clock, detect::Detector, id::IdSource, rating::Rater};
use odograph_ingest::{decode::DecodeLimits, watch::TripWatch};
use odograph_scoring::{
    model::{ScoreModel, expert::ExpertScore},
    rating::PlanRater,
};
use odograph_store::Store;
use tokio::sync::Notify;

use crate::{meter::Meter, root::Parts, traces::Remembered};

pub mod charge;
pub mod correct;
pub mod derive;
pub mod ingest;
mod records;

/// What the pipeline runs on.
#[derive(Clone)]
pub struct Pipeline {
    store: Store,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdSource>,
    limits: DecodeLimits,
    detectors: Arc<Vec<Box<dyn Detector>>>,
    model: Arc<dyn ScoreModel>,
    rater: Arc<dyn Rater>,
    derive_wanted: Arc<Notify>,
    meter: Arc<Meter>,
    /// Which trace a vehicle's last data came with.
    traced: Remembered,
}

impl std::fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pipeline")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl Pipeline {
    pub fn new(parts: &Parts) -> Self {
        Self {
            store: parts.store.clone(),
            clock: parts.clock.clone(),
            ids: parts.ids.clone(),
            limits: DecodeLimits::default(),
            detectors: Arc::new(vec![Box::new(TripWatch)]),
            model: Arc::new(ExpertScore::default()),
            rater: Arc::new(PlanRater),
            derive_wanted: Arc::new(Notify::new()),
            meter: parts.meter.clone(),
            traced: Remembered::default(),
        }
    }

    /// Woken when a commit left a window that is due at once.
    pub fn derive_wanted(&self) -> Arc<Notify> {
        self.derive_wanted.clone()
    }
}
