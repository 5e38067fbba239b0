//! Ownership of a partition: a lease that runs out, and an epoch that fences off whoever lost it.

use chrono::{DateTime, Utc};

use crate::id::WorkerId;

/// One worker's hold on one partition. Every commit locks the partition's row and compares the epoch, so a worker that
/// lost its lease, and does not know it yet, cannot write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    pub partition: u16,
    pub epoch: i64,
    pub worker: WorkerId,
    pub until: DateTime<Utc>,
}
