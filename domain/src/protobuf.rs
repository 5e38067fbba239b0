//! The protobuf wire format of `proto/telemetry.proto`: what the door and ingest read it with, and what it is written with.
//!
//! A message is walked field by field where it lies. A field of a number that this version does not know is handed out with its
//! bytes, so that it can be kept as it came.

use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, encode_key, encode_varint, skip_field};

use crate::sample::FIELDS;

/// Numbers of a batch's fields.
pub mod batch {
    pub const SCHEMA: u32 = 1;
    pub const BATCH_ID: u32 = 2;
    pub const VEHICLE: u32 = 3;
    pub const DEVICE: u32 = 4;
    pub const DRIVER: u32 = 5;
    pub const ACCEL_FRAME: u32 = 6;
    pub const GRAVITY: u32 = 7;
    pub const SAMPLES: u32 = 8;
    pub const IMPACTS: u32 = 9;
}

/// Numbers of a sample's fields that are not in [`crate::sample::FIELDS`].
pub mod sample {
    pub const TS_MS: u32 = 1;
    pub const DRIVER: u32 = 36;
    pub const EXTRA: u32 = 37;
}

/// Numbers of an impact's fields.
pub mod impact {
    pub const TRIGGER_TS_MS: u32 = 1;
    pub const RATE_HZ: u32 = 2;
    pub const T0_MS: u32 = 3;
    pub const ACCEL_MS2: u32 = 4;
    pub const GYRO_RADS: u32 = 5;
}

/// The name under which a field of an unknown number is kept. Its value is the field as it came, number and type included,
/// in hexadecimal.
pub fn unknown_name(tag: u32) -> String {
    format!("{UNKNOWN}{tag}")
}

const UNKNOWN: &str = "protobuf:";

/// The number in a name of [`unknown_name`].
pub fn unknown_tag(name: &str) -> Option<u32> {
    let tag: u32 = name.strip_prefix(UNKNOWN)?.parse().ok()?;
    (unknown_name(tag) == name).then_some(tag)
}

/// The field kept under a name of [`unknown_name`], as it came; `None` where the text is no such field.
pub fn unknown_bytes(name: &str, text: &str) -> Option<Vec<u8>> {
    let tag = unknown_tag(name).filter(|tag| !is_sample_tag(*tag))?;
    let raw = hex::decode(text).ok()?;
    let is_it = |field: Result<Field<'_>, WireError>| field.is_ok_and(|field| field.tag == tag);
    // Capitals would come back as small letters.
    (!raw.is_empty() && hex::encode(&raw) == text && Fields::of(&raw).all(is_it)).then_some(raw)
}

fn is_sample_tag(tag: u32) -> bool {
    matches!(tag, sample::TS_MS | sample::DRIVER | sample::EXTRA)
        || FIELDS.iter().any(|field| u32::from(field.tag) == tag)
}

/// A field's value as it lies on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    /// A text, a message or a packed list.
    Bytes(&'a [u8]),
    Group,
}

impl Wire<'_> {
    /// In the words of an error message; never the value.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Varint(_) => "a varint",
            Self::Fixed64(_) => "a fixed64",
            Self::Fixed32(_) => "a fixed32",
            Self::Bytes(_) => "a length-delimited field that does not read as that",
            Self::Group => "a group",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    pub tag: u32,
    pub value: Wire<'a>,
    /// All of it: key and value.
    pub raw: &'a [u8],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a protobuf message, byte {at}")]
pub struct WireError {
    /// Where the field begins that does not read.
    pub at: usize,
}

/// The fields of a message in their order. Ends after the first that does not read.
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    rest: &'a [u8],
    at: usize,
}

impl<'a> Fields<'a> {
    pub fn of(message: &'a [u8]) -> Self {
        Self { rest: message, at: 0 }
    }

    #[inline]
    fn read(&mut self) -> Option<Field<'a>> {
        let mut after = self.rest;
        let (tag, wire_type) = decode_key(&mut after).ok()?;
        let value = match wire_type {
            WireType::Varint => Wire::Varint(decode_varint(&mut after).ok()?),
            WireType::SixtyFourBit => {
                let (bytes, rest) = after.split_first_chunk()?;
                after = rest;
                Wire::Fixed64(u64::from_le_bytes(*bytes))
            }
            WireType::ThirtyTwoBit => {
                let (bytes, rest) = after.split_first_chunk()?;
                after = rest;
                Wire::Fixed32(u32::from_le_bytes(*bytes))
            }
            WireType::LengthDelimited => {
                let length = usize::try_from(decode_varint(&mut after).ok()?).ok()?;
                let (bytes, rest) = after.split_at_checked(length)?;
                after = rest;
                Wire::Bytes(bytes)
            }
            WireType::StartGroup => {
                skip_field(wire_type, tag, &mut after, DecodeContext::default()).ok()?;
                Wire::Group
            }
            WireType::EndGroup => return None,
        };
        let raw = &self.rest[..self.rest.len() - after.len()];
        self.at += raw.len();
        self.rest = after;
        Some(Field { tag, value, raw })
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, WireError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let read = self.read().ok_or(WireError { at: self.at });
        if read.is_err() {
            self.rest = &[];
        }
        Some(read)
    }
}

