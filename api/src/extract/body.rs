//! Reads a body up to a length and within a time.

use std::{borrow::Cow, time::Duration};

use actix_web::{
    HttpRequest,
    dev::Payload,
    http::header,
    web::{Bytes, BytesMut},
};
use futures_util::StreamExt;
use odograph_domain::{
    encoding::{UnpackError, unpack},
    envelope::ContentEncoding,
};

use crate::problem::{Code, Problem, shown};

/// Refuses by the announced length before anything is read, and by the real one while reading.
pub(crate) async fn read(
    request: &HttpRequest,
    payload: &mut Payload,
    limit: usize,
    timeout: Duration,
) -> Result<Bytes, Problem> {
    let announced = header_text(request, header::CONTENT_LENGTH).and_then(|length| length.parse::<usize>().ok());
    if announced.is_some_and(|length| length > limit) {
        return Err(too_large(limit));
    }
    let reading = async {
        let mut body = BytesMut::with_capacity(announced.unwrap_or(0));
        while let Some(chunk) = payload.next().await {
            let chunk = chunk
                .map_err(|error| Problem::new(Code::BadRequest, "the body broke off before its end").because(error))?;
            if body.len() + chunk.len() > limit {
                return Err(too_large(limit));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    };
    tokio::time::timeout(timeout, reading).await.unwrap_or_else(|_elapsed| {
        Err(Problem::new(
            Code::RequestTimeout,
            format!("the body did not arrive within {} s", timeout.as_secs()),
        ))
    })
}

pub(crate) fn too_large(limit: usize) -> Problem {
    Problem::new(Code::BodyTooLarge, format!("the body is longer than {limit} bytes"))
}

pub(crate) fn header_text(request: &HttpRequest, name: header::HeaderName) -> Option<&str> {
    request.headers().get(name).and_then(|value| value.to_str().ok())
}

/// Refuses a body that is not of the type named; parameters such as `charset` are let pass.
pub(crate) fn expect_type(request: &HttpRequest, wanted: &str) -> Result<(), Problem> {
    let given = header_text(request, header::CONTENT_TYPE).unwrap_or_default();
    let kind = given.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case(wanted) {
        return Ok(());
    }
    Err(Problem::new(
        Code::UnsupportedMediaType,
        format!("wanted Content-Type {wanted}, got {:?}", shown(given)),
    )
    .with_header(header::ACCEPT, wanted))
}

pub(crate) fn content_encoding(request: &HttpRequest) -> Result<ContentEncoding, Problem> {
    match header_text(request, header::CONTENT_ENCODING).map(str::trim) {
        None | Some("" | "identity") => Ok(ContentEncoding::Identity),
        Some(given) if given.eq_ignore_ascii_case("gzip") => Ok(ContentEncoding::Gzip),
        Some(given) if given.eq_ignore_ascii_case("zstd") => Ok(ContentEncoding::Zstd),
        Some(given) => Err(wrong_encoding(given, "gzip, zstd, identity")),
    }
}

/// The body as it was before its content encoding; inside, in words, why it does not inflate.
pub(crate) fn inflate(
    body: &[u8],
    encoding: ContentEncoding,
    limit: usize,
) -> Result<Result<Cow<'_, [u8]>, String>, Problem> {
    match unpack(body, encoding, limit) {
        Ok(inflated) => Ok(Ok(inflated)),
        Err(UnpackError::TooLong(limit)) => Err(too_large(limit)),
        Err(UnpackError::Broken { encoding, why }) => Ok(Err(format!(
            "wanted a {encoding} body, got one that does not inflate: {why}"
        ))),
    }
}

fn wrong_encoding(given: &str, wanted: &str) -> Problem {
    Problem::new(
        Code::UnsupportedMediaType,
        format!("wanted Content-Encoding {wanted}, got {:?}", shown(given)),
    )
    .with_header(header::ACCEPT_ENCODING, wanted)
}
