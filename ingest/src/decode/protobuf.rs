//! Batches as messages of `proto/telemetry.proto`. A field of a number that this version does not know is kept with its bytes.

use std::{borrow::Cow, collections::BTreeMap, fmt::Write as _};

use odograph_domain::{
    batch::{AccelFrame, BatchId, Gravity, Impact},
    outcome::{MessageRejection, SampleRejection},
    protobuf::{self, Field, Fields, Wire, WireError, batch, impact, sample},
    sample::{FIELDS, FieldError, FieldKind, Sample},
    time::EventTime,
};
use serde_json::{Map, Value, json, value::to_raw_value};

use super::{BadSample, DecodeLimits, Decoded, Refusal, check_counts, check_impact, reference};
use crate::canonical;

/// The name of what of a message does not read, in hexadecimal.
const UNREAD: &str = "protobuf";

pub(super) fn decode(message: &[u8], limits: &DecodeLimits) -> Result<Decoded, Refusal> {
    let mut head = Head::default();
    let (mut samples, mut impacts) = (Vec::new(), Vec::new());
    let (mut samples_total, mut impacts_total) = (0, 0);
    let mut broken = None;
    for field in Fields::of(message) {
        match field.map(|field| (field.tag, field.value, field)) {
            Ok((batch::SAMPLES, Wire::Bytes(message), _)) => {
                samples_total += 1;
                if samples_total <= limits.samples {
                    samples.push(read_sample(message));
                }
            }
            Ok((batch::IMPACTS, Wire::Bytes(message), _)) => {
                impacts_total += 1;
                if impacts_total <= limits.samples {
                    impacts.push(read_impact(message));
                }
            }
            Ok((_, _, field)) => head.take(field),
            Err(error) => broken = Some(error),
        }
    }
    let mut refusal = Refusal::new(MessageRejection::BadBatch, "");
    refusal.samples = u32::try_from(samples_total).unwrap_or(u32::MAX);
    let batch_id = head.batch_id.and_then(|id| BatchId::parse(id).ok());
    if let Some(error) = broken {
        refusal.batch_id = batch_id.map(|id| id.to_string());
        return Err(refusal.as_reason(MessageRejection::Undecodable, error.to_string()));
    }
    head.check_schema(&refusal)?;
    if let Some(detail) = head.wrong {
        return Err(refusal.with(detail));
    }
    let given = head.batch_id.filter(|id| !id.is_empty());
    let given = given.ok_or_else(|| refusal.with("batch_id: every batch needs it, got none".to_owned()))?;
    let batch_id = BatchId::parse(given).map_err(|error| refusal.with(error.to_string()))?;
    refusal.batch_id = Some(batch_id.to_string());
    check_counts(samples_total, impacts_total, limits, &refusal)?;
    let name =
        |name, given: Option<&str>| reference(name, given.map(Cow::Borrowed)).map_err(|detail| refusal.with(detail));
    let mut decoded = Decoded {
        batch_id,
        vehicle: name("vehicle", head.vehicle)?,
        device: name("device", head.device)?,
        driver: name("driver", head.driver)?,
        accel_frame: head.accel_frame,
        gravity: head.gravity,
        samples,
        impacts,
        unknown: head.unknown.keys().cloned().collect(),
        content_hash: [0; 32],
    };
    let unknown = head.unknown.iter().map(|(name, json)| (name.as_str(), json.as_str()));
    decoded.content_hash = canonical::content_hash(&decoded, unknown);
    decoded.finish(&refusal)
}

/// What a batch says of itself.
#[derive(Default)]
struct Head<'a> {
    schema: Option<u64>,
    batch_id: Option<&'a str>,
    vehicle: Option<&'a str>,
    device: Option<&'a str>,
    driver: Option<&'a str>,
    accel_frame: AccelFrame,
    gravity: Gravity,
    /// What is wrong with the first of these that is not what it should be.
    wrong: Option<String>,
    /// By name, the bytes of every occurrence in hexadecimal, as a JSON text.
    unknown: BTreeMap<String, String>,
}

