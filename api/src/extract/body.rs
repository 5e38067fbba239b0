//! Reads a body up to a length and within a time.

use std::{io::Read as _, time::Duration};

use actix_web::{
    HttpRequest,
    dev::Payload,
    http::header,
    web::{Bytes, BytesMut},
};
use flate2::read::MultiGzDecoder;
use futures_util::StreamExt;
use odograph_domain::envelope::ContentEncoding;

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
        Some(given) => Err(encoding(given, "gzip, identity")),
    }
}

/// The body as it was before gzip; inside, in words, why it does not inflate.
pub(crate) fn inflate(body: &[u8], limit: usize) -> Result<Result<Vec<u8>, String>, Problem> {
    let mut inflated = Vec::new();
    // One more than allowed tells a body that is too long from one that just fits.
    let mut reader = MultiGzDecoder::new(body).take(limit as u64 + 1);
    if let Err(error) = reader.read_to_end(&mut inflated) {
        return Ok(Err(format!(
            "wanted a gzip body, got one that does not inflate: {error}"
        )));
    }
    if inflated.len() > limit {
        Err(too_large(limit))
    } else {
        Ok(Ok(inflated))
    }
}

fn encoding(given: &str, wanted: &str) -> Problem {
    Problem::new(
        Code::UnsupportedMediaType,
        format!("wanted Content-Encoding {wanted}, got {:?}", shown(given)),
    )
    .with_header(header::ACCEPT_ENCODING, wanted)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_bomb_is_stopped_at_the_limit() {
        assert_eq!(inflate(&gzip(&[b' '; 100]), 100).unwrap().unwrap().len(), 100);
        assert!(inflate(&gzip(&vec![0; 10 << 20]), 1 << 20).is_err());
        assert!(inflate(b"no gzip", 100).unwrap().is_err());
        let whole = gzip(b"[1,2,3]");
        assert!(inflate(&whole[..whole.len() - 3], 100).unwrap().is_err());
    }
}
