//! From an envelope's payload to the samples in it, each read on its own.

mod json;
mod protobuf;

use std::{borrow::Cow, collections::BTreeSet};

use odograph_domain::{
    batch::{AccelFrame, BatchId, Gravity, Impact},
    encoding::unpack,
    envelope::{ContentType, Envelope},
    outcome::{MessageRejection, SampleRejection},
    sample::Sample,
    time::EventTime,
};
use serde_json::value::RawValue;

pub(crate) use protobuf::as_json;

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
    /// SHA-256 over the meaning: the same for another order of fields or samples, other white space, type or encoding.
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
    let payload = unpack(&envelope.payload, header.content_encoding, limits.payload_bytes)
        .map_err(|error| Refusal::new(MessageRejection::Undecodable, error.to_string()))?;
    match header.content_type {
        ContentType::Json => json::decode(&payload, limits),
        ContentType::Protobuf => protobuf::decode(&payload, limits),
    }
}

impl Refusal {
    fn with(&self, detail: String) -> Self {
        Self { detail, ..self.clone() }
    }

    fn as_reason(&self, reason: MessageRejection, detail: String) -> Self {
        Self {
            reason,
            detail,
            ..self.clone()
        }
    }
}

/// The envelope fields that refer to something: 1 to 128 characters; the empty text is unknown.
fn reference(name: &str, text: Option<Cow<'_, str>>) -> Result<Option<String>, String> {
    match text {
        Some(text) if text.chars().count() > 128 || text.chars().any(char::is_control) => Err(format!(
            "{name}: wanted 1 to 128 characters, none of them control characters"
        )),
        other => Ok(other.filter(|text| !text.is_empty()).map(Cow::into_owned)),
    }
}

/// What a batch is refused for by how much it holds, whatever it is.
fn check_counts(samples: usize, impacts: usize, limits: &DecodeLimits, refusal: &Refusal) -> Result<(), Refusal> {
    let most = samples.max(impacts);
    if most > limits.samples {
        let detail = format!("{most} samples, a batch may have {}", limits.samples);
        return Err(refusal.as_reason(MessageRejection::TooManySamples, detail));
    }
    if most == 0 {
        let detail = "the batch has no samples and no impacts".to_owned();
        return Err(refusal.as_reason(MessageRejection::EmptyBatch, detail));
    }
    Ok(())
}

impl Decoded {
    /// What every batch must come to, and the names of its samples' unknown fields.
    fn finish(mut self, refusal: &Refusal) -> Result<Self, Refusal> {
        if self.vehicle.is_none() && self.device.is_none() {
            let detail = "vehicle: wanted that, or the device that was in it, got neither".to_owned();
            return Err(refusal.with(detail));
        }
        for sample in self.samples.iter().flatten() {
            for name in sample.extra.keys().filter(|name| *name != "driver") {
                if !self.unknown.contains(name) {
                    self.unknown.insert(name.clone());
                }
            }
        }
        Ok(self)
    }
}

/// What is wrong with an impact that reads.
fn check_impact(impact: &Impact) -> Result<(), String> {
    let rows = impact.accel_ms2.len();
    if !(impact.rate_hz > 0.0 && impact.rate_hz <= 100_000.0) {
        return Err("rate_hz: wanted more than 0 and at most 100000".to_owned());
    }
    if rows == 0 || rows > IMPACT_ROWS {
        return Err(format!("accel_ms2: wanted 1 to {IMPACT_ROWS} rows, got {rows}"));
    }
    match &impact.gyro_rads {
        Some(gyro) if gyro.len() != rows => Err(format!(
            "gyro_rads: wanted as many rows as accel_ms2 ({rows}), got {}",
            gyro.len()
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
