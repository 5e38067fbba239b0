use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use odograph_domain::{
    batch::Batch,
    envelope::{ContentEncoding, Header, Lane, Source},
    id::{MessageId, TenantId},
    protobuf::{batch, put_bytes, put_double, put_varint, sample},
    time::ReceivedAt,
};
use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;

fn envelope(payload: Vec<u8>, content_encoding: ContentEncoding) -> Envelope {
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
        content_type: ContentType::Json,
        content_encoding,
        traceparent: None,
        resubmission_of: None,
        extra: serde_json::Map::new(),
    };
    Envelope { header, payload }
}

fn read(json: &str) -> Result<Decoded, Refusal> {
    decode(
        &envelope(json.as_bytes().to_vec(), ContentEncoding::Identity),
        &DecodeLimits::default(),
    )
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
    gz.write_all(bytes).unwrap();
    gz.finish().unwrap()
}

const BATCH: &str = r#"{"schema":1,"batch_id":"b1","vehicle":"v","samples":[
    {"ts":"2026-01-31T07:15:00Z","speed_kmh":50},
    {"ts":"2026-01-31T07:15:01Z","speed_kmh":"fast"},
    {"ts":"2026-01-31T07:15:02Z","speed_kmh":1e999},
    {"ts":"yesterday"}, 7,
    {"ts":"2026-01-31T07:15:03Z","colour":"red"}],"impacts":[{"trigger_ts":1}],"mood":1}"#;

#[test]
fn each_sample_reads_on_its_own() {
    let decoded = read(BATCH).unwrap();
    let bad: Vec<_> = decoded.samples.iter().filter_map(|s| s.as_ref().err()).collect();
    assert_eq!((decoded.samples.len(), bad.len(), decoded.impacts.len()), (6, 4, 1));
    assert_eq!(bad[0].detail, "speed_kmh: wanted a number, got a text");
    assert_eq!(bad[1].reason, SampleRejection::NotFinite);
    assert!(bad[2].detail.contains("yesterday") && bad[3].detail.contains("got a number"));
    assert!(decoded.impacts[0].is_err());
    assert_eq!(
        decoded.unknown.iter().map(String::as_str).collect::<Vec<_>>(),
        ["colour", "mood"]
    );
}

#[test]
fn the_hash_is_of_the_meaning() {
    let hash = |json: &str| read(json).unwrap().content_hash;
    let one = r#"{"schema":1,"batch_id":"b","vehicle":"v","samples":[{"ts":"2026-01-31T07:15:00Z","lat":1,"lon":2,"x":{"a":1,"b":2}},{"ts":"2026-01-31T07:15:01Z"}]}"#;
    let other = r#"{"samples" : [{"ts":"2026-01-31T07:15:01.000Z"},{"x":{"b":2.0,"a":1},"lon":2.0,"hdop":null,"lat":1.0,"ts":"2026-01-31T08:15:00+01:00"}],
        "vehicle":"0192f0c1-2f6b-7c3a-8a55-0d9f6f4f2a10","batch_id":"b","schema":1.0,"accel_frame":"vehicle"}"#;
    assert_eq!(hash(one), hash(other));
    assert_ne!(hash(one), hash(&one.replace("\"lat\":1", "\"lat\":1.1")));
    assert_ne!(hash(BATCH), hash(&BATCH.replace("fast", "slow")));
    let packed = envelope(gzip(one.as_bytes()), ContentEncoding::Gzip);
    assert_eq!(
        decode(&packed, &DecodeLimits::default()).unwrap().content_hash,
        hash(one)
    );
    let packed = envelope(zstd::encode_all(one.as_bytes(), 3).unwrap(), ContentEncoding::Zstd);
    assert_eq!(
        decode(&packed, &DecodeLimits::default()).unwrap().content_hash,
        hash(one)
    );
}

fn read_protobuf(payload: Vec<u8>) -> Result<Decoded, Refusal> {
    let mut envelope = envelope(payload, ContentEncoding::Identity);
    envelope.header.content_type = ContentType::Protobuf;
    decode(&envelope, &DecodeLimits::default())
}

fn batch_of(samples: &str) -> Batch {
    Batch {
        batch_id: BatchId::parse("b1").unwrap(),
        vehicle: "v".to_owned(),
        device: None,
        driver: None,
        accel_frame: AccelFrame::Vehicle,
        gravity: Gravity::Included,
        samples: serde_json::from_str(samples).unwrap(),
        impacts: Vec::new(),
    }
}

/// A batch whose samples are these messages.
fn of_messages(messages: &[Vec<u8>]) -> Vec<u8> {
    let mut payload = batch_of("[]").to_protobuf();
    for message in messages {
        put_bytes(batch::SAMPLES, message, &mut payload);
    }
    payload
}

/// 2026-01-31T07:15:00Z.
const TS_MS: u64 = 1_769_843_700_000;

fn at_ts() -> Vec<u8> {
    let mut message = Vec::new();
    put_varint(sample::TS_MS, TS_MS, &mut message);
    message
}

