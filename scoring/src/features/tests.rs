mod data;
mod plan;
