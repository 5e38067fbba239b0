//! From an envelope's payload to the samples in it, each read on its own.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    io::Read,
};

use flate2::read::MultiGzDecoder;
use odograph_domain::{
    batch::{AccelFrame, BatchId, Gravity, Impact},
    envelope::{ContentEncoding, ContentType, Envelope},
    outcome::{MessageRejection, SampleRejection},
    sample::{FieldError, Sample, parse_ts},
    time::EventTime,
};
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, SeqAccess, Visitor},
};
use serde_json::{Value, value::RawValue};
use sha2::{Digest, Sha256};

use crate::canonical;

/// How much one message may hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodeLimits {
    /// Bytes of the payload once unpacked: a small gzip must not become a large memory.
    pub payload_bytes: usize,
    pub samples: usize,
}

impl Default for DecodeLimits {
    fn default() -> Self {
        Self {
            payload_bytes: 16 << 20,
            samples: 100_000,
        }
    }
}

/// Rows of one impact window. A minute at 1 kHz.
const IMPACT_ROWS: usize = 60_000;

/// A sample (or impact) that does not read, as it came.
#[derive(Debug, Clone)]
pub struct BadSample {
    pub raw: Box<RawValue>,
    pub reason: SampleRejection,
    /// Its time, where that could be read: decides what of it may be kept.
    pub ts: Option<EventTime>,
    /// Names the field, what was wanted and what kind of thing was given; never the value, which may be a location.
    pub detail: String,
}

/// A batch whose envelope fields are sound. Its samples have been read, not yet validated.
#[derive(Debug, Clone)]
pub struct Decoded {
    pub batch_id: BatchId,
    /// As the sender wrote it. Where none is given, the device says which vehicle it was in.
    pub vehicle: Option<String>,
    pub device: Option<String>,
    pub driver: Option<String>,
    pub accel_frame: AccelFrame,
    pub gravity: Gravity,
    pub samples: Vec<Result<Sample, BadSample>>,
    pub impacts: Vec<Result<Impact, BadSample>>,
    /// Names of fields this version does not know, of the batch and of its samples. Kept and reported.
    pub unknown: BTreeSet<String>,
    /// SHA-256 over the meaning: the same for another order of fields or samples, other white space or encoding.
    pub content_hash: [u8; 32],
}

impl Decoded {
    /// Every driver the batch or one of its samples names, to be resolved before [`crate::intake::judge`].
    pub fn drivers(&self) -> BTreeSet<&str> {
        let sample_drivers = self.samples.iter().flatten().filter_map(sample_driver);
        self.driver.as_deref().into_iter().chain(sample_drivers).collect()
    }
}

/// The driver a sample names for itself, which goes before the batch's.
pub(crate) fn sample_driver(sample: &Sample) -> Option<&str> {
    sample.extra.get("driver")?.as_str().filter(|name| !name.is_empty())
}

/// Why a whole message cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {detail}")]
pub struct Refusal {
    pub reason: MessageRejection,
    /// What was given and what was wanted.
    pub detail: String,
    pub batch_id: Option<String>,
    /// How many samples it held, as far as that could be told.
    pub samples: u32,
}

impl Refusal {
    pub fn new(reason: MessageRejection, detail: impl Into<String>) -> Self {
        Self {
            reason,
            detail: detail.into(),
            batch_id: None,
            samples: 0,
        }
    }
}

pub fn decode(envelope: &Envelope, limits: &DecodeLimits) -> Result<Decoded, Refusal> {
    let header = &envelope.header;
    if header.content_type != ContentType::Json {
        let detail = "the payload is protobuf, this version reads application/json";
        return Err(Refusal::new(MessageRejection::Undecodable, detail));
    }
    let json = unpack(&envelope.payload, header.content_encoding, limits.payload_bytes)
        .map_err(|detail| Refusal::new(MessageRejection::Undecodable, detail))?;
    decode_json(&json, limits)
}

/// The payload without its content encoding; at most `limit` bytes.
pub(crate) fn unpack(payload: &[u8], encoding: ContentEncoding, limit: usize) -> Result<Vec<u8>, String> {
    let too_long = || format!("the payload unpacks to more than the {limit} bytes a message may have");
    match encoding {
        ContentEncoding::Identity if payload.len() > limit => Err(too_long()),
        ContentEncoding::Identity => Ok(payload.to_vec()),
        ContentEncoding::Gzip => {
            let mut json = Vec::new();
            let mut bounded = MultiGzDecoder::new(payload).take(limit as u64 + 1);
            bounded
                .read_to_end(&mut json)
                .map_err(|e| format!("the payload is said to be gzip and is not: {e}"))?;
            if json.len() > limit { Err(too_long()) } else { Ok(json) }
        }
        ContentEncoding::Zstd => Err("the payload is zstd, this version reads gzip and identity".to_owned()),
    }
}

