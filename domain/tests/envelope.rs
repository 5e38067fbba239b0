//! Envelope v1 waits in queues and dead letters across releases: its bytes do not change.

#![allow(clippy::unwrap_used, reason = "a test: what does not read fails it")]

use odograph_domain::{
    envelope::{ContentEncoding, ContentType, Envelope, EnvelopeError, Header, Lane, Source, partition_of},
    time::ReceivedAt,
};

const GOLDEN: &[u8] = include_bytes!("golden/envelope-v1.bin");

fn envelope() -> Envelope {
    let header = Header {
        message_id: "0192f0c1-2f6b-7c3a-8a55-0d9f6f4f2a10".parse().unwrap(),
        tenant: "0192f0c1-2f6b-7c3a-8a55-0d9f6f4f2a11".parse().unwrap(),
        client: Some("0192f0c1-2f6b-7c3a-8a55-0d9f6f4f2a12".parse().unwrap()),
        source: Source::Http,
        lane: Lane::Live,
        vehicle: Some("0192f0c1-2f6b-7c3a-8a55-0d9f6f4f2a13".parse().unwrap()),
        vehicle_given: "car-7".to_owned(),
        device: None,
        received_at: ReceivedAt::from_millis(1_777_878_900_123).unwrap(),
        content_type: ContentType::Json,
        content_encoding: ContentEncoding::Identity,
        traceparent: None,
        resubmission_of: None,
        extra: serde_json::from_str(r#"{"of_a_newer_version":true}"#).unwrap(),
    };
    Envelope {
        header,
        payload: br#"{"schema":1}"#.to_vec(),
    }
}

#[test]
fn the_golden_bytes_read_and_are_written_again() {
    let read = Envelope::decode(GOLDEN).unwrap();
    assert_eq!(read, envelope());
    assert_eq!(read.encode().unwrap(), GOLDEN);
}

#[test]
fn what_is_no_envelope_says_so() {
    assert!(matches!(Envelope::decode(b""), Err(EnvelopeError::Magic(_))));
    assert!(matches!(
        Envelope::decode(b"{\"schema\":1}"),
        Err(EnvelopeError::Magic(_))
    ));
    for cut in 4..GOLDEN.len().min(200) {
        assert!(
            matches!(Envelope::decode(&GOLDEN[..cut]), Err(EnvelopeError::Truncated { .. })),
            "{cut}"
        );
    }
    assert!(matches!(
        Envelope::decode(b"ODO1\x00\x00\x00\x02[]"),
        Err(EnvelopeError::Header(_))
    ));
}

#[test]
fn partitions_stay_where_they_are_over_releases() {
    let partitions: Vec<u16> = (0..8).map(|car| partition_of(&format!("car-{car}"), 8)).collect();
    assert_eq!(partitions, PARTITIONS);
    assert_eq!(partition_of("anything", 1), 0);
}

const PARTITIONS: [u16; 8] = [5, 7, 1, 6, 5, 6, 3, 0];
