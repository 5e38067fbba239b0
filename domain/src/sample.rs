//! One row of telemetry, in the canonical form.
//!
//! The table below is the single list of fields: JSON decoding, CSV columns, the raw block format and what a product
//! may keep all follow it. A field that is absent or empty is unknown, never zero.

mod read;

use std::{collections::BTreeMap, fmt};

use chrono::{DateTime, Utc};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error as _, MapAccess, Visitor},
    ser::SerializeMap,
};
use serde_json::Value;

use self::read::Slot;
use crate::{
    protobuf::{self, Fields, Wire},
    time::EventTime,
};

/// What a field tells, and so who may keep it. See [`Sample::retain`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DataClass {
    /// Needed to say where and how far: kept for every product.
    Mileage,
    /// How the car is driven: kept only where the product and the driver's consent allow it.
    Behaviour,
    /// The state of the car and its own crash flags: kept only where behaviour is, since it can betray it.
    Vehicle,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldKind {
    Number,
    Flag,
    /// Four numbers: front left, front right, rear left, rear right.
    Wheels,
    /// A list of SAE J2012 trouble codes.
    Codes,
}

#[derive(Debug, Clone, Copy)]
pub struct Field {
    pub name: &'static str,
    pub unit: &'static str,
    pub class: DataClass,
    pub kind: FieldKind,
    /// Its number in `proto/telemetry.proto`; `ts` has 1. Content hashes are taken over it too, so it never changes.
    pub tag: u8,
}

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

fn wrong<T: FieldValue>(name: &str, given: &Value) -> FieldError {
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

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    #[error("{name}: wanted {wanted}, got {got}")]
    Value {
        name: String,
        wanted: &'static str,
        got: String,
    },
    #[error("ts: wanted an RFC 3339 time such as 2026-01-31T07:15:00.000Z, got {0}")]
    Time(String),
    #[error("ts: every sample needs its time")]
    NoTime,
}