/// The numbers of a packed list of doubles.
pub fn doubles(packed: &[u8]) -> Option<Vec<f64>> {
    let (numbers, rest) = packed.as_chunks::<8>();
    let read = || numbers.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect();
    rest.is_empty().then(read)
}

pub fn put_varint(tag: u32, value: u64, out: &mut Vec<u8>) {
    encode_key(tag, WireType::Varint, out);
    encode_varint(value, out);
}

pub fn put_double(tag: u32, value: f64, out: &mut Vec<u8>) {
    encode_key(tag, WireType::SixtyFourBit, out);
    out.extend_from_slice(&value.to_le_bytes());
}

pub fn put_doubles(tag: u32, values: &[f64], out: &mut Vec<u8>) {
    encode_key(tag, WireType::LengthDelimited, out);
    encode_varint(values.len() as u64 * 8, out);
    for value in values {
        out.extend_from_slice(&value.to_le_bytes());
    }
}

pub fn put_bytes(tag: u32, bytes: &[u8], out: &mut Vec<u8>) {
    encode_key(tag, WireType::LengthDelimited, out);
    encode_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// The length before a message in a stream of them, each after its length as a varint, as protobuf libraries write them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    Is {
        length: u64,
        /// Bytes that it takes itself.
        after: usize,
    },
    /// More bytes are needed.
    Incomplete,
    Wrong,
}

impl Length {
    /// The length that a stream begins with.
    pub fn of(stream: &[u8]) -> Self {
        /// Of a varint of 64 bits.
        const MOST: usize = 10;
        let has_end = stream.iter().take(MOST).any(|byte| *byte < 0x80);
        if !has_end {
            return if stream.len() < MOST {
                Self::Incomplete
            } else {
                Self::Wrong
            };
        }
        let mut rest = stream;
        match decode_varint(&mut rest) {
            Ok(length) => Self::Is {
                length,
                after: stream.len() - rest.len(),
            },
            Err(_) => Self::Wrong,
        }
    }
}

/// Appends a message to a stream of them.
pub fn put_delimited(message: &[u8], out: &mut Vec<u8>) {
    encode_varint(message.len() as u64, out);
    out.extend_from_slice(message);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_message_is_read_where_it_lies() {
        let mut message = Vec::new();
        put_varint(1, 300, &mut message);
        put_double(2, -1.5, &mut message);
        put_bytes(3, b"text", &mut message);
        put_doubles(500, &[1.0, 2.0], &mut message);
        let fields: Vec<_> = Fields::of(&message).map(Result::unwrap).collect();
        assert_eq!((fields[0].tag, fields[0].value), (1, Wire::Varint(300)));
        assert_eq!(fields[1].value, Wire::Fixed64((-1.5_f64).to_bits()));
        assert_eq!(fields[2].value, Wire::Bytes(b"text"));
        let Wire::Bytes(packed) = fields[3].value else {
            panic!("{:?}", fields[3])
        };
        assert_eq!((fields[3].tag, doubles(packed)), (500, Some(vec![1.0, 2.0])));
        assert_eq!(
            fields.iter().flat_map(|field| field.raw).copied().collect::<Vec<_>>(),
            message
        );
        assert_eq!(doubles(&packed[1..]), None);
    }

    #[test]
    fn what_breaks_off_is_told_with_its_place() {
        let mut message = Vec::new();
        put_varint(1, 5, &mut message);
        put_bytes(3, b"text", &mut message);
        let cut: Vec<_> = Fields::of(&message[..message.len() - 1]).collect();
        assert_eq!((cut.len(), cut[1]), (2, Err(WireError { at: 2 })));
        // The end of a group that has not begun, a number of 0, a type that is none.
        for wrong in [&[0x0c][..], &[0x00, 0x00], &[0x0f], &[0x0b, 0x0b, 0x0c]] {
            assert!(Fields::of(wrong).any(|field| field.is_err()), "{wrong:?}");
        }
        let group: Vec<_> = Fields::of(&[0x0b, 0x08, 0x05, 0x0c]).collect();
        assert_eq!(group[0].unwrap().value, Wire::Group);
        // Groups within groups: as deep as the limit and no deeper.
        assert!(Fields::of(&[0x0b; 10_000]).all(|field| field.is_err()));
    }

    #[test]
    fn lengths_before_messages() {
        let mut stream = Vec::new();
        put_delimited(&[7; 300], &mut stream);
        assert_eq!(Length::of(&stream), Length::Is { length: 300, after: 2 });
        assert_eq!(Length::of(&stream[..1]), Length::Incomplete);
        assert_eq!(Length::of(b""), Length::Incomplete);
        assert_eq!(Length::of(&[0xff; 10]), Length::Wrong);
    }

    #[test]
    fn names_of_unknown_fields() {
        assert_eq!(unknown_tag(&unknown_name(77)), Some(77));
        for other in ["protobuf:", "protobuf:+7", "protobuf:07", "colour"] {
            assert_eq!(unknown_tag(other), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_end(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let read: usize = Fields::of(&bytes).flatten().map(|field| field.raw.len()).sum();
            prop_assert!(read <= bytes.len());
            let _ = Length::of(&bytes);
        }
    }
}
