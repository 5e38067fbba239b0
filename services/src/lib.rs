//! What runs: the command line, the pipeline that composes the other crates, and the demo's fleet.

pub mod bench;
pub mod bridge;
pub mod checklist;
pub mod cli;
pub mod config;
#[cfg(feature = "embedded")]
pub mod embedded;
pub mod fleet;
mod housekeeping;
pub mod import;
pub mod lake;
pub mod logging;
pub mod meter;
pub mod metrics;
pub mod overview;
pub mod partitions;
pub mod pipeline;
pub mod plan;
pub mod rebuild;
pub mod root;
pub mod shutdown;
pub mod simulate;
pub mod tls;
pub mod traces;
mod watched;
pub mod worker;
