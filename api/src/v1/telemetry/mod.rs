//! Telemetry at the door.

pub(crate) mod bulk;
pub(crate) mod flespi;
mod forward;
pub(in crate::v1) mod glance;
mod lists;
pub(crate) mod sample_schema;
pub(crate) mod send;
pub(crate) mod status;
pub(crate) mod traccar;
mod turned_away;
