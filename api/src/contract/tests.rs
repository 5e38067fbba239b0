use serde_json::{Value, json};

use super::*;

fn document() -> Value {
    json!({
        "paths": { "/v1/cars": {
            "get": {
                "operationId": "list_cars", "security": [{ "bearer": ["cars:read"] }],
                "parameters": [
                    { "name": "limit", "in": "query", "schema": { "type": "integer", "minimum": 1, "maximum": 200 } },
                    { "name": "kind", "in": "query", "schema": { "type": "string", "enum": ["van", "bus"] } }
                ],
                "responses": {
                    "200": {
                        "headers": { "ETag": {} },
                        "content": { "application/json": { "schema": {
                            "type": "array", "items": { "$ref": "#/components/schemas/Car" } } } }
                    },
                    "404": { "$ref": "#/components/responses/NotFound" }
                }
            },
            "post": {
                "operationId": "create_car", "security": [{ "bearer": ["cars:write"] }],
                "requestBody": { "required": true, "content": { "application/json": { "schema": {
                    "$ref": "#/components/schemas/NewCar" } } } },
                "responses": { "201": { "content": { "application/json": { "schema": {
                    "oneOf": [{ "type": "null" }, { "$ref": "#/components/schemas/Car" }] } } } } }
            }
        } },
        "components": {
            "responses": { "NotFound": { "content": { "application/problem+json": { "schema": { "type": "object" } } } } },
            "schemas": {
                "Car": { "type": "object", "required": ["id", "state"], "properties": {
                    "id": { "type": "string", "format": "uuid" },
                    "state": { "type": "string", "enum": ["new", "used"] },
                    "towed_by": { "oneOf": [{ "type": "null" }, { "$ref": "#/components/schemas/Car" }] }
                } },
                "NewCar": { "allOf": [
                    { "type": "object", "required": ["vin"], "properties": { "vin": { "type": "string", "maxLength": 17 } } },
                    { "type": "object", "properties": {
                        "year": { "type": ["number", "null"] }, "plate": { "type": "string" } } }
                ] }
            }
        }
    })
}

/// The changes, by rule and place, after `pointer` has become `value` (or is gone).
#[track_caller]
fn after(pointer: &str, value: Option<Value>) -> Vec<String> {
    let (old, mut new) = (document(), document());
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let name = name.replace("~1", "/");
    match (new.pointer_mut(parent).unwrap(), value) {
        (Value::Object(map), Some(value)) => drop(map.insert(name, value)),
        (Value::Object(map), None) => drop(map.remove(&name).unwrap()),
        (Value::Array(list), Some(value)) if name == "-" => list.push(value),
        (Value::Array(list), None) => drop(list.remove(name.parse().unwrap())),
        (other, _) => panic!("{other} at {parent}"),
    }
    assert_ne!(old, new, "the test changes nothing");
    breaking_changes(&old, &new)
        .into_iter()
        .map(|change| change.change)
        .collect()
}

const GET: &str = "/paths/~1v1~1cars/get";
const POST: &str = "/paths/~1v1~1cars/post";
const CAR: &str = "/components/schemas/Car";
const NEW_CAR: &str = "/components/schemas/NewCar/allOf";

#[test]
fn a_document_does_not_break_itself() {
    assert_eq!(breaking_changes(&document(), &document()), []);
    let ours = serde_json::to_value(crate::openapi()).unwrap();
    assert_eq!(breaking_changes(&ours, &ours), []);
}

#[test]
fn what_is_gone_breaks() {
    for (pointer, change) in [
        (
            "/paths/~1v1~1cars".to_owned(),
            vec!["operation-removed", "operation-removed"],
        ),
        (GET.to_owned(), vec!["operation-removed"]),
        (format!("{GET}/parameters/1"), vec!["parameter-removed: query kind"]),
        (format!("{GET}/responses/404"), vec!["status-removed: 404"]),
        (
            format!("{GET}/responses/200/headers"),
            vec!["response-header-removed: 200 ETag"],
        ),
        (
            format!("{GET}/responses/200/content"),
            vec!["response-type-removed: 200 application/json"],
        ),
        (
            format!("{POST}/requestBody/content"),
            vec!["request-type-removed: application/json"],
        ),
        (
            format!("{CAR}/properties/id"),
            vec!["response-field-removed: 200[].id", "response-variant-added: 201|0"],
        ),
        (
            format!("{NEW_CAR}/1/properties/plate"),
            vec!["request-field-removed: body.plate"],
        ),
    ] {
        assert_eq!(after(&pointer, None), change, "{pointer}");
    }
}

