//! The one shape of every error: RFC 9457 `application/problem+json` with a stable code.
//!
//! The cause of a failure of ours is logged once, with the request id, and never returned.

use std::{borrow::Cow, fmt, time::Duration};

use actix_web::{
    HttpResponse, ResponseError,
    body::BoxBody,
    http::{StatusCode, header},
};
use odograph_domain::queue::QueueError;
use odograph_store::StoreError;
use serde::Serialize;
use utoipa::ToSchema;

pub(crate) const CONTENT_TYPE: &str = "application/problem+json";
pub(crate) const REQUEST_ID: &str = "x-request-id";

macro_rules! codes {
    ($($variant:ident = $code:literal, $status:ident, $title:literal;)*) => {
        /// What went wrong, by a name that stays.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub(crate) enum Code {
            $($variant,)*
        }

        impl Code {
            #[cfg(test)]
            pub(crate) const ALL: &[Self] = &[$(Self::$variant,)*];

            pub(crate) const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }

            pub(crate) const fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status,)* }
            }

            pub(crate) const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }
        }
    };
}

codes! {
    MalformedBody = "malformed_body", BAD_REQUEST, "The body cannot be read";
    InvalidQuery = "invalid_query", BAD_REQUEST, "A query parameter cannot be used";
    BadRequest = "bad_request", BAD_REQUEST, "The request cannot be read";
    UnsupportedSchema = "unsupported_schema", BAD_REQUEST, "The batch has a schema version that is not supported";
    BadBatch = "bad_batch", BAD_REQUEST, "The batch cannot be used";
    Unauthenticated = "unauthenticated", UNAUTHORIZED, "A valid access token is needed";
    TokenExpired = "token_expired", UNAUTHORIZED, "The access token has expired";
    InsufficientScope = "insufficient_scope", FORBIDDEN, "The access token does not allow this";
    NotFound = "not_found", NOT_FOUND, "There is no such thing";
    NoScore = "no_score", NOT_FOUND, "There is no score yet";
    RouteNotFound = "route_not_found", NOT_FOUND, "There is no such route";
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED, "The route does not answer to this method";
    NotAcceptable = "not_acceptable", NOT_ACCEPTABLE, "No form of the answer is acceptable to the caller";
    RequestTimeout = "request_timeout", REQUEST_TIMEOUT, "The body did not arrive in time";
    Conflict = "conflict", CONFLICT, "It conflicts with what is there already";
    IdempotencyInProgress = "idempotency_in_progress", CONFLICT, "The request with this key is still being worked on";
    IdempotencyAnswerLost = "idempotency_answer_lost", CONFLICT, "The request was carried out, but its answer was lost";
    PreconditionFailed = "precondition_failed", PRECONDITION_FAILED, "It has been changed since";
    PayloadErased = "payload_erased", GONE, "What was kept of it has been erased";
    BodyTooLarge = "body_too_large", PAYLOAD_TOO_LARGE, "The body is too large";
    UnsupportedMediaType = "unsupported_media_type", UNSUPPORTED_MEDIA_TYPE, "The body is of a type that is not read here";
    InvalidBody = "invalid_body", UNPROCESSABLE_ENTITY, "A field of the body cannot be used";
    IdempotencyKeyReused = "idempotency_key_reused", UNPROCESSABLE_ENTITY, "Another request has this key";
    UnknownReference = "unknown_reference", UNPROCESSABLE_ENTITY, "The body names something that does not exist";
    UnknownVehicle = "unknown_vehicle", UNPROCESSABLE_ENTITY, "The batch names a vehicle that does not exist";
    UnknownDevice = "unknown_device", UNPROCESSABLE_ENTITY, "The batch names a device that does not exist";
    TooManySamples = "too_many_samples", UNPROCESSABLE_ENTITY, "The batch has too many samples";
    NotResubmittable = "not_resubmittable", UNPROCESSABLE_ENTITY, "What was kept of it cannot be sent again";
    NotRatable = "not_ratable", UNPROCESSABLE_ENTITY, "The period cannot be rated";
    TooManyFailures = "too_many_failures", TOO_MANY_REQUESTS, "Too many failed attempts";
    QueueFull = "queue_full", TOO_MANY_REQUESTS, "The queue is full";
    RateLimited = "rate_limited", TOO_MANY_REQUESTS, "The tenant sends too much";
    Internal = "internal", INTERNAL_SERVER_ERROR, "Something failed on our side";
    QueueUnavailable = "queue_unavailable", SERVICE_UNAVAILABLE, "The queue cannot be reached";
    Overloaded = "overloaded", SERVICE_UNAVAILABLE, "Too much is under way";
    Unavailable = "unavailable", SERVICE_UNAVAILABLE, "The service cannot answer now";
    Timeout = "timeout", SERVICE_UNAVAILABLE, "The answer took too long";
}

