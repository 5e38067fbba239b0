//! A generated fleet: drivers with habits and temperaments, in a generated world, under physics, with devices of every
//! quality. `docs/simulator.md` says what is modelled and what is not.
//!
//! It stands in for devices where there are none: in `odograph simulate`, in the demo and in tests. Everything follows
//! from the spec: the same spec gives the same bytes. Every vehicle has random streams of its own, so that a larger fleet
//! begins with the smaller; uploads and claims have theirs too, so that the same drives can be sent cleanly or badly.

mod claims;
mod device;
mod driver;
mod habits;
mod life;
mod math;
mod motion;
mod path;
mod scenario;
mod spec;
mod truth;
mod upload;
mod world;

use odograph_domain::{
    batch::{AccelFrame, Gravity, Impact},
    policy::Product,
    sample::Sample,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

pub(crate) use self::habits::utc as local_time;
pub use self::{
    claims::{Claim, Risk},
    device::{DeviceKind, OdometerKind},
    driver::Style,
    scenario::{Scenario, ScenarioFile, TheftKind, TrueScenario, Which},
    spec::{FleetSpec, Mix, Period, Rates},
    truth::{EventKind, TrueEvent, TrueTrip},
    upload::GeneratedBatch,
    world::Centre,
};
use self::{device::Device, driver::Driver, life::Life, world::World};

/// Of the generator: part of a spec's hash, since other code makes other bytes.
pub const VERSION: u32 = 2;

/// One vehicle, who drives it, what its device sends, and what really happened.
#[derive(Debug, Clone, PartialEq)]
pub struct GeneratedVehicle {
    pub external_ref: String,
    pub product: Product,
    pub driver: GeneratedDriver,
    pub device: GeneratedDevice,
    /// In the order they are sent: some twice, some late.
    pub batches: Vec<GeneratedBatch>,
    /// The truth, in order of time.
    pub trips: Vec<TrueTrip>,
    pub events: Vec<TrueEvent>,
    pub claims: Vec<Claim>,
    pub happened: Option<TrueScenario>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct GeneratedDriver {
    pub external_ref: String,
    pub name: String,
    pub style: Style,
    pub risk: Risk,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GeneratedDevice {
    pub kind: DeviceKind,
    pub odometer: OdometerKind,
    /// What wheels and odometer count for a true metre.
    pub wheel_gain: f64,
    pub accel_frame: AccelFrame,
}

impl GeneratedVehicle {
    /// The batch as a device would post it: the canonical JSON form.
    pub fn body(&self, batch: &GeneratedBatch) -> serde_json::Result<Vec<u8>> {
        #[derive(Serialize)]
        struct Body<'a> {
            schema: u8,
            batch_id: &'a str,
            vehicle: &'a str,
            accel_frame: AccelFrame,
            gravity: Gravity,
            samples: &'a [Sample],
            #[serde(skip_serializing_if = "<[Impact]>::is_empty")]
            impacts: &'a [Impact],
        }

        serde_json::to_vec(&Body {
            schema: 1,
            batch_id: &batch.batch_id,
            vehicle: &self.external_ref,
            accel_frame: self.device.accel_frame,
            gravity: Gravity::Included,
            samples: &batch.samples,
            impacts: &batch.impacts,
        })
    }
}

/// A fleet whose world is there; its vehicles are made one by one, in any order.
#[derive(Debug)]
pub struct Fleet {
    spec: FleetSpec,
    world: World,
}

impl Fleet {
    pub fn new(spec: FleetSpec) -> Self {
        let world = World::generate(&mut stream(spec.seed, 0, Stream::Life));
        Self { spec, world }
    }

    pub fn spec(&self) -> &FleetSpec {
        &self.spec
    }

    /// The vehicle of this index, from 0.
    pub fn vehicle(&self, index: usize) -> GeneratedVehicle {
        let (spec, number) = (&self.spec, index + 1);
        let rng = |kind| stream(spec.seed, number as u64, kind);
        let external_ref = spec.vehicle_ref(number);
        let mut life_rng = rng(Stream::Life);
        let driver = Driver::generate(index, &self.world, &mut life_rng);
        let mut device_rng = rng(Stream::Device);
        let kind = spec.mix.at(device_rng.random_range(0..spec.mix.total().max(1)));
        let (begins, _) = spec.period.bounds(spec.time_zone);
        // It has been parked for a while.
        let parked_since = begins - chrono::TimeDelta::hours(1);
        let home = (spec.centre, self.world.node(driver.home()));
        let device = Device::new(kind, home, parked_since, (spec.rates, spec.every_ms), device_rng);
        let mine = |scenario: &&Scenario| scenario.vehicle().is(number, &external_ref);
        let scenario = spec.scenarios.iter().find(mine).cloned();
        let mut life = Life::new(spec, (&self.world, &driver), device, scenario, life_rng);
        life.live(&external_ref);
        let mut claims_rng = rng(Stream::Claims);
        let risk = Risk::of(&driver.temper, driver.annual_km(&self.world), &mut claims_rng);
        let claims = risk.claims(begins, spec.claims_history_years, &life.trips, &mut claims_rng);
        life.events.sort_by_key(|event| (event.start, event.kind));
        GeneratedVehicle {
            // Every fourth insures by distance alone, and whoever has a device for it.
            product: if index % 4 == 3 || kind == DeviceKind::Mileage {
                Product::Payd
            } else {
                Product::Phyd
            },
            device: GeneratedDevice {
                kind,
                odometer: life.device.odometer,
                wheel_gain: life.device.wheel_gain,
                accel_frame: life.device.accel_frame(),
            },
            driver: GeneratedDriver {
                external_ref: spec.driver_ref(number),
                name: driver.name.clone(),
                style: driver.temper.style,
                risk,
            },
            batches: upload::send(&external_ref, life.stretches, &spec.rates, rng(Stream::Uploads)),
            trips: life.trips,
            events: life.events,
            claims,
            happened: life.happened,
            external_ref,
        }
    }
}

/// Generates a fleet, one vehicle at a time: a fortnight of one is some tens of thousands of samples.
pub fn generate(spec: &FleetSpec) -> impl Iterator<Item = GeneratedVehicle> + use<> {
    let fleet = Fleet::new(spec.clone());
    (0..fleet.spec.vehicles).map(move |index| fleet.vehicle(index))
}

/// What a vehicle's random streams are for.
#[derive(Debug, Clone, Copy)]
enum Stream {
    Life,
    Device,
    Uploads,
    Claims,
}

/// Stream 0 is the world's, the others are the vehicles' by number.
fn stream(seed: u64, number: u64, kind: Stream) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(number * 4 + kind as u64);
    rng
}

#[cfg(test)]
mod tests;
