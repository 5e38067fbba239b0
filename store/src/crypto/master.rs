//! The key that wraps the keys of the subjects. It lives in the operator's configuration, never in the database.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};

use super::Key;
use crate::error::{Result, StoreError};

#[derive(Clone)]
pub struct MasterKey(Key);

impl MasterKey {
    /// From 64 hexadecimal digits or the base64 of 32 bytes.
    pub fn from_text(text: &str) -> Result<Self> {
        let text = text.trim();
        let bytes = match text.len() {
            64 => hex::decode(text).ok(),
            _ => STANDARD.decode(text).ok(),
        };
        // What was given is a secret: the message must not repeat it.
        bytes
            .and_then(|bytes| bytes.try_into().ok())
            .map(Self::from_bytes)
            .ok_or_else(|| {
                StoreError::Crypto("the master key: wanted 32 bytes as 64 hexadecimal digits or base64".into())
            })
    }

    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Key::new(bytes))
    }

    /// Tells master keys apart without giving them away, so that the wrong one is named as such.
    fn mark(&self) -> [u8; 8] {
        let digest = self.0.fingerprint(&[b"master key mark"]);
        std::array::from_fn(|i| digest[i])
    }

    /// Whether this is the key that wrapped a subject's key.
    pub(crate) fn wrapped(&self, wrapped: &[u8]) -> bool {
        wrapped.starts_with(&self.mark())
    }

    pub(crate) fn wrap(&self, context: &[u8], key: &Key) -> Result<Vec<u8>> {
        Ok([self.mark().as_slice(), &self.0.seal(context, key.bytes())?].concat())
    }

    pub(crate) fn unwrap(&self, context: &[u8], wrapped: &[u8]) -> Result<Key> {
        let Some((mark, sealed)) = wrapped.split_first_chunk::<8>() else {
            return Err(StoreError::corrupt("a wrapped key that is too short"));
        };
        if *mark != self.mark() {
            return Err(StoreError::Crypto(
                "the subject's key was wrapped with another master key than the one given".into(),
            ));
        }
        let bytes = self.0.open(context, sealed)?;
        bytes
            .try_into()
            .map(Key::new)
            .map_err(|_| StoreError::corrupt("a wrapped key of the wrong length"))
    }

    /// For what belongs to no subject.
    pub(crate) fn own(&self) -> &Key {
        &self.0
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_hex_and_base64_and_never_repeats_what_was_given() {
        let key = MasterKey::from_bytes([7; 32]);
        let hex = "07".repeat(32);
        let base64 = STANDARD.encode([7; 32]);
        for text in [hex.as_str(), &base64, &format!(" {hex}\n")] {
            assert_eq!(MasterKey::from_text(text).unwrap().mark(), key.mark());
        }
        let error = MasterKey::from_text("secret").unwrap_err().to_string();
        assert!(
            error.contains("64 hexadecimal digits") && !error.contains("secret"),
            "{error}"
        );
        assert_eq!(format!("{key:?}"), "MasterKey(…)");
    }

    #[test]
    fn another_master_key_is_named_as_such() {
        let wrapped = MasterKey::from_bytes([7; 32]).wrap(b"c", &Key::new([1; 32])).unwrap();
        assert_eq!(
            MasterKey::from_bytes([7; 32]).unwrap(b"c", &wrapped).unwrap().bytes(),
            &[1; 32]
        );
        let error = MasterKey::from_bytes([8; 32])
            .unwrap(b"c", &wrapped)
            .unwrap_err()
            .to_string();
        assert!(error.contains("another master key"), "{error}");
    }
}
