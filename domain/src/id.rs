//! Own ids (UUIDv7, one type each so that they cannot be swapped) and the tenant's own names for things.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => { $(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            pub const fn from_uuid(id: Uuid) -> Self {
                Self(id)
            }

            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }

        impl From<$name> for Uuid {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
    )* };
}

ids! {
    TenantId,
    /// An API client: a machine that holds credentials of one tenant.
    ClientId,
    DriverId,
    VehicleId,
    DeviceId,
    /// What a device logs in to the broker as.
    DeviceCredentialId,
    AssignmentId,
    PairingId,
    TransferId,
    OdometerChangeId,
    FleetId,
    GroupId,
    PolicyId,
    PolicyChangeId,
    RatingPlanId,
    MessageId,
    BlockId,
    TripId,
    EventId,
    PremiumId,
    QuoteId,
    CorrectionId,
    DeadLetterId,
    WorkerId,
    PublisherId,
}

/// Where new ids come from. The composition root gives UUIDv7; tests give a sequence.
pub trait IdSource: Send + Sync {
    fn uuid(&self) -> Uuid;

    /// A new id of the type asked for: `let trip: TripId = ids.next();`
    fn next<T: From<Uuid>>(&self) -> T
    where
        Self: Sized,
    {
        T::from(self.uuid())
    }
}

/// A tenant's own name for a vehicle, driver, device or policy, unique within tenant and kind.
///
/// 1 to 128 characters, none of them control characters, no white space at either end, and not of the form of a
/// UUID: wherever an id is accepted a reference is too, and the two must never be mistaken for each other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ExternalRef(String);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExternalRefError {
    #[error("an external reference has 1 to 128 characters, this one has {0}")]
    Length(usize),
    #[error("an external reference has no control characters and no white space at its ends, got {0:?}")]
    Characters(String),
    #[error("an external reference must not look like a UUID, got {0}")]
    LooksLikeId(String),
}

impl ExternalRef {
    pub fn parse(text: impl Into<String>) -> Result<Self, ExternalRefError> {
        let text = text.into();
        let length = text.chars().count();
        if length == 0 || length > 128 {
            return Err(ExternalRefError::Length(length));
        }
        if text.chars().any(char::is_control) || text.trim() != text {
            return Err(ExternalRefError::Characters(text));
        }
        if Uuid::try_parse(&text).is_ok() {
            return Err(ExternalRefError::LooksLikeId(text));
        }
        Ok(Self(text))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ExternalRef {
    type Error = ExternalRefError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(text)
    }
}

impl From<ExternalRef> for String {
    fn from(reference: ExternalRef) -> Self {
        reference.0
    }
}

impl FromStr for ExternalRef {
    type Err = ExternalRefError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl fmt::Display for ExternalRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Either an own id or an external reference, as a caller gave it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum IdOrRef<T> {
    Id(T),
    Ref(ExternalRef),
}

impl<T: From<Uuid>> FromStr for IdOrRef<T> {
    type Err = ExternalRefError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match Uuid::try_parse(text) {
            Ok(id) => Ok(Self::Id(T::from(id))),
            Err(_) => ExternalRef::parse(text).map(Self::Ref),
        }
    }
}

impl<T: Copy> IdOrRef<T> {
    pub fn id(&self) -> Option<T> {
        match self {
            Self::Id(id) => Some(*id),
            Self::Ref(_) => None,
        }
    }
}

impl<T: fmt::Display> fmt::Display for IdOrRef<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Ref(reference) => reference.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_never_mistaken_for_an_id() {
        let id = "0192f0c1-2f6b-7c3a-8a55-0d9f6f4f2a10";
        assert_eq!(ExternalRef::parse(id), Err(ExternalRefError::LooksLikeId(id.into())));
        assert!(matches!(id.parse::<IdOrRef<VehicleId>>(), Ok(IdOrRef::Id(_))));
        assert!(matches!("nds-1".parse::<IdOrRef<VehicleId>>(), Ok(IdOrRef::Ref(_))));
    }

    #[test]
    fn references_are_bounded_and_printable() {
        assert_eq!(ExternalRef::parse(""), Err(ExternalRefError::Length(0)));
        assert!(ExternalRef::parse("ü".repeat(128)).is_ok());
        assert_eq!(ExternalRef::parse("x".repeat(129)), Err(ExternalRefError::Length(129)));
        assert!(ExternalRef::parse(" a").is_err());
        assert!(ExternalRef::parse("a\nb").is_err());
        assert!(serde_json::from_str::<ExternalRef>("\"\"").is_err());
    }
}
