//! Raw block format v2. Version 1 is the same but for the kinds of columns it may have, and is read too.
//!
//! ```text
//! 0   4   magic, `ODB1`
//! 4   1   format version, 2
//! 5   16  vehicle
//! 21  16  id of the key it is encrypted with
//! 37  8   time of the first sample, ms since 1970, little-endian, signed
//! 45  8   time of the last
//! 53  4   number of samples, little-endian
//! 57  4   length of the plain columns
//! 61  32  SHA-256 of the plain columns
//! 93      12 bytes nonce, then AES-256-GCM over zstd over the columns, the header authenticated with it
//! ```

use std::cell::RefCell;

use odograph_domain::{batch::RawSample, id::VehicleId};
use sha2::{Digest, Sha256};
use uuid::Uuid;
use zstd::bulk::{Compressor, Decompressor};

use super::{
    bytes::Reader,
    columns::{decode, encode},
};
use crate::{
    crypto::{Key, SubjectKey},
    error::{Result, StoreError},
};

const MAGIC: &[u8; 4] = b"ODB1";
const VERSION: u8 = 2;
/// Without columns of decimals.
const FIRST_VERSION: u8 = 1;
const HEADER_LENGTH: usize = 93;
/// A good trade at the size of a batch; blocks say nothing of it, so it may change.
const ZSTD_LEVEL: i32 = 3;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BlockHeader {
    pub(crate) vehicle: VehicleId,
    pub(crate) key_id: Uuid,
    pub(crate) min_ts_ms: i64,
    pub(crate) max_ts_ms: i64,
    pub(crate) samples: u32,
    plain_length: u32,
    pub(crate) sha256: [u8; 32],
}

impl BlockHeader {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_LENGTH);
        out.extend_from_slice(MAGIC);
        out.push(VERSION);
        out.extend_from_slice(self.vehicle.uuid().as_bytes());
        out.extend_from_slice(self.key_id.as_bytes());
        out.extend_from_slice(&self.min_ts_ms.to_le_bytes());
        out.extend_from_slice(&self.max_ts_ms.to_le_bytes());
        out.extend_from_slice(&self.samples.to_le_bytes());
        out.extend_from_slice(&self.plain_length.to_le_bytes());
        out.extend_from_slice(&self.sha256);
        out
    }

    /// Reads the header alone: it needs no key.
    pub(crate) fn read(block: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(block);
        if reader.take(4)? != MAGIC {
            return Err(StoreError::corrupt("no raw block: it does not start with ODB1"));
        }
        match reader.byte()? {
            FIRST_VERSION..=VERSION => {}
            other => {
                return Err(StoreError::corrupt(format_args!(
                    "a raw block of format version {other}; this version reads {FIRST_VERSION} to {VERSION}"
                )));
            }
        }
        Ok(Self {
            vehicle: Uuid::from_bytes(reader.array()?).into(),
            key_id: Uuid::from_bytes(reader.array()?),
            min_ts_ms: i64::from_le_bytes(reader.array()?),
            max_ts_ms: i64::from_le_bytes(reader.array()?),
            samples: u32::from_le_bytes(reader.array()?),
            plain_length: u32::from_le_bytes(reader.array()?),
            sha256: reader.array()?,
        })
    }
}

/// A block of these samples (at least one), in the order given.
pub(crate) fn seal_block(
    vehicle: VehicleId,
    key: &SubjectKey,
    samples: &[&RawSample],
) -> Result<(BlockHeader, Vec<u8>)> {
    let times = samples.iter().map(|raw| raw.sample.ts.millis());
    let (Some(min_ts_ms), Some(max_ts_ms)) = (times.clone().min(), times.max()) else {
        return Err(StoreError::Invalid {
            kind: "raw block",
            detail: "no samples".into(),
        });
    };
    let plain = encode(samples);
    let too_long = |_| StoreError::Invalid {
        kind: "raw block",
        detail: "more samples than a block can hold".into(),
    };
    let header = BlockHeader {
        vehicle,
        key_id: key.id,
        min_ts_ms,
        max_ts_ms,
        samples: u32::try_from(samples.len()).map_err(too_long)?,
        plain_length: u32::try_from(plain.len()).map_err(too_long)?,
        sha256: Sha256::digest(&plain).into(),
    };
    let compressed = compress(&plain)?;
    let mut block = header.encode();
    let sealed = key.key.encrypt(&block, &compressed)?;
    block.extend(sealed);
    Ok((header, block))
}

/// The samples of a block, in the order they were put in.
pub(crate) fn open_block(key: &Key, block: &[u8]) -> Result<Vec<RawSample>> {
    let header = BlockHeader::read(block)?;
    let (context, sealed) = block.split_at(HEADER_LENGTH);
    let compressed = key.decrypt(context, sealed)?;
    let plain = decompress(&compressed, header.plain_length as usize)?;
    if <[u8; 32]>::from(Sha256::digest(&plain)) != header.sha256 {
        return Err(StoreError::corrupt("a raw block's content is not what its header says"));
    }
    decode(&plain, header.samples as usize)
}

thread_local! {
    // Making one costs more than compressing a batch with it.
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

fn compress(plain: &[u8]) -> Result<Vec<u8>> {
    COMPRESSOR
        .with_borrow_mut(|kept| match kept {
            Some(kept) => kept.compress(plain),
            None => kept.insert(Compressor::new(ZSTD_LEVEL)?).compress(plain),
        })
        .map_err(StoreError::corrupt)
}

fn decompress(compressed: &[u8], length: usize) -> Result<Vec<u8>> {
    DECOMPRESSOR
        .with_borrow_mut(|kept| match kept {
            Some(kept) => kept.decompress(compressed, length),
            None => kept.insert(Decompressor::new()?).decompress(compressed, length),
        })
        .map_err(StoreError::corrupt)
}

#[cfg(test)]
#[path = "block_tests.rs"]
mod tests;
