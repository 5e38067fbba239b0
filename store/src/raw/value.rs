//! JSON values of unknown fields, in binary: text would not bring back every number bit for bit.

use serde_json::{Map, Number, Value};

use super::bytes::{Reader, put_chunk, put_varint, unzigzag, zigzag};
use crate::error::{Result, StoreError};

const NULL: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
/// Zigzag varint.
const INTEGER: u8 = 3;
/// Varint, above what a signed number holds.
const UNSIGNED: u8 = 4;
/// The bits of an `f64`, little-endian.
const FLOAT: u8 = 5;
const TEXT: u8 = 6;
const LIST: u8 = 7;
const OBJECT: u8 = 8;

/// As deep as the JSON reader goes.
const DEEPEST: u8 = 128;

pub(super) fn put_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => out.push(NULL),
        Value::Bool(false) => out.push(FALSE),
        Value::Bool(true) => out.push(TRUE),
        Value::Number(number) => put_number(out, number),
        Value::String(text) => {
            out.push(TEXT);
            put_chunk(out, text.as_bytes());
        }
        Value::Array(list) => {
            out.push(LIST);
            put_varint(out, list.len() as u64);
            list.iter().for_each(|value| put_value(out, value));
        }
        Value::Object(object) => {
            out.push(OBJECT);
            put_varint(out, object.len() as u64);
            for (name, value) in object {
                put_chunk(out, name.as_bytes());
                put_value(out, value);
            }
        }
    }
}

fn put_number(out: &mut Vec<u8>, number: &Number) {
    if let Some(integer) = number.as_i64() {
        out.push(INTEGER);
        put_varint(out, zigzag(integer));
    } else if let Some(unsigned) = number.as_u64() {
        out.push(UNSIGNED);
        put_varint(out, unsigned);
    } else {
        out.push(FLOAT);
        out.extend(number.as_f64().unwrap_or(0.0).to_bits().to_le_bytes());
    }
}

pub(super) fn take_value(reader: &mut Reader<'_>) -> Result<Value> {
    nested(reader, DEEPEST)
}

fn nested(reader: &mut Reader<'_>, depth: u8) -> Result<Value> {
    let inner = || {
        depth
            .checked_sub(1)
            .ok_or_else(|| StoreError::corrupt("an unknown field is nested too deep"))
    };
    Ok(match reader.byte()? {
        NULL => Value::Null,
        FALSE => Value::Bool(false),
        TRUE => Value::Bool(true),
        INTEGER => unzigzag(reader.varint()?).into(),
        UNSIGNED => reader.varint()?.into(),
        FLOAT => {
            let float = f64::from_bits(u64::from_le_bytes(reader.array()?));
            Number::from_f64(float).map_or(Value::Null, Value::Number)
        }
        TEXT => reader.text()?.into(),
        LIST => {
            let depth = inner()?;
            (0..reader.length()?)
                .map(|_| nested(reader, depth))
                .collect::<Result<_>>()?
        }
        OBJECT => {
            let depth = inner()?;
            let mut object = Map::new();
            for _ in 0..reader.length()? {
                let name = reader.text()?.to_owned();
                object.insert(name, nested(reader, depth)?);
            }
            Value::Object(object)
        }
        other => {
            return Err(StoreError::corrupt(format_args!(
                "an unknown field has a value of kind {other}"
            )));
        }
    })
}
