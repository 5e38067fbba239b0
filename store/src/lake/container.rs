//! Raw container format v1: many raw blocks in one file, as they are, with an index behind them.
//!
//! ```text
//! 0   4   magic, `ODRC`
//! 4   1   format version, 1
//! 5   16  tenant
//! 21  4   number of blocks
//! 25      the blocks (`ODB1`), one after the other
//! …       the index, 117 bytes a block:
//!           16 block, 16 vehicle, 1 kind of subject (1 driver, 2 vehicle, 3 tenant), 16 subject, 16 key it is encrypted with,
//!           16 device (zeros: none), 8 first and 8 last time in ms since 1970 (signed), 4 samples, 8 place, 8 length
//! …   8   place of the index
//! …   32  SHA-256 of all before
//! …   4   magic again
//! ```
//!
//! Numbers are little-endian. The index names whose blocks these are; what they say needs the subject's key.

use odograph_domain::id::TenantId;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::error::{Result, StoreError};

const MAGIC: &[u8; 4] = b"ODRC";
const VERSION: u8 = 1;
const HEADER_LENGTH: usize = 25;
const ENTRY_LENGTH: usize = 117;
const TRAILER_LENGTH: usize = 44;
const KINDS: [&str; 3] = ["driver", "vehicle", "tenant"];

/// A block and where it lies in its container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) block: Uuid,
    pub(super) vehicle: Uuid,
    pub(super) subject_kind: String,
    pub(super) subject: Uuid,
    pub(super) key: Uuid,
    pub(super) device: Option<Uuid>,
    pub(super) min_ts_ms: i64,
    pub(super) max_ts_ms: i64,
    pub(super) samples: u32,
    pub(super) at: u64,
    pub(super) bytes: u64,
}

/// A container that grows.
#[derive(Debug)]
pub(super) struct Packing {
    content: Vec<u8>,
    entries: Vec<Entry>,
}

impl Packing {
    pub(super) fn new(tenant: TenantId) -> Self {
        let mut content = Vec::from(MAGIC);
        content.push(VERSION);
        content.extend_from_slice(tenant.uuid().as_bytes());
        content.extend_from_slice(&[0; 4]);
        Self {
            content,
            entries: vec![],
        }
    }

    /// Adds a block; its place follows from what is there.
    pub(super) fn push(&mut self, entry: Entry, block: &[u8]) {
        self.entries.push(Entry {
            at: self.content.len() as u64,
            bytes: block.len() as u64,
            ..entry
        });
        self.content.extend_from_slice(block);
    }

    /// The file, and what lies where in it.
    pub(super) fn finish(mut self) -> Result<(Vec<u8>, Vec<Entry>)> {
        let count = u32::try_from(self.entries.len()).map_err(StoreError::corrupt)?;
        self.content[21..25].copy_from_slice(&count.to_le_bytes());
        let index_at = self.content.len() as u64;
        for entry in &self.entries {
            let out = &mut self.content;
            out.extend_from_slice(entry.block.as_bytes());
            out.extend_from_slice(entry.vehicle.as_bytes());
            out.push(kind_code(&entry.subject_kind)?);
            out.extend_from_slice(entry.subject.as_bytes());
            out.extend_from_slice(entry.key.as_bytes());
            out.extend_from_slice(entry.device.unwrap_or_default().as_bytes());
            out.extend_from_slice(&entry.min_ts_ms.to_le_bytes());
            out.extend_from_slice(&entry.max_ts_ms.to_le_bytes());
            out.extend_from_slice(&entry.samples.to_le_bytes());
            out.extend_from_slice(&entry.at.to_le_bytes());
            out.extend_from_slice(&entry.bytes.to_le_bytes());
        }
        self.content.extend_from_slice(&index_at.to_le_bytes());
        let hash = Sha256::digest(&self.content);
        self.content.extend_from_slice(&hash);
        self.content.extend_from_slice(MAGIC);
        Ok((self.content, self.entries))
    }
}

fn kind_code(kind: &str) -> Result<u8> {
    (1u8..)
        .zip(KINDS)
        .find_map(|(code, known)| (known == kind).then_some(code))
        .ok_or_else(|| StoreError::corrupt(format_args!("raw data of a {kind}")))
}

