//! Values of bodies and queries that are checked as they are read. Their errors say what was wanted.

use std::{fmt, str::FromStr};

use chrono::{DateTime, Datelike, NaiveDate, Utc};
use chrono_tz::Tz;
use odograph_domain::id::{ExternalRefError, IdOrRef};
use serde::Deserialize;
use uuid::Uuid;

use crate::problem::shown;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unwanted {
    wanted: &'static str,
    given: String,
}

impl Unwanted {
    pub(crate) fn new(wanted: &'static str, given: &str) -> Self {
        Self {
            wanted,
            given: shown(given).into_owned(),
        }
    }
}

impl fmt::Display for Unwanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "wanted {}, got {:?}", self.wanted, self.given)
    }
}

/// Years that databases, calendars and time zones all hold without surprises.
fn sensible(year: i32) -> bool {
    (1900..=2200).contains(&year)
}

macro_rules! checked {
    ($(#[$doc:meta])* $name:ident($inner:ty), $wanted:literal, $read:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
        #[serde(try_from = "String")]
        pub(crate) struct $name(pub(crate) $inner);

        impl FromStr for $name {
            type Err = Unwanted;

            fn from_str(text: &str) -> Result<Self, Unwanted> {
                let read: fn(&str) -> Option<$inner> = $read;
                read(text).map(Self).ok_or_else(|| Unwanted::new($wanted, text))
            }
        }

        impl TryFrom<String> for $name {
            type Error = Unwanted;

            fn try_from(text: String) -> Result<Self, Unwanted> {
                text.parse()
            }
        }
    };
}

/// A word of a few: read from a query, shown in the document.
macro_rules! choice {
    ($(#[$doc:meta])* $name:ident, $wanted:literal { $($variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub(crate) enum $name {
            $($variant,)*
        }

        impl std::str::FromStr for $name {
            type Err = $crate::extract::value::Unwanted;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($text => Ok(Self::$variant),)*
                    _ => Err($crate::extract::value::Unwanted::new($wanted, text)),
                }
            }
        }
    };
}
pub(crate) use choice;

checked! {
    Day(NaiveDate), "a date such as 2026-01-31, of the years 1900 to 2200",
    |text| {
        let day = (text.len() == 10).then(|| text.parse::<NaiveDate>().ok()).flatten()?;
        sensible(day.year()).then_some(day)
    }
}

checked! {
    Instant(DateTime<Utc>), "an RFC 3339 time such as 2026-01-31T07:15:00Z, of the years 1900 to 2200",
    |text| {
        let at = DateTime::parse_from_rfc3339(text).ok()?.with_timezone(&Utc);
        sensible(at.year()).then_some(at)
    }
}

checked! {
    Zone(Tz), "an IANA time zone such as Europe/Berlin", |text| text.parse().ok()
}

checked! {
    /// A word or a few: what a person reads, in one line.
    Text(String), "1 to 200 characters, none of them control characters, no white space at either end",
    |text| {
        let sound = (1..=200).contains(&text.chars().count()) && text.trim() == text && !text.chars().any(char::is_control);
        sound.then(|| text.to_owned())
    }
}

checked! {
    Vin(String), "a vehicle identification number (ISO 3779): 17 capital letters and digits without I, O and Q",
    |text| {
        let sound = text.len() == 17
            && text.bytes().all(|c| c.is_ascii_digit() || (c.is_ascii_uppercase() && !matches!(c, b'I' | b'O' | b'Q')));
        sound.then(|| text.to_owned())
    }
}

/// An id or an external reference, as a body names a thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Name<T>(pub(crate) IdOrRef<T>);

impl<T: From<Uuid>> FromStr for Name<T> {
    type Err = ExternalRefError;

    fn from_str(text: &str) -> Result<Self, ExternalRefError> {
        text.parse().map(Self)
    }
}

impl<'de, T: From<Uuid>> Deserialize<'de> for Name<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_said_with_what_was_wanted() {
        assert!("2026-01-31".parse::<Day>().is_ok());
        for wrong in [
            "2026-1-31",
            "2026-02-30",
            "+12026-01-01",
            "9999-01-01",
            "",
            "2026-01-3\u{661}",
        ] {
            assert!(wrong.parse::<Day>().is_err(), "{wrong}");
        }
        assert!("2026-01-31T07:15:00+02:00".parse::<Instant>().is_ok());
        let error = "2026-01-31 07:15".parse::<Instant>().unwrap_err().to_string();
        assert_eq!(
            error,
            "wanted an RFC 3339 time such as 2026-01-31T07:15:00Z, of the years 1900 to 2200, got \"2026-01-31 07:15\""
        );
        assert!("0000-01-01T00:00:00Z".parse::<Instant>().is_err());
        assert!("Europe/Berlin".parse::<Zone>().is_ok() && "Berlin".parse::<Zone>().is_err());
        assert!("1HGCM82633A004352".parse::<Vin>().is_ok() && "1HGCM82633A00435I".parse::<Vin>().is_err());
        assert!("Škoda".parse::<Text>().is_ok());
        for wrong in ["", " a", "a\0b", &"x".repeat(201)] {
            assert!(wrong.parse::<Text>().is_err());
        }
    }
}
