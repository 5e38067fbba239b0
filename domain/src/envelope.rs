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

    /// Where a batch belongs that came by itself, and not from a backfill: a large upload holds up nobody's live data.
    pub const fn of(urgent: bool, samples: usize, bytes: usize) -> Self {
        const LIVE_SAMPLES: usize = 5_000;
        const LIVE_BYTES: usize = 512 << 10;
        if urgent {
            Self::Urgent
        } else if samples > LIVE_SAMPLES || bytes > LIVE_BYTES {
            Self::Bulk
        } else {
            Self::Live
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

impl ContentType {
    /// As HTTP names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Protobuf => "application/x-protobuf",
        }
    }
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

/// What an encoded envelope weighs in memory, bytes: its own length, or what its payload says it holds once inflated. Looks
/// at a few bytes only; a payload that lies is stopped by the bounds of decoding.
pub fn weight(bytes: &[u8]) -> usize {
    const GZIP: &[u8] = &[0x1f, 0x8b, 0x08];
    const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
    /// Of text such as telemetry, where the frame does not say.
    const USUAL_RATIO: usize = 12;
    /// What decoding goes up to.
    const MOST: usize = 16 << 20;
    let header = bytes
        .get(4..8)
        .and_then(|length| length.try_into().ok())
        .map(u32::from_be_bytes);
    let payload = header
        .and_then(|length| bytes.get(8 + length as usize..))
        .unwrap_or_default();
    let inflated = match payload.last_chunk::<4>() {
        // RFC 1952: a member ends with its length before compression, modulo 2³².
        Some(length) if payload.starts_with(GZIP) => u32::from_le_bytes(*length) as usize,
        Some(_) if payload.starts_with(ZSTD) => payload.len().saturating_mul(USUAL_RATIO),
        _ => 0,
    };
    bytes.len().max(inflated.min(MOST))
}

/// SHA-256 of the key, first eight bytes, modulo the number of partitions: the same in every process and release.
pub fn partition_of(key: &str, partitions: u16) -> u16 {
    let digest = Sha256::digest(key.as_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    (u64::from_be_bytes(first) % u64::from(partitions.max(1))) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An envelope with an empty header.
    fn enveloped(payload: &[u8]) -> Vec<u8> {
        let mut bytes = b"ODO1\0\0\0\x02{}".to_vec();
        bytes.extend_from_slice(payload);
        bytes
    }

    #[test]
    fn a_compressed_payload_weighs_what_it_holds() {
        assert_eq!(weight(&enveloped(b"{\"schema\":1}")), 22);
        let mut gzip = vec![0x1f, 0x8b, 0x08, 0, 0, 0];
        gzip.extend_from_slice(&1_000_000_u32.to_le_bytes());
        assert_eq!(weight(&enveloped(&gzip)), 1_000_000);
        let liar = [&[0x1f, 0x8b, 0x08][..], &u32::MAX.to_le_bytes()].concat();
        assert_eq!(weight(&enveloped(&liar)), 16 << 20);
        let zstd = [&[0x28, 0xb5, 0x2f, 0xfd][..], &[0; 96]].concat();
        assert_eq!(weight(&enveloped(&zstd)), 1_200);
        for broken in [&b""[..], b"ODO1", b"ODO1\xff\xff\xff\xff", b"\x1f\x8b\x08"] {
            assert_eq!(weight(broken), broken.len());
        }
    }

    #[test]
    fn a_large_upload_goes_by_the_bulk_lane_unless_it_is_urgent() {
        assert_eq!(Lane::of(false, 5_000, 1_000), Lane::Live);
        assert_eq!(Lane::of(false, 5_001, 1_000), Lane::Bulk);
        assert_eq!(Lane::of(false, 10, (512 << 10) + 1), Lane::Bulk);
        assert_eq!(Lane::of(true, 100_000, 8 << 20), Lane::Urgent);
    }
}
