//! What a product or a missing consent does not allow is gone before anything is stored, dead letters included.

use odograph_domain::{
    encoding::unpack,
    envelope::{ContentEncoding, ContentType, Header},
    sample::{DataClass, FIELDS, Sample, parse_ts},
    time::EventTime,
};
use serde_json::{Map, Value, value::RawValue};

use crate::decode::as_json;

/// Fields of a batch that say nothing about how anybody drives.
const ENVELOPE_FIELDS: &[&str] = &[
    "schema",
    "batch_id",
    "vehicle",
    "device",
    "driver",
    "accel_frame",
    "gravity",
];

/// The most of an unpacked payload a dead letter is made of.
const SCRUB_LIMIT: usize = 16 << 20;

/// Forgets behaviour, the state of the car and unknown fields, unless behaviour may be kept.
pub fn minimise(sample: &mut Sample, behaviour_allowed: bool) {
    if !behaviour_allowed {
        sample.retain(|class| class == DataClass::Mileage);
    }
}

pub(crate) fn may_always_be_kept(field: &str) -> bool {
    field == "ts"
        || FIELDS
            .iter()
            .any(|known| known.name == field && known.class == DataClass::Mileage)
}

/// What a dead letter may keep of a refused message, by [`scrub`]. One that is protobuf is kept as the JSON batch it stands for, as
/// far as it reads: what does not read is dropped, unless everything may be kept.
pub fn scrub_message(header: &Header, payload: &[u8], allowed: &dyn Fn(Option<EventTime>) -> bool) -> Vec<u8> {
    let encoding = header.content_encoding;
    if header.content_type == ContentType::Protobuf
        && let Ok(message) = unpack(payload, encoding, SCRUB_LIMIT)
    {
        return as_json(&message, allowed(None), &|sample| scrub_sample(sample, allowed));
    }
    scrub(payload, encoding, allowed)
}

/// What a dead letter may keep of a refused message. `allowed` says whether behaviour of that time may be kept; `None`
/// stands for what has no readable time. Where it may throughout, the payload stays as it came (without its content
/// encoding). Else JSON is written again with fields of the mileage class only, and of bytes that are not JSON only
/// `"name": value` pairs of that class are kept.
pub fn scrub(payload: &[u8], encoding: ContentEncoding, allowed: &dyn Fn(Option<EventTime>) -> bool) -> Vec<u8> {
    let Ok(bytes) = unpack(payload, encoding, SCRUB_LIMIT) else {
        // Neither readable nor safe to keep as it is, unless everything may be kept.
        return if allowed(None) { payload.to_vec() } else { Vec::new() };
    };
    if allowed(None) {
        return bytes.into_owned();
    }
    match serde_json::from_slice::<Map<String, Value>>(&bytes) {
        Ok(batch) => serde_json::to_vec(&scrub_batch(batch, allowed)).unwrap_or_default(),
        Err(_) => scrub_text(&String::from_utf8_lossy(&bytes)).into_bytes(),
    }
}

fn scrub_batch(mut batch: Map<String, Value>, allowed: &dyn Fn(Option<EventTime>) -> bool) -> Map<String, Value> {
    let mut kept = Map::new();
    for &name in ENVELOPE_FIELDS {
        if let Some(value @ (Value::String(_) | Value::Number(_) | Value::Null)) = batch.remove(name) {
            kept.insert(name.to_owned(), value);
        }
    }
    if let Some(Value::Array(samples)) = batch.remove("samples") {
        kept.insert(
            "samples".to_owned(),
            samples
                .into_iter()
                .map(|sample| scrub_sample(sample, allowed))
                .collect(),
        );
    }
    kept
}

/// A sample that cannot be placed becomes `null`, so that the others keep their places.
pub(crate) fn scrub_sample(sample: Value, allowed: &dyn Fn(Option<EventTime>) -> bool) -> Value {
    let Value::Object(fields) = sample else {
        return if allowed(None) { sample } else { Value::Null };
    };
    let ts = fields
        .get("ts")
        .and_then(Value::as_str)
        .and_then(|text| parse_ts(text).ok());
    if allowed(ts) {
        return Value::Object(fields);
    }
    let kept = fields.into_iter().filter(|(name, value)| {
        // A text or a list in the place of a number could hold anything.
        let placed = matches!(value, Value::Number(_) | Value::Bool(_) | Value::Null);
        may_always_be_kept(name) && if name == "ts" { ts.is_some() } else { placed }
    });
    Value::Object(kept.collect())
}

