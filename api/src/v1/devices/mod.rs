//! Devices: in which vehicle each is, and was when.

pub(crate) mod all;
pub(crate) mod create;
pub(crate) mod credentials;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod pair;
pub(crate) mod remove;

use chrono::{DateTime, Utc};
use odograph_domain::id::ExternalRef;
use odograph_store::{DeviceRecord, PairingRecord};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// A device paired with a vehicle.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Device {
    id: Uuid,
    /// The tenant's own name for it; what a batch gives as `device`.
    #[schema(example = "IMEI-356938035643809")]
    external_ref: Option<String>,
    #[schema(example = "obd_dongle")]
    kind: String,
    vehicle: Uuid,
    /// 0 is the most trusted: of two samples with one time and equal fixes, that of the lower rank holds.
    #[schema(example = 0)]
    rank: u8,
    /// Since when it is in the vehicle; null as long as anybody knows.
    from: Option<DateTime<Utc>>,
    /// Exclusive; null while it is.
    to: Option<DateTime<Utc>>,
    /// When that was filed.
    paired_at: DateTime<Utc>,
}

impl Device {
    fn new(device: DeviceRecord, record: &PairingRecord) -> Self {
        Self {
            id: device.id.uuid(),
            external_ref: device.external_ref.map(ExternalRef::into),
            kind: device.kind,
            vehicle: record.pairing.vehicle.uuid(),
            rank: record.pairing.rank,
            from: record.pairing.from,
            to: record.pairing.to,
            paired_at: record.paired_at,
        }
    }
}

/// A device with everywhere it ever was.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RegisteredDevice {
    id: Uuid,
    /// The tenant's own name for it; what a batch gives as `device`.
    #[schema(example = "IMEI-356938035643809")]
    external_ref: Option<String>,
    #[schema(example = "obd_dongle")]
    kind: String,
    /// The vehicle it is in now, if it is in one.
    vehicle: Option<Uuid>,
    /// Earliest first.
    pairings: Vec<DevicePairing>,
    created_at: DateTime<Utc>,
}

/// A stretch of time in which a device was in a vehicle.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DevicePairing {
    vehicle: Uuid,
    /// 0 is the vehicle's most trusted device.
    #[schema(example = 0)]
    rank: u8,
    /// Null: as long as anybody knows.
    from: Option<DateTime<Utc>>,
    /// Exclusive; null while it lasts.
    to: Option<DateTime<Utc>>,
}

impl RegisteredDevice {
    /// `pairings`: of any devices.
    fn new(device: DeviceRecord, pairings: &[PairingRecord], now: DateTime<Utc>) -> Self {
        // One that ended as it began is of nobody's interest.
        let own = || {
            let of_device = pairings.iter().filter(|record| record.device == device.id);
            let stays = of_device.map(|record| record.pairing);
            stays.filter(|pairing| pairing.to.is_none() || pairing.from != pairing.to)
        };
        Self {
            id: device.id.uuid(),
            vehicle: own()
                .find(|pairing| pairing.holds_at(now))
                .map(|pairing| pairing.vehicle.uuid()),
            pairings: own()
                .map(|pairing| DevicePairing {
                    vehicle: pairing.vehicle.uuid(),
                    rank: pairing.rank,
                    from: pairing.from,
                    to: pairing.to,
                })
                .collect(),
            external_ref: device.external_ref.map(ExternalRef::into),
            kind: device.kind,
            created_at: device.created_at,
        }
    }
}
