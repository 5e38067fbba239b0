//! Benchmarks: what they measure, how they make it, and what they compare it with. See `docs/benchmarks.md`.

pub mod cpu;
pub mod door;
pub mod drive;
pub mod encodings;
pub mod ingest;
pub mod lanes;
pub mod load;
pub mod reads;
pub mod scoring;
pub mod served;
pub mod soak;
pub mod world;
