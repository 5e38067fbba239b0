//! Devices and the vehicles they are in, by date.

use chrono::{DateTime, Utc};

use crate::id::{DeviceId, VehicleId};

/// A stretch of time in which a device is in a vehicle. A device is in one vehicle at a time; a vehicle can have several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pairing {
    pub vehicle: VehicleId,
    /// 0 is the vehicle's most trusted device.
    pub rank: u8,
    /// `None`: as long as anybody knows.
    pub from: Option<DateTime<Utc>>,
    /// Exclusive; `None` while it lasts.
    pub to: Option<DateTime<Utc>>,
}

impl Pairing {
    pub fn holds_at(&self, at: DateTime<Utc>) -> bool {
        self.from.is_none_or(|from| from <= at) && self.to.is_none_or(|to| at < to)
    }
}

/// A device with everywhere it ever was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairedDevice {
    pub id: DeviceId,
    /// By their beginnings; they do not overlap.
    pub pairings: Vec<Pairing>,
}

impl PairedDevice {
    pub fn at(&self, at: DateTime<Utc>) -> Option<&Pairing> {
        self.pairings.iter().find(|pairing| pairing.holds_at(at))
    }
}
