//! Samples as columns. Each column names itself, says its kind and its length, so that a reader can tell one it does not
//! know from one that is broken.
//!
//! `ts` comes first: zigzag varints, the first from the epoch, the others from their predecessor, in milliseconds. Then the
//! known fields that any sample has, by their canonical names, each as a bitmap of presence and the values of those present;
//! then what the batch said of its samples, under names that start with `~`.

use std::collections::BTreeMap;

use odograph_domain::{
    batch::{AccelFrame, Gravity, RawSample},
    id::DriverId,
    sample::{FIELDS, FieldKind, Quantity, Sample},
    time::EventTime,
};
use serde_json::Value;

use super::{
    bytes::{Bits, Reader, put_chunk, put_varint, transpose, untranspose, unzigzag, zigzag},
    decimals,
    value::{put_value, take_value},
};
use crate::error::{Result, StoreError};

const TIMES: u8 = 0;
const NUMBERS: u8 = 1;
const FLAGS: u8 = 2;
const WHEELS: u8 = 3;
const CODES: u8 = 4;
/// A byte a sample.
const BYTES: u8 = 5;
/// A list of UUIDs, then for each sample its place in it, counted from 1; 0 is none.
const IDS: u8 = 6;
/// Presence, then a binary JSON value each.
const VALUES: u8 = 7;
/// In the place of [`NUMBERS`], where all have few decimals: see [`decimals`].
const DECIMALS: u8 = 8;

fn kind_of(kind: FieldKind) -> u8 {
    match kind {
        FieldKind::Number => NUMBERS,
        FieldKind::Flag => FLAGS,
        FieldKind::Wheels => WHEELS,
        FieldKind::Codes => CODES,
    }
}

/// The values of one field over all samples.
#[derive(Default)]
struct Field {
    present: Bits,
    rows: usize,
    numbers: Vec<f64>,
    flags: Bits,
    codes: Vec<u8>,
}

impl Field {
    fn push(&mut self, row: usize, value: Quantity) {
        self.present.set(row);
        match value {
            Quantity::Number(number) => self.numbers.push(number),
            Quantity::Flag(true) => self.flags.set(self.rows),
            Quantity::Flag(false) => {}
            Quantity::Wheels(wheels) => self.numbers.extend(wheels),
            Quantity::Codes(codes) => {
                put_varint(&mut self.codes, codes.len() as u64);
                codes
                    .iter()
                    .for_each(|code| put_chunk(&mut self.codes, code.as_bytes()));
            }
        }
        self.rows += 1;
    }

    /// The kind of column it became, and the column.
    fn encode(mut self, kind: FieldKind, few_decimals: bool, samples: usize) -> (u8, Vec<u8>) {
        self.present.0.resize(samples.div_ceil(8), 0);
        let mut out = self.present.0;
        match kind {
            FieldKind::Number => {
                if few_decimals && let Some(encoded) = decimals::encode(&self.numbers) {
                    out.extend(encoded);
                    return (DECIMALS, out);
                }
                out.extend(transpose(&self.numbers));
            }
            FieldKind::Wheels => out.extend(transpose(&self.numbers)),
            FieldKind::Flag => {
                self.flags.0.resize(self.rows.div_ceil(8), 0);
                out.extend(self.flags.0);
            }
            FieldKind::Codes => out.extend(self.codes),
        }
        (kind_of(kind), out)
    }
}

pub(super) fn encode(samples: &[&RawSample]) -> Vec<u8> {
    encode_as(samples, true)
}

/// As format 1 had them, to be measured beside.
pub(super) fn encode_doubles(samples: &[&RawSample]) -> Vec<u8> {
    encode_as(samples, false)
}

fn encode_as(samples: &[&RawSample], few_decimals: bool) -> Vec<u8> {
    let mut out = vec![];
    put_column(&mut out, "ts", TIMES, &times(samples));
    let mut fields: Vec<Field> = FIELDS.iter().map(|_| Field::default()).collect();
    for (row, raw) in samples.iter().enumerate() {
        raw.sample.quantities(|place, value| fields[place].push(row, value));
    }
    for (meaning, field) in FIELDS.iter().zip(fields) {
        if field.rows > 0 {
            let (kind, data) = field.encode(meaning.kind, few_decimals, samples.len());
            put_column(&mut out, meaning.name, kind, &data);
        }
    }
    let bytes = |byte: fn(&RawSample) -> u8| samples.iter().map(|raw| byte(raw)).collect::<Vec<u8>>();
    put_column(
        &mut out,
        "~accel_frame",
        BYTES,
        &bytes(|raw| frame_byte(raw.accel_frame)),
    );
    put_column(&mut out, "~gravity", BYTES, &bytes(|raw| gravity_byte(raw.gravity)));
    put_column(&mut out, "~device_rank", BYTES, &bytes(|raw| raw.device_rank));
    if samples.iter().any(|raw| raw.driver.is_some()) {
        put_column(&mut out, "~driver", IDS, &drivers(samples));
    }
    if samples.iter().any(|raw| !raw.sample.extra.is_empty()) {
        put_column(&mut out, "~extra", VALUES, &extras(samples));
    }
    out
}

