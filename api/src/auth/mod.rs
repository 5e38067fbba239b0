//! Who calls: client secrets, access tokens, and the gate every request passes before its body is read.

pub(crate) mod gate;
pub mod secret;
pub(crate) mod throttle;
pub mod token;
