//! Conditional updates (RFC 9110, section 13): an ETag is the revision of a thing, `If-Match` the ones it may be changed from.

use std::future::{Ready, ready};

use actix_web::{
    FromRequest, HttpRequest, HttpResponse,
    dev::Payload,
    http::header::{self, EntityTag, Header, IfMatch},
};
use serde::Serialize;

use crate::problem::{Code, Problem};

/// The revisions a thing may be changed from; `None` for any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Expected(Option<Vec<i32>>);

impl Expected {
    pub(crate) fn revisions(&self) -> Option<&[i32]> {
        self.0.as_deref()
    }
}

impl FromRequest for Expected {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(expected(request))
    }
}

fn expected(request: &HttpRequest) -> Result<Expected, Problem> {
    if !request.headers().contains_key(header::IF_MATCH) {
        return Ok(Expected(None));
    }
    match IfMatch::parse(request) {
        Ok(IfMatch::Any) => Ok(Expected(None)),
        // A weak tag never matches here, nor does one that none of ours looks like.
        Ok(IfMatch::Items(tags)) => Ok(Expected(Some(tags.iter().filter_map(revision).collect()))),
        Err(_) => Err(Problem::new(
            Code::BadRequest,
            "If-Match: wanted the ETag of an earlier answer, such as \"3\", or *",
        )),
    }
}

fn revision(tag: &EntityTag) -> Option<i32> {
    (!tag.weak).then(|| tag.tag().parse().ok()).flatten()
}

/// 200 with the thing and its ETag.
pub(crate) fn tagged<T: Serialize>(revision: i32, body: &T) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header(header::ETag(EntityTag::new_strong(revision.to_string())))
        .json(body)
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn read(value: &str) -> Result<Expected, Problem> {
        expected(
            &TestRequest::default()
                .insert_header((header::IF_MATCH, value))
                .to_http_request(),
        )
    }

    #[test]
    fn tags_are_revisions() {
        let none = expected(&TestRequest::default().to_http_request()).unwrap();
        assert_eq!(none.revisions(), None);
        assert_eq!(read("*").unwrap().revisions(), None);
        assert_eq!(read("\"3\"").unwrap().revisions(), Some(&[3][..]));
        assert_eq!(read("\"3\", \"4\"").unwrap().revisions(), Some(&[3, 4][..]));
        assert_eq!(read("W/\"3\"").unwrap().revisions(), Some(&[][..]));
        assert_eq!(read("\"x\"").unwrap().revisions(), Some(&[][..]));
        // Not quoted, so no tag: nothing has it.
        assert_eq!(read("3").unwrap().revisions(), Some(&[][..]));
    }
}
