//! What the data means. Pure: no I/O, no clock, no randomness; the same bytes in give the same bytes out.
//!
//! [`features`] turns a trip's samples into features and billable mileage, [`model`] features into a score with reasons,
//! [`rating`] mileage and score into money. `docs/science/` says how each figure is computed and from which source.

pub mod behaviour;
pub mod features;
mod mileage;
pub mod model;
pub mod rating;
#[cfg(test)]
mod testing;
