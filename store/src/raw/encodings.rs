//! Ways to write samples down, measured on the same samples: why raw blocks are what they are.

use std::time::{Duration, Instant};

use bytes::Bytes;
use odograph_domain::{
    batch::RawSample,
    sample::{FIELDS, FieldKind, Quantity},
};
use parquet::{
    basic::{Compression, Encoding, ZstdLevel},
    column::reader::ColumnReader,
    file::{
        properties::WriterProperties,
        reader::{FileReader as _, SerializedFileReader},
    },
    schema::types::ColumnPath,
};

use super::columns::{decode, encode, encode_doubles};
use crate::{
    error::{Result, StoreError},
    lake::table::{Cells, Column, column, write},
};

/// What one way costs: bytes, and the time to write and to read, over all samples.
#[derive(Debug, Clone)]
pub struct EncodingFigures {
    pub name: String,
    pub bytes: usize,
    pub write: Duration,
    pub read: Duration,
}

/// Blocks of samples in each way, each round a fresh try of which the fastest counts. What is read back must be what was
/// written, or be as long where another reader has to make something of it.
pub fn measure_encodings(blocks: &[Vec<RawSample>], rounds: usize) -> Result<Vec<EncodingFigures>> {
    let mut figures = vec![
        measure(
            "JSON, zstd 3",
            blocks,
            rounds,
            |samples| zstd(&json(samples)?, 3),
            |bytes, samples| {
                let lines: Vec<odograph_domain::sample::Sample> =
                    serde_json::from_slice(&unzstd(bytes)?).map_err(StoreError::corrupt)?;
                same(lines.len() == samples.len())
            },
        )?,
        measure(
            "columns of doubles, zstd 3 (format 1)",
            blocks,
            rounds,
            |samples| zstd(&encode_doubles(&refs(samples)), 3),
            back,
        )?,
    ];
    for level in [1, 3, 9, 19] {
        let name = format!(
            "columns of differences, zstd {level}{}",
            if level == 3 { " (format 2)" } else { "" }
        );
        figures.push(measure(
            &name,
            blocks,
            rounds,
            |samples| zstd(&encode(&refs(samples)), level),
            back,
        )?);
    }
    for (name, split, level) in [
        ("Parquet, dictionaries, zstd 3", false, 3),
        ("Parquet, bytes split, zstd 3", true, 3),
        ("Parquet, bytes split, zstd 9", true, 9),
    ] {
        let written = |samples: &[RawSample]| parquet_of(samples, split, level);
        figures.push(measure(name, blocks, rounds, written, |bytes, samples| {
            same(read_parquet(bytes)? == samples.len())
        })?);
    }
    Ok(figures)
}

/// The samples as one Parquet file, for others to write down in their own ways.
pub fn samples_as_parquet(samples: &[RawSample]) -> Result<Vec<u8>> {
    parquet_of(samples, true, 3)
}

fn refs(samples: &[RawSample]) -> Vec<&RawSample> {
    samples.iter().collect()
}

fn measure(
    name: &str,
    blocks: &[Vec<RawSample>],
    rounds: usize,
    write: impl Fn(&[RawSample]) -> Result<Vec<u8>>,
    read: impl Fn(&[u8], &[RawSample]) -> Result<()>,
) -> Result<EncodingFigures> {
    let mut figures = EncodingFigures {
        name: name.to_owned(),
        bytes: 0,
        write: Duration::MAX,
        read: Duration::MAX,
    };
    for _ in 0..rounds.max(1) {
        let began = Instant::now();
        let written = blocks.iter().map(|block| write(block)).collect::<Result<Vec<_>>>()?;
        figures.write = figures.write.min(began.elapsed());
        figures.bytes = written.iter().map(Vec::len).sum();
        let began = Instant::now();
        for (bytes, block) in written.iter().zip(blocks) {
            read(bytes, block)?;
        }
        figures.read = figures.read.min(began.elapsed());
    }
    Ok(figures)
}

fn back(bytes: &[u8], samples: &[RawSample]) -> Result<()> {
    same(decode(&unzstd(bytes)?, samples.len())? == samples)
}

fn same(same: bool) -> Result<()> {
    same.then_some(())
        .ok_or_else(|| StoreError::corrupt("what was read is not what was written"))
}

