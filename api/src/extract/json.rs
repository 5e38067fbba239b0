//! A JSON body, strictly: what the type does not know is an error that names the field.

use actix_web::{FromRequest, HttpRequest, dev::Payload, http::header, web};
use futures_util::future::{FutureExt, LocalBoxFuture};
use odograph_domain::envelope::ContentEncoding;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::error::Category;

use super::{body, strict::Strict};
use crate::{
    problem::{Code, Problem},
    state::ApiState,
};

#[derive(Debug)]
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned + 'static> FromRequest for Json<T> {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let request = request.clone();
        let mut payload = payload.take();
        async move {
            body::expect_type(&request, "application/json")?;
            let encoding = body::content_encoding(&request)?;
            let state = request
                .app_data::<web::Data<ApiState>>()
                .ok_or_else(|| Problem::internal("the application has no state"))?;
            let limits = state.limits;
            let bytes = body::read(&request, &mut payload, limits.body_bytes, limits.body_timeout).await?;
            if encoding == ContentEncoding::Identity {
                return parse(&bytes).map(Self);
            }
            match body::inflate(&bytes, encoding, limits.body_bytes)? {
                Ok(inflated) => parse(&inflated).map(Self),
                Err(detail) => Err(Problem::new(Code::MalformedBody, detail)),
            }
        }
        .boxed_local()
    }
}

/// As [`Json`], of a body that may be left out, which stands for the default.
#[derive(Debug)]
pub(crate) struct OptionalJson<T>(pub(crate) T);

impl<T: DeserializeOwned + Default + 'static> FromRequest for OptionalJson<T> {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let length = body::header_text(request, header::CONTENT_LENGTH);
        let chunked = request.headers().contains_key(header::TRANSFER_ENCODING);
        if length.is_none_or(|length| length == "0") && !chunked {
            return async { Ok(Self(T::default())) }.boxed_local();
        }
        Json::from_request(request, payload)
            .map(|body| body.map(|Json(body)| Self(body)))
            .boxed_local()
    }
}

pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    // Said in words of ours: the reader would name our type.
    if bytes.trim_ascii_start().first() == Some(&b'[') {
        serde_json::from_slice::<IgnoredAny>(bytes).map_err(|error| malformed(&error))?;
        let detail = "wanted a JSON object, got a list";
        return Err(Problem::field(Code::InvalidBody, "(body)", detail));
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(Strict(&mut reader)).map_err(|error| {
        let path = error.path().to_string();
        refused(error.inner(), &path)
    })?;
    reader.end().map_err(|error| malformed(&error))?;
    Ok(value)
}

fn refused(error: &serde_json::Error, path: &str) -> Problem {
    match error.classify() {
        Category::Data => {
            let field = if path == "." { "(body)" } else { path };
            Problem::field(Code::InvalidBody, field, without_position(error))
        }
        Category::Syntax | Category::Eof | Category::Io => malformed(error),
    }
}

fn malformed(error: &serde_json::Error) -> Problem {
    Problem::new(
        Code::MalformedBody,
        format!("wanted one JSON object, got what is not JSON: {error}"),
    )
}

/// serde_json appends ` at line 1 column 2`; the field says it better.
fn without_position(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        #[expect(dead_code)]
        inner: Inner,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        #[expect(dead_code)]
        day: chrono::NaiveDate,
    }

    fn refusal(text: &str) -> Problem {
        parse::<Outer>(text.as_bytes()).unwrap_err()
    }

    #[test]
    fn an_unknown_field_is_named_with_its_place() {
        let problem = refusal(r#"{"inner":{"day":"2026-01-31","colour":"red"}}"#);
        assert_eq!(problem.code(), Code::InvalidBody);
        assert_eq!(problem.errors()[0].field, "inner.colour");
        assert!(problem.errors()[0].detail.contains("`colour`"), "{problem:?}");
    }

    #[test]
    fn a_wrong_or_missing_value_is_named_with_its_place() {
        let problem = refusal(r#"{"inner":{"day":"tomorrow"}}"#);
        assert_eq!(problem.errors()[0].field, "inner.day");
        assert!(!problem.errors()[0].detail.contains("line"), "{problem:?}");
        let problem = refusal(r#"{"inner":{}}"#);
        assert!(
            problem.errors()[0].detail.contains("missing field `day`"),
            "{problem:?}"
        );
    }

    #[test]
    fn what_is_no_json_is_malformed() {
        for text in ["", "{", "{\"inner\":}", "{\"inner\":{\"day\":\"2026-01-31\"}} x"] {
            assert_eq!(refusal(text).code(), Code::MalformedBody, "{text}");
        }
        assert_eq!(refusal("[1").code(), Code::MalformedBody);
        let list = refusal(" [{}]");
        assert_eq!(list.code(), Code::InvalidBody);
        assert_eq!(list.errors()[0].detail, "wanted a JSON object, got a list");
    }
}
