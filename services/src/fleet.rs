//! A generated fleet: drivers with habits and temperaments, in a generated town, under physics.
//!
//! It stands in for devices where there are none, in `odograph demo` and in tests. Everything follows from the seed: the
//! same spec gives the same bytes. Every vehicle has its own random stream, so that a larger fleet begins with the smaller.

mod device;
mod driver;
mod habits;
mod motion;
mod path;
mod sending;
mod town;

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use odograph_domain::{
    batch::{AccelFrame, Gravity},
    policy::Product,
    sample::Sample,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

pub use self::driver::Style;
use self::{device::Device, driver::Driver, path::Path, town::Town};

/// A fleet to generate.
#[derive(Debug, Clone, PartialEq)]
pub struct FleetSpec {
    pub seed: u64,
    pub vehicles: usize,
    pub days: u32,
    /// First local day anybody drives.
    pub first_day: NaiveDate,
    /// The drivers' own: they get up, commute and sleep by it.
    pub time_zone: Tz,
}

/// One vehicle, who drives it, what its device sends, and what really happened.
#[derive(Debug, Clone, PartialEq)]
pub struct GeneratedVehicle {
    pub external_ref: String,
    pub product: Product,
    pub driver: GeneratedDriver,
    /// In the order they are sent: some twice, some late.
    pub batches: Vec<GeneratedBatch>,
    /// The truth, in order of time.
    pub trips: Vec<TrueTrip>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct GeneratedDriver {
    pub external_ref: String,
    pub name: String,
    pub style: Style,
}

/// What a device sends at once. A batch that is sent twice is the same to the byte, its id included.
#[derive(Debug, Clone, PartialEq)]
pub struct GeneratedBatch {
    pub batch_id: String,
    pub sent_at: DateTime<Utc>,
    pub samples: Vec<Sample>,
}

/// A trip as it was driven: from the first sample with the ignition on to the one that says it is off.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrueTrip {
    pub start: DateTime<Utc>,
    pub end: DateTime<Utc>,
    pub distance_km: f64,
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
        }

        serde_json::to_vec(&Body {
            schema: 1,
            batch_id: &batch.batch_id,
            vehicle: &self.external_ref,
            accel_frame: AccelFrame::Vehicle,
            gravity: Gravity::Included,
            samples: &batch.samples,
        })
    }
}

/// Generates a fleet, one vehicle at a time: a fortnight of one is some tens of thousands of samples.
pub fn generate(spec: &FleetSpec) -> impl Iterator<Item = GeneratedVehicle> + use<> {
    let spec = spec.clone();
    let town = Town::generate(&mut stream(spec.seed, 0));
    (0..spec.vehicles).map(move |index| vehicle(&spec, &town, index))
}

fn stream(seed: u64, number: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(number);
    rng
}

fn vehicle(spec: &FleetSpec, town: &Town, index: usize) -> GeneratedVehicle {
    let mut rng = stream(spec.seed, index as u64 + 1);
    let number = index + 1;
    let external_ref = format!("demo-vehicle-{number:03}");
    let driver = Driver::generate(index, town, &mut rng);
    let mut device = Device::new(
        town.node(driver.home()),
        habits::end(spec.first_day, 0, spec.time_zone),
        &mut rng,
    );
    let mut stretches = Vec::new();
    let mut trips = Vec::new();
    let mut at = driver.home();
    for leg in driver.legs(spec.first_day, spec.days, &mut rng) {
        if leg.to == at {
            continue;
        }
        let planned = habits::utc(leg.depart, spec.time_zone);
        let depart = device.ready_from(planned);
        let route = town.route(at, leg.to, &mut rng);
        let path = Path::along(town, &route, &driver.temper, &mut rng);
        let drive = motion::drive(&path, &driver.temper, &mut rng);
        stretches.push(device.park_until(depart, &mut rng));
        let (samples, trip) = device.record(depart, &drive, &driver.temper, &mut rng);
        stretches.push(samples);
        trips.push(trip);
        at = leg.to;
    }
    stretches.push(device.park_until(habits::end(spec.first_day, spec.days, spec.time_zone), &mut rng));
    GeneratedVehicle {
        // Every fourth insures by distance alone.
        product: if index % 4 == 3 { Product::Payd } else { Product::Phyd },
        driver: GeneratedDriver {
            external_ref: format!("demo-driver-{number:03}"),
            name: driver.name,
            style: driver.temper.style,
        },
        batches: sending::send(&external_ref, stretches, &mut rng),
        external_ref,
        trips,
    }
}

/// Noise of mean 0 and standard deviation 1, within ±3.5: the sum of four uniform numbers. Needs no transcendental
/// function, whose last digit may differ between machines.
fn noise(rng: &mut ChaCha8Rng) -> f64 {
    let sum: f64 = (0..4).map(|_| rng.random::<f64>()).sum();
    (sum - 2.0) * 3.0_f64.sqrt()
}

#[cfg(test)]
mod tests;
