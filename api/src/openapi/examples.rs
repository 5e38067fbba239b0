//! Examples: what their schemas say by themselves, put together, so that every body, answer and parameter has one.

use serde_json::{Map, Value, json};
use utoipa::{
    Modify,
    openapi::{
        Components, Content, OpenApi, RefOr,
        path::{Parameter, ParameterBuilder},
        response::Response,
    },
};

/// Names that stand for things of the examples, wherever a parameter has them.
const NAMES: &[(&str, &str)] = &[
    ("assignment", "0192f0c1-2f6b-7c3a-8a55-0d9f6f4f2a10"),
    ("cursor", "9vDhJx3pQm0BkvDBL2t8OopVDZ9vTyoQdAAFOcDnZwAA"),
    ("device", "IMEI-356938035643809"),
    ("driver", "D-1007"),
    ("fleet", "north"),
    ("group", "vans"),
    ("plan", "standard"),
    ("policy", "POL-2026-0042"),
    ("tenant", "acme-insurance"),
    ("vehicle", "fleet-0042"),
];

const ID: &str = "0192f0c1-2f6b-7c3a-8a55-0d9f6f4f2a10";

/// Deeper than any schema of ours goes; one that holds itself ends here.
const DEEPEST: usize = 32;

/// Gives an example to every body, answer and parameter that has none of its own.
pub(super) struct Examples;

impl Modify for Examples {
    fn modify(&self, document: &mut OpenApi) {
        fill(document);
    }
}

fn fill(document: &mut OpenApi) {
    let schemas = schemas(document.components.as_ref());
    for item in document.paths.paths.values_mut() {
        let operations = [
            &mut item.get,
            &mut item.post,
            &mut item.put,
            &mut item.patch,
            &mut item.delete,
        ];
        for operation in operations.into_iter().flatten() {
            for parameter in operation.parameters.iter_mut().flatten() {
                if let RefOr::T(parameter) = parameter {
                    of_parameter(parameter, &schemas);
                }
            }
            if let Some(RefOr::T(body)) = &mut operation.request_body {
                body.content
                    .values_mut()
                    .for_each(|content| of_content(content, &schemas));
            }
            for response in operation.responses.responses.values_mut() {
                if let RefOr::T(Response { content, .. }) = response {
                    content.values_mut().for_each(|content| of_content(content, &schemas));
                }
            }
        }
    }
}

fn schemas(components: Option<&Components>) -> Value {
    // Serialising a document cannot fail: its keys are all text.
    components.map_or(Value::Null, |components| json!(components.schemas))
}

fn of_content(content: &mut RefOr<Content>, schemas: &Value) {
    let RefOr::T(content) = content else { return };
    if content.example.is_none() && content.examples.is_empty() {
        content.example = content
            .schema
            .as_ref()
            .map(|schema| example(&json!(schema), schemas, 0));
    }
}

fn of_parameter(parameter: &mut Parameter, schemas: &Value) {
    let told = json!(parameter);
    if told.get("example").is_some() {
        return;
    }
    let schema = &told["schema"];
    let named = NAMES.iter().find(|(name, _)| *name == parameter.name);
    let example = match named {
        Some((_, text)) if schema["format"] != "uuid" => json!(text),
        _ => example(schema, schemas, 0),
    };
    *parameter = ParameterBuilder::from(std::mem::take(parameter))
        .example(Some(example))
        .build();
}

/// What a schema says of itself, else the plainest thing that fits it.
fn example(schema: &Value, schemas: &Value, depth: usize) -> Value {
    if depth > DEEPEST {
        return Value::Null;
    }
    if let Some(own) = own(schema) {
        return own;
    }
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap_or_default();
        return example(&schemas[name], schemas, depth + 1);
    }
    if let Some(parts) = schema["allOf"].as_array() {
        let mut whole = Map::new();
        for part in parts {
            match example(part, schemas, depth + 1) {
                Value::Object(part) => whole.extend(part),
                // Of a word or a number there is only the one part that says so.
                plain => return plain,
            }
        }
        return Value::Object(whole);
    }
    for alternatives in ["oneOf", "anyOf"] {
        let listed = schema[alternatives].as_array().into_iter().flatten();
        if let Some(first) = listed.into_iter().find(|one| one["type"] != "null") {
            return example(first, schemas, depth + 1);
        }
    }
    match kind(schema) {
        "object" => fields(schema, schemas, depth),
        "array" => items(schema, schemas, depth),
        "integer" => schema.get("minimum").cloned().unwrap_or(json!(1)),
        "number" => schema.get("minimum").cloned().unwrap_or(json!(1.5)),
        "boolean" => json!(true),
        "string" => json!(text(schema)),
        _ => json!({}),
    }
}

fn own(schema: &Value) -> Option<Value> {
    let given = schema.get("example").or_else(|| schema["examples"].as_array()?.first());
    let given = given.or_else(|| schema.get("const")).or_else(|| schema.get("default"));
    let given = given.or_else(|| schema["enum"].as_array()?.first());
    given.filter(|value| !value.is_null()).cloned()
}

fn kind(schema: &Value) -> &str {
    let types = match &schema["type"] {
        Value::Array(several) => several.iter().find(|one| *one != "null").unwrap_or(&Value::Null),
        one => one,
    };
    types.as_str().unwrap_or_default()
}

fn fields(schema: &Value, schemas: &Value, depth: usize) -> Value {
    let mut whole = Map::new();
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        whole.insert(name.clone(), example(field, schemas, depth + 1));
    }
    let rest = &schema["additionalProperties"];
    if whole.is_empty() && rest.is_object() {
        whole.insert("example".to_owned(), example(rest, schemas, depth + 1));
    }
    Value::Object(whole)
}

fn items(schema: &Value, schemas: &Value, depth: usize) -> Value {
    let prefix = schema["prefixItems"].as_array().into_iter().flatten();
    let mut list: Vec<_> = prefix.map(|item| example(item, schemas, depth + 1)).collect();
    if list.is_empty() {
        let least = schema["minItems"].as_u64().unwrap_or(1).max(1);
        list = (0..least)
            .map(|_| example(&schema["items"], schemas, depth + 1))
            .collect();
    }
    Value::Array(list)
}

fn text(schema: &Value) -> String {
    match schema["format"].as_str().unwrap_or_default() {
        "uuid" => ID.to_owned(),
        "date" => "2026-01-31".to_owned(),
        "date-time" => "2026-01-31T07:15:00Z".to_owned(),
        "uri" => "https://api.example.com/v1".to_owned(),
        "email" => "ada@example.com".to_owned(),
        _ => "text".repeat(schema["minLength"].as_u64().unwrap_or(1).div_ceil(4).max(1) as usize),
    }
}

#[cfg(test)]
mod tests;