fn json(samples: &[RawSample]) -> Result<Vec<u8>> {
    let lines: Vec<_> = samples.iter().map(|raw| &raw.sample).collect();
    serde_json::to_vec(&lines).map_err(StoreError::corrupt)
}

fn zstd(plain: &[u8], level: i32) -> Result<Vec<u8>> {
    ::zstd::bulk::compress(plain, level).map_err(StoreError::corrupt)
}

/// As long as anything here is.
const LONGEST: usize = 1 << 26;

fn unzstd(bytes: &[u8]) -> Result<Vec<u8>> {
    ::zstd::bulk::decompress(bytes, LONGEST).map_err(StoreError::corrupt)
}

/// Numbers and flags of the samples, a column each that has any.
fn sample_columns(samples: &[RawSample]) -> Vec<Column> {
    let times = samples.iter().map(|raw| Some(raw.sample.ts.utc())).collect();
    let mut numbers: Vec<Vec<Option<f64>>> = FIELDS.iter().map(|_| vec![None; samples.len()]).collect();
    let mut flags: Vec<Vec<Option<bool>>> = FIELDS.iter().map(|_| vec![None; samples.len()]).collect();
    for (row, raw) in samples.iter().enumerate() {
        raw.sample.quantities(|place, value| match value {
            Quantity::Number(number) => numbers[place][row] = Some(number),
            Quantity::Flag(flag) => flags[place][row] = Some(flag),
            Quantity::Wheels(_) | Quantity::Codes(_) => {}
        });
    }
    let mut columns = vec![column("ts", Cells::Instant(times)).required()];
    for ((field, numbers), flags) in FIELDS.iter().zip(numbers).zip(flags) {
        if field.kind == FieldKind::Number && numbers.iter().any(Option::is_some) {
            columns.push(column(field.name, Cells::Number(numbers)));
        } else if field.kind == FieldKind::Flag && flags.iter().any(Option::is_some) {
            columns.push(column(field.name, Cells::Flag(flags)));
        }
    }
    columns
}

fn parquet_of(samples: &[RawSample], split: bool, level: i32) -> Result<Vec<u8>> {
    let level = ZstdLevel::try_new(level).map_err(StoreError::corrupt)?;
    let mut properties = WriterProperties::builder().set_compression(Compression::ZSTD(level));
    if split {
        properties = properties
            .set_dictionary_enabled(false)
            .set_column_encoding(ColumnPath::from("ts"), Encoding::DELTA_BINARY_PACKED);
        for field in FIELDS.iter().filter(|field| field.kind == FieldKind::Number) {
            properties = properties.set_column_encoding(ColumnPath::from(field.name), Encoding::BYTE_STREAM_SPLIT);
        }
    }
    let groups = std::iter::once(Ok(sample_columns(samples)));
    write("sample", sample_columns(samples), groups, properties.build())
}

/// Reads every cell; returns the number of rows.
fn read_parquet(bytes: &[u8]) -> Result<usize> {
    let reader = SerializedFileReader::new(Bytes::copy_from_slice(bytes)).map_err(StoreError::corrupt)?;
    let mut rows = 0;
    for group in 0..reader.num_row_groups() {
        let group = reader.get_row_group(group).map_err(StoreError::corrupt)?;
        let count = usize::try_from(group.metadata().num_rows()).map_err(StoreError::corrupt)?;
        rows += count;
        let mut levels = Vec::new();
        for at in 0..group.num_columns() {
            levels.clear();
            let read = match group.get_column_reader(at).map_err(StoreError::corrupt)? {
                ColumnReader::Int64ColumnReader(mut cells) => {
                    cells.read_records(count, Some(&mut levels), None, &mut Vec::with_capacity(count))
                }
                ColumnReader::DoubleColumnReader(mut cells) => {
                    cells.read_records(count, Some(&mut levels), None, &mut Vec::with_capacity(count))
                }
                ColumnReader::BoolColumnReader(mut cells) => {
                    cells.read_records(count, Some(&mut levels), None, &mut Vec::with_capacity(count))
                }
                _ => return Err(StoreError::corrupt("a column of a kind that was not written")),
            };
            same(read.map_err(StoreError::corrupt)?.0 == count)?;
        }
    }
    Ok(rows)
}