#[test]
fn fields_of_a_newer_version_are_kept_as_they_came() {
    let mut newer = at_ts();
    put_double(4, 50.0, &mut newer);
    put_varint(700, 300, &mut newer);
    put_bytes(701, b"new", &mut newer);
    put_varint(700, 1, &mut newer);
    let mut payload = of_messages(&[newer]);
    put_varint(900, 5, &mut payload);
    let decoded = read_protobuf(payload).unwrap();
    let names: Vec<_> = decoded.unknown.iter().map(String::as_str).collect();
    assert_eq!(names, ["protobuf:700", "protobuf:701", "protobuf:900"]);
    let sample = decoded.samples[0].as_ref().unwrap();
    assert_eq!(sample.speed_kmh, Some(50.0));
    assert_eq!(sample.extra["protobuf:700"], "e02bac02e02b01");
    // From here on it is like any unknown field: JSON has it too, and it goes out as it came in.
    let json = json!({ "schema": 1, "batch_id": "b", "vehicle": "v", "samples": [sample], "protobuf:900": "a03805" });
    assert_eq!(read(&json.to_string()).unwrap().content_hash, decoded.content_hash);
    let mut again = Vec::new();
    sample.write_message(&mut again);
    assert_eq!(
        read_protobuf(of_messages(&[again])).unwrap().samples[0]
            .as_ref()
            .unwrap(),
        sample
    );
}

#[test]
fn each_message_of_a_sample_reads_on_its_own() {
    let with = |write: &dyn Fn(&mut Vec<u8>)| {
        let mut message = at_ts();
        put_double(2, 48.5, &mut message);
        write(&mut message);
        message
    };
    let no_time = {
        let mut message = Vec::new();
        put_double(4, 50.0, &mut message);
        message
    };
    let bad = [
        (
            with(&|out| put_varint(4, 50, out)),
            "speed_kmh: wanted a number, got a varint",
        ),
        (
            with(&|out| put_double(4, f64::NAN, out)),
            "speed_kmh: wanted a finite number",
        ),
        (with(&|out| out.extend([0x21, 0, 0])), "from byte 16 on"),
        (no_time, "every sample needs its time"),
        (
            with(&|out| put_bytes(34, &[0; 24], out)),
            "tyre_kpa: wanted four numbers",
        ),
        (
            with(&|out| put_bytes(sample::DRIVER, &[0xff], out)),
            "driver: wanted a text",
        ),
        (
            with(&|out| put_bytes(sample::EXTRA, b"\x0a\x01x\x12\x01{", out)),
            "extra: wanted values as JSON text",
        ),
        (
            with(&|out| put_bytes(sample::EXTRA, b"\x0a\x03lat\x12\x011", out)),
            "extra: wanted names",
        ),
        (
            with(&|out| put_varint(sample::TS_MS, i64::MAX as u64, out)),
            "ts: wanted ms since 1970",
        ),
    ];
    let mut messages: Vec<Vec<u8>> = bad.iter().map(|(message, _)| message.clone()).collect();
    messages.push(with(&|_| {}));
    let decoded = read_protobuf(of_messages(&messages)).unwrap();
    assert!(decoded.samples.last().unwrap().is_ok());
    for ((_, wanted), read) in bad.iter().zip(&decoded.samples) {
        let bad = read.as_ref().unwrap_err();
        assert!(bad.detail.contains(wanted), "{wanted}: {}", bad.detail);
        // Kept with what of it does read; where it is a known field that does not, as a sample that is as bad in JSON.
        let kept: Value = serde_json::from_str(bad.raw.get()).unwrap();
        assert!(kept.get("lat").is_none_or(|lat| lat == 48.5), "{kept}");
        let as_json = json!({ "schema": 1, "batch_id": "b", "vehicle": "v", "samples": [kept] });
        let unknown_to_json = ["from byte", "driver", "extra"]
            .iter()
            .any(|name| wanted.starts_with(name));
        assert_eq!(
            read_json_reason(&as_json),
            Some(bad.reason).filter(|_| !unknown_to_json),
            "{kept}"
        );
    }
}

fn read_json_reason(batch: &Value) -> Option<SampleRejection> {
    read(&batch.to_string()).unwrap().samples[0]
        .as_ref()
        .err()
        .map(|bad| bad.reason)
}

