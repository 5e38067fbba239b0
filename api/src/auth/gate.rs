//! The gate: finds the operation in the table, checks the token and its scopes, and only then lets the request in. The body
//! has not been read by then.

use std::future::{Ready, ready};

use actix_web::{
    Error, FromRequest, HttpMessage, HttpRequest,
    body::{BoxBody, MessageBody},
    dev::{Payload, ServiceRequest, ServiceResponse},
    http::header,
    middleware::Next,
    web,
};
use odograph_domain::id::{ClientId, TenantId};
use odograph_store::{Attempt, OperatorStore, Realm, TenantStore};

use super::token::{Grant, TokenError};
use crate::{
    access::{self, Access, Operation, Scope},
    page::ListMark,
    problem::{Code, Problem},
    state::ApiState,
};

/// A tenant's client, once the gate has let it in.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    tenant: TenantId,
    client: ClientId,
    scopes: Vec<Scope>,
    /// Where the request has a key of the caller's.
    attempt: Option<Attempt>,
}

impl Caller {
    pub(crate) fn tenant(&self) -> TenantId {
        self.tenant
    }

    pub(crate) fn client(&self) -> ClientId {
        self.client
    }

    /// Whether the token also has the scope that widens the operation.
    pub(crate) fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }

    /// The caller's tenant's data, in the caller's name.
    pub(crate) fn store(&self, state: &ApiState) -> TenantStore {
        let store = state.store.tenant(self.tenant).acting_as(self.client);
        match &self.attempt {
            Some(attempt) => store.attempting(attempt.clone()),
            None => store,
        }
    }

    /// What is written in the caller's name from here on is part of this attempt.
    pub(crate) fn attempting(self, attempt: Attempt) -> Self {
        Self {
            attempt: Some(attempt),
            ..self
        }
    }
}

/// An operator's client, once the gate has let it in. It has no way to a tenant's data.
#[derive(Debug, Clone)]
pub(crate) struct Operator {
    client: ClientId,
}

impl Operator {
    pub(crate) fn store(&self, state: &ApiState) -> OperatorStore {
        state.store.operator_as(self.client)
    }
}

impl FromRequest for Caller {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(admitted(request))
    }
}

impl FromRequest for Operator {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(admitted(request))
    }
}

/// Who the gate has let in. The table of operations says who that can be; a handler that asks for another is a mistake.
fn admitted<T: Clone + 'static>(request: &HttpRequest) -> Result<T, Problem> {
    let known = request.extensions().get::<T>().cloned();
    known.ok_or_else(|| Problem::internal("a handler asks for a caller whom its operation does not let in"))
}

pub(crate) async fn gate(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    // What the table does not know falls through to a 404 or a 405; nothing else is registered, see the tests.
    if let Some(operation) = asked(&request) {
        match admit(&request, operation.access) {
            Ok(Some(grant)) => enter(&request, grant),
            Ok(None) => {}
            Err(problem) => return Ok(request.error_response(problem)),
        }
    }
    let list = ListMark::of(&request);
    list.during(next.call(request))
        .await
        .map(ServiceResponse::map_into_boxed_body)
}

fn enter(request: &ServiceRequest, grant: Grant) {
    let Grant { realm, client, scopes } = grant;
    let mut extensions = request.extensions_mut();
    match realm {
        Realm::Tenant(tenant) => drop(extensions.insert(Caller {
            tenant,
            client,
            scopes,
            attempt: None,
        })),
        Realm::Platform => drop(extensions.insert(Operator { client })),
    }
}

/// What of the table of operations answers: looked for once a request, since it is asked in several layers.
#[derive(Clone, Copy)]
struct Asked(Option<&'static Operation>);

/// What of the table answers to the request.
pub(crate) fn asked(request: &ServiceRequest) -> Option<&'static Operation> {
    if let Some(Asked(known)) = request.extensions().get::<Asked>() {
        return *known;
    }
    note(request, &pattern(request))
}

/// Looks in the table, by the pattern of the request, and keeps what it says. Not before the method is what is answered to.
pub(crate) fn note(request: &ServiceRequest, pattern: &str) -> Option<&'static Operation> {
    let found = access::operation(request.method(), pattern);
    request.extensions_mut().insert(Asked(found));
    found
}

/// The pattern of the route that will answer. Asked with the path the router itself goes by: with the raw one, an escaped
/// letter would find no pattern here and a handler there.
pub(crate) fn pattern(request: &ServiceRequest) -> String {
    request
        .resource_map()
        .match_pattern(request.match_info().as_str())
        .unwrap_or_default()
}

fn admit(request: &ServiceRequest, access: Access) -> Result<Option<Grant>, Problem> {
    let Some(required) = access.required() else {
        return Ok(None);
    };
    let state = request
        .app_data::<web::Data<ApiState>>()
        .ok_or_else(|| Problem::internal("the application has no state"))?;
    let token = bearer(request)?;
    let grant = state
        .signer
        .verify(&state.issuer, token, state.clock.now())
        .map_err(|error| refused(&error))?;
    // The realm as well: a token must not reach beyond it, whatever scopes it came to name.
    if !grant.scopes.contains(&required) || required.is_platform() != (grant.realm == Realm::Platform) {
        let challenge = format!(r#"Bearer error="insufficient_scope", scope="{required}""#);
        return Err(Problem::new(
            Code::InsufficientScope,
            format!("this needs a token with the scope {required}"),
        )
        .with_header(header::WWW_AUTHENTICATE, challenge));
    }
    Ok(Some(grant))
}

fn bearer(request: &ServiceRequest) -> Result<&str, Problem> {
    let wanted = || {
        Problem::new(
            Code::Unauthenticated,
            "wanted the header `Authorization: Bearer <access token>`; POST /v1/oauth/token issues one",
        )
        .with_header(header::WWW_AUTHENTICATE, "Bearer")
    };
    let given = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .ok_or_else(wanted)?;
    match given.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty() => Ok(token.trim()),
        _ => Err(wanted()),
    }
}

fn refused(error: &TokenError) -> Problem {
    let (code, detail) = match error {
        TokenError::Expired(at) => (
            Code::TokenExpired,
            format!("the token expired at {at}; ask for a new one"),
        ),
        // Why exactly a token does not verify is of use to whoever forges one.
        _ => (
            Code::Unauthenticated,
            "the access token is not one this service issued, or it was altered".to_owned(),
        ),
    };
    Problem::new(code, detail)
        .because(error)
        .with_header(header::WWW_AUTHENTICATE, r#"Bearer error="invalid_token""#)
}