/// What was wrong with one field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct FieldProblem {
    /// The field or parameter, as a path such as `terms.rounding.step`.
    #[schema(example = "starts_on")]
    pub(crate) field: String,
    /// What was given and what was wanted.
    #[schema(example = "wanted a date such as 2026-01-31, got \"tomorrow\"")]
    pub(crate) detail: String,
}

/// An error, in the form of RFC 9457.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemBody<'a> {
    /// A URI that names the kind of problem.
    #[schema(example = "urn:odograph:problem:invalid_body")]
    r#type: String,
    #[schema(example = "A field of the body cannot be used")]
    title: &'a str,
    #[schema(example = 422)]
    status: u16,
    /// Stable name of the problem.
    #[schema(example = "invalid_body")]
    code: &'a str,
    /// What was given and what was wanted.
    #[schema(example = "1 field cannot be used: starts_on")]
    detail: &'a str,
    /// The request's id, as in the `X-Request-Id` header.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "0192f0c1-2f6b-7c3a-8a55-0d9f6f4f2a10")]
    instance: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [FieldProblem],
}

/// An error on its way to the caller. In a box, since it is the rare end of every result.
#[derive(Debug, Clone)]
pub(crate) struct Problem(Box<Parts>);

#[derive(Debug, Clone)]
struct Parts {
    code: Code,
    detail: Cow<'static, str>,
    errors: Vec<FieldProblem>,
    headers: Vec<(header::HeaderName, String)>,
    /// For the log only.
    cause: Option<String>,
    instance: Option<String>,
}

/// A problem of this code, for the documentation.
pub(crate) fn example(code: Code) -> serde_json::Value {
    let problem = match code {
        Code::InvalidQuery => Problem::field(code, "limit", "wanted a whole number from 1 to 200, got \"many\""),
        Code::InvalidBody => Problem::field(code, "starts_on", "wanted a date such as 2026-01-31, got \"tomorrow\""),
        Code::NotFound => Problem::not_found("vehicle", "fleet-0042"),
        Code::Conflict => Problem::new(code, "vehicle: the external_ref is taken"),
        Code::InsufficientScope => Problem::new(code, "this needs a token with the scope vehicles:read"),
        Code::PreconditionFailed => Problem::new(code, "the vehicle has another ETag by now, \"3\": read it again"),
        Code::UnsupportedMediaType => Problem::new(code, "wanted Content-Type application/json, got \"text/plain\""),
        other => Problem::from_status(other.status()),
    };
    let id = "0192f0c1-2f6b-7c3a-8a55-0d9f6f4f2a10";
    let told = Problem(Box::new(Parts { code, ..*problem.0 })).at(id);
    serde_json::to_value(told.body()).unwrap_or_default()
}

