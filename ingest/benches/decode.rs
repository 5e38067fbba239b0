//! From a payload to decoded samples with the batch's content hash, ns a sample; beside it a parse of the same JSON into
//! `serde_json::Value`, which does none of that.

use std::hint::black_box;

use chrono::TimeDelta;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use odograph_domain::{
    batch::{AccelFrame, Batch, BatchId, Gravity},
    envelope::{ContentEncoding, ContentType, Envelope, Header, Lane, Source},
    id::{MessageId, TenantId},
    sample::Sample,
    time::{EventTime, ReceivedAt},
};
use odograph_ingest::decode::{DecodeLimits, decode};
use serde_json::{Value, json};
use uuid::Uuid;

/// 2026-01-01T00:00:00Z.
const START_MS: i64 = 1_767_225_600_000;

/// A car with a good telematics unit: position, motion, engine; each figure to the digits such a unit gives.
fn sample(second: i64) -> Option<Sample> {
    let round = |value: f64, digits: i32| (value * 10_f64.powi(digits)).round() / 10_f64.powi(digits);
    let t = second as f64;
    let mut sample = Sample::at(EventTime::from_millis(START_MS)? + TimeDelta::seconds(second));
    sample.lat = Some(round(48.137_154 + t * 1.1e-4, 6));
    sample.lon = Some(round(11.576_124 + t * 0.9e-4, 6));
    sample.hdop = Some(0.9);
    sample.speed_kmh = Some(round(50.0 + 8.0 * (t / 7.0).sin(), 1));
    sample.heading_deg = Some(round((40.0 + t).rem_euclid(360.0), 1));
    sample.altitude_m = Some(round(519.0 + (t / 30.0).cos(), 1));
    sample.odometer_km = Some(round(48_211.0 + t * 0.0139, 3));
    sample.ignition = Some(true);
    sample.belt = Some(true);
    sample.accel_x_ms2 = Some(round((t / 7.0).cos(), 3));
    sample.accel_y_ms2 = Some(round((t / 5.0).sin() * 0.4, 3));
    sample.accel_z_ms2 = Some(round(9.81 + (t * 1.7).sin() * 0.05, 3));
    sample.gyro_x_rads = Some(round((t / 3.0).sin() * 0.01, 4));
    sample.gyro_y_rads = Some(round((t / 4.0).sin() * 0.01, 4));
    sample.gyro_z_rads = Some(round((t / 5.0).sin() * 0.1, 4));
    sample.brake_pct = Some(0.0);
    sample.throttle_pct = Some(round(18.0 + (t / 7.0).cos() * 5.0, 1));
    sample.engine_rpm = Some(round(1_900.0 + (t / 7.0).sin() * 300.0, 0));
    sample.battery_v = Some(14.1);
    sample.satellites = Some(11.0);
    Some(sample)
}

fn batch(samples: i64) -> Option<Batch> {
    Some(Batch {
        batch_id: BatchId::parse("bench").ok()?,
        vehicle: "fleet-0042".to_owned(),
        device: None,
        driver: None,
        accel_frame: AccelFrame::Vehicle,
        gravity: Gravity::Included,
        samples: (0..samples).map(sample).collect::<Option<_>>()?,
        impacts: Vec::new(),
    })
}

fn as_json(batch: &Batch) -> Vec<u8> {
    json!({ "schema": 1, "batch_id": batch.batch_id, "vehicle": batch.vehicle, "samples": batch.samples })
        .to_string()
        .into_bytes()
}

fn envelope(content_type: ContentType, payload: Vec<u8>) -> Option<Envelope> {
    let header = Header {
        message_id: MessageId::from_uuid(Uuid::nil()),
        tenant: TenantId::from_uuid(Uuid::nil()),
        client: None,
        source: Source::Http,
        lane: Lane::Live,
        vehicle: None,
        vehicle_given: "fleet-0042".into(),
        device: None,
        received_at: ReceivedAt::from_millis(START_MS)?,
        content_type,
        content_encoding: ContentEncoding::Identity,
        traceparent: None,
        resubmission_of: None,
        extra: serde_json::Map::new(),
    };
    Some(Envelope { header, payload })
}

fn bench(criterion: &mut Criterion) {
    let limits = DecodeLimits::default();
    let mut group = criterion.benchmark_group("decode");
    for count in [10, 100] {
        let Some(batch) = batch(count) else { continue };
        let json = as_json(&batch);
        eprintln!(
            "{count} samples: {} bytes of JSON a sample, {} of protobuf",
            json.len() as i64 / count,
            batch.to_protobuf().len() as i64 / count
        );
        // A throughput of elements: criterion's time over it is the time of a sample.
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(format!("value_of_json_{count}"), |bencher| {
            bencher.iter(|| serde_json::from_slice::<Value>(black_box(&json)));
        });
        for (name, content_type, payload) in [
            ("json", ContentType::Json, json.clone()),
            ("protobuf", ContentType::Protobuf, batch.to_protobuf()),
        ] {
            let Some(envelope) = envelope(content_type, payload) else {
                continue;
            };
            group.bench_function(format!("{name}_{count}"), |bencher| {
                bencher.iter(|| decode(black_box(&envelope), &limits));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
