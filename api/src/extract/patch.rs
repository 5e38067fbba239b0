//! Updates of some fields, as in a JSON merge patch (RFC 7396): absent leaves a field as it is, null empties it.

use serde::{Deserialize, Deserializer};

/// What a merge patch says of one field that may be empty. Give the field `#[serde(default)]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Change<T> {
    #[default]
    Keep,
    Empty,
    Set(T),
}

impl<T> Change<T> {
    pub(crate) fn map<U>(self, with: impl FnOnce(T) -> U) -> Change<U> {
        match self {
            Self::Keep => Change::Keep,
            Self::Empty => Change::Empty,
            Self::Set(value) => Change::Set(with(value)),
        }
    }

    pub(crate) fn apply(self, field: &mut Option<T>) {
        match self {
            Self::Keep => {}
            Self::Empty => *field = None,
            Self::Set(value) => *field = Some(value),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Change<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(deserializer)?.map_or(Self::Empty, Self::Set))
    }
}

/// For a field that can be changed and not emptied: `#[serde(default, deserialize_with = "patch::not_null")]`.
pub(crate) fn not_null<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct Patch {
        #[serde(default)]
        year: Change<i32>,
        #[serde(default, deserialize_with = "not_null")]
        name: Option<String>,
    }

    #[test]
    fn absent_null_and_a_value_are_three_things() {
        let read = |text: &str| serde_json::from_str::<Patch>(text).unwrap().year;
        assert_eq!(read("{}"), Change::Keep);
        assert_eq!(read(r#"{"year":null}"#), Change::Empty);
        assert_eq!(read(r#"{"year":2024}"#), Change::Set(2024));
        let named = |text: &str| serde_json::from_str::<Patch>(text).map(|patch| patch.name);
        assert_eq!(named("{}").unwrap(), None);
        assert_eq!(named(r#"{"name":"a"}"#).unwrap(), Some("a".to_owned()));
        assert!(named(r#"{"name":null}"#).is_err());
        let mut field = Some(1);
        Change::Keep.apply(&mut field);
        assert_eq!(field, Some(1));
        Change::Set(2).apply(&mut field);
        assert_eq!(field, Some(2));
        Change::Empty.apply(&mut field);
        assert_eq!(field, None);
    }
}