type Fields<'a> = BTreeMap<String, &'a RawValue>;

fn decode_json(json: &[u8], limits: &DecodeLimits) -> Result<Decoded, Refusal> {
    let mut fields: Fields<'_> = serde_json::from_slice(json).map_err(|error| {
        let wanted = if error.is_data() {
            "wanted a batch, a JSON object"
        } else {
            "not JSON"
        };
        // The error's own words could quote the payload; its place is enough to find it.
        let detail = format!("{wanted}: line {}, column {}", error.line(), error.column());
        Refusal::new(MessageRejection::Undecodable, detail)
    })?;
    let mut refusal = Refusal::new(MessageRejection::BadBatch, "");
    let samples = list(&mut fields, "samples", limits.samples).map_err(|detail| refusal.with(detail))?;
    let impacts = list(&mut fields, "impacts", limits.samples).map_err(|detail| refusal.with(detail))?;
    refusal.samples = u32::try_from(samples.total).unwrap_or(u32::MAX);

    check_schema(&mut fields, &refusal)?;
    let batch_id = required(&mut fields, "batch_id").map_err(|detail| refusal.with(detail))?;
    let batch_id = BatchId::parse(batch_id).map_err(|error| refusal.with(error.to_string()))?;
    refusal.batch_id = Some(batch_id.to_string());
    if samples.total > limits.samples || impacts.total > limits.samples {
        let detail = format!(
            "{} samples, a batch may have {}",
            samples.total.max(impacts.total),
            limits.samples
        );
        return Err(Refusal {
            reason: MessageRejection::TooManySamples,
            detail,
            ..refusal
        });
    }
    if samples.total == 0 && impacts.total == 0 {
        let detail = "the batch has no samples and no impacts".to_owned();
        return Err(Refusal {
            reason: MessageRejection::EmptyBatch,
            detail,
            ..refusal
        });
    }
    let mut decoded = Decoded {
        batch_id,
        vehicle: text(&mut fields, "vehicle").map_err(|detail| refusal.with(detail))?,
        device: text(&mut fields, "device").map_err(|detail| refusal.with(detail))?,
        driver: text(&mut fields, "driver").map_err(|detail| refusal.with(detail))?,
        accel_frame: choice(&mut fields, "accel_frame", "vehicle, device or earth").map_err(|d| refusal.with(d))?,
        gravity: choice(&mut fields, "gravity", "included or removed").map_err(|d| refusal.with(d))?,
        samples: samples.items.into_iter().map(read_sample).collect(),
        impacts: impacts.items.into_iter().map(read_impact).collect(),
        unknown: fields.keys().cloned().collect(),
        content_hash: [0; 32],
    };
    if decoded.vehicle.is_none() && decoded.device.is_none() {
        let detail = "vehicle: wanted that, or the device that was in it, got neither".to_owned();
        return Err(refusal.with(detail));
    }
    for sample in decoded.samples.iter().flatten() {
        for name in sample.extra.keys().filter(|name| *name != "driver") {
            if !decoded.unknown.contains(name) {
                decoded.unknown.insert(name.clone());
            }
        }
    }
    decoded.content_hash = content_hash(&decoded, &fields);
    Ok(decoded)
}

impl Refusal {
    fn with(&self, detail: String) -> Self {
        Self { detail, ..self.clone() }
    }
}

fn check_schema(fields: &mut Fields<'_>, refusal: &Refusal) -> Result<(), Refusal> {
    let given = fields.remove("schema");
    match given.and_then(|raw| raw.get().parse::<f64>().ok()) {
        Some(1.0) => Ok(()),
        _ => {
            let got = given.map_or("none".to_owned(), shown);
            let detail = format!("schema: wanted 1, got {got}");
            Err(Refusal {
                reason: MessageRejection::UnsupportedSchema,
                detail,
                ..refusal.clone()
            })
        }
    }
}