impl<'a> Head<'a> {
    fn take(&mut self, field: Field<'a>) {
        let text = |name: &str, into: &mut Option<&'a str>| {
            let Wire::Bytes(bytes) = field.value else {
                return Err(format!("{name}: wanted a text, got {}", field.value.kind()));
            };
            *into =
                Some(std::str::from_utf8(bytes).map_err(|_| format!("{name}: wanted a text, got one not in UTF-8"))?);
            Ok(())
        };
        let number = |name: &str, wanted: &str| match field.value {
            Wire::Varint(number) => Ok(number),
            other => Err(format!("{name}: wanted {wanted}, got {}", other.kind())),
        };
        let read = match field.tag {
            batch::SCHEMA => number("schema", "1").map(|number| self.schema = Some(number)),
            batch::BATCH_ID => text("batch_id", &mut self.batch_id),
            batch::VEHICLE => text("vehicle", &mut self.vehicle),
            batch::DEVICE => text("device", &mut self.device),
            batch::DRIVER => text("driver", &mut self.driver),
            batch::ACCEL_FRAME => number("accel_frame", FRAMES).and_then(|number| {
                let frame = AccelFrame::of_number(number);
                self.accel_frame = frame.ok_or_else(|| format!("accel_frame: wanted {FRAMES}, got {number}"))?;
                Ok(())
            }),
            batch::GRAVITY => number("gravity", GRAVITIES).and_then(|number| {
                let gravity = Gravity::of_number(number);
                self.gravity = gravity.ok_or_else(|| format!("gravity: wanted {GRAVITIES}, got {number}"))?;
                Ok(())
            }),
            batch::SAMPLES => Err(format!("samples: wanted messages, got {}", field.value.kind())),
            batch::IMPACTS => Err(format!("impacts: wanted messages, got {}", field.value.kind())),
            tag => {
                let json = self
                    .unknown
                    .entry(protobuf::unknown_name(tag))
                    .or_insert_with(|| "\"\"".to_owned());
                json.insert_str(json.len() - 1, &hex(field.raw));
                Ok(())
            }
        };
        if let Err(detail) = read {
            self.wrong.get_or_insert(detail);
        }
    }

    fn check_schema(&self, refusal: &Refusal) -> Result<(), Refusal> {
        if self.schema == Some(1) {
            return Ok(());
        }
        let got = self.schema.map_or("none".to_owned(), |schema| schema.to_string());
        let detail = format!("schema: wanted 1, got {got}");
        Err(refusal.as_reason(MessageRejection::UnsupportedSchema, detail))
    }
}

const FRAMES: &str = "1 (vehicle), 2 (device) or 3 (earth)";
const GRAVITIES: &str = "1 (included) or 2 (removed)";

fn read_sample(message: &[u8]) -> Result<Sample, BadSample> {
    sound_sample(message).ok_or_else(|| explain(message))
}

/// A sample in which everything is as it should be.
fn sound_sample(message: &[u8]) -> Option<Sample> {
    let mut sample = Sample::at(EventTime::new(chrono::DateTime::UNIX_EPOCH));
    let mut has_time = false;
    for field in Fields::of(message) {
        let field = field.ok()?;
        if let (sample::TS_MS, Wire::Varint(ms)) = (field.tag, field.value) {
            sample.ts = time(ms)?;
            has_time = true;
        } else {
            take(&mut sample, field).ok()?;
        }
    }
    has_time.then_some(sample)
}

/// A time that RFC 3339 can write, so that it can be kept as JSON too.
fn time(ms: u64) -> Option<EventTime> {
    // From the beginning of the year 0 to the end of 9999.
    const WRITABLE_MS: std::ops::Range<i64> = -62_167_219_200_000..253_402_300_800_000;
    let ms = ms as i64;
    WRITABLE_MS.contains(&ms).then(|| EventTime::from_millis(ms))?
}

