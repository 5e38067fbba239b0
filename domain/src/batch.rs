//! A batch: a vehicle's samples under one id, as a sender gives it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{id::DriverId, sample::Sample, time::EventTime};

/// The sender's name for a batch; with the vehicle it is the key of the dedup ledger. 1 to 128 visible characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BatchId(String);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a batch_id has 1 to 128 characters, none of them control characters, got {0:?}")]
pub struct BatchIdError(String);

impl BatchId {
    pub fn parse(text: impl Into<String>) -> Result<Self, BatchIdError> {
        let text = text.into();
        let length = text.chars().count();
        if length == 0 || length > 128 || text.chars().any(char::is_control) {
            return Err(BatchIdError(text.chars().take(140).collect()));
        }
        Ok(Self(text))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for BatchId {
    type Error = BatchIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(text)
    }
}

impl From<BatchId> for String {
    fn from(id: BatchId) -> Self {
        id.0
    }
}

impl fmt::Display for BatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The axes of a batch's accelerations and rotation rates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccelFrame {
    /// x forward, y left, z up (ISO 8855).
    #[default]
    Vehicle,
    /// As mounted or carried, unaligned.
    Device,
    /// East, north, up.
    Earth,
}

/// Whether accelerations include gravity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gravity {
    #[default]
    Included,
    Removed,
}

/// A high-rate window around a shock. Its verbatim bytes are kept where it may be kept at all.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Impact {
    pub trigger_ts: EventTime,
    pub rate_hz: f64,
    /// Time of the first row relative to `trigger_ts`, ms.
    pub t0_ms: f64,
    /// Rows of x, y, z in the batch's frame, m/s².
    pub accel_ms2: Vec<[f64; 3]>,
    /// Rows of x, y, z in the batch's frame, rad/s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gyro_rads: Option<Vec<[f64; 3]>>,
}

/// A batch whose envelope fields are sound; its samples have each been judged.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    pub batch_id: BatchId,
    /// As the sender wrote it: an id or an external reference.
    pub vehicle: String,
    pub device: Option<String>,
    pub driver: Option<String>,
    pub accel_frame: AccelFrame,
    pub gravity: Gravity,
    pub samples: Vec<Sample>,
    pub impacts: Vec<Impact>,
}

/// A sample as it is kept: with what its batch said of it, so that the batch is not needed to read it.
#[derive(Debug, Clone, PartialEq)]
pub struct RawSample {
    pub sample: Sample,
    pub accel_frame: AccelFrame,
    pub gravity: Gravity,
    /// Rank of the device that sent it, 0 the most trusted. Part of the total order of a vehicle's samples.
    pub device_rank: u8,
    /// The driver the sample or its batch named, where one was named.
    pub driver: Option<DriverId>,
}
