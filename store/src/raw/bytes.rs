//! Reading and writing of small binary pieces. Reading never panics and never reads past the end.

use crate::error::{Result, StoreError};

#[derive(Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or_else(|| StoreError::corrupt("a raw block ends too early"))?;
        self.rest = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let taken = self.take(N)?;
        taken.try_into().map_err(StoreError::corrupt)
    }

    pub(super) fn byte(&mut self) -> Result<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// An unsigned LEB128 number.
    pub(super) fn varint(&mut self) -> Result<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let part = u64::from(byte & 0x7f);
            // The tenth byte holds the last bit only.
            if shift == 63 && part > 1 {
                break;
            }
            value |= part << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(StoreError::corrupt("a raw block has a number of too many bytes"))
    }

    pub(super) fn length(&mut self) -> Result<usize> {
        usize::try_from(self.varint()?).map_err(StoreError::corrupt)
    }

    /// A length and as many bytes.
    pub(super) fn chunk(&mut self) -> Result<&'a [u8]> {
        let length = self.length()?;
        self.take(length)
    }

    pub(super) fn text(&mut self) -> Result<&'a str> {
        std::str::from_utf8(self.chunk()?).map_err(StoreError::corrupt)
    }
}

pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(super) fn put_chunk(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Small magnitudes of either sign become small numbers.
pub(super) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

pub(super) fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// A bit a row, lowest bit first.
#[derive(Debug, Clone, Default)]
pub(super) struct Bits(pub(super) Vec<u8>);

impl Bits {
    pub(super) fn of_length(bits: usize) -> Self {
        Self(vec![0; bits.div_ceil(8)])
    }

    pub(super) fn set(&mut self, bit: usize) {
        if self.0.len() <= bit / 8 {
            self.0.resize(bit / 8 + 1, 0);
        }
        self.0[bit / 8] |= 1 << (bit % 8);
    }

    pub(super) fn get(&self, bit: usize) -> bool {
        self.0.get(bit / 8).is_some_and(|byte| byte >> (bit % 8) & 1 == 1)
    }
}

/// The first bytes of all numbers, then the second bytes …: neighbours are alike, so they compress.
pub(super) fn transpose(values: &[f64]) -> Vec<u8> {
    let mut out = vec![0; values.len() * 8];
    for (i, value) in values.iter().enumerate() {
        for (byte, bits) in value.to_bits().to_le_bytes().into_iter().enumerate() {
            out[byte * values.len() + i] = bits;
        }
    }
    out
}

pub(super) fn untranspose(bytes: &[u8]) -> Result<Vec<f64>> {
    if !bytes.len().is_multiple_of(8) {
        return Err(StoreError::corrupt("a raw block has a column of broken numbers"));
    }
    let count = bytes.len() / 8;
    let number = |i| f64::from_bits(u64::from_le_bytes(std::array::from_fn(|byte| bytes[byte * count + i])));
    Ok((0..count).map(number).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_survive(value: u64, signed: i64, floats: Vec<u64>) {
            let mut out = vec![];
            put_varint(&mut out, value);
            put_varint(&mut out, zigzag(signed));
            let mut reader = Reader::new(&out);
            prop_assert_eq!(reader.varint().unwrap(), value);
            prop_assert_eq!(unzigzag(reader.varint().unwrap()), signed);
            prop_assert!(reader.is_empty());
            let floats: Vec<f64> = floats.into_iter().map(f64::from_bits).collect();
            let back = untranspose(&transpose(&floats)).unwrap();
            let bits = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            prop_assert_eq!(bits(&back), bits(&floats));
        }

        #[test]
        fn any_bytes_read_without_a_panic(bytes: Vec<u8>) {
            let mut reader = Reader::new(&bytes);
            while reader.text().is_ok() {}
            let mut reader = Reader::new(&bytes);
            while reader.varint().is_ok() {}
        }
    }
}
