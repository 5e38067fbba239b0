//! Access tokens: short-lived JWTs signed with Ed25519 (RFC 7519, RFC 8037), and the key set that checks them.

use std::{fmt, time::Duration};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use ed25519_dalek::{
    SigningKey,
    pkcs8::{DecodePrivateKey, EncodePrivateKey, spki::der::pem::LineEnding},
};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use odograph_domain::id::ClientId;
use odograph_store::Realm;
use quick_cache::sync::Cache;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::access::Scope;

/// The audience of every token: this API.
const AUDIENCE: &str = "odograph";

#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    #[error("the signing key does not read as an Ed25519 private key in PKCS#8 PEM: {0}")]
    Key(String),
    #[error("the token cannot be signed: {0}")]
    Sign(#[source] jsonwebtoken::errors::Error),
    #[error("the token does not verify: {0}")]
    Verify(#[source] jsonwebtoken::errors::Error),
    #[error("the token expired at {0}")]
    Expired(DateTime<Utc>),
    #[error("the token names no known {0}")]
    Claim(&'static str),
}

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    /// The client.
    sub: String,
    /// Whose data it is for; an operator's token has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tenant: Option<String>,
    /// `true` in an operator's token, which names no tenant. A token with neither, or with both, opens nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    platform: Option<bool>,
    /// Scopes, apart by spaces (RFC 9068).
    scope: String,
    iat: i64,
    exp: i64,
    jti: Uuid,
}

/// What a token is issued for.
#[derive(Debug, Clone)]
pub struct Grant {
    pub realm: Realm,
    pub client: ClientId,
    pub scopes: Vec<Scope>,
}

/// Signs and checks access tokens.
pub struct TokenSigner {
    /// PKCS#8 DER.
    private: EncodingKey,
    public: DecodingKey,
    key_id: String,
    /// Base64url of the public key.
    x: String,
    pem: String,
    /// Tokens that were checked, by their SHA-256: the signature costs more than all else that a small request does.
    checked: Cache<[u8; 32], Checked>,
}

/// What a token that is ours says, and until when.
#[derive(Debug, Clone)]
struct Checked {
    grant: Grant,
    expires: i64,
}

/// Tokens that are remembered.
const REMEMBERED: usize = 10_000;

impl fmt::Debug for TokenSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSigner")
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}

impl TokenSigner {
    /// A new key from 32 bytes that nobody can guess; the composition root draws them.
    pub fn generate(seed: &[u8; 32]) -> Result<Self, TokenError> {
        Self::new(&SigningKey::from_bytes(seed))
    }

    /// Reads a private key as `openssl genpkey -algorithm ed25519` writes it.
    pub fn from_pem(pem: &str) -> Result<Self, TokenError> {
        let key = SigningKey::from_pkcs8_pem(pem.trim()).map_err(|error| TokenError::Key(error.to_string()))?;
        Self::new(&key)
    }

    /// The private key, to be kept where it is safe.
    pub fn to_pem(&self) -> &str {
        &self.pem
    }