/// [`scrub_sample`] for a sample as it came.
pub(crate) fn scrub_raw(raw: &RawValue, allowed: &dyn Fn(Option<EventTime>) -> bool) -> Value {
    serde_json::from_str(raw.get()).map_or(Value::Null, |sample| scrub_sample(sample, allowed))
}

/// Every `"name": value` of the mileage class, in order, apart by line breaks; nothing else.
fn scrub_text(text: &str) -> String {
    let mut kept = String::new();
    let mut rest = text;
    while let Some(open) = rest.find('"') {
        rest = &rest[open + 1..];
        let Some(close) = rest.find('"') else { break };
        let name = &rest[..close];
        if !may_always_be_kept(name) {
            // The closing quote may as well open the next name: malformed text has no certain pairs.
            continue;
        }
        let after = rest[close + 1..].trim_start();
        let Some(value) = after.strip_prefix(':').map(str::trim_start) else {
            continue;
        };
        if let Some(value) = scalar(value, name == "ts") {
            kept.push_str(&format!("\"{name}\": {value}\n"));
        }
    }
    kept
}

/// The number or flag, or for `ts` the time, that the text begins with.
fn scalar(text: &str, time: bool) -> Option<String> {
    if time {
        let inner = text.strip_prefix('"')?;
        let inner = &inner[..inner.find('"')?];
        return parse_ts(inner).ok().map(|ts| format!("\"{ts}\""));
    }
    let end = text
        .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.')))
        .unwrap_or(text.len());
    let token = &text[..end];
    let known = matches!(token, "true" | "false") || token.parse::<f64>().is_ok_and(f64::is_finite);
    known.then(|| token.to_owned())
}

#[cfg(test)]
mod tests {
    use odograph_domain::{
        envelope::{Lane, Source},
        id::{MessageId, TenantId},
        protobuf,
        time::ReceivedAt,
    };
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    const NEVER: &dyn Fn(Option<EventTime>) -> bool = &|_| false;

    fn scrubbed(payload: &str) -> String {
        String::from_utf8(scrub(payload.as_bytes(), ContentEncoding::Identity, NEVER)).unwrap()
    }

