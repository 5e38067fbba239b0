use chrono::{DateTime, Utc};
use odograph_domain::{
    device::{PairedDevice, Pairing},
    envelope::{ContentEncoding, ContentType, Envelope, Lane, Source},
    id::{MessageId, PolicyId, TenantId, VehicleId},
    intake::{Assigned, Cover, Owned},
    policy::Product,
    sample::parse_ts,
    settings::TenantSettings,
    time::ReceivedAt,
};
use uuid::Uuid;

use super::*;
use crate::decode::{DecodeLimits, decode};

fn at(text: &str) -> DateTime<Utc> {
    parse_ts(text).unwrap().utc()
}

fn id<T: From<Uuid>>(n: u128) -> T {
    T::from(Uuid::from_u128(n))
}

fn envelope(payload: &str) -> Envelope {
    let header = Header {
        message_id: id::<MessageId>(1),
        tenant: id::<TenantId>(2),
        client: None,
        source: Source::Http,
        lane: Lane::Live,
        vehicle: Some(id(3)),
        vehicle_given: "v".into(),
        device: None,
        received_at: ReceivedAt::new(at("2026-02-01T00:00:00Z")),
        content_type: ContentType::Json,
        content_encoding: ContentEncoding::Identity,
        traceparent: None,
        resubmission_of: None,
        extra: Map::new(),
    };
    Envelope {
        header,
        payload: payload.as_bytes().to_vec(),
    }
}

/// PAYD until noon, PHYD after it, and the second driver from noon on.
fn context() -> VehicleContext {
    let noon = at("2026-01-31T12:00:00Z");
    let cover = |product, from, to| Cover {
        policy: id::<PolicyId>(9),
        product,
        main_driver: Some(id(11)),
        time_zone: chrono_tz::Tz::UTC,
        from,
        to,
        owned: Owned::default(),
    };
    VehicleContext {
        tenant: id(2),
        vehicle: id::<VehicleId>(3),
        settings: TenantSettings::default(),
        covers: vec![
            cover(Product::Payd, at("2026-01-01T00:00:00Z"), Some(noon)),
            cover(Product::Phyd, noon, None),
        ],
        assignments: vec![Assigned {
            driver: id(12),
            from: noon,
            to: None,
        }],
        handovers: vec![],
        odometer_changes: vec![],
        left: BTreeMap::new(),
    }
}

fn pairing(vehicle: u128, from: &str, to: Option<&str>) -> Pairing {
    Pairing {
        vehicle: id(vehicle),
        rank: 1,
        from: (!from.is_empty()).then(|| at(from)),
        to: to.map(at),
    }
}

fn named(pairings: Vec<Pairing>) -> Named {
    let anna = KnownDriver {
        id: id(13),
        left_at: Some(at("2026-02-01T00:00:00Z")),
    };
    Named {
        drivers: BTreeMap::from([("anna".to_owned(), anna)]),
        device: Some(PairedDevice { id: id(20), pairings }),
    }
}

fn judged(payload: &str) -> Judged {
    let envelope = envelope(payload);
    let decoded = decode(&envelope, &DecodeLimits::default()).unwrap();
    let named = named(vec![pairing(3, "", None)]);
    judge(&envelope.header, &decoded, &context(), &named, Part::Whole)
}

const MIXED: &str = r#"{"schema":1,"batch_id":"b","vehicle":"v","device":"dongle","samples":[
    {"ts":"2026-01-31T13:00:00Z","speed_kmh":50,"accel_x_ms2":-777.5},
    {"ts":"2026-01-31T11:00:00Z","speed_kmh":50,"accel_x_ms2":-77.5,"odd":77.5},
    {"ts":"2026-01-31T11:00:01Z","speed_kmh":50,"accel_x_ms2":-777.5},
    {"ts":"2026-01-31T11:00:02Z","speed_kmh":50,"accel_x_ms2":"-777.5"},
    {"ts":"2026-01-31T11:00:03Z","speed_kmh":50,"driver":"anna"},
    {"ts":"2026-01-31T11:00:04Z","speed_kmh":50,"driver":"bert"},
    {"ts":"2026-01-31T13:00:01Z","speed_kmh":51,"accel_x_ms2":-7.5},
    {"ts":"2026-01-31T13:00:01Z","accel_x_ms2":-7.5,"speed_kmh":51.0}]}"#;

