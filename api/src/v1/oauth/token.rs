//! `POST /v1/oauth/token`

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, http::header, web};
use odograph_store::{ClientCredentials, Realm};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::credentials::{self, OAuthError, TokenRequest};
use crate::{
    access::Scope,
    auth::{secret, token::Grant},
    extract::body,
    problem::{Code, Problem},
    state::ApiState,
};

/// Longest form read; a token request has a few hundred bytes.
const FORM_BYTES: usize = 16 << 10;

/// A token request (RFC 6749 §4.4.2). Credentials may come as HTTP Basic instead.
#[derive(Debug, Deserialize, ToSchema)]
#[expect(dead_code, reason = "documents the form, which is read by the rules of RFC 6749")]
pub(crate) struct TokenForm {
    /// `client_credentials`.
    #[schema(example = "client_credentials")]
    grant_type: String,
    #[schema(example = "0192f0c1-2f6b-7c3a-8a55-0d9f6f4f2a10")]
    client_id: Option<String>,
    client_secret: Option<String>,
    /// Scopes apart by spaces; all that the client has when absent.
    #[schema(example = "trips:read scores:read")]
    scope: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TokenAnswer {
    access_token: String,
    /// Always `Bearer`.
    #[schema(example = "Bearer")]
    token_type: &'static str,
    /// Seconds.
    #[schema(example = 600)]
    expires_in: u64,
    #[schema(example = "trips:read scores:read")]
    scope: String,
}

/// An error of the token endpoint (RFC 6749 §5.2).
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TokenRefusal {
    #[schema(example = "invalid_client")]
    error: &'static str,
    error_description: &'static str,
}

#[utoipa::path(
    post,
    path = "/v1/oauth/token",
    tag = "Access",
    summary = "Get an access token",
    description = "The client-credentials grant of OAuth 2 (RFC 6749 §4.4). The token says the tenant; no request ever does.",
    request_body(content = TokenForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "A token", body = TokenAnswer),
        (status = 400, description = "The request, the grant type or a scope cannot be used", body = TokenRefusal),
        (status = 401, description = "The client is not known or its secret is another", body = TokenRefusal),
    )
)]
pub(crate) async fn handle(
    state: web::Data<ApiState>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let form = body::read(
        &request,
        &mut payload.into_inner(),
        FORM_BYTES,
        state.limits.body_timeout,
    )
    .await?;
    if body::expect_type(&request, "application/x-www-form-urlencoded").is_err() {
        return Ok(refuse((
            OAuthError::InvalidRequest,
            "wanted Content-Type application/x-www-form-urlencoded",
        )));
    }
    let authorization = body::header_text(&request, header::AUTHORIZATION);
    let asked = match credentials::read(authorization, &form) {
        Ok(asked) => asked,
        Err(refusal) => return Ok(refuse(refusal)),
    };
    let Some(client) = authenticate(&state, &asked).await? else {
        return Ok(refuse((
            OAuthError::InvalidClient,
            "the client is not known, not in use, or its secret is another",
        )));
    };
    let held = held(&client);
    let scopes = match narrow(held, asked.scope.as_deref()) {
        Ok(scopes) => scopes,
        Err(refusal) => return Ok(refuse(refusal)),
    };
    let granted: Vec<_> = scopes.iter().map(|scope| scope.as_str()).collect();
    let scope = granted.join(" ");
    let access_token = state
        .issue(&Grant {
            realm: client.realm,
            client: client.client,
            scopes,
        })
        .map_err(Problem::internal)?;
    let answer = TokenAnswer {
        access_token,
        token_type: "Bearer",
        expires_in: state.token_ttl.as_secs(),
        scope,
    };
    Ok(HttpResponse::Ok()
        .insert_header((header::PRAGMA, "no-cache"))
        .json(answer))
}

