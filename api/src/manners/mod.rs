//! What holds for every operation alike, so that no handler needs to know of it.

pub(crate) mod compression;
pub(crate) mod conditional;
pub(crate) mod cors;
pub(crate) mod idempotency;
pub(crate) mod intake;

use actix_web::{
    body::{BoxBody, MessageBody, to_bytes},
    dev::ServiceResponse,
    http::header::{self, HeaderMap},
    web::Bytes,
};

use crate::problem::Problem;

/// The answer without its body, and the body whole.
pub(crate) async fn apart(response: ServiceResponse<BoxBody>) -> Result<(ServiceResponse<()>, Bytes), Problem> {
    let (request, response) = response.into_parts();
    let (head, body) = response.into_parts();
    let bytes = match body.try_into_bytes() {
        Ok(bytes) => bytes,
        Err(streamed) => to_bytes(streamed).await.map_err(Problem::internal)?,
    };
    Ok((ServiceResponse::new(request, head), bytes))
}

pub(crate) fn together(head: ServiceResponse<()>, body: Bytes) -> ServiceResponse<BoxBody> {
    head.map_body(|_, ()| BoxBody::new(body))
}

/// Whether an answer is JSON, of whatever kind.
pub(crate) fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = kind.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    kind == "application/json" || kind.ends_with("+json")
}
