//! The port of live detectors: a step from state and new samples to state and findings. Pure.

use serde_json::Value;

use crate::{
    batch::RawSample,
    settings::TenantSettings,
    time::{EventTime, Window},
};

/// What a live detector found.
#[derive(Debug, Clone, PartialEq)]
pub enum Finding {
    /// A trip began.
    TripStarted { at: EventTime },
    /// The data shows that a trip is over: its window can be derived now, without waiting for silence.
    TripEnded { at: EventTime },
    /// Data older than what was seen before: this window must be derived again.
    LateData { window: Window },
}

/// One step's result.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Kept with the vehicle's state and given back on the next step.
    pub state: Value,
    pub findings: Vec<Finding>,
}

pub trait Detector: Send + Sync {
    /// Key of its state within the vehicle's state.
    fn name(&self) -> &'static str;

    /// `state` is `Value::Null` at the vehicle's first step, and where a stored state no longer reads. `samples` are
    /// those of one accepted batch, in event-time order.
    fn step(&self, state: &Value, samples: &[&RawSample], settings: &TenantSettings) -> Step;
}
