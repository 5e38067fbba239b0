//! One row of telemetry, in the canonical form.
//!
//! The table below is the single list of fields: JSON decoding, CSV columns, the raw block format and what a product
//! may keep all follow it. A field that is absent or empty is unknown, never zero.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use chrono::{DateTime, Utc};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error as _, MapAccess, Visitor},
    ser::SerializeMap,
};
use serde_json::Value;

use crate::time::EventTime;

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
    ($($name:ident: $type:ty, $unit:literal, $class:ident;)*) => {
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
            $(Field { name: stringify!($name), unit: $unit, class: DataClass::$class, kind: <$type as FieldValue>::KIND },)*
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
                            given => Some(<$type>::from_json(given).ok_or_else(|| FieldError::Value {
                                name: name.to_owned(),
                                wanted: <$type as FieldValue>::WANTED,
                                got: short(&given.to_string()),
                            })?),
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
    lat: f64, "degrees WGS 84", Mileage;
    lon: f64, "degrees WGS 84", Mileage;
    hdop: f64, "1", Mileage;
    accuracy_m: f64, "m", Mileage;
    speed_kmh: f64, "km/h", Mileage;
    heading_deg: f64, "degrees, 0 north, clockwise", Behaviour;
    altitude_m: f64, "m", Mileage;
    odometer_km: f64, "km", Mileage;
    engine_hours: f64, "h", Vehicle;
    ignition: bool, "", Mileage;
    belt: bool, "", Behaviour;
    doors_open: bool, "", Vehicle;
    lights_on: bool, "", Behaviour;
    external_power: bool, "", Vehicle;
    accel_x_ms2: f64, "m/s²", Behaviour;
    accel_y_ms2: f64, "m/s²", Behaviour;
    accel_z_ms2: f64, "m/s²", Behaviour;
    gyro_x_rads: f64, "rad/s", Behaviour;
    gyro_y_rads: f64, "rad/s", Behaviour;
    gyro_z_rads: f64, "rad/s", Behaviour;
    brake_pct: f64, "%", Behaviour;
    throttle_pct: f64, "%", Behaviour;
    engine_rpm: f64, "rpm", Behaviour;
    coolant_c: f64, "°C", Vehicle;
    battery_v: f64, "V", Vehicle;
    fuel_pct: f64, "%", Vehicle;
    tyre_kpa: [f64; 4], "kPa", Vehicle;
    rssi_dbm: f64, "dBm", Vehicle;
    satellites: f64, "1", Mileage;
    speed_limit_kmh: f64, "km/h", Behaviour;
    phone_in_use: bool, "", Behaviour;
    airbag: bool, "", Vehicle;
    ecall: bool, "", Vehicle;
    dtc: Vec<String>, "SAE J2012", Vehicle;
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
    DateTime::parse_from_rfc3339(text.trim())
        .map(|at| EventTime::new(at.with_timezone(&Utc)))
        .map_err(|_| FieldError::Time(short(text)))
}

/// A field's name, taken from the text itself where it stands there as it is: one is read for every value.
struct Name<'de>(Cow<'de, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;

        impl<'de> Visitor<'de> for NameVisitor {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a field's name")
            }

            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(name)))
            }

            fn visit_str<E>(self, name: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(name.to_owned())))
            }
        }

        deserializer.deserialize_str(NameVisitor)
    }
}

impl<'de> Deserialize<'de> for Sample {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SampleVisitor;

        impl<'de> Visitor<'de> for SampleVisitor {
            type Value = Sample;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a sample: an object with at least `ts`")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Sample, A::Error> {
                let mut sample = Sample::at(EventTime::new(DateTime::UNIX_EPOCH));
                let mut has_time = false;
                while let Some(Name(name)) = map.next_key()? {
                    let value: Value = map.next_value()?;
                    if name == "ts" {
                        let text = value
                            .as_str()
                            .ok_or_else(|| FieldError::Time(short(&value.to_string())));
                        sample.ts = text.and_then(parse_ts).map_err(A::Error::custom)?;
                        has_time = true;
                    } else {
                        sample.set_json(&name, value).map_err(A::Error::custom)?;
                    }
                }
                if has_time {
                    Ok(sample)
                } else {
                    Err(A::Error::custom(FieldError::NoTime))
                }
            }
        }

        deserializer.deserialize_map(SampleVisitor)
    }
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
