use super::*;

/// What of a value a schema does not allow, by the keywords that our document uses. A keyword that is not known here is an
/// error: an example must not pass because half of its schema was not looked at.
fn unfit(value: &Value, schema: &Value, schemas: &Value, at: &str, wrong: &mut Vec<String>) {
    let mut say = |what: String| wrong.push(format!("{at}: {what}"));
    let Some(keywords) = schema.as_object() else {
        return;
    };
    for (keyword, wanted) in keywords {
        match keyword.as_str() {
            "$ref" => {
                let name = wanted.as_str().unwrap().rsplit('/').next().unwrap();
                assert!(schemas.get(name).is_some(), "{wanted}");
                unfit(value, &schemas[name], schemas, at, wrong);
                return;
            }
            "type" => {
                let types: Vec<_> = wanted
                    .as_array()
                    .map_or(vec![wanted], |several| several.iter().collect());
                let is = |kind: &Value| match kind.as_str().unwrap() {
                    "null" => value.is_null(),
                    "boolean" => value.is_boolean(),
                    "integer" => value.is_i64() || value.is_u64(),
                    "number" => value.is_number(),
                    "string" => value.is_string(),
                    "array" => value.is_array(),
                    "object" => value.is_object(),
                    other => panic!("type {other}"),
                };
                if !types.into_iter().any(is) {
                    say(format!("{value} is no {wanted}"));
                }
            }
            "enum" if !wanted.as_array().unwrap().contains(value) => say(format!("{value} is none of {wanted}")),
            "const" if wanted != value => say(format!("{value} is not {wanted}")),
            "format" => {
                let text = value.as_str().unwrap_or_default();
                let sound = match wanted.as_str().unwrap() {
                    "uuid" => uuid::Uuid::try_parse(text).is_ok(),
                    "date" => text.parse::<chrono::NaiveDate>().is_ok(),
                    "date-time" => chrono::DateTime::parse_from_rfc3339(text).is_ok(),
                    _ => true,
                };
                if !sound && !value.is_null() {
                    say(format!("{value} is no {wanted}"));
                }
            }
            "minimum" if value.as_f64() < wanted.as_f64() && value.is_number() => say(format!("{value} < {wanted}")),
            "maximum" if value.as_f64() > wanted.as_f64() && value.is_number() => say(format!("{value} > {wanted}")),
            "minLength" | "maxLength" => {
                let length = value.as_str().map(|text| text.chars().count() as u64);
                let limit = wanted.as_u64().unwrap();
                if length.is_some_and(|length| {
                    if keyword == "minLength" {
                        length < limit
                    } else {
                        length > limit
                    }
                }) {
                    say(format!("{value} has not a length of {keyword} {limit}"));
                }
            }
            "minItems"
                if value
                    .as_array()
                    .is_some_and(|list| (list.len() as u64) < wanted.as_u64().unwrap()) =>
            {
                say(format!("fewer items than {wanted}"));
            }
            "maxItems"
                if value
                    .as_array()
                    .is_some_and(|list| (list.len() as u64) > wanted.as_u64().unwrap()) =>
            {
                say(format!("more items than {wanted}"));
            }
            "required" => {
                for name in wanted.as_array().unwrap() {
                    if value.is_object() && value.get(name.as_str().unwrap()).is_none() {
                        say(format!("no {name}"));
                    }
                }
            }
            "additionalProperties" if *wanted == json!(false) => {
                for (name, _) in value.as_object().into_iter().flatten() {
                    if schema["properties"].get(name).is_none() {
                        say(format!("{name} is not in the schema"));
                    }
                }
            }
            "enum" | "const" | "minimum" | "maximum" | "minItems" | "maxItems" | "additionalProperties" => {}
            "properties" | "items" | "prefixItems" | "allOf" | "oneOf" | "anyOf" => {}
            "title" | "description" | "example" | "examples" | "default" | "deprecated" | "pattern"
            | "propertyNames" | "readOnly" | "writeOnly" | "contentEncoding" | "contentMediaType"
            | "exclusiveMinimum" | "exclusiveMaximum" | "multipleOf" => {}
            other => panic!("{at}: this test does not know the keyword {other}"),
        }
    }
    inside(value, schema, schemas, at, wrong);
}

