//! The outermost layer: gives every request its id, every error the one shape, every answer its headers, and writes the
//! access log. Log lines carry the route pattern, never the path: a path can hold a name somebody chose for a driver.

use std::{panic::AssertUnwindSafe, time::Instant};

use actix_web::{
    Error, HttpResponse,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{
        Method,
        header::{self, HeaderMap, HeaderName, HeaderValue},
    },
    middleware::Next,
    web,
};
use futures_util::FutureExt;
use tracing::Instrument as _;

use crate::{
    access,
    auth::gate,
    manners::{compression, is_json},
    problem::{Code, Problem, REQUEST_ID},
    state::ApiState,
    v1,
};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

pub(crate) async fn observe(
    state: web::Data<ApiState>,
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let started = Instant::now();
    let id = request_id(request.headers()).unwrap_or_else(|| state.ids.uuid().to_string());
    let method = request.method().clone();
    let pattern = gate::pattern(&request);
    // What answers to GET answers to HEAD all the same (RFC 9110, section 9.3.2); the server leaves the body out.
    if method == Method::HEAD {
        request.head_mut().method = Method::GET;
    }

    let watch = state.watch.clone();
    let operation = gate::note(&request, &pattern).map_or("none", |operation| operation.id);
    let given = request.headers().get(TRACEPARENT).and_then(|value| value.to_str().ok());
    let span = watch.arrived(operation, &id, given);
    // What comes of the request belongs to the span of this request, and through it to the caller's trace.
    if let Some(ours) = watch
        .traceparent(&span)
        .and_then(|ours| HeaderValue::from_str(&ours).ok())
    {
        request.headers_mut().insert(TRACEPARENT, ours);
    }

    // A handler that panics must not take the connection, nor the answer, with it.
    let answer = AssertUnwindSafe(next.call(request).instrument(span.clone())).catch_unwind();
    let patience = match pattern == v1::telemetry::bulk::PATH {
        // As long as something comes in; the handler sees to that.
        true => std::time::Duration::MAX,
        false => state.limits.request_timeout,
    };
    let result = match tokio::time::timeout(patience, answer).await {
        Ok(Ok(Ok(response))) => Ok(shaped(response.map_into_boxed_body(), &pattern, &id)),
        Ok(Ok(Err(error))) => Err(problem_of(&error).at(&id)),
        Ok(Err(_panic)) => Err(Problem::internal("a handler panicked").at(&id)),
        Err(_elapsed) => Err(
            Problem::new(Code::Timeout, "no answer was found in time; try again later")
                .retry_after(std::time::Duration::from_secs(5))
                .at(&id),
        ),
    };
    let (status, problem) = match &result {
        Ok(response) => (
            response.status(),
            response.response().error().and_then(Error::as_error::<Problem>),
        ),
        Err(problem) => (problem.code().status(), Some(problem)),
    };
    watch.answered(operation, &span, status.as_u16(), started.elapsed());
    log(&id, method.as_str(), &pattern, status.as_u16(), started, problem);
    result.map_err(Error::from)
}

/// An id a caller may give: 1 to 64 letters, digits, `.`, `_` or `-`. Anything else is replaced by one of ours.
fn request_id(headers: &HeaderMap) -> Option<String> {
    let given = headers.get(REQUEST_ID)?.to_str().ok()?;
    let sound = (1..=64).contains(&given.len())
        && given
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
    sound.then(|| given.to_owned())
}

/// The answer with its headers; an error in the one shape, whoever made it.
fn shaped(response: ServiceResponse<BoxBody>, pattern: &str, id: &str) -> ServiceResponse<BoxBody> {
    let status = response.status();
    let mut response = match response.response().error() {
        Some(error) => {
            let problem = problem_of(error).at(id);
            reshaped(response, problem)
        }
        // The token endpoint's errors have a shape of their own (RFC 6749); they come as JSON without an error behind them.
        None if (status.is_client_error() || status.is_server_error()) && !is_json(response.headers()) => {
            reshaped(response, Problem::from_status(status).at(id))
        }
        None => response,
    };
    if response.status() == actix_web::http::StatusCode::METHOD_NOT_ALLOWED
        && let Ok(methods) = HeaderValue::from_str(&access::allowed_methods(pattern))
    {
        response.headers_mut().insert(header::ALLOW, methods);
    }
    set_headers(response.headers_mut(), pattern, id);
    response
}

/// The problem in place of what was there. What browsers need in order to show it to a page stays.
fn reshaped(response: ServiceResponse<BoxBody>, problem: Problem) -> ServiceResponse<BoxBody> {
    let keeps = |name: &HeaderName| *name == header::VARY || name.as_str().starts_with("access-control-");
    let kept: Vec<_> = response.headers().iter().filter(|(name, _)| keeps(name)).collect();
    let mut answer = HttpResponse::from_error(problem);
    for (name, value) in kept {
        answer.headers_mut().append(name.clone(), value.clone());
    }
    response.into_response(answer)
}

fn problem_of(error: &Error) -> Problem {
    match error.as_error::<Problem>() {
        Some(problem) => problem.clone(),
        None => Problem::from_status(error.as_response_error().status_code()).because(error),
    }
}

fn set_headers(headers: &mut HeaderMap, pattern: &str, id: &str) {
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(HeaderName::from_static(REQUEST_ID), id);
    }
    compression::unmark(headers);
    let fixed = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::STRICT_TRANSPORT_SECURITY, "max-age=63072000"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // A page that knows what it holds says so more narrowly.
    if !headers.contains_key(header::CONTENT_SECURITY_POLICY) {
        headers.insert(
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static(policy(pattern)),
        );
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
}

/// The documentation's pages bring scripts, styles and images of their own; nothing else has any.
fn policy(pattern: &str) -> &'static str {
    if pattern.starts_with("/docs") {
        "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'"
    } else {
        "default-src 'none'; frame-ancestors 'none'"
    }
}

fn log(id: &str, method: &str, pattern: &str, status: u16, started: Instant, problem: Option<&Problem>) {
    let route = if pattern.is_empty() { "none" } else { pattern };
    let elapsed_ms = started.elapsed().as_secs_f64() * 1e3;
    let code = problem.map_or("", |problem| problem.code().as_str());
    let cause = problem.and_then(Problem::cause).unwrap_or_default();
    if status >= 500 {
        tracing::error!(
            request.id = id,
            http.method = method,
            http.route = route,
            http.status = status,
            elapsed_ms,
            problem.code = code,
            problem.cause = cause,
            "request failed"
        );
    } else {
        tracing::info!(
            request.id = id,
            http.method = method,
            http.route = route,
            http.status = status,
            elapsed_ms,
            problem.code = code,
            "request answered"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_id_is_taken_when_it_is_harmless() {
        let with = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(HeaderName::from_static(REQUEST_ID), HeaderValue::from_static(value));
            request_id(&headers)
        };
        assert_eq!(with("0192f0c1-2f6b_7.a").as_deref(), Some("0192f0c1-2f6b_7.a"));
        assert_eq!(with(""), None);
        assert_eq!(with("two words"), None);
        assert_eq!(with("<script>"), None);
        assert_eq!(request_id(&HeaderMap::new()), None);
    }
}
