//! From the queue to valid, ordered samples, and from ordered samples to trips.
//!
//! What happens to a message: [`decode`] → [`intake`] ([`validate`], [`minimise`], split by subject) → [`dedup`] →
//! [`watch`] (live state and dirty window). What happens to a dirty window: [`window`] → [`order`] → [`assemble`].
//! [`file`] turns files into the same batches that devices send.

pub mod assemble;
mod canonical;
pub mod decode;
pub mod dedup;
pub mod file;
pub mod intake;
pub mod minimise;
pub mod odometer;
pub mod order;
pub mod rabbit;
pub mod validate;
pub mod watch;
pub mod window;
