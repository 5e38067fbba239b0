//! How everything that came in ended: accepted + duplicate + rejected (by reason) = received.

pub(crate) mod get;
