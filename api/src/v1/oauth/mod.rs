//! OAuth 2: client credentials only, since every caller is a machine.

mod credentials;
pub(crate) mod jwks;
pub(crate) mod token;