/// Reads a container's index and checks the whole by its hash.
pub(super) fn read(file: &[u8]) -> Result<(TenantId, Vec<Entry>)> {
    let broken = |what: &str| StoreError::corrupt(format_args!("a raw container {what}"));
    let body = file
        .len()
        .checked_sub(TRAILER_LENGTH)
        .filter(|body| *body >= HEADER_LENGTH && file.starts_with(MAGIC) && file.ends_with(MAGIC))
        .ok_or_else(|| broken("that is none: it does not begin and end with ODRC"))?;
    if file[4] != VERSION {
        return Err(broken(&format!(
            "of format version {}; this version reads {VERSION}",
            file[4]
        )));
    }
    let (hashed, rest) = file.split_at(body + 8);
    if Sha256::digest(hashed)[..] != rest[..32] {
        return Err(broken("whose content is not what its hash says"));
    }
    let number = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| file[at + i]));
    let count = u32::from_le_bytes(std::array::from_fn(|i| file[21 + i])) as usize;
    let index_at = usize::try_from(number(body)).map_err(StoreError::corrupt)?;
    let index = file
        .get(index_at..body)
        .filter(|index| index_at >= HEADER_LENGTH && index.len() == count * ENTRY_LENGTH)
        .ok_or_else(|| broken("whose index is not where it says"))?;
    let entries = index
        .chunks_exact(ENTRY_LENGTH)
        .map(|entry| read_entry(entry, index_at as u64))
        .collect::<Result<_>>()?;
    let tenant = Uuid::from_bytes(std::array::from_fn(|i| file[5 + i]));
    Ok((tenant.into(), entries))
}

fn read_entry(entry: &[u8], index_at: u64) -> Result<Entry> {
    let id = |at: usize| Uuid::from_bytes(std::array::from_fn(|i| entry[at + i]));
    let number = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| entry[at + i]));
    let kind = usize::from(entry[32]).checked_sub(1).and_then(|code| KINDS.get(code));
    let (at, bytes) = (number(101), number(109));
    if at < HEADER_LENGTH as u64 || at.checked_add(bytes).is_none_or(|end| end > index_at) {
        return Err(StoreError::corrupt("a raw container names a block outside of itself"));
    }
    Ok(Entry {
        block: id(0),
        vehicle: id(16),
        subject_kind: (*kind.ok_or_else(|| StoreError::corrupt("a raw container names no known kind of subject"))?)
            .to_owned(),
        subject: id(33),
        key: id(49),
        device: Some(id(65)).filter(|device| !device.is_nil()),
        min_ts_ms: number(81).cast_signed(),
        max_ts_ms: number(89).cast_signed(),
        samples: u32::from_le_bytes(std::array::from_fn(|i| entry[97 + i])),
        at,
        bytes,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(number: u128, kind: &str, device: Option<Uuid>) -> Entry {
        Entry {
            block: Uuid::from_u128(number),
            vehicle: Uuid::from_u128(7),
            subject_kind: kind.to_owned(),
            subject: Uuid::from_u128(8),
            key: Uuid::from_u128(9),
            device,
            min_ts_ms: -5,
            max_ts_ms: 1_767_225_600_000,
            samples: 2400,
            at: 0,
            bytes: 0,
        }
    }

    fn two_blocks() -> (Vec<u8>, Vec<Entry>) {
        let mut packing = Packing::new(Uuid::from_u128(1).into());
        packing.push(entry(2, "driver", None), b"ODB1 one");
        packing.push(entry(3, "vehicle", Some(Uuid::from_u128(4))), b"ODB1 and another");
        packing.finish().unwrap()
    }

    #[test]
    fn what_was_packed_is_found_again() {
        let (file, entries) = two_blocks();
        let (tenant, read) = read(&file).unwrap();
        assert_eq!((tenant.uuid(), &read), (Uuid::from_u128(1), &entries));
        let block = |entry: &Entry| &file[entry.at as usize..(entry.at + entry.bytes) as usize];
        assert_eq!(block(&read[0]), b"ODB1 one");
        assert_eq!(block(&read[1]), b"ODB1 and another");
    }

    #[test]
    fn the_format_is_that_of_the_golden_file() {
        let (file, _) = two_blocks();
        let golden = include_str!("../../tests/golden/raw-container-v1.hex");
        assert_eq!(hex::encode(file), golden.trim());
    }

    #[test]
    fn an_altered_or_cut_container_is_refused() {
        let (file, _) = two_blocks();
        for at in 0..file.len() {
            let mut altered = file.clone();
            altered[at] ^= 1;
            assert!(read(&altered).is_err(), "byte {at}");
            assert!(read(&file[..at]).is_err(), "cut at {at}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_read_without_a_panic(mut bytes: Vec<u8>) {
            let _ = read(&bytes);
            let mut file = Vec::from(MAGIC);
            file.push(VERSION);
            file.append(&mut bytes);
            file.extend_from_slice(MAGIC);
            let _ = read(&file);
        }
    }
}
