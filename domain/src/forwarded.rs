//! Telemetry that another platform forwards in its own words, put into ours. Pure translation: what comes of it is a canonical
//! batch a device, which goes the way of every batch.
//!
//! Nothing is judged here. A value that is not of the type it should be goes on under our name for it, so that ingest says what
//! is wrong with it; what we have no name for goes on as an unknown field under the platform's name.

pub mod flespi;
pub mod traccar;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::outcome::MessageRejection;

/// A batch of what was forwarded of one device.
#[derive(Debug, Clone, PartialEq)]
pub struct Forwarded {
    pub device: String,
    pub samples: usize,
    /// In the canonical JSON form.
    pub batch: Vec<u8>,
}

/// Why what was forwarded, or a part of it, is no batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {detail}")]
pub struct NotForwarded {
    pub reason: MessageRejection,
    /// What was given and what was wanted; never a value.
    pub detail: String,
    /// How many samples it holds.
    pub samples: usize,
}

impl NotForwarded {
    fn undecodable(wanted: &str, error: &serde_json::Error) -> Self {
        let place = format!("line {}, column {}", error.line(), error.column());
        Self {
            reason: MessageRejection::Undecodable,
            detail: format!("wanted {wanted}, got what does not read as that at {place}"),
            samples: 0,
        }
    }
}

/// Where a value goes, and how it gets there.
enum To {
    /// As it is.
    Field(&'static str),
    /// Times a factor.
    Times(&'static str, f64),
    /// Divided by a number, which unlike its reciprocal may be exact.
    Over(&'static str, f64),
    /// Left out: the platform's own bookkeeping.
    Nowhere,
    /// Under the platform's name.
    Unknown,
}

/// A sample as it comes together.
struct Draft {
    prefix: &'static str,
    fields: Map<String, Value>,
}

impl Draft {
    fn new(prefix: &'static str) -> Self {
        Self {
            prefix,
            fields: Map::new(),
        }
    }

    fn put(&mut self, name: &str, value: Value, to: To) {
        let (field, value) = match to {
            _ if value.is_null() => return,
            To::Nowhere => return,
            To::Field(field) => (field, value),
            To::Times(field, factor) => (field, scaled(value, |number| number * factor)),
            To::Over(field, divisor) => (field, scaled(value, |number| number / divisor)),
            To::Unknown => return self.keep(name, value),
        };
        if self.fields.contains_key(field) {
            // The first that has it is the better one.
            self.keep(name, value);
        } else {
            self.fields.insert(field.to_owned(), value);
        }
    }

    fn keep(&mut self, name: &str, value: Value) {
        self.fields.insert(format!("{}.{name}", self.prefix), value);
    }
}

/// A number to nine digits behind the point: a unit's conversion adds no meaning beyond. What is no number stays what it is.
fn scaled(value: Value, change: impl Fn(f64) -> f64) -> Value {
    const DIGITS: f64 = 1e9;
    match value.as_f64() {
        Some(number) => {
            let changed = change(number);
            let rounded = (changed * DIGITS).round() / DIGITS;
            json!(if rounded.is_finite() { rounded } else { changed })
        }
        None => value,
    }
}

/// Batches by device. Their ids are made of what they hold, so that what is forwarded twice is a duplicate.
fn batches(platform: &str, by_device: BTreeMap<String, Vec<Value>>) -> Vec<Forwarded> {
    let batch = |(device, samples): (String, Vec<Value>)| {
        let count = samples.len();
        let content = json!({ "device": device, "samples": samples });
        let digest = Sha256::digest(content.to_string().as_bytes());
        let mut batch = content;
        batch["schema"] = json!(1);
        batch["batch_id"] = format!("{platform}-{}", hex::encode(&digest[..16])).into();
        Forwarded {
            device,
            samples: count,
            batch: batch.to_string().into_bytes(),
        }
    };
    by_device.into_iter().map(batch).collect()
}

/// A device's name: a text, or a number that stands for one.
fn device_name(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(name) if !name.is_empty() => Some(name.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}
