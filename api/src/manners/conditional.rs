//! Answers the caller has already (RFC 9110, section 13): JSON that is read carries an ETag, and `If-None-Match` with it is
//! answered with 304 and no body. What can be changed has its revision as ETag, set by its handler, since `If-Match` of an
//! update goes by it; everything else the hash of what is answered.

use actix_web::{
    Error, HttpResponse,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{
        Method, StatusCode,
        header::{self, ETag, EntityTag, Header as _, IfNoneMatch, TryIntoHeaderValue as _},
    },
    middleware::Next,
};
use sha2::{Digest, Sha256};

use super::{apart, is_json, together};
use crate::problem::{Code, Problem};

pub(crate) async fn conditional(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    if request.method() != Method::GET {
        return next.call(request).await.map(ServiceResponse::map_into_boxed_body);
    }
    let known = match known(&request) {
        Ok(known) => known,
        Err(problem) => return Ok(request.error_response(problem)),
    };
    let response = next.call(request).await?.map_into_boxed_body();
    if response.status() != StatusCode::OK || !is_json(response.headers()) {
        return Ok(response);
    }
    let (mut head, body) = apart(response).await?;
    let own = head.headers().get(header::ETAG).and_then(|value| value.to_str().ok());
    let tag = match own.and_then(|text| text.parse::<EntityTag>().ok()) {
        Some(tag) => tag,
        None => of_content(&body),
    };
    let value = ETag(tag.clone()).try_into_value().map_err(Problem::internal)?;
    head.headers_mut().insert(header::ETAG, value.clone());
    if !known.is_some_and(|known| names(&known, &tag)) {
        return Ok(together(head, body));
    }
    let not_modified = HttpResponse::NotModified()
        .insert_header((header::ETAG, value))
        .finish();
    Ok(head.into_response(not_modified))
}

fn known(request: &ServiceRequest) -> Result<Option<IfNoneMatch>, Problem> {
    if !request.headers().contains_key(header::IF_NONE_MATCH) {
        return Ok(None);
    }
    IfNoneMatch::parse(request).map(Some).map_err(|_| {
        Problem::new(
            Code::BadRequest,
            "If-None-Match: wanted the ETag of an earlier answer, such as \"3\", or *",
        )
    })
}

/// By the weak comparison, as the standard has it for `If-None-Match`.
fn names(known: &IfNoneMatch, tag: &EntityTag) -> bool {
    match known {
        IfNoneMatch::Any => true,
        IfNoneMatch::Items(tags) => tags.iter().any(|given| given.weak_eq(tag)),
    }
}

/// 128 bits of the hash: enough that two answers never share one by chance.
fn of_content(body: &[u8]) -> EntityTag {
    let digest = Sha256::digest(body);
    EntityTag::new_strong(digest[..16].iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn a_tag_names_what_has_it() {
        let tag = of_content(b"{}");
        assert_ne!(tag, of_content(b"{ }"));
        let given = |value: &str| {
            let header = (header::IF_NONE_MATCH, value.to_owned());
            known(&TestRequest::default().insert_header(header).to_srv_request())
                .unwrap()
                .unwrap()
        };
        assert!(names(&given(&tag.to_string()), &tag));
        assert!(names(&given(&format!("\"1\", W/{tag}")), &tag));
        assert!(names(&given("*"), &tag));
        assert!(!names(&given("\"1\""), &tag));
        assert!(known(&TestRequest::default().to_srv_request()).unwrap().is_none());
    }
}