macro_rules! sample {
    ($($name:ident: $type:ty, $unit:literal, $class:ident, $tag:literal;)*) => {
        /// One sample of a vehicle. Units are in the names and in [`FIELDS`].
        #[derive(Debug, Clone, PartialEq)]
        pub struct Sample {
            pub ts: EventTime,
            $(pub $name: Option<$type>,)*
            /// Fields this version does not know: kept and reported, never an error.
            pub extra: BTreeMap<String, Value>,
        }

        /// Every field but `ts`, in the order of the canonical table.
        pub const FIELDS: &[Field] = &[
            $(Field { name: stringify!($name), unit: $unit, class: DataClass::$class, kind: <$type as FieldValue>::KIND, tag: $tag },)*
        ];

        impl Sample {
            /// A sample that knows nothing but its time.
            pub fn at(ts: EventTime) -> Self {
                Self { ts, $($name: None,)* extra: BTreeMap::new() }
            }

            /// Sets a field from JSON; an unknown name goes to `extra`. `null` is unknown.
            pub fn set_json(&mut self, name: &str, value: Value) -> Result<(), FieldError> {
                match name {
                    $(stringify!($name) => {
                        self.$name = match &value {
                            Value::Null => None,
                            given => Some(<$type>::from_json(given).ok_or_else(|| wrong::<$type>(name, given))?),
                        };
                    })*
                    _ => {
                        self.extra.insert(name.to_owned(), value);
                    }
                }
                Ok(())
            }

            /// Sets a field from a CSV cell; an unknown name goes to `extra` as text. An empty cell is unknown.
            pub fn set_text(&mut self, name: &str, text: &str) -> Result<(), FieldError> {
                let text = text.trim();
                if text.is_empty() {
                    return Ok(());
                }
                match name {
                    $(stringify!($name) => {
                        self.$name = Some(<$type>::from_text(text).ok_or_else(|| FieldError::Value {
                            name: name.to_owned(),
                            wanted: <$type as FieldValue>::WANTED,
                            got: short(text),
                        })?);
                    })*
                    _ => {
                        self.extra.insert(name.to_owned(), Value::String(text.to_owned()));
                    }
                }
                Ok(())
            }

            /// A field as JSON, `None` where unknown (or where `name` is no canonical field).
            pub fn get_json(&self, name: &str) -> Option<Value> {
                match name {
                    $(stringify!($name) => self.$name.as_ref().and_then(|v| serde_json::to_value(v).ok()),)*
                    _ => None,
                }
            }

            /// Shows every known field's value with its place in [`FIELDS`].
            pub fn quantities(&self, mut see: impl FnMut(usize, Quantity)) {
                let mut place = 0;
                $(
                    if let Some(value) = &self.$name {
                        see(place, value.to_quantity());
                    }
                    place += 1;
                )*
                debug_assert_eq!(place, FIELDS.len());
            }

            /// Sets a known field from one occurrence of it in a protobuf message; `Ok(false)` where the tag is of none.
            #[inline]
            pub fn merge_wire(&mut self, tag: u32, value: Wire<'_>) -> Result<bool, FieldError> {
                let (read, name, wanted) = match tag {
                    $($tag => (<$type>::merge_wire(&mut self.$name, value), stringify!($name), <$type as FieldValue>::WANTED),)*
                    _ => return Ok(false),
                };
                if read {
                    return Ok(true);
                }
                Err(FieldError::Value { name: name.to_owned(), wanted, got: value.kind().to_owned() })
            }

            /// Appends every known field but `ts` in the form of `proto/telemetry.proto`.
            pub fn write_wire(&self, out: &mut Vec<u8>) {
                $(if let Some(value) = &self.$name {
                    value.write_wire($tag, out);
                })*
            }

            /// Reads the value of a known field where it lies in a text.
            fn read_known<'de, A: MapAccess<'de>>(&mut self, known: Known, map: &mut A) -> Result<(), A::Error> {
                match known {
                    $(Known::$name => self.$name = map.next_value_seed(Slot::<$type>::of(stringify!($name)))?,)*
                }
                Ok(())
            }

            /// Sets every field to what is given for its place in [`FIELDS`]; of another kind than the field's is unknown.
            pub fn set_quantities(&mut self, mut give: impl FnMut(usize) -> Option<Quantity>) {
                let mut place = 0;
                $(
                    self.$name = give(place).and_then(<$type>::from_quantity);
                    place += 1;
                )*
                debug_assert_eq!(place, FIELDS.len());
            }

            /// Forgets every field whose class is not allowed. Unknown fields have no known class, so they stay only
            /// where everything does.
            pub fn retain(&mut self, allowed: impl Fn(DataClass) -> bool) {
                $(if !allowed(DataClass::$class) {
                    self.$name = None;
                })*
                if !(allowed(DataClass::Behaviour) && allowed(DataClass::Vehicle)) {
                    self.extra.clear();
                }
            }

            /// For each field that is unknown here, takes the other's.
            pub fn fill_from(&mut self, other: &Self) {
                $(if self.$name.is_none() {
                    self.$name.clone_from(&other.$name);
                })*
                for (name, value) in &other.extra {
                    self.extra.entry(name.clone()).or_insert_with(|| value.clone());
                }
            }
        }

        /// The known fields by name.
        #[derive(Clone, Copy)]
        #[allow(non_camel_case_types, reason = "named as the fields are")]
        enum Known {
            $($name,)*
        }

        impl Known {
            const ALL: &[Self] = &[$(Self::$name,)*];
        }

        impl Serialize for Sample {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut map = serializer.serialize_map(None)?;
                map.serialize_entry("ts", &self.ts.to_string())?;
                $(if let Some(value) = &self.$name {
                    map.serialize_entry(stringify!($name), value)?;
                })*
                for (name, value) in &self.extra {
                    map.serialize_entry(name, value)?;
                }
                map.end()
            }
        }
    };
}