#[test]
fn refusals_of_messages_are_named() {
    use MessageRejection::*;
    let sound = batch_of(r#"[{"ts":"2026-01-31T07:15:00Z"}]"#).to_protobuf();
    let with = |write: &dyn Fn(&mut Vec<u8>)| {
        let mut payload = sound.clone();
        write(&mut payload);
        let refusal = read_protobuf(payload).unwrap_err();
        (refusal.reason, refusal.detail)
    };
    let refusal = read_protobuf(sound[..sound.len() - 1].to_vec()).unwrap_err();
    assert_eq!((refusal.reason, refusal.batch_id.as_deref()), (Undecodable, Some("b1")));
    assert_eq!(read_protobuf(Vec::new()).unwrap_err().reason, UnsupportedSchema);
    assert_eq!(
        with(&|out| put_varint(batch::SCHEMA, 2, out)).1,
        "schema: wanted 1, got 2"
    );
    assert_eq!(with(&|out| put_varint(batch::ACCEL_FRAME, 9, out)).0, BadBatch);
    assert_eq!(
        with(&|out| put_bytes(batch::DRIVER, &[0xff], out)).1,
        "driver: wanted a text, got one not in UTF-8"
    );
    assert_eq!(with(&|out| put_varint(batch::SAMPLES, 9, out)).0, BadBatch);
    assert_eq!(with(&|out| put_bytes(batch::BATCH_ID, b"", out)).0, BadBatch);
    assert_eq!(with(&|out| put_bytes(batch::VEHICLE, b"", out)).0, BadBatch);
    assert_eq!(
        read_protobuf(batch_of("[]").to_protobuf()).unwrap_err().reason,
        EmptyBatch
    );
}

#[test]
fn numbers_are_the_same_to_the_last_bit() {
    for text in [
        "0.27516333805159693",
        "48.123456789012345",
        "1e-7",
        "123456789.12345679",
        "9007199254740993",
        "-0.0",
    ] {
        let json = format!(
            r#"{{"schema":1,"batch_id":"b1","vehicle":"v","samples":[{{"ts":"2026-01-31T07:15:00Z","lat":{text}}}]}}"#
        );
        let mut batch = batch_of(r#"[{"ts":"2026-01-31T07:15:00Z"}]"#);
        batch.samples[0].lat = Some(text.parse().unwrap());
        assert_eq!(
            read(&json).unwrap().content_hash,
            read_protobuf(batch.to_protobuf()).unwrap().content_hash,
            "{text}"
        );
    }
}

#[test]
fn in_whatever_order_the_samples_come() {
    let one = batch_of(
        r#"[{"ts":"2026-01-31T07:15:00Z","lat":1},{"ts":"2026-01-31T07:15:01Z"},{"ts":"2026-01-31T07:15:00Z"}]"#,
    );
    let mut other = one.clone();
    other.samples.reverse();
    let hash = |batch: &Batch| read_protobuf(batch.to_protobuf()).unwrap().content_hash;
    assert_eq!(hash(&one), hash(&other));
    other.samples.push(other.samples[0].clone());
    assert_ne!(hash(&one), hash(&other));
}

#[test]
fn refusals_are_named() {
    use MessageRejection::*;
    let reason = |json: &str| read(json).unwrap_err().reason;
    assert_eq!(reason("{"), Undecodable);
    assert_eq!(reason("[]"), Undecodable);
    assert_eq!(
        reason(r#"{"batch_id":"b","vehicle":"v","samples":[{}]}"#),
        UnsupportedSchema
    );
    assert_eq!(
        reason(r#"{"schema":2,"batch_id":"b","vehicle":"v","samples":[{}]}"#),
        UnsupportedSchema
    );
    assert_eq!(reason(r#"{"schema":1,"vehicle":"v","samples":[{}]}"#), BadBatch);
    assert_eq!(reason(r#"{"schema":1,"batch_id":"b","samples":[{}]}"#), BadBatch);
    assert_eq!(
        reason(r#"{"schema":1,"batch_id":"b","vehicle":"v","samples":{}}"#),
        BadBatch
    );
    assert_eq!(
        reason(r#"{"schema":1,"batch_id":"b","vehicle":"v","accel_frame":"x","samples":[{}]}"#),
        BadBatch
    );
    assert_eq!(
        reason(r#"{"schema":1,"batch_id":"b","vehicle":"v","samples":[]}"#),
        EmptyBatch
    );
    let few = DecodeLimits {
        samples: 2,
        ..DecodeLimits::default()
    };
    let refusal = decode(&envelope(BATCH.into(), ContentEncoding::Identity), &few).unwrap_err();
    assert_eq!((refusal.reason, refusal.samples), (TooManySamples, 6));
    assert_eq!(refusal.batch_id.as_deref(), Some("b1"));
}

#[test]
fn a_small_gzip_does_not_become_a_large_memory() {
    let bomb = envelope(gzip(&vec![b' '; 40 << 20]), ContentEncoding::Gzip);
    let refusal = decode(&bomb, &DecodeLimits::default()).unwrap_err();
    assert!(
        refusal.detail.contains("more than the 16777216 bytes"),
        "{}",
        refusal.detail
    );
    assert!(
        decode(
            &envelope(b"no gzip".to_vec(), ContentEncoding::Gzip),
            &DecodeLimits::default()
        )
        .is_err()
    );
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 0..400usize, gz in any::<bool>()) {
        let encoding = if gz { ContentEncoding::Gzip } else { ContentEncoding::Identity };
        let _ = decode(&envelope(bytes.clone(), encoding), &DecodeLimits::default());
        let mut mangled: Vec<u8> = BATCH.bytes().take(cut).collect();
        mangled.extend_from_slice(&bytes);
        let _ = decode(&envelope(mangled, ContentEncoding::Identity), &DecodeLimits::default());
    }
}
