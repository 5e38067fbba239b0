//! The published `proto/telemetry.proto` against the decoder: messages made by another implementation from the file itself.

#![allow(clippy::unwrap_used, reason = "a test stops where the ground gives way")]

use std::path::Path;

use odograph_domain::{
    batch::{AccelFrame, Batch, BatchId, Gravity, Impact},
    envelope::{ContentEncoding, ContentType, Envelope, Header, Lane, Source},
    id::{MessageId, TenantId},
    protobuf,
    sample::{FIELDS, FieldKind, Sample, parse_ts},
    time::ReceivedAt,
};
use odograph_ingest::decode::{DecodeLimits, Decoded, decode};
use prost_reflect::{DescriptorPool, DynamicMessage, Kind, MessageDescriptor, prost::Message as _};
use serde_json::{Value, json};
use uuid::Uuid;

fn pool() -> DescriptorPool {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto");
    let files = protox::compile(["telemetry.proto"], [folder]).unwrap();
    DescriptorPool::from_file_descriptor_set(files).unwrap()
}

fn message(name: &str) -> MessageDescriptor {
    pool()
        .get_message_by_name(&format!("odograph.telemetry.v1.{name}"))
        .unwrap()
}

fn read(content_type: ContentType, payload: Vec<u8>) -> Decoded {
    let header = Header {
        message_id: MessageId::from_uuid(Uuid::nil()),
        tenant: TenantId::from_uuid(Uuid::nil()),
        client: None,
        source: Source::Http,
        lane: Lane::Live,
        vehicle: None,
        vehicle_given: "v".into(),
        device: None,
        received_at: ReceivedAt::from_millis(1_770_000_000_000).unwrap(),
        content_type,
        content_encoding: ContentEncoding::Identity,
        traceparent: None,
        resubmission_of: None,
        extra: serde_json::Map::new(),
    };
    decode(&Envelope { header, payload }, &DecodeLimits::default()).unwrap()
}

/// A batch with every field there is.
fn full() -> Batch {
    let mut sample = Sample::at(parse_ts("2026-01-31T07:15:00.250Z").unwrap());
    for (place, field) in FIELDS.iter().enumerate() {
        let value = match field.kind {
            FieldKind::Number => json!(place as f64 + 0.125),
            FieldKind::Flag => json!(place % 2 == 0),
            FieldKind::Wheels => json!([220.0, 221.5, 230.0, 231.25]),
            FieldKind::Codes => json!(["P0301", "U0100"]),
        };
        sample.set_json(field.name, value).unwrap();
    }
    sample.extra.insert("driver".to_owned(), json!("anna"));
    sample.extra.insert("cabin_c".to_owned(), json!(21.5));
    let mut quiet = Sample::at(parse_ts("1969-12-31T23:59:59.999Z").unwrap());
    (quiet.speed_kmh, quiet.ignition, quiet.dtc) = (Some(0.0), Some(false), Some(Vec::new()));
    Batch {
        batch_id: BatchId::parse("2026-01-31T07:15-0001").unwrap(),
        vehicle: "fleet-0042".to_owned(),
        device: Some("dongle".to_owned()),
        driver: Some("berta".to_owned()),
        accel_frame: AccelFrame::Device,
        gravity: Gravity::Removed,
        samples: vec![sample, quiet],
        impacts: vec![Impact {
            trigger_ts: parse_ts("2026-01-31T07:15:01Z").unwrap(),
            rate_hz: 400.0,
            t0_ms: -100.0,
            accel_ms2: vec![[-0.25, 0.0, 9.75], [-62.5, 3.0, 11.25]],
            gyro_rads: Some(vec![[0.0, 0.5, 0.0], [0.0, 0.25, -1.0]]),
        }],
    }
}

fn as_json(batch: &Batch) -> Value {
    json!({
        "schema": 1, "batch_id": batch.batch_id, "vehicle": batch.vehicle, "device": batch.device, "driver": batch.driver,
        "accel_frame": batch.accel_frame, "gravity": batch.gravity, "samples": batch.samples, "impacts": batch.impacts,
    })
}

/// The batch in protobuf's own JSON, by the names of the file.
fn mapped(batch: &Batch) -> Value {
    let samples: Vec<Value> = batch
        .samples
        .iter()
        .map(|sample| {
            let mut fields = serde_json::to_value(sample).unwrap();
            fields.as_object_mut().unwrap().remove("ts");
            fields["ts_ms"] = json!(sample.ts.millis().to_string());
            if let Some(codes) = &sample.dtc {
                fields["dtc"] = json!({ "codes": codes });
            }
            if let Some(value) = sample.extra.get("cabin_c") {
                fields.as_object_mut().unwrap().remove("cabin_c");
                fields["extra"] = json!({ "cabin_c": value.to_string() });
            }
            fields
        })
        .collect();
    let impacts: Vec<Value> = batch.impacts.iter().map(|impact| json!({
        "trigger_ts_ms": impact.trigger_ts.millis().to_string(), "rate_hz": impact.rate_hz, "t0_ms": impact.t0_ms,
        "accel_ms2": impact.accel_ms2.as_flattened(), "gyro_rads": impact.gyro_rads.as_ref().unwrap().as_flattened(),
    })).collect();
    json!({
        "schema": 1, "batch_id": batch.batch_id, "vehicle": batch.vehicle, "device": batch.device, "driver": batch.driver,
        "accel_frame": "ACCEL_FRAME_DEVICE", "gravity": "GRAVITY_REMOVED", "samples": samples, "impacts": impacts,
    })
}

