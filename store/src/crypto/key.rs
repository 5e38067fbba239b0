//! One AES-256-GCM key and how it is used.

use aes_gcm::{
    Aes256Gcm, Nonce,
    aead::{Aead, KeyInit, Payload},
};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::error::{Result, StoreError};

const NONCE_LENGTH: usize = 12;
/// First byte of what [`Key::seal`] makes.
const SEAL_VERSION: u8 = 1;

#[derive(Clone)]
pub(crate) struct Key(Zeroizing<[u8; 32]>);

impl Key {
    pub(crate) fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Encrypts, nonce first. `context` is authenticated and must be given again to decrypt.
    ///
    /// The nonce follows from key, context and content (as in the SIV modes), so that no source of randomness can make it
    /// repeat for two different contents. Equal contents in equal contexts give equal bytes; contexts hold a row's id.
    pub(crate) fn encrypt(&self, context: &[u8], plain: &[u8]) -> Result<Vec<u8>> {
        let digest = self.fingerprint(&[b"nonce", context, plain]);
        let nonce: [u8; NONCE_LENGTH] = std::array::from_fn(|i| digest[i]);
        let cipher = Aes256Gcm::new(self.bytes().into());
        let sealed = cipher
            .encrypt(
                &Nonce::from(nonce),
                Payload {
                    msg: plain,
                    aad: context,
                },
            )
            .map_err(|_| StoreError::Crypto("the content is too long to encrypt".into()))?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    pub(crate) fn decrypt(&self, context: &[u8], sealed: &[u8]) -> Result<Vec<u8>> {
        let wrong =
            || StoreError::Crypto("what was stored does not decrypt with its key: it was altered or moved".into());
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LENGTH>().ok_or_else(wrong)?;
        let cipher = Aes256Gcm::new(self.bytes().into());
        cipher
            .decrypt(
                &Nonce::from(*nonce),
                Payload {
                    msg: sealed,
                    aad: context,
                },
            )
            .map_err(|_| wrong())
    }

    /// [`Key::encrypt`] under a version byte, for what has no header of its own.
    pub(crate) fn seal(&self, context: &[u8], plain: &[u8]) -> Result<Vec<u8>> {
        let mut sealed = vec![SEAL_VERSION];
        sealed.extend(self.encrypt(context, plain)?);
        Ok(sealed)
    }

    pub(crate) fn open(&self, context: &[u8], sealed: &[u8]) -> Result<Vec<u8>> {
        match sealed.split_first() {
            Some((&SEAL_VERSION, rest)) => self.decrypt(context, rest),
            Some((version, _)) => Err(StoreError::corrupt(format_args!(
                "a seal of version {version}, wanted 1"
            ))),
            None => Err(StoreError::corrupt("an empty seal")),
        }
    }

    /// A keyed hash: tells equal contents from others without saying anything about them to who lacks the key.
    pub(crate) fn fingerprint(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut inner = Sha256::new();
        for part in parts {
            inner.update((part.len() as u64).to_be_bytes());
            inner.update(part);
        }
        // The key on both sides of the content's hash: no length can be extended.
        let inner = inner.finalize();
        Sha256::new()
            .chain_update(self.bytes())
            .chain_update(inner)
            .chain_update(self.bytes())
            .finalize()
            .into()
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_only_what_it_sealed_in_the_same_context() {
        let key = Key::new([1; 32]);
        let sealed = key.seal(b"row 1", b"Ada Lovelace").unwrap();
        assert_eq!(key.open(b"row 1", &sealed).unwrap(), b"Ada Lovelace");
        assert!(key.open(b"row 2", &sealed).is_err());
        assert!(Key::new([2; 32]).open(b"row 1", &sealed).is_err());
        for i in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[i] ^= 1;
            assert!(key.open(b"row 1", &altered).is_err(), "byte {i}");
        }
        assert!(key.open(b"row 1", &sealed[..8]).is_err());
        assert!(key.open(b"row 1", &[]).is_err());
    }

    #[test]
    fn other_contents_and_contexts_have_other_nonces() {
        let key = Key::new([1; 32]);
        let nonce = |context: &[u8], plain: &[u8]| key.encrypt(context, plain).unwrap()[..NONCE_LENGTH].to_vec();
        assert_ne!(nonce(b"a", b"x"), nonce(b"a", b"y"));
        assert_ne!(nonce(b"a", b"x"), nonce(b"b", b"x"));
        assert_ne!(nonce(b"ab", b"c"), nonce(b"a", b"bc"));
    }
}
