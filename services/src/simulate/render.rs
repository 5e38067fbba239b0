//! A vehicle as bytes: telemetry, truth, and the batches to send. Pure, so that vehicles are rendered on all cores.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::{self, Write as _},
};

use chrono::{DateTime, SecondsFormat, Utc};
use flate2::{Compression, write::GzEncoder};
use odograph_domain::{
    batch::AccelFrame,
    policy::Product,
    sample::{FIELDS, Quantity, Sample},
    time::EventTime,
};
use serde_json::json;

use super::plan::{Order, Plan, Target};
use crate::fleet::{Fleet, GeneratedVehicle, TrueScenario};

/// A batch on its way.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sendable {
    /// Index of its vehicle.
    pub(super) vehicle: u32,
    /// Place among its vehicle's batches.
    pub(super) place: u32,
    pub(super) sent_ms: i64,
    pub(super) samples: u32,
    pub(super) body: Vec<u8>,
    /// What `last` shows of it.
    pub(super) last: Vec<u8>,
}

/// Who a vehicle is, for whom it has to be registered with.
#[derive(Debug, Clone)]
pub(crate) struct Insured {
    pub(crate) vehicle: String,
    pub(crate) driver: String,
    pub(crate) driver_name: String,
    pub(crate) product: Product,
}

impl Insured {
    pub(crate) fn of(vehicle: &GeneratedVehicle) -> Self {
        Self {
            vehicle: vehicle.external_ref.clone(),
            driver: vehicle.driver.external_ref.clone(),
            driver_name: vehicle.driver.name.clone(),
            product: vehicle.product,
        }
    }
}

pub(super) struct Rendered {
    pub(super) insured: Insured,
    pub(super) csv: Vec<u8>,
    pub(super) ndjson: Vec<u8>,
    /// In the order of [`TRUTH`].
    pub(super) truth: [String; 4],
    pub(super) last: Vec<u8>,
    pub(super) happened: Option<TrueScenario>,
    pub(super) batches: u64,
    pub(super) samples: u64,
    /// Where they are to be sent, or put in order of time.
    pub(super) sendable: Vec<Sendable>,
}

/// Files of the truth and their columns.
pub(super) const TRUTH: [(&str, &str); 4] = [
    (
        "truth/vehicles.csv",
        "vehicle,driver,product,style,device,odometer,wheel_gain,annual_km,claims_per_million_km,relativity,seen_relativity,mean_severity\n",
    ),
    ("truth/trips.csv", "vehicle,driver,start,end,km,night,device,odometer\n"),
    ("truth/events.csv", "vehicle,kind,start,end,peak,speed_kmh\n"),
    ("truth/claims.csv", "vehicle,driver,at,severity,history\n"),
];

/// Generates a vehicle and puts it into bytes.
pub(super) fn render(fleet: &Fleet, plan: &Plan, index: usize) -> io::Result<Rendered> {
    let vehicle = fleet.vehicle(index);
    let sends = plan.target != Target::Nowhere || plan.order == Order::Time;
    let mut ndjson = Vec::new();
    let mut sendable = Vec::new();
    let mut samples = 0;
    let mut last = Vec::new();
    for (place, batch) in vehicle.batches.iter().enumerate() {
        samples += batch.samples.len() as u64;
        let by_vehicle = plan.format.ndjson() && plan.order == Order::Vehicle;
        let is_last = place + 1 == vehicle.batches.len();
        let told = if is_last || plan.order == Order::Time {
            last_line(&vehicle, batch.sent_at, &batch.batch_id, batch.samples.last())?
        } else {
            Vec::new()
        };
        if is_last {
            last.clone_from(&told);
        }
        if !by_vehicle && !sends {
            continue;
        }
        let body = vehicle.body(batch)?;
        if by_vehicle {
            ndjson_line(&mut ndjson, batch.sent_at, &body);
        }
        if sends {
            sendable.push(Sendable {
                vehicle: u32::try_from(index).unwrap_or(u32::MAX),
                place: u32::try_from(place).unwrap_or(u32::MAX),
                sent_ms: batch.sent_at.timestamp_millis(),
                samples: u32::try_from(batch.samples.len()).unwrap_or(u32::MAX),
                body,
                last: told,
            });
        }
    }
    let csv = if plan.format.csv() {
        csv(&vehicle).into_bytes()
    } else {
        Vec::new()
    };
    Ok(Rendered {
        insured: Insured::of(&vehicle),
        csv: member(csv, plan.gzip)?,
        ndjson: member(ndjson, plan.gzip)?,
        truth: truth(&vehicle),
        last,
        batches: vehicle.batches.len() as u64,
        samples,
        happened: vehicle.happened,
        sendable,
    })
}

