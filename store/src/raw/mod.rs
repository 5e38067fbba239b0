//! Raw data: journal rows and blocks, both in one format, both encrypted with the subject's key.
//!
//! The content of raw data never changes, only where it lies: compaction puts the samples of many journal rows into one
//! block, each with every field it came with. But what may be kept no more, since its policy was changed for the past, goes.

mod block;
mod bytes;
mod columns;
mod compact;
mod forget;
mod read;
mod value;

pub(crate) use block::seal_block;
pub(crate) use compact::{at, compact};
pub(crate) use forget::forget_behaviour;
pub(crate) use read::{first_after, raw_between};
