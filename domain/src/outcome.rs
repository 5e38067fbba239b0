//! How every message and every sample ends: one named outcome each, counted.
//!
//! For a batch, `accepted + duplicate + rejected = received`, over its samples; a [`Tally`] holds the counts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

macro_rules! named {
    ($(#[$doc:meta])* $type:ident { $($(#[$variant_doc:meta])* $variant:ident = $name:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $type {
            $($(#[$variant_doc])* #[serde(rename = $name)] $variant,)*
        }

        impl $type {
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The stable name: used in counts, dead letters and metrics.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            pub fn parse(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)* _ => None }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}
pub(crate) use named;

named! {
    /// Why a single sample is refused. Judged by the sample alone and the stored time of its arrival, so that any order
    /// of arrival gives the same answer. What needs neighbours is a quality mark inside the trip, not a rejection.
    SampleRejection {
        /// Not an object, a field of the wrong type, no time.
        Malformed = "malformed_sample",
        /// Later than its arrival by more than the allowed clock skew.
        Future = "ts_in_future",
        /// Before the year 2000: a clock that was never set.
        ClockUnset = "ts_before_2000",
        /// Older at arrival than the accepted lateness.
        TooLate = "too_late",
        NotFinite = "not_finite",
        HalfCoordinate = "half_coordinate",
        CoordinateOutOfRange = "coordinate_out_of_range",
        SpeedOutOfRange = "speed_out_of_range",
        HeadingOutOfRange = "heading_out_of_range",
        AccelerationOutOfRange = "acceleration_out_of_range",
        RotationOutOfRange = "rotation_out_of_range",
        OdometerOutOfRange = "odometer_out_of_range",
        /// Any other field beyond what the quantity can be.
        ValueOutOfRange = "value_out_of_range",
        /// Its device was in another vehicle than the one named at that time.
        DeviceElsewhere = "device_elsewhere",
        /// Only its device says which vehicle it is of, and that was in none at that time.
        DeviceUnpaired = "device_unpaired",
    }
}

named! {
    /// Why a whole message is refused.
    MessageRejection {
        Undecodable = "undecodable",
        UnsupportedSchema = "unsupported_schema",
        BadBatch = "bad_batch",
        EmptyBatch = "empty_batch",
        TooManySamples = "too_many_samples",
        UnknownVehicle = "unknown_vehicle",
        UnknownDriver = "unknown_driver",
        UnknownDevice = "unknown_device",
        /// Only its device says which vehicle it is of, and that was in none at any of its times.
        DeviceUnpaired = "device_unpaired",
        /// It came by a credential that had been revoked, or may not send any more, by the time it was read.
        SenderRevoked = "sender_revoked",
        /// It came by a device's credential and says to be of another device, or of a vehicle that the device was never in.
        ForeignDevice = "foreign_device",
        /// The same vehicle and batch id as before with other content.
        BatchConflict = "batch_conflict",
        /// Each attempt to process it failed.
        Poison = "poison",
    }
}

named! {
    /// How a message ends.
    MessageOutcome {
        Accepted = "accepted",
        /// Accepted, with some samples rejected.
        AcceptedInPart = "accepted_in_part",
        Duplicate = "duplicate",
        /// The same message from the queue again, after a commit that was not acknowledged: counted the first time.
        Redelivered = "redelivered",
        Rejected = "rejected",
    }
}

impl MessageOutcome {
    /// How a message ends whose parts, each of a vehicle, end so.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        match (self, other) {
            (one, other) if one == other => one,
            (Self::Redelivered, other) | (other, Self::Redelivered) => other,
            (Self::Duplicate, other) | (other, Self::Duplicate) => other,
            _ => Self::AcceptedInPart,
        }
    }
}

/// Counts of samples by how they ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    pub received: u64,
    pub accepted: u64,
    pub duplicate: u64,
    /// By the name of the [`SampleRejection`] or, where the whole message was refused, [`MessageRejection`].
    pub rejected: BTreeMap<String, u64>,
}

impl Tally {
    pub fn rejected_total(&self) -> u64 {
        self.rejected.values().sum()
    }

    /// Whether nothing was lost: accepted + duplicate + rejected = received.
    pub fn balances(&self) -> bool {
        self.accepted + self.duplicate + self.rejected_total() == self.received
    }

    /// A message may be refused without a sample to count: its reason is named all the same.
    pub fn reject(&mut self, reason: &str, samples: u64) {
        *self.rejected.entry(reason.to_owned()).or_default() += samples;
    }

    pub fn merge(&mut self, other: &Self) {
        self.received += other.received;
        self.accepted += other.accepted;
        self.duplicate += other.duplicate;
        for (reason, samples) in &other.rejected {
            *self.rejected.entry(reason.clone()).or_default() += samples;
        }
    }
}
