//! Envelope v1: what the queue carries. Persisted in queues and dead letters, so its bytes are guarded by golden files.
//!
//! Layout: the four bytes `ODO1`, the length of the header as a big-endian `u32`, the header as JSON, the payload as it
//! came. The payload is not touched between the sender and the worker.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    id::{ClientId, DeadLetterId, DeviceId, MessageId, TenantId, VehicleId},
    time::ReceivedAt,
};

const MAGIC: &[u8; 4] = b"ODO1";

/// Which queue a message waits in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lane {
    /// Impacts and crash flags.
    Urgent,
    Live,
    /// Backfill and file imports.
    Bulk,
}

impl Lane {
    pub const ALL: [Self; 3] = [Self::Urgent, Self::Live, Self::Bulk];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Urgent => "urgent",
            Self::Live => "live",
            Self::Bulk => "bulk",
        }
    }
}

/// How a message came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    Http,
    Amqp,
    Mqtt,
    Import,
    /// A dead letter, sent again by an operator.
    Resubmission,
}

/// What the payload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ContentType {
    /// One batch in the canonical JSON form.
    #[serde(rename = "application/json")]
    Json,
    /// One batch by `proto/telemetry.proto`.
    #[serde(rename = "application/x-protobuf")]
    Protobuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContentEncoding {
    Identity,
    Gzip,
    Zstd,
}

/// The header of an envelope. Fields this version does not know are kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Header {
    pub message_id: MessageId,
    /// From the sender's credential, never from the payload.
    pub tenant: TenantId,
    pub client: Option<ClientId>,
    pub source: Source,
    pub lane: Lane,
    /// The vehicle, where it was known when the message came in.
    pub vehicle: Option<VehicleId>,
    /// The vehicle as the sender wrote it; empty where only the device says which it is of.
    pub vehicle_given: String,
    /// The device of a message that names no vehicle, or whose credential it came by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceId>,
    pub received_at: ReceivedAt,
    pub content_type: ContentType,
    pub content_encoding: ContentEncoding,
    /// W3C trace context of the request that brought it.
    pub traceparent: Option<String>,
    /// The dead letter this message was, if it was one.
    pub resubmission_of: Option<DeadLetterId>,
    #[serde(flatten)]
    pub extra: serde_json::Map<String, serde_json::Value>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Envelope {
    pub header: Header,
    pub payload: Vec<u8>,
}

#[derive(Debug, thiserror::Error)]
pub enum EnvelopeError {
    #[error("not an envelope of version 1: the first bytes are {0:02x?}")]
    Magic(Vec<u8>),
    #[error("the envelope ends after {got} bytes, its header wants {wanted}")]
    Truncated { got: usize, wanted: usize },
    #[error("the envelope's header does not read: {0}")]
    Header(#[from] serde_json::Error),
}

impl Envelope {
    pub fn encode(&self) -> Result<Vec<u8>, EnvelopeError> {
        let header = serde_json::to_vec(&self.header)?;
        let mut bytes = Vec::with_capacity(8 + header.len() + self.payload.len());
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&(header.len() as u32).to_be_bytes());
        bytes.extend_from_slice(&header);
        bytes.extend_from_slice(&self.payload);
        Ok(bytes)
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        let (header, payload) = split(bytes)?;
        Ok(Self {
            header: serde_json::from_slice(header)?,
            payload: payload.to_vec(),
        })
    }

    /// The header alone, for who has no need of the payload.
    pub fn header_of(bytes: &[u8]) -> Result<Header, EnvelopeError> {
        Ok(serde_json::from_slice(split(bytes)?.0)?)
    }
}

/// The bytes of the header and of the payload.
fn split(bytes: &[u8]) -> Result<(&[u8], &[u8]), EnvelopeError> {
    let Some((magic, rest)) = bytes.split_first_chunk::<4>() else {
        return Err(EnvelopeError::Magic(bytes.to_vec()));
    };
    if magic != MAGIC {
        return Err(EnvelopeError::Magic(magic.to_vec()));
    }
    let Some((length, rest)) = rest.split_first_chunk::<4>() else {
        return Err(EnvelopeError::Truncated {
            got: bytes.len(),
            wanted: 8,
        });
    };
    let length = u32::from_be_bytes(*length) as usize;
    if rest.len() < length {
        return Err(EnvelopeError::Truncated {
            got: bytes.len(),
            wanted: 8 + length,
        });
    }
    Ok(rest.split_at(length))
}

impl Header {
    /// What decides the partition: the vehicle's id, or what was given while it is unknown, or the device's id.
    pub fn partition_key(&self) -> String {
        match (self.vehicle, self.device) {
            (Some(vehicle), _) => format!("{}/{vehicle}", self.tenant),
            (None, Some(device)) => format!("{}/device/{device}", self.tenant),
            (None, None) => format!("{}/?{}", self.tenant, self.vehicle_given),
        }
    }

    pub fn partition(&self, partitions: u16) -> u16 {
        partition_of(&self.partition_key(), partitions)
    }
}

/// SHA-256 of the key, first eight bytes, modulo the number of partitions: the same in every process and release.
pub fn partition_of(key: &str, partitions: u16) -> u16 {
    let digest = Sha256::digest(key.as_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    (u64::from_be_bytes(first) % u64::from(partitions.max(1))) as u16
}