/// Takes a field but the time into a sample; else which it is, and what is wrong with it.
fn take(sample: &mut Sample, field: Field<'_>) -> Result<(), (String, String)> {
    let wrong = |name: &str, detail: &str| (name.to_owned(), format!("{name}: {detail}"));
    match (field.tag, field.value) {
        (sample::TS_MS, other) => Err(wrong("ts", &format!("wanted a varint as ts_ms, got {}", other.kind()))),
        (sample::DRIVER, Wire::Bytes(text)) => {
            let text = std::str::from_utf8(text).map_err(|_| wrong("driver", "wanted a text, got one not in UTF-8"))?;
            sample.extra.insert("driver".to_owned(), text.into());
            Ok(())
        }
        (sample::DRIVER, other) => Err(wrong("driver", &format!("wanted a text, got {}", other.kind()))),
        (sample::EXTRA, Wire::Bytes(entry)) => {
            let (name, value) = extra(entry).map_err(|detail| wrong("extra", detail))?;
            sample.extra.insert(name, value);
            Ok(())
        }
        (sample::EXTRA, other) => Err(wrong("extra", &format!("wanted a message, got {}", other.kind()))),
        (tag, value) => match sample.merge_wire(tag, value) {
            Ok(true) => Ok(()),
            Ok(false) => {
                keep_unknown(sample, field);
                Ok(())
            }
            Err(FieldError::Value { name, wanted, got }) => {
                Err((name.clone(), format!("{name}: wanted {wanted}, got {got}")))
            }
            Err(other) => Err(("ts".to_owned(), other.to_string())),
        },
    }
}

/// An entry of the map `extra`: a name, and a value as JSON text.
fn extra(entry: &[u8]) -> Result<(String, Value), &'static str> {
    let (mut name, mut json) = ("", "");
    for field in Fields::of(entry) {
        let text = |bytes| std::str::from_utf8(bytes).map_err(|_| "wanted texts in UTF-8");
        match field.map(|field| (field.tag, field.value)) {
            Ok((1, Wire::Bytes(bytes))) => name = text(bytes)?,
            Ok((2, Wire::Bytes(bytes))) => json = text(bytes)?,
            _ => return Err("wanted entries of a name and a JSON text"),
        }
    }
    if name == "ts" || FIELDS.iter().any(|field| field.name == name) {
        return Err("wanted names that no field has, got one that has a field of its own");
    }
    let value = serde_json::from_str(json).map_err(|_| "wanted values as JSON text, got one that is none")?;
    Ok((name.to_owned(), value))
}

/// Every occurrence of it, one after the other.
fn keep_unknown(sample: &mut Sample, field: Field<'_>) {
    let kept = sample.extra.entry(protobuf::unknown_name(field.tag));
    if let Value::String(text) = kept.or_insert_with(|| Value::String(String::new())) {
        text.push_str(&hex(field.raw));
    }
}

/// Finds out what is wrong with a sample that does not read, and what of it does.
fn explain(message: &[u8]) -> BadSample {
    let mut sample = Sample::at(EventTime::new(chrono::DateTime::UNIX_EPOCH));
    let mut ts = None;
    let mut unread: Map<String, Value> = Map::new();
    let mut wrong: Option<(SampleRejection, String)> = None;
    for field in Fields::of(message) {
        let field = match field {
            Ok(field) => field,
            Err(WireError { at }) => {
                unread.insert(UNREAD.to_owned(), hex(&message[at..]).into());
                let detail =
                    format!("wanted a sample as a protobuf message, got one that does not read from byte {at} on");
                wrong.get_or_insert((SampleRejection::Malformed, detail));
                break;
            }
        };
        if let (sample::TS_MS, Wire::Varint(ms)) = (field.tag, field.value) {
            ts = time(ms);
            if ts.is_none() {
                unread.insert("ts".to_owned(), json!({ UNREAD: hex(field.raw) }));
                let detail = "ts: wanted ms since 1970 within the years 0 to 9999, got a number beyond".to_owned();
                wrong.get_or_insert((SampleRejection::Malformed, detail));
            }
        } else if let Some((name, number)) = not_finite(field) {
            unread.insert(name.to_owned(), number.to_string().into());
            wrong.get_or_insert((SampleRejection::NotFinite, format!("{name}: wanted a finite number")));
        } else if let Err((name, detail)) = take(&mut sample, field) {
            unread.insert(name, json!({ UNREAD: hex(field.raw) }));
            wrong.get_or_insert((SampleRejection::Malformed, detail));
        }
    }
    if ts.is_none() && !unread.contains_key("ts") {
        wrong = Some((SampleRejection::Malformed, FieldError::NoTime.to_string()));
    }
    let (reason, detail) = wrong.unwrap_or((SampleRejection::Malformed, "does not read as a sample".to_owned()));
    let mut kept = match serde_json::to_value(Sample {
        ts: ts.unwrap_or(sample.ts),
        ..sample
    }) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    };
    if ts.is_none() {
        kept.remove("ts");
    }
    kept.append(&mut unread);
    BadSample {
        raw: to_raw_value(&kept).unwrap_or_default(),
        reason,
        ts,
        detail,
    }
}

