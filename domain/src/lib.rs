//! The vocabulary of Odograph and its ports. No I/O, no clock, no randomness: both are arguments.

pub mod batch;
pub mod clock;
pub mod correction;
pub mod detect;
pub mod device;
pub mod envelope;
pub mod event;
pub mod features;
pub mod id;
pub mod intake;
pub mod lease;
pub mod mileage;
pub mod money;
pub mod outcome;
pub mod policy;
pub mod pressure;
pub mod queue;
pub mod rating;
pub mod sample;
pub mod score;
pub mod settings;
pub mod time;
pub mod trip;
