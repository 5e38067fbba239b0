//! Two versions of a schema, looked at from the side of those who send it or those who receive it.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{Documents, Report, resolved, text};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// Callers send it: what was allowed must stay allowed.
    Request,
    /// Callers receive it: what was promised must stay promised.
    Response,
}

pub(super) struct Schemas<'a> {
    documents: Documents<'a>,
    direction: Direction,
    /// Pairs of references on the way here: a schema may hold itself.
    open: Vec<(String, String)>,
}

/// Bounds that allow less as they grow, and those that allow less as they shrink.
const LOWER: [&str; 5] = ["minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"];
const UPPER: [&str; 5] = ["maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"];

impl<'a> Schemas<'a> {
    pub(super) fn new(documents: Documents<'a>, direction: Direction) -> Self {
        Self {
            documents,
            direction,
            open: Vec::new(),
        }
    }

    pub(super) fn compare(&mut self, old: &Value, new: &Value, at: &str, report: &mut Report<'_>) {
        let pair = (text(&old["$ref"]).to_owned(), text(&new["$ref"]).to_owned());
        let named = !pair.0.is_empty() && !pair.1.is_empty();
        if named && self.open.contains(&pair) {
            return;
        }
        if named {
            self.open.push(pair);
        }
        let (old, new) = (plain(self.documents.old, old), plain(self.documents.new, new));
        self.types(&old, &new, at, report);
        self.values(&old, &new, at, report);
        self.variants(&old, &new, at, report);
        self.fields(&old, &new, at, report);
        if let (Some(was), Some(is)) = (old.get("items"), new.get("items")) {
            self.compare(was, is, &format!("{at}[]"), report);
        }
        if let (Some(was), Some(is)) = (old.get("additionalProperties"), new.get("additionalProperties"))
            && was.is_object()
            && is.is_object()
        {
            self.compare(was, is, &format!("{at}.*"), report);
        }
        if named {
            self.open.pop();
        }
    }

    fn types(&self, old: &Map<String, Value>, new: &Map<String, Value>, at: &str, report: &mut Report<'_>) {
        let (was, is) = (types(old), types(new));
        let (rule, narrow, wide) = match self.direction {
            Direction::Request => ("request-type-narrowed", &is, &was),
            Direction::Response => ("response-type-widened", &was, &is),
        };
        if !fits(wide, narrow) {
            report.add(rule, at, format!("{was:?} became {is:?}"));
        }
        let (was, is) = (old.get("format"), new.get("format"));
        if was != is && (was.is_some() || self.direction == Direction::Request) && !numeric(was) {
            report.add("format-changed", at, format!("{} became {}", shown(was), shown(is)));
        }
    }

    fn values(&self, old: &Map<String, Value>, new: &Map<String, Value>, at: &str, report: &mut Report<'_>) {
        let (was, is) = (constants(old), constants(new));
        match (self.direction, was, is) {
            (Direction::Request, was, Some(is)) => {
                let lost = was.as_ref().map(|was| was.difference(&is).cloned().collect::<Vec<_>>());
                if lost.as_ref().is_none_or(|lost| !lost.is_empty()) {
                    let lost = lost.map_or("anything".to_owned(), |lost| lost.join(", "));
                    report.add("request-enum-narrowed", at, format!("{lost} could be given"));
                }
            }
            (Direction::Response, Some(was), is) => {
                let gained = is.map(|is| is.difference(&was).cloned().collect::<Vec<_>>());
                if gained.as_ref().is_none_or(|gained| !gained.is_empty()) {
                    let gained = gained.map_or("anything".to_owned(), |gained| gained.join(", "));
                    report.add("response-enum-widened", at, format!("{gained} was never answered"));
                }
            }
            _ => {}
        }
        if self.direction == Direction::Response {
            return;
        }
        for (bounds, tighter) in [(LOWER, 1.0), (UPPER, -1.0)] {
            for bound in bounds {
                let value = |schema: &Map<String, Value>| schema.get(bound).and_then(Value::as_f64);
                let (was, is) = (value(old), value(new));
                if is.is_some_and(|is| was.is_none_or(|was| tighter * (is - was) > 0.0)) {
                    report.add("request-bound-narrowed", at, format!("{bound}: {was:?} became {is:?}"));
                }
            }
        }
        let (was, is) = (old.get("pattern"), new.get("pattern"));
        if is.is_some() && was != is {
            report.add(
                "request-pattern-changed",
                at,
                format!("{} became {}", shown(was), shown(is)),
            );
        }
    }

    /// Alternatives: each that was sent must still be taken, each that is answered must have been answered before.
    fn variants(&mut self, old: &Map<String, Value>, new: &Map<String, Value>, at: &str, report: &mut Report<'_>) {
        let (was, is) = (alternatives(old), alternatives(new));
        if was.is_empty() && is.is_empty() {
            return;
        }
        let (rule, each, among) = match self.direction {
            Direction::Request => ("request-variant-removed", &was, &is),
            Direction::Response => ("response-variant-added", &is, &was),
        };
        for (place, variant) in each.iter().enumerate() {
            let fits = among.iter().any(|other| {
                let (before, after) = match self.direction {
                    Direction::Request => (variant, other),
                    Direction::Response => (other, variant),
                };
                let mut found = Vec::new();
                let mut trial = Report {
                    operation: String::new(),
                    found: &mut found,
                };
                self.compare(before, after, at, &mut trial);
                found.is_empty()
            });
            if !fits {
                report.add(
                    rule,
                    &format!("{at}|{place}"),
                    "no alternative of the other document has its place",
                );
            }
        }
    }

