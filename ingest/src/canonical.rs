//! One form for one meaning: what content hashes are taken over.
//!
//! Hashes are kept in the dedup ledger, so this form is guarded by golden values: another one makes conflicts of what is sent
//! again.

use std::ops::Range;

use odograph_domain::{
    batch::{Impact, RawSample},
    protobuf,
    sample::{FIELDS, Quantity, Sample},
};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::decode::Decoded;

/// Whole numbers up to here are exact in a double, so `50` and `50.0` can be written alike.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Places of what has no time.
const FIRST: i64 = i64::MIN;
const LAST: i64 = i64::MAX;

/// Over the device, driver, frame, gravity, samples, impacts and unknown fields, whatever the order of samples and impacts. Not
/// over the vehicle, which may be written as an id or a reference, nor over the batch id: both are the key beside which the hash
/// is kept. `unknown` are the batch's own unknown fields with their JSON.
pub(crate) fn content_hash<'a>(decoded: &Decoded, unknown: impl Iterator<Item = (&'a str, &'a str)>) -> [u8; 32] {
    let mut content = Content::new(decoded.samples.len());
    content.add(b'h', FIRST, |out| {
        for name in [&decoded.device, &decoded.driver] {
            write_text(name.as_deref().unwrap_or_default(), out);
        }
        out.extend([decoded.accel_frame.number() as u8, decoded.gravity.number() as u8]);
    });
    for sample in &decoded.samples {
        match sample {
            Ok(sample) => content.add(b's', sample.ts.millis(), |out| write_sample(sample, out)),
            Err(bad) => content.add(b'b', LAST, |out| write_json(bad.raw.get(), out)),
        }
    }
    for impact in &decoded.impacts {
        match impact {
            Ok(impact) => content.add(b'i', impact.trigger_ts.millis(), |out| write_impact(impact, out)),
            Err(bad) => content.add(b'j', LAST, |out| write_json(bad.raw.get(), out)),
        }
    }
    for (name, json) in unknown {
        content.add(b'u', LAST, |out| {
            write_text(name, out);
            write_json(json, out);
        });
    }
    content.digest()
}

/// The parts of a batch one after the other, each with its length before it. They are hashed in an order of their own: by time,
/// then by what they hold. Most batches come in that order, and are hashed as they lie.
struct Content {
    bytes: Vec<u8>,
    parts: Vec<(i64, Range<usize>)>,
}

impl Content {
    fn new(samples: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(samples * 256 + 64),
            parts: Vec::with_capacity(samples + 1),
        }
    }

    fn add(&mut self, kind: u8, ms: i64, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0, 0, 0, 0, kind]);
        write(&mut self.bytes);
        let length = (self.bytes.len() - start) as u32;
        self.bytes[start..start + 4].copy_from_slice(&length.to_le_bytes());
        self.parts.push((ms, start..self.bytes.len()));
    }

    fn digest(mut self) -> [u8; 32] {
        let bytes = &self.bytes;
        let key = |part: &(i64, Range<usize>)| (part.0, &bytes[part.1.clone()]);
        if self.parts.is_sorted_by(|one, next| key(one) <= key(next)) {
            return Sha256::digest(bytes).into();
        }
        self.parts.sort_unstable_by(|one, other| key(one).cmp(&key(other)));
        let mut hash = Sha256::new();
        for (_, range) in self.parts {
            hash.update(&bytes[range]);
        }
        hash.finalize().into()
    }
}

/// Appends a sample: its time, each known field as its number and bits in the order of the canonical table, unknown ones after
/// them by name.
pub(crate) fn write_sample(sample: &Sample, out: &mut Vec<u8>) {
    out.extend_from_slice(&sample.ts.millis().to_le_bytes());
    sample.quantities(|place, quantity| {
        let tag = FIELDS[place].tag;
        match quantity {
            Quantity::Number(value) => {
                let [a, b, c, d, e, f, g, h] = bits(value);
                out.extend_from_slice(&[tag, a, b, c, d, e, f, g, h]);
            }
            Quantity::Flag(value) => out.extend_from_slice(&[tag, u8::from(value)]),
            Quantity::Wheels(values) => {
                out.push(tag);
                values.iter().for_each(|value| out.extend_from_slice(&bits(*value)));
            }
            Quantity::Codes(codes) => {
                out.push(tag);
                write_length(codes.len(), out);
                codes.iter().for_each(|code| write_text(code, out));
            }
        }
    });
    for (name, value) in &sample.extra {
        out.push(protobuf::sample::EXTRA as u8);
        write_text(name, out);
        let mut json = Vec::new();
        write(value, &mut json);
        write_length(json.len(), out);
        out.extend_from_slice(&json);
    }
}

fn write_impact(impact: &Impact, out: &mut Vec<u8>) {
    out.extend_from_slice(&impact.trigger_ts.millis().to_le_bytes());
    out.extend_from_slice(&bits(impact.rate_hz));
    out.extend_from_slice(&bits(impact.t0_ms));
    let gyro = impact.gyro_rads.as_deref();
    for rows in [Some(&impact.accel_ms2[..]), gyro] {
        out.push(u8::from(rows.is_some()));
        let rows = rows.unwrap_or_default();
        write_length(rows.len(), out);
        for value in rows.iter().flatten() {
            out.extend_from_slice(&bits(*value));
        }
    }
}

/// Zero is zero, whatever its sign.
fn bits(value: f64) -> [u8; 8] {
    (value + 0.0).to_le_bytes()
}

fn write_length(length: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&(length as u32).to_le_bytes());
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    write_length(text.len(), out);
    out.extend_from_slice(text.as_bytes());
}

fn write_json(text: &str, out: &mut Vec<u8>) {
    match serde_json::from_str::<Value>(text) {
        Ok(value) => write(&value, out),
        Err(_) => out.extend_from_slice(text.as_bytes()),
    }
}

/// Appends `value` with its keys sorted, no white space, and whole numbers without a fraction.
fn write(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Array(items) => {
            out.push(b'[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write(item, out);
            }
            out.push(b']');
        }
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(name, _)| *name);
            out.push(b'{');
            for (i, (name, item)) in entries.into_iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                out.extend_from_slice(Value::from(name.as_str()).to_string().as_bytes());
                out.push(b':');
                write(item, out);
            }
            out.push(b'}');
        }
        Value::Number(number) => match number.as_f64() {
            Some(n) if n.fract() == 0.0 && n.abs() < EXACT => out.extend_from_slice((n as i64).to_string().as_bytes()),
            _ => out.extend_from_slice(number.to_string().as_bytes()),
        },
        other => out.extend_from_slice(other.to_string().as_bytes()),
    }
}

/// Hash of a sample as it is kept. The last word where everything else is equal, and what tells copies from siblings.
pub(crate) fn raw_sample_hash(raw: &RawSample) -> [u8; 32] {
    let mut bytes = Vec::with_capacity(256);
    bytes.extend([raw.accel_frame.number() as u8, raw.gravity.number() as u8]);
    if let Some(driver) = raw.driver {
        bytes.extend_from_slice(driver.uuid().as_bytes());
    }
    write_length(bytes.len(), &mut bytes);
    write_sample(&raw.sample, &mut bytes);
    Sha256::digest(&bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_order_and_whole_numbers_do_not_matter() {
        let text = |json: &str| {
            let mut out = Vec::new();
            write_json(json, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(
            text(r#"{"b":1.0, "a":[1,{"d":"\"","c":null}]}"#),
            r#"{"a":[1,{"c":null,"d":"\""}],"b":1}"#
        );
        assert_eq!(text("1.5"), "1.5");
    }
}
