//! Which stretch of a vehicle's data must be read again when part of it has changed.
//!
//! A rebuild goes like this, and gives what a run over everything would give:
//!
//! 1. `core` is the dirty window. `core = expand(core, settings, stored trips near it)` until it no longer grows.
//! 2. Read the raw data of `reading(core, settings)`, merge, assemble; [`crate::assemble::close_before`] with the time
//!    of the first raw sample after what was read.
//! 3. If `expand(core, settings, derived trips)` grows, a trip came to reach further than it did: go on with 1.
//! 4. Replace the stored trips that overlap `core` by the derived ones.

use chrono::TimeDelta;
use odograph_domain::{settings::TripSettings, time::Window};

use crate::assemble::margin;

/// A change can reach this far: a trip nearer than this to changed data may become another trip.
pub fn reach(settings: &TripSettings) -> TimeDelta {
    settings.memory() + margin(settings)
}

/// The smallest window that holds `window` and every trip within reach of it. One step of growth: trips that come
/// within reach of the result need another.
pub fn expand(window: Window, settings: &TripSettings, trips: &[Window]) -> Window {
    let near = reading(window, settings);
    trips
        .iter()
        .filter(|trip| trip.overlaps(near))
        .fold(window, |grown, trip| grown.union(*trip))
}

/// What must be read to derive the trips of a window that no longer grows. No trip reaches into the difference: it is
/// there to see how the trips of the window begin and end.
pub fn reading(window: Window, settings: &TripSettings) -> Window {
    let reach = reach(settings);
    Window {
        from: window.from - reach,
        to: window.to + reach,
    }
}
