//! How the car is driven: accelerations along and across, and the events in them.
//!
//! An event is a stretch above a threshold that lasts, and that changes the car's speed or direction enough to be
//! driving: a kerb or a pothole is neither. See `docs/science/features.md`.

use odograph_domain::event::BehaviourKind;

pub(crate) mod axes;
pub(crate) mod event;
mod heading;
#[cfg(test)]
mod tests;

/// What makes an event of a series of values.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Threshold {
    /// An event begins at or above this …
    pub(crate) enter: f64,
    /// … and goes on at or above this, so that a wobble around the threshold is one event and not ten.
    pub(crate) leave: f64,
    /// Shorter is a shock, s.
    pub(crate) least_s: f64,
    /// Value times seconds it must amount to: for accelerations the change of speed, m/s. A pothole has a high peak and
    /// changes nothing.
    pub(crate) least_sum: f64,
}

/// Recorded from 2.5 m/s² in braking, 2 m/s² in accelerating (few cars do much more) and 3 m/s² across, so that history can be scored by other thresholds later. Comfortable
/// deceleration ends at about 3.4 m/s² (AASHTO Green Book, stopping sight distance), and adaptive cruise control may
/// brake by up to 3.5 m/s² and accelerate by 2 m/s² (ISO 15622); 1.5 m/s is what 2.5 m/s² change in 0.6 s.
pub(crate) const BRAKING: Threshold = Threshold {
    enter: 2.5,
    leave: 2.0,
    least_s: 0.4,
    least_sum: 1.5,
};
pub(crate) const ACCELERATION: Threshold = Threshold {
    enter: 2.0,
    leave: 1.6,
    least_s: 0.8,
    least_sum: 1.6,
};
pub(crate) const CORNERING: Threshold = Threshold {
    enter: 3.0,
    leave: 2.4,
    least_s: 0.8,
    least_sum: 3.0,
};
/// km/h above the limit, beyond the tolerance of [`SPEEDING_TOLERANCE_KMH`].
pub(crate) const SPEEDING: Threshold = Threshold {
    enter: SPEEDING_TOLERANCE_KMH,
    leave: SPEEDING_TOLERANCE_KMH / 2.0,
    least_s: 5.0,
    least_sum: 0.0,
};
pub(crate) const PHONE: Threshold = Threshold {
    enter: 1.0,
    leave: 1.0,
    least_s: 2.0,
    least_sum: 0.0,
};

/// Above the limit by more than this is speeding: within it the speed sensor and the map may be at fault.
pub(crate) const SPEEDING_TOLERANCE_KMH: f64 = 5.0;

/// The threshold an event counts from in a score. Elevated g-force events that predict crashes are defined from 0.35 g
/// along and 0.5 g across (Simons-Morton et al. 2012, Am J Epidemiol 175:1075); AASHTO's limit of comfort stands a
/// little below for braking, and 0.4 g is at the edge of what ordinary drivers accept across (Reymond et al. 2001,
/// Human Factors 43:483).
pub fn scoring_threshold(kind: BehaviourKind) -> f64 {
    match kind {
        BehaviourKind::HarshBraking => 3.4,
        BehaviourKind::HarshAcceleration => 3.0,
        BehaviourKind::HarshCornering => 4.0,
        BehaviourKind::Speeding => SPEEDING_TOLERANCE_KMH,
        BehaviourKind::PhoneUse => PHONE.enter,
    }
}
