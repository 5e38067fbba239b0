//! Which vehicles are in a fleet.

pub(crate) mod add;
pub(crate) mod list;
pub(crate) mod remove;
