//! Answers are compressed where that is worth it.

use actix_web::{
    Error,
    body::{BodySize, BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::header::{self, HeaderMap, HeaderValue},
    middleware::Next,
};

/// Below this an answer fits a packet as it is, and compressing it only costs.
const SHORTEST: u64 = 1024;

/// Marks short answers as encoded already, which the compressing layer outside passes by. [`unmark`] takes the mark away.
pub(crate) async fn spare_short(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let mut response = next.call(request).await?.map_into_boxed_body();
    let short = matches!(response.response().body().size(), BodySize::Sized(bytes) if bytes < SHORTEST);
    if short && !response.headers().contains_key(header::CONTENT_ENCODING) {
        let as_it_is = HeaderValue::from_static("identity");
        response.headers_mut().insert(header::CONTENT_ENCODING, as_it_is);
    }
    // Caches must know it even of an answer that happens not to be compressed.
    vary(response.headers_mut());
    Ok(response)
}

fn vary(headers: &mut HeaderMap) {
    headers.append(header::VARY, HeaderValue::from_static("accept-encoding"));
}

/// `identity` is for requests; in an answer no `Content-Encoding` says the same.
pub(crate) fn unmark(headers: &mut HeaderMap) {
    if headers
        .get(header::CONTENT_ENCODING)
        .is_some_and(|value| value == "identity")
    {
        headers.remove(header::CONTENT_ENCODING);
    }
}
