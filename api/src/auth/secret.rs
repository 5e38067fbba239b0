//! Client secrets: argon2id (RFC 9106), kept as PHC strings.

use argon2::{
    Argon2,
    password_hash::{PasswordHasher, PasswordVerifier},
};

/// Where secrets come from: bytes that nobody can guess. The composition root gives the operating system's.
pub trait Randomness: Send + Sync {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), RandomnessError>;
}

#[derive(Debug, thiserror::Error)]
#[error("no random bytes can be had: {0}")]
pub struct RandomnessError(pub String);

#[derive(Debug, thiserror::Error)]
#[error("the secret cannot be hashed: {0}")]
pub struct SecretError(String);

/// The PHC string of a client secret: argon2id v19 with 19 MiB, two passes, one lane. `salt` is drawn by the caller, afresh
/// for every secret.
pub fn hash_secret(secret: &str, salt: [u8; 16]) -> Result<String, SecretError> {
    Argon2::default()
        .hash_password_with_salt(secret.as_bytes(), &salt)
        .map(|hash| hash.to_string())
        .map_err(|error| SecretError(error.to_string()))
}

/// Whether the secret is the one of the hash; compared in constant time. A hash that does not read is no match.
pub(crate) fn verify_secret(secret: &str, hash: &str) -> bool {
    Argon2::default().verify_password(secret.as_bytes(), hash).is_ok()
}

/// Takes as long as [`verify_secret`] does, so that the time of an answer does not tell whether a client exists.
pub(crate) fn verify_nothing(secret: &str) {
    // The work is the point; there is nothing to learn from its result.
    let _ = hash_secret(secret, *b"no client's salt");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_matches_its_own_hash_only() {
        let hash = hash_secret("correct horse", [7; 16]).unwrap();
        assert!(hash.starts_with("$argon2id$v=19$"), "{hash}");
        assert!(verify_secret("correct horse", &hash));
        assert!(!verify_secret("correct mule", &hash));
        assert!(!verify_secret("correct horse", "not a hash"));
        assert_ne!(hash, hash_secret("correct horse", [8; 16]).unwrap());
    }
}
