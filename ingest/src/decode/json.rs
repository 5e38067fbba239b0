//! Batches in the canonical JSON form. A sound one is read in one pass; only where that fails is each part looked at on its own,
//! to find out which it is and what is wrong with it.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use odograph_domain::{
    batch::{BatchId, Impact},
    outcome::{MessageRejection, SampleRejection},
    sample::{FieldError, Sample, parse_ts},
};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Value, value::RawValue};

use super::{BadSample, DecodeLimits, Decoded, Refusal, check_counts, check_impact, reference};
use crate::canonical;

/// A batch's fields but for its lists, each as it came.
type Fields<'a> = BTreeMap<String, &'a RawValue>;

struct Parts<'a> {
    fields: Fields<'a>,
    samples: Vec<Result<Sample, BadSample>>,
    impacts: Vec<Result<Impact, BadSample>>,
    /// How many there are, those beyond the limit included.
    samples_total: usize,
    impacts_total: usize,
}

pub(super) fn decode(json: &[u8], limits: &DecodeLimits) -> Result<Decoded, Refusal> {
    let parts = match at_once(json, limits) {
        Some(parts) => parts,
        None => one_by_one(json, limits)?,
    };
    judge(parts, limits)
}

fn judge(parts: Parts<'_>, limits: &DecodeLimits) -> Result<Decoded, Refusal> {
    let Parts {
        mut fields,
        samples_total,
        impacts_total,
        ..
    } = parts;
    let fields = &mut fields;
    let mut refusal = Refusal::new(MessageRejection::BadBatch, "");
    refusal.samples = u32::try_from(samples_total).unwrap_or(u32::MAX);
    check_schema(fields, &refusal)?;
    let batch_id = required(fields, "batch_id").map_err(|detail| refusal.with(detail))?;
    let batch_id = BatchId::parse(batch_id).map_err(|error| refusal.with(error.to_string()))?;
    refusal.batch_id = Some(batch_id.to_string());
    check_counts(samples_total, impacts_total, limits, &refusal)?;
    let with = |detail| refusal.with(detail);
    let mut decoded = Decoded {
        batch_id,
        vehicle: text(fields, "vehicle").map_err(with)?,
        device: text(fields, "device").map_err(with)?,
        driver: text(fields, "driver").map_err(with)?,
        accel_frame: choice(fields, "accel_frame", "vehicle, device or earth").map_err(with)?,
        gravity: choice(fields, "gravity", "included or removed").map_err(with)?,
        samples: parts.samples,
        impacts: parts.impacts,
        unknown: fields.keys().cloned().collect(),
        content_hash: [0; 32],
    };
    let unknown = fields.iter().map(|(name, raw)| (name.as_str(), raw.get()));
    decoded.content_hash = canonical::content_hash(&decoded, unknown);
    decoded.finish(&refusal)
}

/// The whole batch in one pass. `None` where anything in it is not as it should be, or there is too much of it.
fn at_once<'a>(json: &'a [u8], limits: &DecodeLimits) -> Option<Parts<'a>> {
    let text = std::str::from_utf8(json).ok()?;
    let mut reader = serde_json::Deserializer::from_str(text);
    let parts = Batch { most: limits.samples }.deserialize(&mut reader).ok()?;
    reader.end().ok()?;
    Some(parts)
}

/// Reads a batch of at most so many samples and impacts.
struct Batch {
    most: usize,
}

impl<'de> DeserializeSeed<'de> for Batch {
    type Value = Parts<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Parts<'de>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Batch {
    type Value = Parts<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a batch")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Parts<'de>, A::Error> {
        let (mut fields, mut samples, mut impacts) = (Fields::new(), Vec::new(), Vec::new());
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                "samples" => samples = map.next_value_seed(Sound::of(self.most, |_: &Sample| true))?,
                "impacts" => {
                    impacts = map.next_value_seed(Sound::of(self.most, |impact| check_impact(impact).is_ok()))?;
                }
                _ => {
                    fields.insert(name, map.next_value()?);
                }
            }
        }
        Ok(Parts {
            fields,
            samples_total: samples.len(),
            impacts_total: impacts.len(),
            samples,
            impacts,
        })
    }
}

/// A list of at most so many sound items, as results; `null` is an empty one.
struct Sound<T> {
    most: usize,
    is_sound: fn(&T) -> bool,
}

impl<T> Sound<T> {
    fn of(most: usize, is_sound: fn(&T) -> bool) -> Self {
        Self { most, is_sound }
    }
}

impl<'de, T: Deserialize<'de>> DeserializeSeed<'de> for Sound<T> {
    type Value = Vec<Result<T, BadSample>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for Sound<T> {
    type Value = Vec<Result<T, BadSample>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Vec::new())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            if items.len() == self.most || !(self.is_sound)(&item) {
                return Err(A::Error::custom("to be looked at one by one"));
            }
            items.push(Ok(item));
        }
        Ok(items)
    }
}

/// The batch with each item of its lists read on its own.
fn one_by_one<'a>(json: &'a [u8], limits: &DecodeLimits) -> Result<Parts<'a>, Refusal> {
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
    let bad = |detail| Refusal::new(MessageRejection::BadBatch, detail);
    let samples = list(&mut fields, "samples", limits.samples).map_err(bad)?;
    let impacts = list(&mut fields, "impacts", limits.samples).map_err(bad)?;
    Ok(Parts {
        fields,
        samples_total: samples.total,
        impacts_total: impacts.total,
        samples: samples.items.into_iter().map(read_sample).collect(),
        impacts: impacts.items.into_iter().map(read_impact).collect(),
    })
}

fn check_schema(fields: &mut Fields<'_>, refusal: &Refusal) -> Result<(), Refusal> {
    let given = fields.remove("schema");
    match given.and_then(|raw| raw.get().parse::<f64>().ok()) {
        Some(1.0) => Ok(()),
        _ => {
            let got = given.map_or("none".to_owned(), shown);
            let detail = format!("schema: wanted 1, got {got}");
            Err(refusal.as_reason(MessageRejection::UnsupportedSchema, detail))
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
    reference(name, text.map(Cow::Owned))
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
    match check_impact(&impact) {
        Ok(()) => Ok(impact),
        Err(detail) => Err(bad(Some(impact.trigger_ts), detail)),
    }
}
