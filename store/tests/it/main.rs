//! The store against a real PostgreSQL, each test in a database of its own.

#![allow(clippy::unwrap_used, reason = "a test that fails by unwrap says where")]

mod crowd;
#[path = "../support/database.rs"]
mod database;
mod derive;
mod fleets;
mod generations;
mod idempotency;
mod leases;
mod ownership;
mod platform;
mod protection;
mod queue;
mod raw;
mod tenancy;
mod worker;
mod world;
