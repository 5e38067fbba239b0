//! What a batch names (drivers, its device) and what follows for which vehicle its samples are of.

use std::collections::BTreeMap;

use odograph_domain::{
    device::PairedDevice,
    id::{DriverId, VehicleId},
    intake::KnownDriver,
    outcome::SampleRejection,
    time::EventTime,
};

use crate::decode::Decoded;

/// What a batch names, as far as it is known.
#[derive(Debug, Default)]
pub struct Named {
    /// Every name of [`Decoded::drivers`] that was resolved.
    pub drivers: BTreeMap<String, KnownDriver>,
    pub device: Option<PairedDevice>,
}

impl Named {
    /// The device, if anything is known of where it was.
    fn paired(&self) -> Option<&PairedDevice> {
        self.device.as_ref().filter(|device| !device.pairings.is_empty())
    }

    /// The vehicles whose samples a batch holds that names its device only, that of the earliest sample first.
    pub fn vehicles(&self, decoded: &Decoded) -> Vec<VehicleId> {
        let Some(device) = self.paired() else {
            return Vec::new();
        };
        let samples = decoded.samples.iter().map(|sample| match sample {
            Ok(sample) => Some(sample.ts),
            Err(bad) => bad.ts,
        });
        let impacts = decoded.impacts.iter().map(|impact| match impact {
            Ok(impact) => Some(impact.trigger_ts),
            Err(bad) => bad.ts,
        });
        let mut times: Vec<EventTime> = samples.chain(impacts).flatten().collect();
        times.sort_unstable();
        let mut vehicles = Vec::new();
        for pairing in times.iter().filter_map(|ts| device.at(ts.utc())) {
            if !vehicles.contains(&pairing.vehicle) {
                vehicles.push(pairing.vehicle);
            }
        }
        vehicles
    }

    /// Where the device was at a time, seen from a vehicle.
    pub(super) fn place(&self, decoded: &Decoded, vehicle: VehicleId, ts: EventTime) -> Place {
        let Some(device) = self.paired() else {
            // Nothing said: the vehicle's first device. One that nothing is known of is trusted less than any that is paired.
            return Place::Here(if decoded.device.is_none() { 0 } else { u8::MAX });
        };
        match device.at(ts.utc()) {
            Some(pairing) if pairing.vehicle == vehicle => Place::Here(pairing.rank),
            Some(_) => Place::Elsewhere,
            None => Place::Nowhere,
        }
    }
}

/// Which part of a batch is judged: all of it, of the vehicle it names; or, of one that names its device only, what is of one
/// of the vehicles the device was in. The leading part answers for what is of none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Whole,
    Leading,
    Following,
}

impl Part {
    /// Whether this part answers for what lies there; `None` where its time could not be read.
    pub(super) fn answers_for(self, place: Option<Place>) -> bool {
        match (self, place) {
            (Self::Whole, _) | (_, Some(Place::Here(_))) => true,
            (Self::Leading, None | Some(Place::Nowhere)) => true,
            (Self::Leading, Some(Place::Elsewhere)) | (Self::Following, _) => false,
        }
    }
}

/// The driver a batch or sample names, unless they had left by then.
pub(super) fn driver_then(named: Option<KnownDriver>, ts: EventTime) -> Option<DriverId> {
    let here = |driver: &KnownDriver| driver.left_at.is_none_or(|left| ts.utc() < left);
    named.filter(here).map(|driver| driver.id)
}

/// Where a device was when it recorded something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In the vehicle in hand, with this rank among its devices.
    Here(u8),
    Elsewhere,
    Nowhere,
}

impl Place {
    /// Why something recorded there is not of the vehicle in hand; `None` where it is.
    pub(super) fn refusal(self) -> Option<(SampleRejection, &'static str)> {
        match self {
            Self::Here(_) => None,
            Self::Elsewhere => Some((
                SampleRejection::DeviceElsewhere,
                "device: wanted one that is in this vehicle at that time, got one that is in another",
            )),
            Self::Nowhere => Some((
                SampleRejection::DeviceUnpaired,
                "device: wanted one that is in a vehicle at that time, got one that is in none",
            )),
        }
    }
}
