//! Black-box tests over the real parts: one binary, so that linking is paid once.

#![allow(clippy::unwrap_used, reason = "a test stops where the ground gives way")]
#![allow(clippy::disallowed_methods, reason = "tests of what comes live need the time it is")]

mod api;
mod bulk;
mod chaos;
mod checklist;
mod clients;
mod command;
mod contract;
mod corrections;
mod dead_letters;
mod door;
mod drives;
mod events;
mod faults;
mod fleets;
mod idempotency;
mod lake;
mod manners;
mod money;
mod operator;
mod ownership;
mod partitions;
mod payd;
mod permutations;
mod policies;
mod pressure;
mod queue;
mod rebuilt;
mod reports;
mod same;
mod simulate;
mod tenancy;
mod traces;
mod updates;
mod walls;
mod watching;
mod ways;
mod wire;