/// A text field of the batch; `null` and the empty text are unknown.
fn text(fields: &mut Fields<'_>, name: &str) -> Result<Option<String>, String> {
    let Some(raw) = fields.remove(name) else {
        return Ok(None);
    };
    let text: Option<String> =
        serde_json::from_str(raw.get()).map_err(|_| format!("{name}: wanted a text, got {}", kind_of(raw)))?;
    match text {
        Some(text) if text.chars().count() > 128 || text.chars().any(char::is_control) => Err(format!(
            "{name}: wanted 1 to 128 characters, none of them control characters"
        )),
        other => Ok(other.filter(|text| !text.is_empty())),
    }
}

fn required(fields: &mut Fields<'_>, name: &str) -> Result<String, String> {
    text(fields, name)?.ok_or_else(|| format!("{name}: every batch needs it, got none"))
}

fn choice<'a, T: Default + Deserialize<'a>>(fields: &mut Fields<'a>, name: &str, wanted: &str) -> Result<T, String> {
    let Some(raw) = fields.remove(name) else {
        return Ok(T::default());
    };
    let value: Option<T> =
        serde_json::from_str(raw.get()).map_err(|_| format!("{name}: wanted {wanted}, got {}", shown(raw)))?;
    Ok(value.unwrap_or_default())
}

/// The items of a list, the first `limit` of them; `total` counts all.
#[derive(Default)]
struct Items<'a> {
    items: Vec<&'a RawValue>,
    total: usize,
}

fn list<'a>(fields: &mut Fields<'a>, name: &str, limit: usize) -> Result<Items<'a>, String> {
    struct ItemsVisitor(usize);

    impl<'de> Visitor<'de> for ItemsVisitor {
        type Value = Items<'de>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list")
        }

        fn visit_unit<E>(self) -> Result<Items<'de>, E> {
            Ok(Items::default())
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Items<'de>, A::Error> {
            let mut found = Items::default();
            while found.items.len() < self.0 {
                match seq.next_element()? {
                    Some(item) => found.items.push(item),
                    None => break,
                }
            }
            found.total = found.items.len();
            while found.total >= self.0 && seq.next_element::<IgnoredAny>()?.is_some() {
                found.total += 1;
            }
            Ok(found)
        }
    }

    let Some(raw) = fields.remove(name) else {
        return Ok(Items::default());
    };
    serde_json::Deserializer::from_str(raw.get())
        .deserialize_any(ItemsVisitor(limit))
        .map_err(|_| format!("{name}: wanted a list, got {}", kind_of(raw)))
}

/// A value of the batch, cut to what a message can bear. Of a list or an object only that: it could hold what may not be
/// kept, and a refusal is kept.
fn shown(raw: &RawValue) -> String {
    match raw.get().as_bytes().first() {
        Some(b'{' | b'[') => kind_of(raw).to_owned(),
        _ => raw.get().chars().take(40).collect(),
    }
}

fn kind_of(raw: &RawValue) -> &'static str {
    match raw.get().as_bytes().first() {
        Some(b'{') => "an object",
        Some(b'[') => "a list",
        Some(b'"') => "a text",
        Some(b't' | b'f') => "true or false",
        Some(b'n') => "null",
        _ => "a number",
    }
}

fn read_sample(raw: &RawValue) -> Result<Sample, BadSample> {
    match serde_json::from_str::<Sample>(raw.get()) {
        Ok(sample) => Ok(sample),
        Err(_) => Err(explain(raw)),
    }
}

/// Finds out what is wrong with a sample that does not read.
fn explain(raw: &RawValue) -> BadSample {
    let bad = |ts, reason, detail| BadSample {
        raw: raw.to_owned(),
        reason,
        ts,
        detail,
    };
    let malformed = |ts, detail| bad(ts, SampleRejection::Malformed, detail);
    let Ok(fields) = serde_json::from_str::<BTreeMap<String, Box<RawValue>>>(raw.get()) else {
        return malformed(
            None,
            format!("wanted a sample, an object with at least `ts`, got {}", kind_of(raw)),
        );
    };
    let Some(given) = fields.get("ts") else {
        return malformed(None, FieldError::NoTime.to_string());
    };
    let text = serde_json::from_str::<String>(given.get()).ok();
    let Some(ts) = text.as_deref().and_then(|text| parse_ts(text).ok()) else {
        return malformed(None, FieldError::Time(given_for_time(text, given)).to_string());
    };
    let mut sample = Sample::at(ts);
    for (name, given) in fields.iter().filter(|(name, _)| *name != "ts") {
        let infinite = || {
            bad(
                Some(ts),
                SampleRejection::NotFinite,
                format!("{name}: wanted a finite number"),
            )
        };
        // The reader refuses numbers beyond a double, and JSON has no other way to write these.
        let Ok(value) = serde_json::from_str::<Value>(given.get()) else {
            return infinite();
        };
        let written_out = value.as_str().and_then(|text| text.trim().parse::<f64>().ok());
        if let Err(FieldError::Value { wanted, .. }) = sample.set_json(name, value) {
            return match written_out {
                Some(number) if !number.is_finite() => infinite(),
                _ => malformed(Some(ts), format!("{name}: wanted {wanted}, got {}", kind_of(given))),
            };
        }
    }
    malformed(Some(ts), "does not read as a sample".to_owned())
}

