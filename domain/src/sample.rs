//! One row of telemetry, in the canonical form.
//!
//! The table below is the single list of fields: JSON decoding, CSV columns, the raw block format and what a product
//! may keep all follow it. A field that is absent or empty is unknown, never zero.

mod read;
mod value;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize, Serializer, de::MapAccess, ser::SerializeMap};
use serde_json::Value;

use self::{read::Slot, value::wrong};
use crate::{protobuf::Wire, time::EventTime};

pub use self::value::{FieldValue, Quantity};

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