/// The name and value of a number that is none.
fn not_finite(field: Field<'_>) -> Option<(&'static str, f64)> {
    let Wire::Fixed64(bits) = field.value else { return None };
    let value = f64::from_bits(bits);
    let known = FIELDS.iter().find(|known| u32::from(known.tag) == field.tag)?;
    (known.kind == FieldKind::Number && !value.is_finite()).then_some((known.name, value))
}

fn read_impact(message: &[u8]) -> Result<Impact, BadSample> {
    let mut seen = SeenImpact::default();
    let read = seen.read(message);
    let ts = seen.trigger_ts;
    read.map_err(|detail| {
        let mut kept = Map::new();
        if let Some(ts) = ts {
            kept.insert("trigger_ts".to_owned(), ts.to_string().into());
        }
        kept.insert(UNREAD.to_owned(), hex(message).into());
        BadSample {
            raw: to_raw_value(&kept).unwrap_or_default(),
            reason: SampleRejection::Malformed,
            ts,
            detail,
        }
    })
}

#[derive(Default)]
struct SeenImpact {
    trigger_ts: Option<EventTime>,
    rate_hz: Option<f64>,
    t0_ms: Option<f64>,
    accel_ms2: Vec<f64>,
    gyro_rads: Vec<f64>,
}

impl SeenImpact {
    fn read(&mut self, message: &[u8]) -> Result<Impact, String> {
        for field in Fields::of(message) {
            let field = field.map_err(|error| format!("an impact: {error}"))?;
            match (field.tag, field.value) {
                (impact::TRIGGER_TS_MS, Wire::Varint(ms)) => self.trigger_ts = time(ms),
                (impact::RATE_HZ, Wire::Fixed64(bits)) => self.rate_hz = Some(f64::from_bits(bits)),
                (impact::T0_MS, Wire::Fixed64(bits)) => self.t0_ms = Some(f64::from_bits(bits)),
                (impact::ACCEL_MS2, value) => extend("accel_ms2", &mut self.accel_ms2, value)?,
                (impact::GYRO_RADS, value) => extend("gyro_rads", &mut self.gyro_rads, value)?,
                (impact::TRIGGER_TS_MS | impact::RATE_HZ | impact::T0_MS, other) => {
                    return Err(format!("an impact: field {} is {}", field.tag, other.kind()));
                }
                _ => {}
            }
        }
        let (Some(trigger_ts), Some(rate_hz), Some(t0_ms)) = (self.trigger_ts, self.rate_hz, self.t0_ms) else {
            return Err("wanted an impact with trigger_ts_ms, rate_hz, t0_ms and rows of accel_ms2".to_owned());
        };
        let impact = Impact {
            trigger_ts,
            rate_hz,
            t0_ms,
            accel_ms2: rows("accel_ms2", &self.accel_ms2)?,
            gyro_rads: match &self.gyro_rads[..] {
                [] => None,
                gyro => Some(rows("gyro_rads", gyro)?),
            },
        };
        check_impact(&impact)?;
        Ok(impact)
    }
}