/// What was given in the place of a time: shown if it is like a date or a mere word, for any figure or code could stand
/// there by mistake that may not be kept, such as that of the column beside it.
fn given_for_time(text: Option<String>, given: &RawValue) -> String {
    let like_a_date = |text: &str| {
        let start = text.as_bytes();
        start.len() > 4 && start[..4].iter().all(u8::is_ascii_digit) && start[4] == b'-'
    };
    match text {
        Some(text) if like_a_date(&text) || !text.contains(|c: char| c.is_numeric()) => {
            format!("{:?}", text.chars().take(40).collect::<String>())
        }
        _ => kind_of(given).to_owned(),
    }
}

fn read_impact(raw: &RawValue) -> Result<Impact, BadSample> {
    let bad = |ts, detail: String| BadSample {
        raw: raw.to_owned(),
        reason: SampleRejection::Malformed,
        ts,
        detail,
    };
    let impact: Impact = serde_json::from_str(raw.get()).map_err(|error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        bad(
            None,
            format!("wanted an impact with trigger_ts, rate_hz, t0_ms and rows of accel_ms2: {place}"),
        )
    })?;
    let ts = Some(impact.trigger_ts);
    let rows = impact.accel_ms2.len();
    if !(impact.rate_hz > 0.0 && impact.rate_hz <= 100_000.0) {
        return Err(bad(ts, "rate_hz: wanted more than 0 and at most 100000".to_owned()));
    }
    if rows == 0 || rows > IMPACT_ROWS {
        return Err(bad(
            ts,
            format!("accel_ms2: wanted 1 to {IMPACT_ROWS} rows, got {rows}"),
        ));
    }
    match &impact.gyro_rads {
        Some(gyro) if gyro.len() != rows => Err(bad(
            ts,
            format!(
                "gyro_rads: wanted as many rows as accel_ms2 ({rows}), got {}",
                gyro.len()
            ),
        )),
        _ => Ok(impact),
    }
}

/// Over the device, driver, frame, gravity, samples, impacts and unknown fields. Not over the vehicle, which may be
/// written as an id or a reference, nor over the batch id: both are the key beside which the hash is kept.
fn content_hash(decoded: &Decoded, unknown: &Fields<'_>) -> [u8; 32] {
    let mut hash = Sha256::new();
    let head = (&decoded.device, &decoded.driver, decoded.accel_frame, decoded.gravity);
    hash.update(serde_json::to_vec(&head).unwrap_or_default());
    let raw_text = |raw: &RawValue, out: &mut Vec<u8>| match serde_json::from_str::<Value>(raw.get()) {
        Ok(value) => canonical::write(&value, out),
        Err(_) => out.extend_from_slice(raw.get().as_bytes()),
    };
    let mut parts: Vec<[u8; 32]> = Vec::with_capacity(decoded.samples.len());
    let mut bytes = Vec::with_capacity(512);
    let mut add = |kind: u8, write: &dyn Fn(&mut Vec<u8>)| {
        bytes.clear();
        bytes.push(kind);
        write(&mut bytes);
        parts.push(Sha256::digest(&bytes).into());
    };
    for sample in &decoded.samples {
        match sample {
            Ok(sample) => add(b's', &|out| canonical::write_sample(sample, out)),
            Err(bad) => add(b'b', &|out| raw_text(&bad.raw, out)),
        }
    }
    for impact in &decoded.impacts {
        match impact {
            Ok(impact) => add(b'i', &|out| out.extend(serde_json::to_vec(impact).unwrap_or_default())),
            Err(bad) => add(b'j', &|out| raw_text(&bad.raw, out)),
        }
    }
    for (name, raw) in unknown {
        add(b'u', &|out| {
            out.extend_from_slice(name.as_bytes());
            out.push(0);
            raw_text(raw, out);
        });
    }
    parts.sort_unstable();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests;
