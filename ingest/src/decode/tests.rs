use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use odograph_domain::{
    envelope::{Header, Lane, Source},
    id::{MessageId, TenantId},
    time::ReceivedAt,
};
use proptest::prelude::*;
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
