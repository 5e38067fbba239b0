//! Which vehicles are in a group.

pub(crate) mod add;
pub(crate) mod list;
pub(crate) mod remove;