    #[test]
    fn json_keeps_mileage_and_the_envelope_only() {
        let kept = scrubbed(
            r#"{"batch_id":"b","vehicle":"v","colour":"red","samples":[
                {"ts":"2026-01-31T07:15:00Z","lat":1,"speed_kmh":{"accel":3},"accel_x_ms2":-9,"x":7,"hdop":"accel 3"},
                "accel_x_ms2 -9"],"impacts":[{"accel_ms2":[[1,2,3]]}]}"#,
        );
        let kept: Value = serde_json::from_str(&kept).unwrap();
        let wanted = r#"{"batch_id":"b","vehicle":"v","samples":[{"ts":"2026-01-31T07:15:00Z","lat":1},null]}"#;
        assert_eq!(kept, serde_json::from_str::<Value>(wanted).unwrap());
    }

    #[test]
    fn broken_text_keeps_placed_values_only() {
        let broken = r#"{"samples":[{"ts":"2026-01-31T07:15:00Z","lat": 1.5,"accel_x_ms2":-9.81,"ignition":true,"odd"#;
        assert_eq!(
            scrubbed(broken),
            "\"ts\": \"2026-01-31T07:15:00.000Z\"\n\"lat\": 1.5\n\"ignition\": true\n"
        );
        assert_eq!(scrubbed("accel_x_ms2=-9.81"), "");
        assert_eq!(scrub(&[0x1f, 0x8b, 9, 9], ContentEncoding::Gzip, NEVER), b"");
    }

    fn header(content_type: ContentType, content_encoding: ContentEncoding) -> Header {
        Header {
            message_id: MessageId::from_uuid(Uuid::nil()),
            tenant: TenantId::from_uuid(Uuid::nil()),
            client: None,
            source: Source::Http,
            lane: Lane::Live,
            vehicle: None,
            vehicle_given: "v".into(),
            device: None,
            received_at: ReceivedAt::from_millis(1_770_000_000_000).unwrap(),
            content_type,
            content_encoding,
            traceparent: None,
            resubmission_of: None,
            extra: Map::new(),
        }
    }

    #[test]
    fn of_protobuf_a_json_batch_is_kept_as_far_as_it_reads() {
        let sample = r#"{"ts":"2026-01-31T07:15:00Z","lat":1.5,"accel_x_ms2":-777.25,"new":777.25}"#;
        let mut batch = Vec::new();
        protobuf::put_varint(protobuf::batch::SCHEMA, 1, &mut batch);
        protobuf::put_bytes(protobuf::batch::BATCH_ID, b"b", &mut batch);
        let mut message = Vec::new();
        serde_json::from_str::<Sample>(sample)
            .unwrap()
            .write_message(&mut message);
        protobuf::put_double(700, -777.25, &mut message);
        protobuf::put_bytes(protobuf::batch::SAMPLES, &message, &mut batch);
        protobuf::put_bytes(protobuf::batch::IMPACTS, &message, &mut batch);
        protobuf::put_double(900, -777.25, &mut batch);
        batch.extend_from_slice(&message[..5]);
        let header = header(ContentType::Protobuf, ContentEncoding::Identity);
        let kept: Value = serde_json::from_slice(&scrub_message(&header, &batch, NEVER)).unwrap();
        let samples = serde_json::json!([{ "ts": "2026-01-31T07:15:00.000Z", "lat": 1.5 }]);
        assert_eq!((&kept["batch_id"], &kept["samples"]), (&Value::from("b"), &samples));
        assert!(
            !kept.to_string().contains("777") && !kept.to_string().contains("protobuf"),
            "{kept}"
        );
        // Where everything may be kept, nothing is lost, what does not read included.
        let kept: Value = serde_json::from_slice(&scrub_message(&header, &batch, &|_| true)).unwrap();
        assert_eq!(
            (&kept["samples"][0]["new"], kept["protobuf"].is_string()),
            (&Value::from(777.25), true)
        );
        assert!(kept["protobuf:900"].is_string() && kept["samples"][0]["protobuf:700"].is_string());
        let packed = Header {
            content_encoding: ContentEncoding::Zstd,
            ..header
        };
        assert_eq!(scrub_message(&packed, b"no zstd", NEVER), b"");
    }

    #[test]
    fn by_the_time_of_each_sample() {
        let from = parse_ts("2026-01-31T00:00:00Z").unwrap();
        let allowed = move |ts: Option<EventTime>| ts.is_some_and(|ts| ts >= from);
        let payload =
            r#"{"samples":[{"ts":"2026-01-30T07:15:00Z","belt":true},{"ts":"2026-01-31T07:15:00Z","belt":true}]}"#;
        let kept = scrub(payload.as_bytes(), ContentEncoding::Identity, &allowed);
        let wanted = r#"{"samples":[{"ts":"2026-01-30T07:15:00Z"},{"belt":true,"ts":"2026-01-31T07:15:00Z"}]}"#;
        assert_eq!(
            serde_json::from_slice::<Value>(&kept).unwrap(),
            serde_json::from_str::<Value>(wanted).unwrap()
        );
    }

    proptest! {
        /// The marker stands for any behaviour value, anywhere in any text that is or is not JSON.
        #[test]
        fn no_behaviour_value_survives_any_cut(cut in 0usize..200, noise in "[\"{}:, a-z0-9]{0,12}", at in 0usize..200) {
            let whole = r#"{"batch_id":"b","samples":[{"ts":"2026-01-31T07:15:00Z","accel_x_ms2":-777.25,"lat":48.5,"heading_deg":777.25,"lon":11.5,"engine_rpm":"777.25","dtc":["777.25"]}]}"#;
            let mut text: String = whole.chars().take(cut).collect();
            text.insert_str(at.min(text.len()), &noise);
            prop_assert!(!scrubbed(&text).contains("777"), "{}", text);
        }
    }
}