fn put_column(out: &mut Vec<u8>, name: &str, kind: u8, data: &[u8]) {
    put_chunk(out, name.as_bytes());
    out.push(kind);
    put_chunk(out, data);
}

fn times(samples: &[&RawSample]) -> Vec<u8> {
    let mut out = vec![];
    let mut last = 0;
    for raw in samples {
        let ms = raw.sample.ts.millis();
        put_varint(&mut out, zigzag(ms.wrapping_sub(last)));
        last = ms;
    }
    out
}

fn drivers(samples: &[&RawSample]) -> Vec<u8> {
    let mut places: BTreeMap<DriverId, u64> = samples.iter().filter_map(|raw| raw.driver).map(|id| (id, 0)).collect();
    let mut out = vec![];
    put_varint(&mut out, places.len() as u64);
    for ((id, place), number) in places.iter_mut().zip(1..) {
        *place = number;
        out.extend_from_slice(id.uuid().as_bytes());
    }
    for raw in samples {
        put_varint(
            &mut out,
            raw.driver.and_then(|id| places.get(&id).copied()).unwrap_or(0),
        );
    }
    out
}

fn extras(samples: &[&RawSample]) -> Vec<u8> {
    let mut present = Bits::of_length(samples.len());
    let mut values = vec![];
    for (row, raw) in samples
        .iter()
        .enumerate()
        .filter(|(_, raw)| !raw.sample.extra.is_empty())
    {
        present.set(row);
        put_value(
            &mut values,
            &Value::Object(raw.sample.extra.clone().into_iter().collect()),
        );
    }
    [present.0, values].concat()
}

fn frame_byte(frame: AccelFrame) -> u8 {
    match frame {
        AccelFrame::Vehicle => 0,
        AccelFrame::Device => 1,
        AccelFrame::Earth => 2,
    }
}

fn gravity_byte(gravity: Gravity) -> u8 {
    match gravity {
        Gravity::Included => 0,
        Gravity::Removed => 1,
    }
}

pub(super) fn decode(bytes: &[u8], count: usize) -> Result<Vec<RawSample>> {
    let mut columns = BTreeMap::new();
    let mut reader = Reader::new(bytes);
    while !reader.is_empty() {
        let name = reader.text()?;
        let kind = reader.byte()?;
        if columns.insert(name, (kind, reader.chunk()?)).is_some() {
            return Err(StoreError::corrupt(format_args!(
                "a raw block has the column {name} twice"
            )));
        }
    }
    let mut fields = Vec::with_capacity(FIELDS.len());
    for meaning in FIELDS {
        let column = match columns.remove(meaning.name) {
            Some((kind, data)) if kind == kind_of(meaning.kind) => Some(values(data, meaning.kind, false, count)?),
            Some((DECIMALS, data)) if meaning.kind == FieldKind::Number => {
                Some(values(data, meaning.kind, true, count)?)
            }
            Some((kind, _)) => return Err(unwanted(meaning.name, kind, kind_of(meaning.kind))),
            None => None,
        };
        fields.push(column.unwrap_or_default());
    }
    let mut take = |name: &str, wanted: u8| match columns.remove(name) {
        Some((kind, data)) if kind == wanted => Ok(Some(data)),
        Some((kind, _)) => Err(unwanted(name, kind, wanted)),
        None => Ok(None),
    };

    let mut samples = read_times(take("ts", TIMES)?.unwrap_or_default(), count)?;
    for raw in &mut samples {
        raw.sample.set_quantities(|place| fields[place].next().flatten());
    }
    for (raw, frame) in samples.iter_mut().zip(take("~accel_frame", BYTES)?.unwrap_or_default()) {
        raw.accel_frame = frame_of(*frame)?;
    }
    for (raw, gravity) in samples.iter_mut().zip(take("~gravity", BYTES)?.unwrap_or_default()) {
        raw.gravity = gravity_of(*gravity)?;
    }
    for (raw, rank) in samples.iter_mut().zip(take("~device_rank", BYTES)?.unwrap_or_default()) {
        raw.device_rank = *rank;
    }
    if let Some(data) = take("~driver", IDS)? {
        read_drivers(data, &mut samples)?;
    }
    if let Some(data) = take("~extra", VALUES)? {
        read_extras(data, &mut samples)?;
    }
    // Of a newer writer, under this same format version: a field we cannot hold must not be lost in silence.
    match columns.keys().next() {
        None => Ok(samples),
        Some(name) => Err(StoreError::corrupt(format_args!(
            "a raw block has the column {name}, which this version does not know"
        ))),
    }
}

