//! Telemetry at the door.

mod glance;
mod lists;
pub(crate) mod sample_schema;
pub(crate) mod send;
mod turned_away;
