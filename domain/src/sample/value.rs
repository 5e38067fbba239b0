//! The types a field can have, and how each is read and written.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error as _, Visitor},
};
use serde_json::Value;

use super::{FieldError, FieldKind, short};
use crate::protobuf::{self, Fields, Wire};

/// A type a field can have: how it reads from JSON and from a CSV cell.
pub trait FieldValue: Sized + Serialize {
    const KIND: FieldKind;
    /// What was wanted, in the words of an error message.
    const WANTED: &'static str;

    fn from_json(value: &Value) -> Option<Self>;
    fn from_text(text: &str) -> Option<Self>;
    fn to_quantity(&self) -> Quantity;
    /// `None` where the quantity is of another kind.
    fn from_quantity(quantity: Quantity) -> Option<Self>;

    /// Takes in one occurrence of the field in a protobuf message; `false` where it is of another type.
    fn merge_wire(slot: &mut Option<Self>, value: Wire<'_>) -> bool;
    fn write_wire(&self, tag: u32, out: &mut Vec<u8>);

    /// Reads it where it lies in a text; `null` is unknown.
    fn read<'de, D: Deserializer<'de>>(name: &'static str, deserializer: D) -> Result<Option<Self>, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Null => Ok(None),
            given => Self::from_json(&given)
                .map(Some)
                .ok_or_else(|| D::Error::custom(wrong::<Self>(name, &given))),
        }
    }
}

pub(super) fn wrong<T: FieldValue>(name: &str, given: &Value) -> FieldError {
    FieldError::Value {
        name: name.to_owned(),
        wanted: T::WANTED,
        got: short(&given.to_string()),
    }
}

/// A known field's value, whatever its kind: for what goes through all fields alike, such as the raw block format.
#[derive(Debug, Clone, PartialEq)]
pub enum Quantity {
    Number(f64),
    Flag(bool),
    Wheels([f64; 4]),
    Codes(Vec<String>),
}

impl FieldValue for f64 {
    const KIND: FieldKind = FieldKind::Number;
    const WANTED: &'static str = "a number";

    fn from_json(value: &Value) -> Option<Self> {
        value.as_f64()
    }

    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn to_quantity(&self) -> Quantity {
        Quantity::Number(*self)
    }

    fn from_quantity(quantity: Quantity) -> Option<Self> {
        match quantity {
            Quantity::Number(value) => Some(value),
            _ => None,
        }
    }

    fn merge_wire(slot: &mut Option<Self>, value: Wire<'_>) -> bool {
        let Wire::Fixed64(bits) = value else { return false };
        let value = f64::from_bits(bits);
        *slot = Some(value);
        // JSON knows no others either.
        value.is_finite()
    }

    fn write_wire(&self, tag: u32, out: &mut Vec<u8>) {
        protobuf::put_double(tag, *self, out);
    }

    fn read<'de, D: Deserializer<'de>>(name: &'static str, deserializer: D) -> Result<Option<Self>, D::Error> {
        deserializer.deserialize_any(Number { name })
    }
}

impl FieldValue for bool {
    const KIND: FieldKind = FieldKind::Flag;
    const WANTED: &'static str = "true or false (or 1 or 0)";

    fn from_json(value: &Value) -> Option<Self> {
        match value {
            Value::Bool(flag) => Some(*flag),
            Value::Number(n) if n.as_f64() == Some(0.0) => Some(false),
            Value::Number(n) if n.as_f64() == Some(1.0) => Some(true),
            _ => None,
        }
    }

    fn from_text(text: &str) -> Option<Self> {
        match text {
            "1" | "1.0" | "true" | "True" | "TRUE" => Some(true),
            "0" | "0.0" | "false" | "False" | "FALSE" => Some(false),
            _ => None,
        }
    }

    fn to_quantity(&self) -> Quantity {
        Quantity::Flag(*self)
    }

    fn from_quantity(quantity: Quantity) -> Option<Self> {
        match quantity {
            Quantity::Flag(value) => Some(value),
            _ => None,
        }
    }

    fn merge_wire(slot: &mut Option<Self>, value: Wire<'_>) -> bool {
        let Wire::Varint(flag) = value else { return false };
        *slot = Some(flag != 0);
        true
    }

    fn write_wire(&self, tag: u32, out: &mut Vec<u8>) {
        protobuf::put_varint(tag, u64::from(*self), out);
    }
}