sample! {
    lat: f64, "degrees WGS 84", Mileage, 2;
    lon: f64, "degrees WGS 84", Mileage, 3;
    hdop: f64, "1", Mileage, 13;
    accuracy_m: f64, "m", Mileage, 16;
    speed_kmh: f64, "km/h", Mileage, 4;
    heading_deg: f64, "degrees, 0 north, clockwise", Behaviour, 5;
    altitude_m: f64, "m", Mileage, 12;
    odometer_km: f64, "km", Mileage, 14;
    engine_hours: f64, "h", Vehicle, 24;
    ignition: bool, "", Mileage, 15;
    belt: bool, "", Behaviour, 27;
    doors_open: bool, "", Vehicle, 28;
    lights_on: bool, "", Behaviour, 29;
    external_power: bool, "", Vehicle, 30;
    accel_x_ms2: f64, "m/s²", Behaviour, 6;
    accel_y_ms2: f64, "m/s²", Behaviour, 7;
    accel_z_ms2: f64, "m/s²", Behaviour, 8;
    gyro_x_rads: f64, "rad/s", Behaviour, 9;
    gyro_y_rads: f64, "rad/s", Behaviour, 10;
    gyro_z_rads: f64, "rad/s", Behaviour, 11;
    brake_pct: f64, "%", Behaviour, 20;
    throttle_pct: f64, "%", Behaviour, 19;
    engine_rpm: f64, "rpm", Behaviour, 18;
    coolant_c: f64, "°C", Vehicle, 23;
    battery_v: f64, "V", Vehicle, 21;
    fuel_pct: f64, "%", Vehicle, 22;
    tyre_kpa: [f64; 4], "kPa", Vehicle, 34;
    rssi_dbm: f64, "dBm", Vehicle, 26;
    satellites: f64, "1", Mileage, 17;
    speed_limit_kmh: f64, "km/h", Behaviour, 25;
    phone_in_use: bool, "", Behaviour, 31;
    airbag: bool, "", Vehicle, 32;
    ecall: bool, "", Vehicle, 33;
    dtc: Vec<String>, "SAE J2012", Vehicle, 35;
}

/// The value given, cut to what a message can bear.
fn short(given: &str) -> String {
    const LONGEST: usize = 60;
    if given.chars().count() <= LONGEST {
        return given.to_owned();
    }
    given.chars().take(LONGEST).chain(['…']).collect()
}

/// Reads an event time as RFC 3339.
pub fn parse_ts(text: &str) -> Result<EventTime, FieldError> {
    if let Some(ts) = read::plain_time(text) {
        return Ok(ts);
    }
    DateTime::parse_from_rfc3339(text.trim())
        .map(|at| EventTime::new(at.with_timezone(&Utc)))
        .map_err(|_| FieldError::Time(short(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_null_and_empty_are_unknown_and_unknown_fields_are_kept() {
        let sample: Sample = serde_json::from_str(
            r#"{"ts":"2026-01-31T07:15:00.1239Z","lat":null,"speed_kmh":12,"ignition":1,"colour":"red","dtc":["P0301"]}"#,
        )
        .unwrap();
        assert_eq!(sample.ts.to_string(), "2026-01-31T07:15:00.123Z");
        assert_eq!(
            (sample.lat, sample.speed_kmh, sample.ignition),
            (None, Some(12.0), Some(true))
        );
        assert_eq!(sample.extra["colour"], "red");
        let again: Sample = serde_json::from_str(&serde_json::to_string(&sample).unwrap()).unwrap();
        assert_eq!(again, sample);
    }

    #[test]
    fn an_error_names_the_field_what_was_given_and_what_was_wanted() {
        let error = serde_json::from_str::<Sample>(r#"{"ts":"2026-01-31T07:15:00Z","lat":"north"}"#).unwrap_err();
        assert!(
            error.to_string().starts_with(r#"lat: wanted a number, got "north""#),
            "{error}"
        );
        assert!(
            serde_json::from_str::<Sample>(r#"{"lat":1}"#)
                .unwrap_err()
                .to_string()
                .contains("needs its time")
        );
        assert!(
            serde_json::from_str::<Sample>(r#"{"ts":5}"#)
                .unwrap_err()
                .to_string()
                .contains("RFC 3339")
        );
    }

    #[test]
    fn what_is_not_allowed_is_forgotten_unknown_fields_with_it() {
        let mut sample: Sample = serde_json::from_str(
            r#"{"ts":"2026-01-31T07:15:00Z","speed_kmh":50,"accel_x_ms2":-4,"airbag":false,"x":1}"#,
        )
        .unwrap();
        sample.retain(|class| class == DataClass::Mileage);
        assert_eq!(
            serde_json::to_string(&sample).unwrap(),
            r#"{"ts":"2026-01-31T07:15:00.000Z","speed_kmh":50.0}"#
        );
    }

    #[test]
    fn csv_cells() {
        let mut sample = Sample::at(parse_ts("2026-01-31T07:15:00Z").unwrap());
        sample.set_text("tyre_kpa", "220 220;230 230").unwrap();
        sample.set_text("ignition", "1").unwrap();
        sample.set_text("lat", "").unwrap();
        assert_eq!(sample.tyre_kpa, Some([220.0, 220.0, 230.0, 230.0]));
        assert_eq!((sample.ignition, sample.lat), (Some(true), None));
        assert!(sample.set_text("lat", "x").is_err());
    }
}
