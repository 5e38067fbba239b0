//! Raw data: journal rows and blocks, both in one format, both encrypted with the subject's key.
//!
//! The content of raw data never changes, only where it lies: compaction puts the samples of many journal rows into one
//! block, each with every field it came with. But what may be kept no more, since its policy was changed for the past, goes, and
//! what turns out to be another vehicle's or somebody else's lies under them from then on.

mod block;
mod bytes;
mod columns;
mod compact;
mod decimals;
mod encodings;
mod forget;
mod impact;
mod read;
mod rehome;
mod retention;
mod row;
mod value;

pub(crate) use block::seal_block;
pub(crate) use compact::{LARGEST, at, compact};
pub use encodings::{EncodingFigures, measure_encodings, samples_as_parquet};
pub(crate) use forget::forget_behaviour;
pub(crate) use impact::{ImpactRow, insert_impact};
pub(crate) use read::{RawSource, first_after, raw_between};
pub(crate) use rehome::rehome;
pub(crate) use retention::horizon;
pub use retention::{Dropped, Hold, NewHold};