impl FieldValue for [f64; 4] {
    const KIND: FieldKind = FieldKind::Wheels;
    const WANTED: &'static str = "four numbers";

    fn from_json(value: &Value) -> Option<Self> {
        let wheels: Vec<f64> = value.as_array()?.iter().map(Value::as_f64).collect::<Option<_>>()?;
        wheels.try_into().ok()
    }

    fn from_text(text: &str) -> Option<Self> {
        let wheels: Vec<f64> = list(text).map(|cell| cell.parse().ok()).collect::<Option<_>>()?;
        wheels.try_into().ok()
    }

    fn to_quantity(&self) -> Quantity {
        Quantity::Wheels(*self)
    }

    fn from_quantity(quantity: Quantity) -> Option<Self> {
        match quantity {
            Quantity::Wheels(value) => Some(value),
            _ => None,
        }
    }

    /// Packed only: of four values on their own none says which wheel is missing.
    fn merge_wire(slot: &mut Option<Self>, value: Wire<'_>) -> bool {
        let Wire::Bytes(packed) = value else { return false };
        let wheels: Option<Self> = protobuf::doubles(packed).and_then(|wheels| wheels.try_into().ok());
        *slot = wheels.filter(|wheels| wheels.iter().all(|value| value.is_finite()));
        slot.is_some()
    }

    fn write_wire(&self, tag: u32, out: &mut Vec<u8>) {
        protobuf::put_doubles(tag, self, out);
    }
}

impl FieldValue for Vec<String> {
    const KIND: FieldKind = FieldKind::Codes;
    const WANTED: &'static str = "a list of trouble codes";

    fn from_json(value: &Value) -> Option<Self> {
        value
            .as_array()?
            .iter()
            .map(|code| code.as_str().map(str::to_owned))
            .collect()
    }

    fn from_text(text: &str) -> Option<Self> {
        Some(list(text).map(str::to_owned).collect())
    }

    fn to_quantity(&self) -> Quantity {
        Quantity::Codes(self.clone())
    }

    fn from_quantity(quantity: Quantity) -> Option<Self> {
        match quantity {
            Quantity::Codes(value) => Some(value),
            _ => None,
        }
    }

    /// A message with the codes as its field 1, so that "none stored" can be told from "not asked".
    fn merge_wire(slot: &mut Option<Self>, value: Wire<'_>) -> bool {
        let Wire::Bytes(message) = value else { return false };
        let mut codes = slot.take().unwrap_or_default();
        for field in Fields::of(message) {
            match field.map(|field| (field.tag, field.value)) {
                Ok((1, Wire::Bytes(code))) => match std::str::from_utf8(code) {
                    Ok(code) => codes.push(code.to_owned()),
                    Err(_) => return false,
                },
                _ => return false,
            }
        }
        *slot = Some(codes);
        true
    }

    fn write_wire(&self, tag: u32, out: &mut Vec<u8>) {
        let mut message = Vec::new();
        for code in self {
            protobuf::put_bytes(1, code.as_bytes(), &mut message);
        }
        protobuf::put_bytes(tag, &message, out);
    }
}

/// A number as JSON has it, read without a detour.
struct Number {
    name: &'static str,
}

impl Number {
    fn wrong<E: serde::de::Error>(&self, given: &Value) -> E {
        E::custom(wrong::<f64>(self.name, given))
    }
}

impl<'de> Visitor<'de> for Number {
    type Value = Option<f64>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: a number", self.name)
    }

    fn visit_f64<E>(self, value: f64) -> Result<Option<f64>, E> {
        Ok(Some(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Option<f64>, E> {
        Ok(Some(value as f64))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Option<f64>, E> {
        Ok(Some(value as f64))
    }

    fn visit_unit<E>(self) -> Result<Option<f64>, E> {
        Ok(None)
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Option<f64>, E> {
        Err(self.wrong(&Value::Bool(value)))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Option<f64>, E> {
        Err(self.wrong(&Value::from(value)))
    }
}

/// A list in a CSV cell: values apart by spaces or semicolons, brackets optional.
fn list(text: &str) -> impl Iterator<Item = &str> {
    text.trim_matches(['[', ']'])
        .split([' ', ';'])
        .filter(|part| !part.is_empty())
}
