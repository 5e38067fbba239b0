//! Whether a change of the OpenAPI document breaks those who call by the one before.
//!
//! What callers send may be allowed more freely, never less; what they are answered may say more, never less. So the same
//! change of a schema can be harmless in an answer and breaking in a request, and the other way round.

mod schema;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde_json::Value;

use schema::{Direction, Schemas};

/// A change that somebody's client may fail on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Breaking {
    /// Method and path, such as `GET /v1/vehicles`.
    pub operation: String,
    /// The rule and the place, such as `response-field-removed: 200.items[].vin`: what a declaration names.
    pub change: String,
    /// What was and what is.
    pub detail: String,
}

impl fmt::Display for Breaking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n    {}\n    {}", self.operation, self.change, self.detail)
    }
}

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// Every breaking change from the document `old` to `new`, in the order of the old one.
pub fn breaking_changes(old: &Value, new: &Value) -> Vec<Breaking> {
    let mut found = Vec::new();
    for (name, before) in operations(old) {
        let mut report = Report {
            operation: name.clone(),
            found: &mut found,
        };
        match operations(new).remove(&name) {
            None => report.add("operation-removed", "", "it is not there any more"),
            Some(after) => operation(&Documents { old, new }, before, after, &mut report),
        }
    }
    found.sort();
    found.dedup();
    found
}

fn operations(document: &Value) -> BTreeMap<String, &Value> {
    let mut operations = BTreeMap::new();
    for (path, item) in object(&document["paths"]) {
        for method in METHODS {
            if let Some(operation) = item.get(method) {
                operations.insert(format!("{} {path}", method.to_uppercase()), operation);
            }
        }
    }
    operations
}

#[derive(Clone, Copy)]
struct Documents<'a> {
    old: &'a Value,
    new: &'a Value,
}

struct Report<'a> {
    operation: String,
    found: &'a mut Vec<Breaking>,
}

impl Report<'_> {
    fn add(&mut self, rule: &str, at: &str, detail: impl Into<String>) {
        let change = if at.is_empty() {
            rule.to_owned()
        } else {
            format!("{rule}: {at}")
        };
        self.found.push(Breaking {
            operation: self.operation.clone(),
            change,
            detail: detail.into(),
        });
    }
}

/// The members of an object; none of what is no object.
fn object(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// What a `$ref` leads to, or the value itself.
fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value.get("$ref").and_then(Value::as_str) {
        Some(reference) => document
            .pointer(reference.trim_start_matches('#'))
            .unwrap_or(&Value::Null),
        None => value,
    }
}

fn operation(documents: &Documents<'_>, old: &Value, new: &Value, report: &mut Report<'_>) {
    if old["operationId"] != new["operationId"] {
        let detail = format!(
            "{} became {}: generated clients call it by that name",
            old["operationId"], new["operationId"]
        );
        report.add("operation-renamed", "", detail);
    }
    let (had, wants) = (scopes(old), scopes(new));
    if !wants.is_subset(&had) {
        report.add("scope-changed", "", format!("wanted {had:?}, now wants {wants:?}"));
    }
    parameters(documents, old, new, report);
    request_body(documents, old, new, report);
    responses(documents, old, new, report);
}

/// Schemes with their scopes; a scheme without scopes counts as well.
fn scopes(operation: &Value) -> BTreeSet<String> {
    let requirements = operation["security"].as_array().into_iter().flatten();
    requirements
        .flat_map(object)
        .flat_map(|(scheme, scopes)| {
            let scopes = scopes
                .as_array()
                .into_iter()
                .flatten()
                .map(move |scope| format!("{scheme} {}", text(scope)));
            [scheme.clone()].into_iter().chain(scopes)
        })
        .collect()
}

fn parameters(documents: &Documents<'_>, old: &Value, new: &Value, report: &mut Report<'_>) {
    let (before, after) = (by_name(documents.old, old), by_name(documents.new, new));
    for (name, was) in &before {
        let Some(is) = after.get(name) else {
            report.add("parameter-removed", name, "requests that give it are refused");
            continue;
        };
        if is["required"] == true && was["required"] != true {
            report.add("parameter-required", name, "it could be left out");
        }
        Schemas::new(*documents, Direction::Request).compare(&was["schema"], &is["schema"], name, report);
    }
    for (name, is) in &after {
        if !before.contains_key(name) && is["required"] == true {
            report.add("parameter-required", name, "it is new, and cannot be left out");
        }
    }
}

fn by_name<'a>(document: &'a Value, operation: &'a Value) -> BTreeMap<String, &'a Value> {
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    parameters
        .map(|parameter| resolved(document, parameter))
        .map(|parameter| {
            let place = text(&parameter["in"]);
            // A path's parameters go by their place: what they are called no request says.
            (format!("{place} {}", text(&parameter["name"])), parameter)
        })
        .collect()
}

fn request_body(documents: &Documents<'_>, old: &Value, new: &Value, report: &mut Report<'_>) {
    let before = resolved(documents.old, &old["requestBody"]);
    let after = resolved(documents.new, &new["requestBody"]);
    if after["required"] == true && before["required"] != true {
        report.add("request-body-required", "", "it could be left out, or there was none");
    }
    for (kind, was) in object(&before["content"]) {
        match after["content"].get(kind) {
            None => report.add(
                "request-type-removed",
                kind,
                "bodies of this type are not read any more",
            ),
            Some(is) => {
                Schemas::new(*documents, Direction::Request).compare(&was["schema"], &is["schema"], "body", report)
            }
        }
    }
}

fn responses(documents: &Documents<'_>, old: &Value, new: &Value, report: &mut Report<'_>) {
    for (status, was) in object(&old["responses"]) {
        let Some(is) = new["responses"].get(status) else {
            report.add("status-removed", status, "it is not answered any more");
            continue;
        };
        let (was, is) = (resolved(documents.old, was), resolved(documents.new, is));
        for (header, _) in object(&was["headers"]) {
            if is["headers"].get(header).is_none() {
                report.add(
                    "response-header-removed",
                    &format!("{status} {header}"),
                    "it was answered",
                );
            }
        }
        for (kind, was) in object(&was["content"]) {
            match is["content"].get(kind) {
                None => report.add("response-type-removed", &format!("{status} {kind}"), "it was answered"),
                Some(is) => {
                    Schemas::new(*documents, Direction::Response).compare(
                        &was["schema"],
                        &is["schema"],
                        status,
                        report,
                    );
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
