//! The lists of a batch, counted and looked through for the car's own crash flags without decoding a sample.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

/// The samples: counted, and looked through for the car's own crash flags.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Samples {
    pub(super) is_list: bool,
    pub(super) count: usize,
    /// Whether one of them has `airbag` or `ecall`.
    pub(super) crash: bool,
}

#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Impacts {
    pub(super) is_list: bool,
    pub(super) count: usize,
}

/// Visits whatever there is: a list is looked into, anything else is passed over, since what is wrong with a sample or an
/// impact must not sink the batch here.
macro_rules! pass_over_scalars {
    () => {
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("any value")
        }

        fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }

        fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }

        fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }

        fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }

        fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }
    };
}

impl<'de> Deserialize<'de> for Samples {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;

        impl<'de> Visitor<'de> for List {
            type Value = Samples;

            pass_over_scalars!();

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Samples, A::Error> {
                let mut samples = Samples {
                    is_list: true,
                    ..Samples::default()
                };
                while let Some(crash) = list.next_element_seed(SampleLook)? {
                    samples.count += 1;
                    samples.crash |= crash;
                }
                Ok(samples)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Samples, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Samples::default())
            }
        }

        deserializer.deserialize_any(List)
    }
}

impl<'de> Deserialize<'de> for Impacts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;

        impl<'de> Visitor<'de> for List {
            type Value = Impacts;

            pass_over_scalars!();

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Impacts, A::Error> {
                let mut impacts = Impacts {
                    is_list: true,
                    count: 0,
                };
                while list.next_element::<IgnoredAny>()?.is_some() {
                    impacts.count += 1;
                }
                Ok(impacts)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Impacts, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Impacts::default())
            }
        }

        deserializer.deserialize_any(List)
    }
}

/// One sample: whether a crash flag of it is set.
struct SampleLook;

impl<'de> DeserializeSeed<'de> for SampleLook {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for SampleLook {
    type Value = bool;

    pass_over_scalars!();

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<bool, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(false)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
        let mut crash = false;
        while let Some(IsCrashFlag(is_flag)) = map.next_key()? {
            if is_flag {
                let value: &RawValue = map.next_value().map_err(A::Error::custom)?;
                // As `Sample` reads flags: true, or a number that is 1.
                crash |= value.get() == "true" || value.get().parse() == Ok(1.0);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(crash)
    }
}

/// Whether a field's name is that of a crash flag. Reads the name where it lies.
struct IsCrashFlag(bool);

impl<'de> Deserialize<'de> for IsCrashFlag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;

        impl Visitor<'_> for Name {
            type Value = IsCrashFlag;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a field's name")
            }

            fn visit_str<E>(self, name: &str) -> Result<IsCrashFlag, E> {
                Ok(IsCrashFlag(matches!(name, "airbag" | "ecall")))
            }
        }

        deserializer.deserialize_str(Name)
    }
}