    fn fields(&mut self, old: &Map<String, Value>, new: &Map<String, Value>, at: &str, report: &mut Report<'_>) {
        let properties = |schema: &Map<String, Value>| schema.get("properties").and_then(Value::as_object).cloned();
        let (was, is) = (properties(old).unwrap_or_default(), properties(new).unwrap_or_default());
        let (had, wants) = (required(old), required(new));
        for (name, before) in &was {
            let place = format!("{at}.{name}");
            match (is.get(name), self.direction) {
                (Some(after), _) => self.compare(before, after, &place, report),
                (None, Direction::Request) => report.add("request-field-removed", &place, "it could be given"),
                (None, Direction::Response) => report.add("response-field-removed", &place, "it was answered"),
            }
        }
        match self.direction {
            Direction::Request => {
                for name in wants.difference(&had) {
                    report.add(
                        "request-field-required",
                        &format!("{at}.{name}"),
                        "it could be left out",
                    );
                }
                if new.get("additionalProperties") == Some(&Value::Bool(false))
                    && old.get("additionalProperties") != Some(&Value::Bool(false))
                    && !was.is_empty()
                {
                    report.add("request-closed", at, "fields that are not listed could be given");
                }
            }
            Direction::Response => {
                for name in had.difference(&wants).filter(|name| is.contains_key(*name)) {
                    report.add(
                        "response-field-optional",
                        &format!("{at}.{name}"),
                        "it was always there",
                    );
                }
            }
        }
    }
}

/// Without its reference, with `allOf` merged into one.
fn plain(document: &Value, schema: &Value) -> Map<String, Value> {
    let mut merged = resolved(document, schema).as_object().cloned().unwrap_or_default();
    let Some(Value::Array(parts)) = merged.remove("allOf") else {
        return merged;
    };
    for part in &parts {
        for (name, value) in plain(document, part) {
            match (merged.get_mut(&name), value) {
                (Some(Value::Object(mine)), Value::Object(more)) => mine.extend(more),
                (Some(Value::Array(mine)), Value::Array(more)) if name == "required" => mine.extend(more),
                (Some(_), _) => {}
                (None, value) => drop(merged.insert(name, value)),
            }
        }
    }
    merged
}

/// Alternatives without `null`, which counts as a type.
fn alternatives(schema: &Map<String, Value>) -> Vec<Value> {
    let listed = ["oneOf", "anyOf"]
        .into_iter()
        .filter_map(|name| schema.get(name)?.as_array());
    listed
        .flatten()
        .filter(|variant| variant["type"] != "null")
        .cloned()
        .collect()
}

/// Empty for any.
fn types(schema: &Map<String, Value>) -> BTreeSet<String> {
    let mut types: BTreeSet<String> = match schema.get("type") {
        Some(Value::String(one)) => BTreeSet::from([one.clone()]),
        Some(Value::Array(several)) => several.iter().map(|one| text(one).to_owned()).collect(),
        _ => BTreeSet::new(),
    };
    let null = ["oneOf", "anyOf"]
        .into_iter()
        .filter_map(|name| schema.get(name)?.as_array())
        .flatten()
        .any(|variant| variant["type"] == "null");
    if null || !alternatives(schema).is_empty() {
        types.insert("(one of)".to_owned());
    }
    if null {
        types.insert("null".to_owned());
    }
    types
}

/// Whether everything of the types `inner` is of one of `outer`.
fn fits(inner: &BTreeSet<String>, outer: &BTreeSet<String>) -> bool {
    let has = |name: &String| outer.contains(name) || (name == "integer" && outer.contains("number"));
    outer.is_empty() || (!inner.is_empty() && inner.iter().all(has))
}

/// `int32` to `int64` and the like tell of width, which the bounds say better.
fn numeric(format: Option<&Value>) -> bool {
    format
        .and_then(Value::as_str)
        .is_some_and(|name| name.starts_with("int") || name.starts_with("uint") || matches!(name, "float" | "double"))
}

fn constants(schema: &Map<String, Value>) -> Option<BTreeSet<String>> {
    if let Some(one) = schema.get("const") {
        return Some(BTreeSet::from([one.to_string()]));
    }
    let listed = schema.get("enum")?.as_array()?;
    Some(listed.iter().map(Value::to_string).collect())
}

fn required(schema: &Map<String, Value>) -> BTreeSet<String> {
    let listed = schema.get("required").and_then(Value::as_array).into_iter().flatten();
    listed.map(|name| text(name).to_owned()).collect()
}

fn shown(value: Option<&Value>) -> String {
    value.map_or("none".to_owned(), Value::to_string)
}
