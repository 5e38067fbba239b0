//! How a client names itself at the token endpoint (RFC 6749 §2.3.1): HTTP Basic, or fields of the form.

use std::collections::BTreeMap;

use base64::{Engine, prelude::BASE64_STANDARD};

/// A token request, read but not judged.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TokenRequest {
    pub(super) client_id: String,
    pub(super) client_secret: String,
    pub(super) scope: Option<String>,
}

/// The errors of RFC 6749 §5.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OAuthError {
    InvalidRequest,
    InvalidClient,
    UnsupportedGrantType,
    InvalidScope,
}

impl OAuthError {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::InvalidScope => "invalid_scope",
        }
    }
}

pub(super) type Refusal = (OAuthError, &'static str);

pub(super) fn read(authorization: Option<&str>, form: &[u8]) -> Result<TokenRequest, Refusal> {
    let mut fields = parse_form(form)?;
    match fields.remove("grant_type").as_deref() {
        Some("client_credentials") => {}
        Some(_) => return Err((OAuthError::UnsupportedGrantType, "wanted grant_type=client_credentials")),
        None => {
            return Err((
                OAuthError::InvalidRequest,
                "the form has no grant_type; wanted client_credentials",
            ));
        }
    }
    let scope = fields.remove("scope").filter(|scope| !scope.is_empty());
    let in_form = (fields.remove("client_id"), fields.remove("client_secret"));
    let (client_id, client_secret) = match (authorization, in_form) {
        // The id may be repeated beside Basic; a second secret may not.
        (Some(header), (id, None)) => {
            let (basic_id, secret) = basic(header)?;
            if id.is_some_and(|id| id != basic_id) {
                return Err((
                    OAuthError::InvalidRequest,
                    "client_id differs from the one in the Authorization header",
                ));
            }
            (basic_id, secret)
        }
        (Some(_), (_, Some(_))) => {
            return Err((
                OAuthError::InvalidRequest,
                "credentials come in the Authorization header or in the form, not in both",
            ));
        }
        (None, (Some(id), Some(secret))) => (id, secret),
        (None, _) => {
            return Err((
                OAuthError::InvalidClient,
                "wanted client_id and client_secret, as HTTP Basic or as fields of the form",
            ));
        }
    };
    Ok(TokenRequest {
        client_id,
        client_secret,
        scope,
    })
}

fn parse_form(form: &[u8]) -> Result<BTreeMap<String, String>, Refusal> {
    let text = std::str::from_utf8(form).map_err(|_| (OAuthError::InvalidRequest, "the form is not UTF-8"))?;
    let mut fields = BTreeMap::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (Some(name), Some(value)) = (unescape(name), unescape(value)) else {
            return Err((
                OAuthError::InvalidRequest,
                "the form is not application/x-www-form-urlencoded",
            ));
        };
        if fields.insert(name, value).is_some() {
            return Err((
                OAuthError::InvalidRequest,
                "a field of the form is given more than once",
            ));
        }
    }
    Ok(fields)
}

fn basic(header: &str) -> Result<(String, String), Refusal> {
    const WANTED: Refusal = (
        OAuthError::InvalidClient,
        "wanted `Authorization: Basic` with base64 of client_id:client_secret",
    );
    let (scheme, encoded) = header.split_once(' ').ok_or(WANTED)?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(WANTED);
    }
    let bytes = BASE64_STANDARD.decode(encoded.trim()).map_err(|_| WANTED)?;
    let text = String::from_utf8(bytes).map_err(|_| WANTED)?;
    let (id, secret) = text.split_once(':').ok_or(WANTED)?;
    Ok((unescape(id).ok_or(WANTED)?, unescape(secret).ok_or(WANTED)?))
}

/// Undoes form encoding: `+` is a space, `%xx` a byte.
fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let high = char::from(rest.next()?).to_digit(16)?;
                let low = char::from(rest.next()?).to_digit(16)?;
                (high * 16 + low) as u8
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn basic_header(text: &str) -> String {
        format!("Basic {}", BASE64_STANDARD.encode(text))
    }

    #[test]
    fn credentials_come_in_the_form_or_as_basic() {
        let wanted = TokenRequest {
            client_id: "a".into(),
            client_secret: "s p%".into(),
            scope: Some("trips:read x".into()),
        };
        let form = b"grant_type=client_credentials&client_id=a&client_secret=s+p%25&scope=trips%3Aread+x";
        assert_eq!(read(None, form).as_ref(), Ok(&wanted));
        let form = b"grant_type=client_credentials&scope=trips:read%20x";
        assert_eq!(read(Some(&basic_header("a:s+p%25")), form), Ok(wanted));
    }

    #[test]
    fn what_is_wrong_has_the_name_the_standard_gives_it() {
        let error = |header: Option<&str>, form: &str| read(header, form.as_bytes()).unwrap_err().0;
        assert_eq!(error(None, ""), OAuthError::InvalidRequest);
        assert_eq!(error(None, "grant_type=password"), OAuthError::UnsupportedGrantType);
        assert_eq!(error(None, "grant_type=client_credentials"), OAuthError::InvalidClient);
        assert_eq!(
            error(None, "grant_type=client_credentials&client_id=a"),
            OAuthError::InvalidClient
        );
        assert_eq!(
            error(None, "grant_type=client_credentials&scope=a&scope=b"),
            OAuthError::InvalidRequest
        );
        assert_eq!(error(None, "grant_type=%zz"), OAuthError::InvalidRequest);
        assert_eq!(
            error(Some("Bearer x"), "grant_type=client_credentials"),
            OAuthError::InvalidClient
        );
        assert_eq!(
            error(Some("Basic !"), "grant_type=client_credentials"),
            OAuthError::InvalidClient
        );
        let both = "grant_type=client_credentials&client_secret=s";
        assert_eq!(error(Some(&basic_header("a:s")), both), OAuthError::InvalidRequest);
        let other = "grant_type=client_credentials&client_id=b";
        assert_eq!(error(Some(&basic_header("a:s")), other), OAuthError::InvalidRequest);
    }
}