#[test]
fn what_callers_send_may_not_be_allowed_less() {
    for (pointer, value, change) in [
        (format!("{GET}/operationId"), json!("cars"), "operation-renamed"),
        (
            format!("{GET}/security"),
            json!([{ "bearer": ["cars:admin"] }]),
            "scope-changed",
        ),
        (
            format!("{GET}/parameters/-"),
            json!({ "name": "at", "in": "query", "required": true, "schema": {} }),
            "parameter-required: query at",
        ),
        (
            format!("{GET}/parameters/0/required"),
            json!(true),
            "parameter-required: query limit",
        ),
        (
            format!("{GET}/parameters/0/schema/maximum"),
            json!(100),
            "request-bound-narrowed: query limit",
        ),
        (
            format!("{GET}/parameters/0/schema/minimum"),
            json!(2),
            "request-bound-narrowed: query limit",
        ),
        (
            format!("{GET}/parameters/0/schema/type"),
            json!("string"),
            "request-type-narrowed: query limit",
        ),
        (
            format!("{GET}/parameters/1/schema/enum"),
            json!(["van", "lorry"]),
            "request-enum-narrowed: query kind",
        ),
        (
            format!("{GET}/parameters/1/schema/pattern"),
            json!("^v"),
            "request-pattern-changed: query kind",
        ),
        (
            format!("{GET}/requestBody"),
            json!({ "required": true }),
            "request-body-required",
        ),
        (
            format!("{NEW_CAR}/0/required"),
            json!(["vin", "owner"]),
            "request-field-required: body.owner",
        ),
        (
            format!("{NEW_CAR}/0/properties/vin/maxLength"),
            json!(16),
            "request-bound-narrowed: body.vin",
        ),
        (
            format!("{NEW_CAR}/0/properties/vin/minLength"),
            json!(17),
            "request-bound-narrowed: body.vin",
        ),
        (
            format!("{NEW_CAR}/0/properties/vin/format"),
            json!("uuid"),
            "format-changed: body.vin",
        ),
        (
            format!("{NEW_CAR}/1/properties/year/type"),
            json!("number"),
            "request-type-narrowed: body.year",
        ),
        (
            format!("{NEW_CAR}/1/properties/year/type"),
            json!(["integer", "null"]),
            "request-type-narrowed: body.year",
        ),
        (
            format!("{NEW_CAR}/1/additionalProperties"),
            json!(false),
            "request-closed: body",
        ),
        (
            format!("{NEW_CAR}/1/properties/plate/enum"),
            json!(["B-OD 1"]),
            "request-enum-narrowed: body.plate",
        ),
    ] {
        assert_eq!(after(&pointer, Some(value)), [change], "{pointer}");
    }
}

#[test]
fn what_callers_are_answered_may_not_promise_less() {
    for (pointer, value, change) in [
        (
            format!("{CAR}/required"),
            json!(["id"]),
            "response-field-optional: 200[].state",
        ),
        (
            format!("{CAR}/properties/state/enum"),
            json!(["new", "used", "lost"]),
            "response-enum-widened: 200[].state",
        ),
        (
            format!("{CAR}/properties/id/type"),
            json!(["string", "null"]),
            "response-type-widened: 200[].id",
        ),
        (
            format!("{CAR}/properties/id/format"),
            json!("date"),
            "format-changed: 200[].id",
        ),
    ] {
        let found = after(&pointer, Some(value));
        assert_eq!(found, [change, "response-variant-added: 201|0"], "{pointer}");
    }
}

#[test]
fn what_only_adds_breaks_nothing() {
    for (pointer, value) in [
        ("/paths/~1v1~1buses".to_owned(), json!({ "get": { "responses": {} } })),
        (
            format!("{GET}/parameters/-"),
            json!({ "name": "q", "in": "query", "schema": { "type": "string" } }),
        ),
        (format!("{GET}/parameters/0/schema/maximum"), json!(1000)),
        (
            format!("{GET}/parameters/1/schema/enum"),
            json!(["van", "bus", "lorry"]),
        ),
        (format!("{GET}/responses/409"), json!({})),
        (format!("{GET}/responses/200/description"), json!("The cars")),
        (format!("{GET}/security"), json!([])),
        (format!("{CAR}/properties/colour"), json!({ "type": "string" })),
        (format!("{CAR}/required"), json!(["id", "state", "towed_by"])),
        (format!("{CAR}/properties/state/enum"), json!(["new"])),
        (format!("{NEW_CAR}/1/properties/colour"), json!({ "type": "string" })),
        (format!("{NEW_CAR}/0/required"), json!([])),
        (format!("{NEW_CAR}/0/properties/vin/maxLength"), json!(20)),
        (format!("{NEW_CAR}/0/properties/vin/type"), json!(["string", "null"])),
        (format!("{NEW_CAR}/0/properties/vin/example"), json!("WVW")),
    ] {
        assert_eq!(after(&pointer, Some(value)), [""; 0], "{pointer}");
    }
}
