//! Raw data: journal rows and blocks, both in one format, both encrypted with the subject's key.
//!
//! The content of raw data never changes, only where it lies: compaction puts the samples of many journal rows into one
//! block, each with every field it came with.

mod block;
mod bytes;
mod columns;
mod compact;
mod read;
mod value;

pub(crate) use block::seal_block;
pub(crate) use compact::{at, compact};
pub(crate) use read::{first_after, raw_between};
