//! Encryption of what is personal: a key per subject, wrapped by the master key.

mod key;
mod keyring;
mod master;

pub(crate) use key::Key;
pub(crate) use keyring::{SubjectKey, SubjectRef, existing_keys, subject_keys};
pub use master::MasterKey;
