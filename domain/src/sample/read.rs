//! Samples from text, in one pass: names are found by hash, times read by their digits, numbers taken as they come.

use std::{borrow::Cow, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error as _, MapAccess, Visitor},
};

use super::{FIELDS, FieldError, FieldValue, Known, Sample, parse_ts, short};
use crate::time::EventTime;

/// A known field's value, with the name that an error would give.
pub(super) struct Slot<T> {
    name: &'static str,
    of: PhantomData<T>,
}

impl<T> Slot<T> {
    pub(super) fn of(name: &'static str) -> Self {
        Self { name, of: PhantomData }
    }
}

impl<'de, T: FieldValue> DeserializeSeed<'de> for Slot<T> {
    type Value = Option<T>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<T>, D::Error> {
        T::read(self.name, deserializer)
    }
}

const SLOTS: usize = 256;
const NO_FIELD: u8 = u8::MAX;

/// Of what tells the names apart: their length, the first letter, the two in the middle and the last.
const fn slot_of(name: &[u8], seed: u64) -> usize {
    let length = name.len();
    let middle = length / 2;
    let next = if middle + 1 < length { middle + 1 } else { middle };
    let letters = [
        name[0],
        name[middle],
        name[next],
        name[length - 1],
        length as u8,
        0,
        0,
        0,
    ];
    (u64::from_le_bytes(letters).wrapping_mul(seed) >> 56) as usize
}

/// The seed under which no two names share a slot, and each name's place in [`FIELDS`] by its slot. Found while compiling.
const NAMES: (u64, [u8; SLOTS]) = {
    let mut seed: u64 = 0x9e37_79b9_7f4a_7c15;
    'seeds: loop {
        let mut slots = [NO_FIELD; SLOTS];
        let mut place = 0;
        while place < FIELDS.len() {
            let slot = slot_of(FIELDS[place].name.as_bytes(), seed);
            if slots[slot] != NO_FIELD {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(2) | 1;
                continue 'seeds;
            }
            slots[slot] = place as u8;
            place += 1;
        }
        break (seed, slots);
    }
};

fn known(name: &str) -> Option<Known> {
    const { assert!(FIELDS.len() < NO_FIELD as usize) };
    static SLOTS_BY_NAME: [u8; SLOTS] = NAMES.1;
    if name.is_empty() {
        return None;
    }
    let place = usize::from(SLOTS_BY_NAME[slot_of(name.as_bytes(), NAMES.0)]);
    (FIELDS.get(place)?.name == name).then(|| Known::ALL[place])
}

/// A field's name, taken from the text itself where it stands there as it is: one is read for every value.
enum Name<'de> {
    Time,
    Known(Known),
    Unknown(Cow<'de, str>),
}

impl<'de> Name<'de> {
    fn of(name: Cow<'de, str>) -> Self {
        match known(&name) {
            Some(known) => Self::Known(known),
            None if name == "ts" => Self::Time,
            None => Self::Unknown(name),
        }
    }
}

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;

        impl<'de> Visitor<'de> for NameVisitor {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a field's name")
            }

            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Name<'de>, E> {
                Ok(Name::of(Cow::Borrowed(name)))
            }

            fn visit_str<E>(self, name: &str) -> Result<Name<'de>, E> {
                Ok(Name::of(Cow::Owned(name.to_owned())))
            }
        }

        deserializer.deserialize_str(NameVisitor)
    }
}

