//! How requests are read: bodies, queries and paths, with errors that name the field, what was given and what was wanted.

pub(crate) mod body;
pub(crate) mod json;
pub(crate) mod patch;
pub(crate) mod path;
pub(crate) mod precondition;
pub(crate) mod query;
pub(crate) mod strict;
pub(crate) mod value;