impl Problem {
    /// As it is sent.
    fn body(&self) -> ProblemBody<'_> {
        ProblemBody {
            r#type: format!("urn:odograph:problem:{}", self.0.code.as_str()),
            title: self.0.code.title(),
            status: self.status_code().as_u16(),
            code: self.0.code.as_str(),
            detail: &self.0.detail,
            instance: self.0.instance.as_deref(),
            errors: &self.0.errors,
        }
    }

    pub(crate) fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        let (errors, headers) = (Vec::new(), Vec::new());
        Self(Box::new(Parts {
            code,
            detail: detail.into(),
            errors,
            headers,
            cause: None,
            instance: None,
        }))
    }

    /// The same words whether a thing is absent or another tenant's.
    pub(crate) fn not_found(kind: &str, given: &str) -> Self {
        Self::new(Code::NotFound, format!("no {kind} {:?}", shown(given)))
    }

    pub(crate) fn invalid(code: Code, errors: Vec<FieldProblem>) -> Self {
        let names: Vec<_> = errors.iter().map(|error| error.field.as_str()).collect();
        let detail = match names.len() {
            1 => format!("1 field cannot be used: {}", names[0]),
            n => format!("{n} fields cannot be used: {}", names.join(", ")),
        };
        Self::new(code, detail).with_errors(errors)
    }

    pub(crate) fn with_errors(mut self, errors: Vec<FieldProblem>) -> Self {
        self.0.errors = errors;
        self
    }

    pub(crate) fn field(code: Code, field: &str, detail: impl Into<String>) -> Self {
        Self::invalid(
            code,
            vec![FieldProblem {
                field: field.to_owned(),
                detail: detail.into(),
            }],
        )
    }

    /// A failure of ours. The cause goes to the log.
    pub(crate) fn internal(cause: impl fmt::Display) -> Self {
        Self::new(
            Code::Internal,
            "this is not the caller's fault; the request id finds the cause in the log",
        )
        .because(cause)
    }

    pub(crate) fn because(mut self, cause: impl fmt::Display) -> Self {
        self.0.cause = Some(cause.to_string());
        self
    }

    pub(crate) fn with_header(mut self, name: header::HeaderName, value: impl Into<String>) -> Self {
        self.0.headers.push((name, value.into()));
        self
    }

    pub(crate) fn retry_after(self, wait: Duration) -> Self {
        self.with_header(header::RETRY_AFTER, wait.as_secs().max(1).to_string())
    }

    pub(crate) fn at(mut self, request_id: &str) -> Self {
        self.0.instance = Some(request_id.to_owned());
        self
    }

    pub(crate) fn code(&self) -> Code {
        self.0.code
    }

    pub(crate) fn detail(&self) -> &str {
        &self.0.detail
    }

    pub(crate) fn cause(&self) -> Option<&str> {
        self.0.cause.as_deref()
    }

    #[cfg(test)]
    pub(crate) fn errors(&self) -> &[FieldProblem] {
        &self.0.errors
    }

    /// For an error response that came without a body of ours: the framework's own.
    pub(crate) fn from_status(status: StatusCode) -> Self {
        let (code, detail) = match status {
            StatusCode::NOT_FOUND => (
                Code::RouteNotFound,
                "nothing answers at this path; /docs lists what there is",
            ),
            StatusCode::METHOD_NOT_ALLOWED => (
                Code::MethodNotAllowed,
                "the Allow header lists the methods it answers to",
            ),
            StatusCode::NOT_ACCEPTABLE => (
                Code::NotAcceptable,
                "the Accept or Accept-Encoding header leaves nothing to send",
            ),
            StatusCode::PAYLOAD_TOO_LARGE => (Code::BodyTooLarge, "the body is longer than this route reads"),
            StatusCode::REQUEST_TIMEOUT => (Code::RequestTimeout, "the body did not arrive in time"),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => (
                Code::UnsupportedMediaType,
                "the body is of a type that is not read here",
            ),
            StatusCode::UNAUTHORIZED => (
                Code::Unauthenticated,
                "wanted the header `Authorization: Bearer <access token>`",
            ),
            StatusCode::TOO_MANY_REQUESTS => (Code::QueueFull, "nothing was accepted; slow down and send it again"),
            StatusCode::SERVICE_UNAVAILABLE => (Code::Unavailable, "the database does not answer; try again"),
            status if status.is_client_error() => (Code::BadRequest, "the request cannot be read"),
            _ => return Self::internal(format!("the framework answered {status}")),
        };
        Self::new(code, detail)
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound { kind } => Self::new(Code::NotFound, format!("no such {}", kind.replace('_', " "))),
            StoreError::Conflict { kind, detail } => {
                Self::new(Code::Conflict, format!("{}: {detail}", kind.replace('_', " ")))
            }
            StoreError::Stale { kind, revision } => {
                let kind = kind.replace('_', " ");
                let detail = format!("the {kind} has another ETag by now, \"{revision}\": read it again");
                Self::new(Code::PreconditionFailed, detail)
            }
            StoreError::Erased { kind } => Self::new(
                Code::PayloadErased,
                format!("the {kind} has been erased: its key was destroyed with its subject, or it was discarded"),
            ),
            // What the checks before let pass and the database does not hold, such as a made-up cursor far outside time. The
            // database's words carry the value, so they go to the log.
            StoreError::Invalid { detail, .. } => Self::new(
                Code::BadRequest,
                "a value that was given cannot be stored or looked for",
            )
            .because(detail),
            StoreError::Unavailable(cause) => Self::new(Code::Unavailable, "the database does not answer; try again")
                .retry_after(RETRY)
                .because(cause),
            StoreError::Lake(cause) => Self::new(
                Code::Unavailable,
                "data of this age lies in an object store that does not answer; try again",
            )
            .retry_after(RETRY)
            .because(cause),
            other => Self::internal(chain(&other)),
        }
    }
}