    fn new(key: &SigningKey) -> Result<Self, TokenError> {
        let der = key.to_pkcs8_der().map_err(|error| TokenError::Key(error.to_string()))?;
        let pem = key
            .to_pkcs8_pem(LineEnding::LF)
            .map_err(|error| TokenError::Key(error.to_string()))?;
        let public = key.verifying_key();
        let x = BASE64_URL_SAFE_NO_PAD.encode(public.as_bytes());
        // The thumbprint of RFC 7638: required members only, in alphabetical order.
        let thumbprint = Sha256::digest(format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#));
        Ok(Self {
            private: EncodingKey::from_ed_der(der.as_bytes()),
            public: DecodingKey::from_ed_der(public.as_bytes()),
            key_id: BASE64_URL_SAFE_NO_PAD.encode(thumbprint),
            x,
            pem: pem.to_string(),
            checked: Cache::new(REMEMBERED),
        })
    }

    /// The public key set (RFC 7517).
    pub(crate) fn jwks(&self) -> serde_json::Value {
        serde_json::json!({
            "keys": [{ "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": self.key_id, "x": self.x }]
        })
    }

    /// A token for `grant`, from `now` for as long as `ttl`.
    pub fn sign(
        &self,
        issuer: &str,
        grant: &Grant,
        id: Uuid,
        now: DateTime<Utc>,
        ttl: Duration,
    ) -> Result<String, TokenError> {
        let scopes: Vec<_> = grant.scopes.iter().map(|scope| scope.as_str()).collect();
        let iat = now.timestamp();
        let (tenant, platform) = match grant.realm {
            Realm::Tenant(tenant) => (Some(tenant.to_string()), None),
            Realm::Platform => (None, Some(true)),
        };
        let claims = Claims {
            iss: issuer.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: grant.client.to_string(),
            tenant,
            platform,
            scope: scopes.join(" "),
            iat,
            exp: iat.saturating_add_unsigned(ttl.as_secs()),
            jti: id,
        };
        let header = Header {
            kid: Some(self.key_id.clone()),
            typ: Some("at+jwt".to_owned()),
            ..Header::new(Algorithm::EdDSA)
        };
        jsonwebtoken::encode(&header, &claims, &self.private).map_err(TokenError::Sign)
    }

    /// What a token grants, if it is ours and still holds.
    pub(crate) fn verify(&self, issuer: &str, token: &str, now: DateTime<Utc>) -> Result<Grant, TokenError> {
        let digest = Sha256::new()
            .chain_update(issuer)
            .chain_update([0])
            .chain_update(token)
            .finalize();
        let checked = match self.checked.get(&<[u8; 32]>::from(digest)) {
            Some(checked) => checked,
            None => {
                let checked = self.check(issuer, token)?;
                // One that does not verify is not remembered: nobody can fill the memory with what they made up.
                self.checked.insert(digest.into(), checked.clone());
                checked
            }
        };
        if checked.expires <= now.timestamp() {
            return Err(TokenError::Expired(
                DateTime::from_timestamp(checked.expires, 0).unwrap_or_default(),
            ));
        }
        Ok(checked.grant)
    }

    /// Whose a token is, whether it still holds or not.
    fn check(&self, issuer: &str, token: &str) -> Result<Checked, TokenError> {
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_issuer(&[issuer]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["iss", "aud", "exp", "sub"]);
        // The library would ask the wall clock; the clock is an argument here.
        validation.validate_exp = false;
        let claims = jsonwebtoken::decode::<Claims>(token, &self.public, &validation)
            .map_err(TokenError::Verify)?
            .claims;
        let realm = match (claims.tenant, claims.platform) {
            (Some(tenant), None) => Realm::Tenant(tenant.parse().map_err(|_| TokenError::Claim("tenant"))?),
            (None, Some(true)) => Realm::Platform,
            _ => return Err(TokenError::Claim("realm")),
        };
        let grant = Grant {
            realm,
            client: claims.sub.parse().map_err(|_| TokenError::Claim("client"))?,
            // A scope of a newer release, unknown to this one, opens nothing here.
            scopes: claims.scope.split(' ').filter_map(Scope::parse).collect(),
        };
        Ok(Checked {
            grant,
            expires: claims.exp,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ISSUER: &str = "https://odograph.example";

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    fn grant() -> Grant {
        Grant {
            realm: Realm::Tenant(Uuid::from_u128(1).into()),
            client: Uuid::from_u128(2).into(),
            scopes: vec![Scope::TripsRead, Scope::TracksRead],
        }
    }

    fn token(signer: &TokenSigner) -> String {
        signer
            .sign(ISSUER, &grant(), Uuid::from_u128(3), at(0), Duration::from_secs(600))
            .unwrap()
    }

    #[test]
    fn a_token_holds_for_its_time_its_issuer_and_its_key() {
        let signer = TokenSigner::generate(&[1; 32]).unwrap();
        let token = token(&signer);
        let granted = signer.verify(ISSUER, &token, at(599)).unwrap();
        assert_eq!(
            (granted.realm, granted.client, granted.scopes),
            (grant().realm, grant().client, grant().scopes)
        );
        assert!(matches!(
            signer.verify(ISSUER, &token, at(600)),
            Err(TokenError::Expired(_))
        ));
        assert!(matches!(
            signer.verify("https://other.example", &token, at(1)),
            Err(TokenError::Verify(_))
        ));
        let other = TokenSigner::generate(&[2; 32]).unwrap();
        assert!(matches!(
            other.verify(ISSUER, &token, at(1)),
            Err(TokenError::Verify(_))
        ));
    }

    #[test]
    fn a_token_is_of_one_realm() {
        let signer = TokenSigner::generate(&[1; 32]).unwrap();
        let signed = |claims: serde_json::Value| {
            jsonwebtoken::encode(&Header::new(Algorithm::EdDSA), &claims, &signer.private).unwrap()
        };
        let claims = |tenant: Option<u128>, platform: Option<bool>| {
            let mut claims = serde_json::json!({
                "iss": ISSUER, "aud": AUDIENCE, "sub": Uuid::from_u128(2), "scope": "tenants:read", "iat": 0,
                "exp": at(9).timestamp(), "jti": Uuid::from_u128(3)
            });
            if let Some(tenant) = tenant {
                claims["tenant"] = Uuid::from_u128(tenant).to_string().into();
            }
            if let Some(platform) = platform {
                claims["platform"] = platform.into();
            }
            signer.verify(ISSUER, &signed(claims), at(1)).map(|grant| grant.realm)
        };
        assert_eq!(claims(Some(1), None).unwrap(), grant().realm);
        assert_eq!(claims(None, Some(true)).unwrap(), Realm::Platform);
        for (tenant, platform) in [
            (None, None),
            (Some(1), Some(true)),
            (Some(1), Some(false)),
            (None, Some(false)),
        ] {
            assert!(matches!(claims(tenant, platform), Err(TokenError::Claim("realm"))));
        }
        let operator = Grant {
            realm: Realm::Platform,
            ..grant()
        };
        let token = signer
            .sign(ISSUER, &operator, Uuid::from_u128(3), at(0), Duration::from_secs(600))
            .unwrap();
        assert_eq!(signer.verify(ISSUER, &token, at(1)).unwrap().realm, Realm::Platform);
    }

    #[test]
    fn what_was_changed_or_left_unsigned_is_refused() {
        let signer = TokenSigner::generate(&[1; 32]).unwrap();
        let token = token(&signer);
        let mut parts: Vec<_> = token.split('.').map(str::to_owned).collect();
        parts[1] = BASE64_URL_SAFE_NO_PAD.encode(
            String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(&parts[1]).unwrap())
                .unwrap()
                .replace("trips:read", "plans:write"),
        );
        assert!(signer.verify(ISSUER, &parts.join("."), at(1)).is_err());
        let unsigned = BASE64_URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
        assert!(
            signer
                .verify(ISSUER, &format!("{unsigned}.{}.", parts[1]), at(1))
                .is_err()
        );
        for nonsense in ["", ".", "a.b.c", "ü"] {
            assert!(signer.verify(ISSUER, nonsense, at(1)).is_err());
        }
    }

    #[test]
    fn the_key_survives_its_pem_and_its_key_set_is_public() {
        let signer = TokenSigner::generate(&[1; 32]).unwrap();
        let again = TokenSigner::from_pem(signer.to_pem()).unwrap();
        assert_eq!(signer.jwks(), again.jwks());
        assert!(again.verify(ISSUER, &token(&signer), at(1)).is_ok());
        assert!(TokenSigner::from_pem("no key").is_err());
        let keys = signer.jwks().to_string();
        assert!(!keys.contains("\"d\""), "{keys}");
    }
}