/// A list of doubles, packed or one by one.
fn extend(name: &str, list: &mut Vec<f64>, value: Wire<'_>) -> Result<(), String> {
    match value {
        Wire::Fixed64(bits) => list.push(f64::from_bits(bits)),
        Wire::Bytes(packed) => {
            let numbers = protobuf::doubles(packed);
            list.extend(
                numbers.ok_or_else(|| format!("{name}: wanted doubles, got a length that is no multiple of 8"))?,
            );
        }
        other => return Err(format!("{name}: wanted doubles, got {}", other.kind())),
    }
    Ok(())
}

fn rows(name: &str, flat: &[f64]) -> Result<Vec<[f64; 3]>, String> {
    if flat.iter().any(|value| !value.is_finite()) {
        return Err(format!("{name}: wanted finite numbers"));
    }
    let (rows, rest) = flat.as_chunks::<3>();
    if rest.is_empty() {
        return Ok(rows.to_vec());
    }
    Err(format!("{name}: wanted rows of 3, got {} numbers", flat.len()))
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            // Writing to a text does not fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// A message as a JSON batch, as far as it reads: what is kept of one that is refused, so that it can be looked at, mended and
/// sent again. Each sample and impact goes through `keep` first; the bytes of what does not read are left out unless `whole`.
pub(crate) fn as_json(message: &[u8], whole: bool, keep: &dyn Fn(Value) -> Value) -> Vec<u8> {
    let mut head = Map::new();
    let (mut samples, mut impacts) = (List::default(), List::default());
    let mut seen = Head::default();
    for field in Fields::of(message) {
        match field.map(|field| (field.tag, field.value, field)) {
            Ok((batch::SAMPLES, Wire::Bytes(message), _)) => samples.push(keep(match read_sample(message) {
                Ok(sample) => serde_json::to_value(sample).unwrap_or_default(),
                Err(bad) => serde_json::from_str(bad.raw.get()).unwrap_or_default(),
            })),
            Ok((batch::IMPACTS, Wire::Bytes(message), _)) if whole => impacts.push(match read_impact(message) {
                Ok(impact) => serde_json::to_value(impact).unwrap_or_default(),
                Err(bad) => serde_json::from_str(bad.raw.get()).unwrap_or_default(),
            }),
            Ok((batch::IMPACTS, Wire::Bytes(_), _)) => {}
            Ok((_, _, field)) => seen.take(field),
            Err(WireError { at }) if whole => {
                head.insert(UNREAD.to_owned(), hex(&message[at..]).into());
            }
            Err(_) => {}
        }
    }
    if let Some(schema) = seen.schema {
        head.insert("schema".to_owned(), schema.into());
    }
    for (name, text) in [
        ("batch_id", seen.batch_id),
        ("vehicle", seen.vehicle),
        ("device", seen.device),
        ("driver", seen.driver),
    ] {
        if let Some(text) = text {
            head.insert(name.to_owned(), text.into());
        }
    }
    head.insert("accel_frame".to_owned(), json!(seen.accel_frame));
    head.insert("gravity".to_owned(), json!(seen.gravity));
    if whole {
        for (name, json) in seen.unknown {
            head.insert(name, serde_json::from_str(&json).unwrap_or_default());
        }
    }
    let mut out = serde_json::to_vec(&head).unwrap_or_default();
    out.pop();
    for (name, list) in [("samples", samples), ("impacts", impacts)] {
        if name == "samples" || !list.0.is_empty() {
            out.extend_from_slice(format!(",\"{name}\":[").as_bytes());
            out.extend_from_slice(&list.0);
            out.push(b']');
        }
    }
    out.push(b'}');
    out
}

/// The items of a JSON list, written as they come: of a message of millions of them no more is in memory than its text.
#[derive(Default)]
struct List(Vec<u8>);

impl List {
    fn push(&mut self, value: Value) {
        if !self.0.is_empty() {
            self.0.push(b',');
        }
        // A value of a map with texts as keys can be written.
        let _ = serde_json::to_writer(&mut self.0, &value);
    }
}