impl From<QueueError> for Problem {
    fn from(error: QueueError) -> Self {
        match error {
            QueueError::Unavailable(cause) => Self::new(Code::QueueUnavailable, "nothing was accepted; send it again")
                .retry_after(RETRY)
                .because(cause),
            QueueError::Saturated(cause) => {
                Self::new(Code::QueueFull, "nothing was accepted; slow down and send it again")
                    .retry_after(RETRY)
                    .because(cause)
            }
            other @ QueueError::Misused(_) => Self::internal(other),
        }
    }
}

const RETRY: Duration = Duration::from_secs(5);

/// An error with the ones behind it, for the log.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

/// What was given, cut to what a message can bear.
pub(crate) fn shown(given: &str) -> Cow<'_, str> {
    const LONGEST: usize = 80;
    match given.char_indices().nth(LONGEST) {
        None => Cow::Borrowed(given),
        Some((end, _)) => Cow::Owned(format!("{}…", &given[..end])),
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.code.as_str(), self.0.detail)
    }
}

impl std::error::Error for Problem {}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.0.code.status()
    }

    fn error_response(&self) -> HttpResponse<BoxBody> {
        let mut response = HttpResponse::build(self.status_code());
        response.content_type(CONTENT_TYPE);
        for (name, value) in &self.0.headers {
            response.insert_header((name.clone(), value.as_str()));
        }
        if let Some(id) = &self.0.instance {
            response.insert_header((REQUEST_ID, id.as_str()));
        }
        // Not `.json()`, which would set its own content type.
        response.body(serde_json::to_string(&self.body()).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use actix_web::body::to_bytes;

    use super::*;

    async fn body(problem: &Problem) -> serde_json::Value {
        let response = problem.error_response();
        assert_eq!(response.headers().get("content-type").unwrap(), CONTENT_TYPE);
        serde_json::from_slice(&to_bytes(response.into_body()).await.unwrap()).unwrap()
    }

    #[actix_web::test]
    async fn the_shape_is_that_of_rfc_9457() {
        let problem = Problem::field(Code::InvalidBody, "year", "wanted a year, got \"x\"").at("request-1");
        assert_eq!(
            body(&problem).await,
            serde_json::json!({
                "type": "urn:odograph:problem:invalid_body", "title": "A field of the body cannot be used", "status": 422,
                "code": "invalid_body", "detail": "1 field cannot be used: year", "instance": "request-1",
                "errors": [{ "field": "year", "detail": "wanted a year, got \"x\"" }],
            })
        );
    }

    #[actix_web::test]
    async fn a_cause_stays_inside() {
        let problem = Problem::from(StoreError::Corrupt {
            what: "secret of the row".into(),
        });
        assert_eq!(problem.status_code(), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(!body(&problem).await.to_string().contains("secret"));
        assert!(problem.cause().unwrap().contains("secret"));
    }

    #[test]
    fn codes_are_distinct() {
        let names: BTreeSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(names.len(), Code::ALL.len());
    }

    #[test]
    fn what_was_given_is_cut_at_a_character() {
        assert_eq!(shown("ü"), "ü");
        assert_eq!(shown(&"ü".repeat(100)), format!("{}…", "ü".repeat(80)));
    }
}
