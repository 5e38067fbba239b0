//! One text for one meaning: what content hashes are taken over.

use odograph_domain::{
    batch::{AccelFrame, Gravity, RawSample},
    sample::Sample,
};
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Whole numbers up to here are exact in a double, so `50` and `50.0` can be written alike.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Appends `value` with its keys sorted, no white space, and whole numbers without a fraction.
pub(crate) fn write(value: &Value, out: &mut Vec<u8>) {
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

/// Appends a sample: its fields in the order of the canonical table, unknown ones after them by name.
pub(crate) fn write_sample(sample: &Sample, out: &mut Vec<u8>) {
    if sample.extra.is_empty() {
        // Known fields serialise in a fixed order and by type, so nothing is left to normalise.
        if serde_json::to_writer(&mut *out, sample).is_ok() {
            return;
        }
    }
    if let Ok(value) = serde_json::to_value(sample) {
        write(&value, out);
    }
}

/// Hash of a sample as it is kept. The last word where everything else is equal, and what tells copies from siblings.
pub(crate) fn raw_sample_hash(raw: &RawSample) -> [u8; 32] {
    #[derive(Serialize)]
    struct Around {
        accel_frame: AccelFrame,
        gravity: Gravity,
        driver: Option<odograph_domain::id::DriverId>,
    }
    let mut bytes = Vec::with_capacity(256);
    write_sample(&raw.sample, &mut bytes);
    let around = Around {
        accel_frame: raw.accel_frame,
        gravity: raw.gravity,
        driver: raw.driver,
    };
    if let Ok(around) = serde_json::to_vec(&around) {
        bytes.extend_from_slice(&around);
    }
    Sha256::digest(&bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_order_and_whole_numbers_do_not_matter() {
        let text = |json: &str| {
            let mut out = Vec::new();
            write(&serde_json::from_str(json).unwrap(), &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(
            text(r#"{"b":1.0, "a":[1,{"d":"\"","c":null}]}"#),
            r#"{"a":[1,{"c":null,"d":"\""}],"b":1}"#
        );
        assert_eq!(text("1.5"), "1.5");
    }
}
