//! Which web pages may call the API from a browser (the Fetch standard's CORS): those the configuration names, none else.
//! Preflights are answered before the token is looked at, since browsers send none with them.

use actix_cors::Cors;
use actix_web::{
    http::{Method, header},
    middleware::Condition,
};

use crate::problem::REQUEST_ID;

/// Seconds a browser may go by a preflight's answer.
const PREFLIGHT_S: usize = 3600;

/// `origins`: such as `https://portal.example.com`, or `*` for all. With none there is no CORS at all.
pub(crate) fn cors(origins: &[String]) -> Condition<Cors> {
    // No cookies, so no credentials: a page brings its token itself.
    let mut cors = Cors::default()
        .allowed_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allowed_headers([
            header::ACCEPT,
            header::AUTHORIZATION,
            header::CONTENT_ENCODING,
            header::CONTENT_TYPE,
            header::IF_MATCH,
            header::IF_NONE_MATCH,
        ])
        .allowed_headers(["idempotency-key", "traceparent", REQUEST_ID])
        .expose_headers([header::ALLOW, header::ETAG, header::LOCATION, header::RETRY_AFTER])
        .expose_headers(["idempotency-replayed", "ratelimit", "ratelimit-policy", REQUEST_ID])
        .block_on_origin_mismatch(false)
        .max_age(PREFLIGHT_S);
    for origin in origins {
        cors = if origin == "*" {
            cors.allow_any_origin().send_wildcard()
        } else {
            cors.allowed_origin(origin)
        };
    }
    Condition::new(!origins.is_empty(), cors)
}
