mod bench;
mod data;
mod plan;