fn by_the_file(batch: &Batch) -> DynamicMessage {
    DynamicMessage::deserialize(message("Batch"), mapped(batch)).unwrap()
}

#[test]
fn the_file_has_every_field_as_the_decoder_has_it() {
    let sample = message("Sample");
    for field in FIELDS {
        let published = sample.get_field(u32::from(field.tag)).unwrap();
        assert_eq!(published.name(), field.name);
        let kind = published.kind();
        match field.kind {
            FieldKind::Number => assert!(kind == Kind::Double && published.supports_presence(), "{}", field.name),
            FieldKind::Flag => assert!(kind == Kind::Bool && published.supports_presence(), "{}", field.name),
            FieldKind::Wheels => assert!(kind == Kind::Double && published.is_packed(), "{}", field.name),
            FieldKind::Codes => assert_eq!(kind.as_message().unwrap().name(), "TroubleCodes"),
        }
    }
    // The time, the driver and the map beside them.
    assert_eq!(sample.fields().count(), FIELDS.len() + 3);
    for (message_name, numbers) in [
        (
            "Sample",
            &[
                ("ts_ms", protobuf::sample::TS_MS),
                ("driver", protobuf::sample::DRIVER),
                ("extra", protobuf::sample::EXTRA),
            ][..],
        ),
        (
            "Batch",
            &[
                ("schema", protobuf::batch::SCHEMA),
                ("batch_id", protobuf::batch::BATCH_ID),
                ("vehicle", protobuf::batch::VEHICLE),
                ("device", protobuf::batch::DEVICE),
                ("driver", protobuf::batch::DRIVER),
                ("accel_frame", protobuf::batch::ACCEL_FRAME),
                ("gravity", protobuf::batch::GRAVITY),
                ("samples", protobuf::batch::SAMPLES),
                ("impacts", protobuf::batch::IMPACTS),
            ],
        ),
        (
            "Impact",
            &[
                ("trigger_ts_ms", protobuf::impact::TRIGGER_TS_MS),
                ("rate_hz", protobuf::impact::RATE_HZ),
                ("t0_ms", protobuf::impact::T0_MS),
                ("accel_ms2", protobuf::impact::ACCEL_MS2),
                ("gyro_rads", protobuf::impact::GYRO_RADS),
            ],
        ),
    ] {
        for (name, number) in numbers {
            let published = message(message_name).get_field_by_name(name).unwrap();
            assert_eq!(published.number(), *number, "{message_name}.{name}");
        }
    }
}

#[test]
fn what_others_write_by_the_file_is_the_same_batch_as_its_json() {
    let batch = full();
    let of_json = read(ContentType::Json, as_json(&batch).to_string().into_bytes());
    let of_others = read(ContentType::Protobuf, by_the_file(&batch).encode_to_vec());
    let of_ours = read(ContentType::Protobuf, batch.to_protobuf());
    for decoded in [&of_json, &of_others, &of_ours] {
        let samples: Vec<_> = decoded.samples.iter().map(|sample| sample.clone().unwrap()).collect();
        let impacts: Vec<_> = decoded.impacts.iter().map(|impact| impact.clone().unwrap()).collect();
        assert_eq!((samples, impacts), (batch.samples.clone(), batch.impacts.clone()));
        assert_eq!(
            (decoded.accel_frame, decoded.gravity),
            (batch.accel_frame, batch.gravity)
        );
        assert_eq!(decoded.unknown.iter().collect::<Vec<_>>(), ["cabin_c"]);
        assert_eq!(decoded.content_hash, of_json.content_hash);
    }
}

#[test]
fn others_read_what_we_write() {
    let batch = full();
    // Once: messages of a file that was read twice are never equal.
    let wanted = message("Batch");
    let read = DynamicMessage::decode(wanted.clone(), &batch.to_protobuf()[..]).unwrap();
    // Written and read by the others too: an empty list that was set is no field of the message.
    let theirs = DynamicMessage::decode(wanted, &by_the_file(&batch).encode_to_vec()[..]).unwrap();
    assert_eq!(read, theirs);
    assert_eq!(read.unknown_fields().count(), 0);
}

/// The bytes of version 1, for ever. A device that was flashed with them sends them for ten years.
#[test]
fn the_wire_bytes_stay() {
    let golden = include_str!("golden/batch-v1.protobuf.hex");
    let bytes = hex::decode(golden.split_whitespace().collect::<String>()).unwrap();
    assert_eq!(hex::encode(full().to_protobuf()), hex::encode(&bytes));
    let decoded = read(ContentType::Protobuf, bytes);
    assert_eq!(decoded.samples.iter().flatten().count(), 2);
    // Hashes are kept in ledgers: another one makes a conflict of every batch that is sent again.
    assert_eq!(
        hex::encode(decoded.content_hash),
        include_str!("golden/batch-v1.content_hash.hex").trim()
    );
}
