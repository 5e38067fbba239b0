//! What was driven, day by day, as it is billed.

pub(crate) mod list;
