//! Devices, as paired with a vehicle.

pub(crate) mod create;
pub(crate) mod list;

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
    paired_at: DateTime<Utc>,
}

impl Device {
    fn new(device: DeviceRecord, pairing: &PairingRecord) -> Self {
        Self {
            id: device.id.uuid(),
            external_ref: device.external_ref.map(ExternalRef::into),
            kind: device.kind,
            vehicle: pairing.vehicle.uuid(),
            rank: pairing.rank,
            paired_at: pairing.paired_at,
        }
    }
}
