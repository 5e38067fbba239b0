//! The manners of [`crate::manners`], as the document tells of them: keys of requests, tags of answers.

use serde_json::json;
use utoipa::{
    Modify,
    openapi::{
        HeaderBuilder, ObjectBuilder, OpenApi, Ref, RefOr, Required, ResponseBuilder, Type,
        path::{Operation, Parameter, ParameterBuilder, ParameterIn},
        response::Response,
    },
};

use super::operations;
use crate::{
    access::{Access, Scope, Verb},
    manners::idempotency::LONGEST_KEY,
};

const NOT_MODIFIED: &str = "NotModified";

pub(super) struct Manners;

impl Modify for Manners {
    fn modify(&self, document: &mut OpenApi) {
        let components = document.components.get_or_insert_default();
        let mut not_modified = ResponseBuilder::new()
            .description("The caller has it already: it is what an ETag of `If-None-Match` names")
            .build();
        with_header(&mut not_modified, "ETag", "The tag it still has");
        components
            .responses
            .insert(NOT_MODIFIED.to_owned(), RefOr::T(not_modified));
        for (known, operation) in operations(document) {
            match known.method {
                // Operators' requests name what they create, so that a second one conflicts; no key is looked at.
                Verb::Post if of_tenants(known.access) => keyed(operation),
                Verb::Get => tagged(operation),
                _ => {}
            }
        }
    }
}

fn of_tenants(access: Access) -> bool {
    access
        .required()
        .is_some_and(|scope| Scope::of_operators().all(|theirs| theirs != scope))
}

/// A POST that is done once under its key.
fn keyed(operation: &mut Operation) {
    let schema = ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(1))
        .max_length(Some(LONGEST_KEY))
        .pattern(Some("^[!#-~]+$"));
    let key = header_parameter(
        "Idempotency-Key",
        "A name for this request, unique among the client's, such as a UUID. The same request sent again under it is not done \
         again but answered as the first time, for a day; another request under it is refused.",
        schema,
        json!("8e03978e-40d5-43e8-bc93-6894a57f9324"),
    );
    operation.parameters.get_or_insert_default().push(RefOr::T(key));
    for response in successes(operation) {
        with_header(
            response,
            "Idempotency-Replayed",
            "`true` where the answer is that of an earlier request under the same key",
        );
    }
}

/// A GET whose JSON answer has a tag.
fn tagged(operation: &mut Operation) {
    let mut json = false;
    for response in successes(operation) {
        let kinds = response.content.keys();
        if kinds
            .into_iter()
            .any(|kind| kind == "application/json" || kind.ends_with("+json"))
        {
            json = true;
            if !response.headers.contains_key("ETag") {
                with_header(response, "ETag", "For `If-None-Match`: the answer's hash");
            }
        }
    }
    if !json {
        return;
    }
    let tag = header_parameter(
        "If-None-Match",
        "The `ETag` of an earlier answer: if it is still the same, 304 and no body",
        ObjectBuilder::new().schema_type(Type::String),
        json!("\"1\""),
    );
    operation.parameters.get_or_insert_default().push(RefOr::T(tag));
    let reference = RefOr::Ref(Ref::from_response_name(NOT_MODIFIED));
    operation.responses.responses.insert("304".to_owned(), reference);
}

fn header_parameter(name: &str, description: &str, schema: ObjectBuilder, example: serde_json::Value) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(schema))
        .example(Some(example))
        .build()
}

fn successes(operation: &mut Operation) -> impl Iterator<Item = &mut Response> {
    let responses = operation.responses.responses.iter_mut();
    responses.filter_map(|(status, response)| match response {
        RefOr::T(response) if status.starts_with('2') => Some(response),
        _ => None,
    })
}

fn with_header(response: &mut Response, name: &str, description: &str) {
    let header = HeaderBuilder::new()
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
        .description(Some(description))
        .build();
    response.headers.insert(name.to_owned(), RefOr::T(header));
}