#[test]
fn samples_go_to_their_subjects_and_nothing_is_lost() {
    let judged = judged(MIXED);
    assert!(judged.tally.balances(), "{:?}", judged.tally);
    assert_eq!(
        (judged.tally.received, judged.tally.accepted, judged.tally.duplicate),
        (8, 3, 1)
    );
    assert_eq!(judged.tally.rejected["acceleration_out_of_range"], 2);
    assert_eq!(judged.tally.rejected["unknown_driver"], 1);
    assert_eq!(judged.outcome, MessageOutcome::AcceptedInPart);
    let batch = judged.batch.unwrap();
    let subjects: Vec<_> = batch
        .samples
        .iter()
        .map(|(subject, samples)| (*subject, samples.len()))
        .collect();
    let driver = |n| Subject::Driver(id(n));
    assert_eq!(subjects, [(driver(11), 1), (driver(12), 1), (driver(13), 1)]);
    assert_eq!(batch.samples[0].1[0].device_rank, 1);
    let stored: u32 = judged.dead_letters.iter().map(|letter| letter.samples).sum();
    assert_eq!(u64::from(stored), judged.tally.rejected_total());
}

#[test]
fn behaviour_that_may_not_be_kept_is_nowhere() {
    let judged = judged(MIXED);
    let batch = judged.batch.unwrap();
    for (_, samples) in &batch.samples {
        for raw in samples
            .iter()
            .filter(|raw| raw.sample.ts.utc() < at("2026-01-31T12:00:00Z"))
        {
            assert_eq!((raw.sample.accel_x_ms2, raw.sample.extra.len()), (None, 0));
        }
    }
    for letter in &judged.dead_letters {
        let text = String::from_utf8(letter.payload.clone()).unwrap();
        let allowed = text.contains("13:00:00");
        assert_eq!(
            format!("{}{text}", letter.detail).contains("77.5"),
            allowed,
            "{} {text}",
            letter.detail
        );
    }
}