/// The client, if it is known, in use, and its secret is right.
async fn authenticate(state: &ApiState, asked: &TokenRequest) -> Result<Option<ClientCredentials>, Problem> {
    let now = state.clock.now();
    // What is no UUID is no client's id; it takes the way of an unknown one, all the same.
    let id = Uuid::try_parse(&asked.client_id).ok();
    if let Some(wait) = id.and_then(|id| state.throttle.wait(id, now)) {
        return Err(Problem::new(
            Code::TooManyFailures,
            "this client has failed too often; wait before the next attempt",
        )
        .retry_after(wait.to_std().unwrap_or(Duration::from_secs(60))));
    }
    let client = match id {
        Some(id) => state.store.client_credentials(id.into()).await?,
        None => None,
    };
    let secret = asked.client_secret.clone();
    let hash = client.as_ref().map(|client| client.secret_hash.clone());
    // Each hash takes 19 MiB and some tens of milliseconds: a few at a time, and never on a thread that serves requests.
    let _permit = state.hashing.acquire().await.map_err(Problem::internal)?;
    let right = web::block(move || match hash {
        Some(hash) => secret::verify_secret(&secret, &hash),
        None => {
            secret::verify_nothing(&secret);
            false
        }
    })
    .await
    .map_err(Problem::internal)?;
    match (client, id) {
        (Some(client), Some(id)) if right && !client.disabled => {
            state.throttle.succeeded(id);
            Ok(Some(client))
        }
        (_, id) => {
            if let Some(id) = id {
                state.throttle.failed(id, now);
            }
            Ok(None)
        }
    }
}

/// The scopes of a client: none beyond its realm, however they came to be stored with it.
fn held(client: &ClientCredentials) -> Vec<Scope> {
    let platform = client.realm == Realm::Platform;
    let known = client.scopes.iter().filter_map(|name| Scope::parse(name));
    known.filter(|scope| scope.is_platform() == platform).collect()
}

/// The scopes asked for, which the client must all have; all it has when it asks for none.
fn narrow(held: Vec<Scope>, asked: Option<&str>) -> Result<Vec<Scope>, credentials::Refusal> {
    let Some(asked) = asked else { return Ok(held) };
    let mut granted = Vec::new();
    for name in asked.split(' ').filter(|name| !name.is_empty()) {
        match Scope::parse(name).filter(|scope| held.contains(scope)) {
            Some(scope) if granted.contains(&scope) => {}
            Some(scope) => granted.push(scope),
            None => {
                return Err((
                    OAuthError::InvalidScope,
                    "a scope asked for is unknown or not one the client has",
                ));
            }
        }
    }
    Ok(granted)
}

fn refuse((error, error_description): credentials::Refusal) -> HttpResponse {
    let mut response = match error {
        OAuthError::InvalidClient => {
            let mut response = HttpResponse::build(StatusCode::UNAUTHORIZED);
            response.insert_header((header::WWW_AUTHENTICATE, r#"Basic realm="odograph", charset="UTF-8""#));
            response
        }
        _ => HttpResponse::build(StatusCode::BAD_REQUEST),
    };
    response.insert_header((header::PRAGMA, "no-cache")).json(TokenRefusal {
        error: error.as_str(),
        error_description,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_gets_no_scope_it_does_not_have() {
        let of = |realm: Realm| {
            let scopes = ["trips:read", "scores:read", "of:tomorrow", "tenants:read"].map(str::to_owned);
            held(&ClientCredentials {
                realm,
                client: Uuid::from_u128(1).into(),
                name: "a".into(),
                secret_hash: String::new(),
                scopes: scopes.into(),
                disabled: false,
            })
        };
        // Of a realm, and never of the other one.
        assert_eq!(of(Realm::Platform), [Scope::TenantsRead]);
        let held = || of(Realm::Tenant(Uuid::from_u128(2).into()));
        assert_eq!(narrow(held(), None).unwrap(), [Scope::TripsRead, Scope::ScoresRead]);
        assert_eq!(
            narrow(held(), Some("scores:read  scores:read")).unwrap(),
            [Scope::ScoresRead]
        );
        for asked in [
            "tenants:read",
            "tracks:read",
            "trips:read tracks:read",
            "of:tomorrow",
            "everything",
        ] {
            assert_eq!(
                narrow(held(), Some(asked)).unwrap_err().0,
                OAuthError::InvalidScope,
                "{asked}"
            );
        }
    }
}
