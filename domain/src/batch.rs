//! A batch: a vehicle's samples under one id, as a sender gives it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    id::DriverId,
    protobuf::{self, batch, impact, put_bytes, put_double, put_doubles, put_varint},
    sample::Sample,
    time::EventTime,
};

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

impl Batch {
    /// As a message of `proto/telemetry.proto`.
    pub fn to_protobuf(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64 + 256 * self.samples.len());
        put_varint(batch::SCHEMA, 1, &mut out);
        put_bytes(batch::BATCH_ID, self.batch_id.as_str().as_bytes(), &mut out);
        let vehicle = Some(self.vehicle.as_str()).filter(|name| !name.is_empty());
        for (tag, name) in [
            (batch::VEHICLE, vehicle),
            (batch::DEVICE, self.device.as_deref()),
            (batch::DRIVER, self.driver.as_deref()),
        ] {
            if let Some(name) = name {
                put_bytes(tag, name.as_bytes(), &mut out);
            }
        }
        put_varint(batch::ACCEL_FRAME, self.accel_frame.number(), &mut out);
        put_varint(batch::GRAVITY, self.gravity.number(), &mut out);
        let mut message = Vec::new();
        for sample in &self.samples {
            message.clear();
            sample.write_message(&mut message);
            put_bytes(batch::SAMPLES, &message, &mut out);
        }
        for impact in &self.impacts {
            message.clear();
            impact.write_message(&mut message);
            put_bytes(batch::IMPACTS, &message, &mut out);
        }
        out
    }
}

impl Impact {
    fn write_message(&self, out: &mut Vec<u8>) {
        // The two's complement of a negative number, as protobuf has it.
        put_varint(impact::TRIGGER_TS_MS, self.trigger_ts.millis() as u64, out);
        put_double(impact::RATE_HZ, self.rate_hz, out);
        put_double(impact::T0_MS, self.t0_ms, out);
        put_doubles(impact::ACCEL_MS2, self.accel_ms2.as_flattened(), out);
        if let Some(gyro_rads) = &self.gyro_rads {
            put_doubles(impact::GYRO_RADS, gyro_rads.as_flattened(), out);
        }
    }
}

impl Sample {
    /// Appends it as a message of `proto/telemetry.proto`.
    pub fn write_message(&self, out: &mut Vec<u8>) {
        use protobuf::sample::{DRIVER, EXTRA, TS_MS};

        put_varint(TS_MS, self.ts.millis() as u64, out);
        self.write_wire(out);
        for (name, value) in &self.extra {
            match (name.as_str(), value.as_str()) {
                ("driver", Some(driver)) => put_bytes(DRIVER, driver.as_bytes(), out),
                (name, text) => match text.and_then(|text| protobuf::unknown_bytes(name, text)) {
                    // From a newer version: goes on as it came.
                    Some(raw) => out.extend_from_slice(&raw),
                    None => {
                        let mut entry = Vec::new();
                        put_bytes(1, name.as_bytes(), &mut entry);
                        put_bytes(2, value.to_string().as_bytes(), &mut entry);
                        put_bytes(EXTRA, &entry, out);
                    }
                },
            }
        }
    }
}

impl AccelFrame {
    /// Its number in `proto/telemetry.proto`.
    pub const fn number(self) -> u64 {
        match self {
            Self::Vehicle => 1,
            Self::Device => 2,
            Self::Earth => 3,
        }
    }

    /// 0 is not said, which is the default.
    pub const fn of_number(number: u64) -> Option<Self> {
        match number {
            0 | 1 => Some(Self::Vehicle),
            2 => Some(Self::Device),
            3 => Some(Self::Earth),
            _ => None,
        }
    }
}

impl Gravity {
    /// Its number in `proto/telemetry.proto`.
    pub const fn number(self) -> u64 {
        match self {
            Self::Included => 1,
            Self::Removed => 2,
        }
    }

    /// 0 is not said, which is the default.
    pub const fn of_number(number: u64) -> Option<Self> {
        match number {
            0 | 1 => Some(Self::Included),
            2 => Some(Self::Removed),
            _ => None,
        }
    }
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