fn unwanted(name: &str, kind: u8, wanted: u8) -> StoreError {
    StoreError::corrupt(format_args!("column {name} is of kind {kind}, wanted {wanted}"))
}

fn read_times(data: &[u8], count: usize) -> Result<Vec<RawSample>> {
    let mut reader = Reader::new(data);
    let mut last = 0i64;
    let mut samples = Vec::with_capacity(count.min(data.len()));
    while !reader.is_empty() {
        last = last.wrapping_add(unzigzag(reader.varint()?));
        let ts = EventTime::from_millis(last)
            .ok_or_else(|| StoreError::corrupt("a raw block has a time beyond all years"))?;
        samples.push(RawSample {
            sample: Sample::at(ts),
            accel_frame: AccelFrame::default(),
            gravity: Gravity::default(),
            device_rank: 0,
            driver: None,
        });
    }
    if samples.len() != count {
        return Err(StoreError::corrupt(format_args!(
            "a raw block has {} samples, its header says {count}",
            samples.len()
        )));
    }
    Ok(samples)
}

/// The values of a column, one a sample; `few_decimals`: as [`decimals`] has them.
fn values(
    data: &[u8],
    kind: FieldKind,
    few_decimals: bool,
    count: usize,
) -> Result<std::vec::IntoIter<Option<Quantity>>> {
    let mut reader = Reader::new(data);
    let present = Bits(reader.take(count.div_ceil(8))?.to_vec());
    let rows = (0..count).filter(|row| present.get(*row)).count();
    let mut values: Vec<Quantity> = match kind {
        FieldKind::Number if few_decimals => decimals::decode(&mut reader, rows)?
            .into_iter()
            .map(Quantity::Number)
            .collect(),
        FieldKind::Number => untranspose(reader.take(rows * 8)?)?
            .into_iter()
            .map(Quantity::Number)
            .collect(),
        FieldKind::Wheels => {
            let numbers = untranspose(reader.take(rows * 32)?)?;
            numbers
                .as_chunks::<4>()
                .0
                .iter()
                .map(|wheels| Quantity::Wheels(*wheels))
                .collect()
        }
        FieldKind::Flag => {
            let flags = Bits(reader.take(rows.div_ceil(8))?.to_vec());
            (0..rows).map(|row| Quantity::Flag(flags.get(row))).collect()
        }
        FieldKind::Codes => (0..rows).map(|_| codes(&mut reader)).collect::<Result<_>>()?,
    };
    let mut next = values.drain(..);
    let spread: Vec<Option<Quantity>> = (0..count)
        .map(|row| if present.get(row) { next.next() } else { None })
        .collect();
    Ok(spread.into_iter())
}

fn codes(reader: &mut Reader<'_>) -> Result<Quantity> {
    let codes = (0..reader.length()?)
        .map(|_| reader.text().map(str::to_owned))
        .collect::<Result<_>>()?;
    Ok(Quantity::Codes(codes))
}

fn read_drivers(data: &[u8], samples: &mut [RawSample]) -> Result<()> {
    let mut reader = Reader::new(data);
    let mut drivers = vec![];
    for _ in 0..reader.length()? {
        drivers.push(DriverId::from_uuid(uuid::Uuid::from_bytes(reader.array()?)));
    }
    for raw in samples {
        raw.driver = match reader.length()? {
            0 => None,
            place => Some(
                *drivers
                    .get(place - 1)
                    .ok_or_else(|| StoreError::corrupt("a raw block names no driver"))?,
            ),
        };
    }
    Ok(())
}

fn read_extras(data: &[u8], samples: &mut [RawSample]) -> Result<()> {
    let mut reader = Reader::new(data);
    let present = Bits(reader.take(samples.len().div_ceil(8))?.to_vec());
    for (row, raw) in samples.iter_mut().enumerate() {
        if present.get(row)
            && let Value::Object(extra) = take_value(&mut reader)?
        {
            raw.sample.extra = extra.into_iter().collect();
        }
    }
    Ok(())
}

fn frame_of(byte: u8) -> Result<AccelFrame> {
    match byte {
        0 => Ok(AccelFrame::Vehicle),
        1 => Ok(AccelFrame::Device),
        2 => Ok(AccelFrame::Earth),
        other => Err(StoreError::corrupt(format_args!("{other} is no acceleration frame"))),
    }
}

fn gravity_of(byte: u8) -> Result<Gravity> {
    match byte {
        0 => Ok(Gravity::Included),
        1 => Ok(Gravity::Removed),
        other => Err(StoreError::corrupt(format_args!(
            "{other} does not say whether gravity is included"
        ))),
    }
}