/// The time of a sample.
struct Time(EventTime);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TimeVisitor;

        fn wrong<T, E: serde::de::Error>(given: &str) -> Result<T, E> {
            Err(E::custom(FieldError::Time(short(given))))
        }

        impl Visitor<'_> for TimeVisitor {
            type Value = Time;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("ts: an RFC 3339 time")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Time, E> {
                parse_ts(text).map(Time).map_err(E::custom)
            }

            fn visit_u64<E: serde::de::Error>(self, given: u64) -> Result<Time, E> {
                wrong(&given.to_string())
            }

            fn visit_i64<E: serde::de::Error>(self, given: i64) -> Result<Time, E> {
                wrong(&given.to_string())
            }

            fn visit_f64<E: serde::de::Error>(self, given: f64) -> Result<Time, E> {
                wrong(&given.to_string())
            }
        }

        deserializer.deserialize_any(TimeVisitor)
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
                let mut sample = Sample::at(EventTime::new(chrono::DateTime::UNIX_EPOCH));
                let mut has_time = false;
                while let Some(name) = map.next_key()? {
                    match name {
                        Name::Time => {
                            Time(sample.ts) = map.next_value()?;
                            has_time = true;
                        }
                        Name::Known(known) => sample.read_known(known, &mut map)?,
                        Name::Unknown(name) => {
                            sample.extra.insert(name.into_owned(), map.next_value()?);
                        }
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

/// A time written the plain way, `2026-01-31T07:15:00Z` with up to nine digits of a second's fraction. Anything else is left to
/// the full reader, sound or not.
pub(super) fn plain_time(text: &str) -> Option<EventTime> {
    let (bytes, last) = text.as_bytes().split_last_chunk::<1>()?;
    let (second, fraction) = bytes.split_first_chunk::<19>()?;
    let separated = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if last != b"Z" || separated.iter().any(|(at, wanted)| second[*at] != *wanted) {
        return None;
    }
    let number = |from: usize, digits: usize| {
        second[from..from + digits].iter().try_fold(0_i64, |sum, byte| {
            byte.is_ascii_digit().then(|| sum * 10 + i64::from(byte - b'0'))
        })
    };
    let (year, month, day) = (number(0, 4)?, number(5, 2)?, number(8, 2)?);
    let (hour, minute, s) = (number(11, 2)?, number(14, 2)?, number(17, 2)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => 31,
    };
    if !(1..=12).contains(&month) || !(1..=days).contains(&day) || hour > 23 || minute > 59 || s > 59 {
        return None;
    }
    let ms = match fraction {
        [] => 0,
        [b'.', digits @ ..] if (1..=9).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit) => {
            // Further digits are cut off, as everywhere.
            (0..3).fold(0, |sum, place| {
                sum * 10 + i64::from(digits.get(place).map_or(0, |byte| byte - b'0'))
            })
        }
        _ => return None,
    };
    let seconds = (days_since_1970(year, month, day) * 24 + hour) * 3600 + minute * 60 + s;
    EventTime::from_millis(seconds * 1000 + ms)
}

/// Days of the proleptic Gregorian calendar, counted in years that begin in March so that the leap day comes last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month > 2 { year } else { year - 1 };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_name_is_found_and_no_other() {
        for (place, field) in FIELDS.iter().enumerate() {
            assert_eq!(
                known(field.name).map(|known| known as usize),
                Some(place),
                "{}",
                field.name
            );
        }
        for other in ["", "t", "ts", "speed", "speed_kmH", "lat ", "dtd", "\u{0}"] {
            assert!(known(other).is_none(), "{other}");
        }
    }

    #[test]
    fn wrong_times_are_left_to_the_full_reader() {
        for text in [
            "",
            "Z",
            "2026-01-31T07:15:00",
            "2026-02-29T07:15:00Z",
            "2026-13-01T07:15:00Z",
            "2026-00-01T07:15:00Z",
            "2026-01-31T24:00:00Z",
            "2026-01-31T07:15:60Z",
            "2026-01-31T07:15:00.Z",
            "2026-01-31T07:15:00.1234567890Z",
            "2026-01-31T07:15:00+01:00",
            "2026-01-31t07:15:00Z",
            "+026-01-31T07:15:00Z",
        ] {
            assert_eq!(plain_time(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn plain_times_read_as_the_full_reader_reads_them(ms in -62_135_596_800_000_i64..253_402_300_800_000, digits in 0..=9_usize) {
            let at = chrono::DateTime::from_timestamp_millis(ms).unwrap();
            let mut text = at.format("%Y-%m-%dT%H:%M:%S").to_string();
            if digits > 0 {
                text.push_str(&format!(".{:09}", at.timestamp_subsec_nanos())[..=digits]);
            }
            text.push('Z');
            let wanted = chrono::DateTime::parse_from_rfc3339(&text).unwrap();
            prop_assert_eq!(plain_time(&text), Some(EventTime::new(wanted.to_utc())));
        }
    }
}