fn inside(value: &Value, schema: &Value, schemas: &Value, at: &str, wrong: &mut Vec<String>) {
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        if let Some(value) = value.get(name) {
            unfit(value, field, schemas, &format!("{at}.{name}"), wrong);
        }
    }
    for (place, item) in value.as_array().into_iter().flatten().enumerate() {
        let schema = schema["prefixItems"].get(place).unwrap_or(&schema["items"]);
        unfit(item, schema, schemas, &format!("{at}[{place}]"), wrong);
    }
    for part in schema["allOf"].as_array().into_iter().flatten() {
        unfit(value, part, schemas, at, wrong);
    }
    for keyword in ["oneOf", "anyOf"] {
        let Some(alternatives) = schema[keyword].as_array() else {
            continue;
        };
        let fits = alternatives.iter().any(|one| {
            let mut wrong = Vec::new();
            unfit(value, one, schemas, at, &mut wrong);
            wrong.is_empty()
        });
        if !fits {
            wrong.push(format!("{at}: {value} fits none of {keyword}"));
        }
    }
}

#[test]
fn every_body_answer_and_parameter_has_an_example_that_fits_its_schema() {
    let document = serde_json::to_value(crate::openapi()).unwrap();
    let schemas = &document["components"]["schemas"];
    let mut wrong = Vec::new();
    let mut seen = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let at = format!("{method} {path}");
            let mut check = |place: String, holder: &Value| {
                seen += 1;
                let example = holder
                    .get("example")
                    .or_else(|| holder["examples"].as_object()?.values().next()?.get("value"));
                match example {
                    Some(value) => unfit(value, &holder["schema"], schemas, &place, &mut wrong),
                    None => wrong.push(format!("{place}: no example")),
                }
            };
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                check(format!("{at} {}", parameter["name"]), parameter);
            }
            let bodies = operation["requestBody"]["content"].as_object().into_iter().flatten();
            for (kind, content) in bodies {
                check(format!("{at} {kind}"), content);
            }
            for (status, response) in operation["responses"].as_object().unwrap() {
                let response = match response["$ref"].as_str() {
                    Some(reference) => document.pointer(reference.trim_start_matches('#')).unwrap(),
                    None => response,
                };
                for (kind, content) in response["content"].as_object().into_iter().flatten() {
                    check(format!("{at} {status} {kind}"), content);
                    if kind == "application/problem+json" {
                        let code = &content["example"]["code"];
                        let known = crate::problem::Code::ALL.iter().find(|known| *code == known.as_str());
                        let known = known.map(|code| code.status().as_u16().to_string());
                        assert_eq!(
                            known.as_ref(),
                            Some(status),
                            "{at}: the example's code {code} is of another status"
                        );
                    }
                }
            }
        }
    }
    assert!(seen > 200, "{seen} examples: this looked at little");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_test_itself_sees_what_does_not_fit() {
    let schemas = json!({ "Car": { "type": "object", "required": ["vin"], "properties": { "vin": { "type": "string", "maxLength": 3 } } } });
    let check = |value: Value, schema: Value| {
        let mut wrong = Vec::new();
        unfit(&value, &schema, &schemas, "", &mut wrong);
        wrong.len()
    };
    let car = || json!({ "$ref": "#/components/schemas/Car" });
    assert_eq!(check(json!({ "vin": "abc" }), car()), 0);
    assert_eq!(check(json!({ "vin": "abcd" }), car()), 1);
    assert_eq!(check(json!({}), car()), 1);
    assert_eq!(
        check(json!([{ "vin": 1 }]), json!({ "type": "array", "items": car() })),
        1
    );
    assert_eq!(check(json!(7), json!({ "oneOf": [{ "type": "null" }, car()] })), 1);
    assert_eq!(check(json!("x"), json!({ "type": "string", "format": "date" })), 1);
    assert_eq!(check(json!(0), json!({ "type": "integer", "minimum": 1 })), 1);
}