/// As a gzip member of its own where asked for: members one after the other are one gzip file, and each is the same
/// whatever was interrupted before it.
pub(super) fn member(bytes: Vec<u8>, gzip: bool) -> io::Result<Vec<u8>> {
    if !gzip || bytes.is_empty() {
        return Ok(bytes);
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&bytes)?;
    encoder.finish()
}

pub(super) fn ndjson_line(out: &mut Vec<u8>, sent_at: DateTime<Utc>, body: &[u8]) {
    out.extend_from_slice(b"{\"sent_at\":\"");
    out.extend_from_slice(utc(sent_at).as_bytes());
    out.extend_from_slice(b"\",\"batch\":");
    out.extend_from_slice(body);
    out.extend_from_slice(b"}\n");
}

fn last_line(
    vehicle: &GeneratedVehicle,
    sent_at: DateTime<Utc>,
    batch_id: &str,
    sample: Option<&Sample>,
) -> serde_json::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(&json!({
        "vehicle": vehicle.external_ref,
        "device": vehicle.device.kind,
        "sent_at": utc(sent_at),
        "batch_id": batch_id,
        "last": sample,
    }))?;
    line.push(b'\n');
    Ok(line)
}

pub(super) fn utc(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

pub(super) fn csv_header() -> String {
    let mut header = "vehicle_id,driver_id,ts".to_owned();
    for field in FIELDS {
        header.push(',');
        header.push_str(field.name);
    }
    header.push('\n');
    header
}

/// What the device recorded, each sample once. A CSV cannot say in which axes accelerations are, so those of a device that
/// is not aligned with the car are left out.
fn csv(vehicle: &GeneratedVehicle) -> String {
    let mut recorded: BTreeMap<EventTime, Vec<&Sample>> = BTreeMap::new();
    for sample in vehicle.batches.iter().flat_map(|batch| &batch.samples) {
        let same = recorded.entry(sample.ts).or_default();
        if !same.contains(&sample) {
            same.push(sample);
        }
    }
    let aligned = vehicle.device.accel_frame == AccelFrame::Vehicle;
    let felt: Vec<bool> = FIELDS.iter().map(|field| field.name.starts_with("accel_")).collect();
    let mut text = String::new();
    let mut cells = vec![String::new(); FIELDS.len()];
    for sample in recorded.into_values().flatten() {
        cells.iter_mut().for_each(String::clear);
        sample.quantities(|place, quantity| {
            if aligned || !felt[place] {
                write_cell(&mut cells[place], &quantity);
            }
        });
        let _ = write!(
            text,
            "{},{},{}",
            vehicle.external_ref, vehicle.driver.external_ref, sample.ts
        );
        for cell in &cells {
            text.push(',');
            text.push_str(cell);
        }
        text.push('\n');
    }
    text
}

fn write_cell(cell: &mut String, quantity: &Quantity) {
    let _ = match quantity {
        Quantity::Number(value) => write!(cell, "{value}"),
        Quantity::Flag(value) => write!(cell, "{value}"),
        Quantity::Wheels([a, b, c, d]) => write!(cell, "{a} {b} {c} {d}"),
        Quantity::Codes(codes) => write!(cell, "{}", codes.join(" ")),
    };
}

fn truth(vehicle: &GeneratedVehicle) -> [String; 4] {
    let (name, driver, device) = (&vehicle.external_ref, &vehicle.driver, &vehicle.device);
    let risk = driver.risk;
    let quality = format!("{},{}", device.kind.as_str(), device.odometer.as_str());
    let vehicles = format!(
        "{name},{},{},{},{quality},{:.4},{:.0},{:.4},{:.4},{:.4},{:.2}\n",
        driver.external_ref,
        vehicle.product.as_str(),
        driver.style.as_str(),
        device.wheel_gain,
        risk.annual_km,
        risk.claims_a_km * 1e6,
        risk.relativity,
        risk.seen_relativity,
        risk.mean_severity,
    );
    let (mut trips, mut events, mut claims) = (String::new(), String::new(), String::new());
    for trip in &vehicle.trips {
        let (start, end) = (utc(trip.start), utc(trip.end));
        let _ = writeln!(
            trips,
            "{name},{},{start},{end},{:.3},{},{quality}",
            driver.external_ref, trip.distance_km, trip.at_night
        );
    }
    for event in &vehicle.events {
        let (start, end) = (utc(event.start), utc(event.end));
        let _ = writeln!(
            events,
            "{name},{},{start},{end},{:.2},{:.1}",
            event.kind.as_str(),
            event.peak,
            event.speed_kmh
        );
    }
    for claim in &vehicle.claims {
        let at = utc(claim.at);
        let _ = writeln!(
            claims,
            "{name},{},{at},{:.2},{}",
            driver.external_ref, claim.severity, claim.history
        );
    }
    [vehicles, trips, events, claims]
}