#[test]
fn a_batch_without_a_good_sample_still_marks_the_ledger() {
    let judged = judged(r#"{"schema":1,"batch_id":"b","vehicle":"v","samples":[7]}"#);
    assert_eq!(
        (judged.outcome, judged.dead_letters.len()),
        (MessageOutcome::Rejected, 1)
    );
    assert!(judged.batch.is_some_and(|batch| batch.samples.is_empty()));
}

#[test]
fn duplicates_write_nothing_and_conflicts_a_dead_letter() {
    let envelope = envelope(MIXED);
    let settled = |verdict| settle(judged(MIXED), verdict, &envelope.header, &envelope.payload, &context());
    let duplicate = settled(Verdict::Duplicate);
    assert_eq!(
        (duplicate.batch, duplicate.dead_letters.len(), duplicate.tally.duplicate),
        (None, 0, 8)
    );
    let conflict = settled(Verdict::Conflict);
    assert!(conflict.tally.balances());
    assert_eq!(conflict.tally.rejected["batch_conflict"], 8);
    let text = String::from_utf8(conflict.dead_letters[0].payload.clone()).unwrap();
    assert!(text.contains("-777.5") && !text.contains("-77.5"), "{text}");
    assert_eq!(conflict.dead_letters[0].batch_id.as_deref(), Some("b"));
}

#[test]
fn an_unknown_vehicle_allows_nothing() {
    let envelope = envelope(MIXED);
    let refusal = Refusal::new(MessageRejection::UnknownVehicle, "vehicle: no such vehicle");
    let judged = refuse(&envelope.header, refusal, &envelope.payload, None);
    let text = String::from_utf8(judged.dead_letters[0].payload.clone()).unwrap();
    assert!(!text.contains("7.5") && text.contains("11:00:04"), "{text}");
}

/// Ten seconds of a device that changes cars after five.
fn across(vehicle: &str, named: &Named, of: u128, part: Part) -> Judged {
    let samples: Vec<Value> = (0..10)
        .map(|s| json!({ "ts": format!("2026-01-31T13:00:0{s}Z"), "accel_x_ms2": 1.5, "driver": "anna" }))
        .collect();
    let mut batch = json!({ "schema": 1, "batch_id": "b", "device": "dongle", "samples": samples });
    if !vehicle.is_empty() {
        batch["vehicle"] = vehicle.into();
    }
    let envelope = envelope(&batch.to_string());
    let decoded = decode(&envelope, &DecodeLimits::default()).unwrap();
    let context = VehicleContext {
        vehicle: id(of),
        ..context()
    };
    judge(&envelope.header, &decoded, &context, named, part)
}

fn times(judged: &Judged) -> Vec<String> {
    let batch = judged.batch.as_ref().unwrap();
    let samples = batch.samples.iter().flat_map(|(_, samples)| samples);
    samples
        .map(|raw| raw.sample.ts.to_string()[17..19].to_owned())
        .collect()
}

#[test]
fn a_device_is_where_its_pairings_say() {
    let moved = named(vec![
        pairing(3, "", Some("2026-01-31T13:00:05Z")),
        pairing(4, "2026-01-31T13:00:05Z", None),
    ]);
    // The batch says that it is of the first car all along: what is not is kept apart.
    let whole = across("v", &moved, 3, Part::Whole);
    assert_eq!(times(&whole), ["00", "01", "02", "03", "04"]);
    assert_eq!(
        (whole.tally.rejected["device_elsewhere"], whole.tally.balances()),
        (5, true)
    );
    let letter = &whole.dead_letters[0];
    assert_eq!((letter.vehicle, letter.subject), (None, Subject::Tenant));
    assert!(!String::from_utf8(letter.payload.clone()).unwrap().contains("1.5"));
    // It leaves that to the device: each car gets its own, and nothing is lost.
    let (first, second) = (
        across("", &moved, 3, Part::Leading),
        across("", &moved, 4, Part::Following),
    );
    assert_eq!((times(&first).len(), times(&second)[0].as_str()), (5, "05"));
    assert_eq!(first.tally.received + second.tally.received, 10);
    assert!(first.dead_letters.is_empty() && second.dead_letters.is_empty());
}

#[test]
fn what_a_device_recorded_in_no_vehicle_is_answered_for_once() {
    let removed = named(vec![
        pairing(3, "", Some("2026-01-31T13:00:03Z")),
        pairing(4, "2026-01-31T13:00:08Z", None),
    ]);
    let (first, second) = (
        across("", &removed, 3, Part::Leading),
        across("", &removed, 4, Part::Following),
    );
    assert_eq!((times(&first).len(), times(&second).len()), (3, 2));
    assert_eq!((first.tally.rejected["device_unpaired"], second.tally.received), (5, 2));
    assert!(first.tally.balances() && second.tally.balances());
}

#[test]
fn nothing_is_of_a_driver_who_has_left() {
    let mut named = named(vec![]);
    named.drivers.get_mut("anna").unwrap().left_at = Some(at("2026-01-31T13:00:04Z"));
    let judged = across("v", &named, 3, Part::Whole);
    assert_eq!((times(&judged).len(), judged.dead_letters.len()), (10, 0));
    // Whom it names is kept, whose it is is another matter: that of the one who is assigned.
    let batch = judged.batch.unwrap();
    let told: Vec<_> = batch
        .samples
        .iter()
        .map(|(subject, samples)| (*subject, samples.len()))
        .collect();
    assert_eq!(told, [(Subject::Driver(id(12)), 6), (Subject::Driver(id(13)), 4)]);
    let samples = batch.samples.iter().flat_map(|(_, samples)| samples);
    assert!(samples.into_iter().all(|raw| raw.driver == Some(id(13))));
}
