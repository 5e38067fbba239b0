//! Anything at all into everything that reads what strangers send: no panic, no unbounded memory, and what does read is written
//! and read again with the same content hash.
//!
//! `scripts/fuzz` runs it with many inputs; as a test it takes some seconds. A failure names the target, the seed and the number of
//! the input: `ODOGRAPH_FUZZ_SEED` and `ODOGRAPH_FUZZ_ONLY` make it again.

#![allow(clippy::unwrap_used, reason = "a test stops where the ground gives way")]

use std::{
    io::Write as _,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Instant,
};

use flate2::{Compression, write::GzEncoder};
use odograph_domain::{
    batch::{AccelFrame, Batch, BatchId, Gravity, Impact},
    envelope::{ContentEncoding, ContentType, Envelope, Header, Lane, Source},
    forwarded::{flespi, traccar},
    framing::{Frame, Framing, Incoming},
    id::{MessageId, TenantId},
    protobuf::{put_bytes, put_delimited, put_varint},
    sample::{FIELDS, FieldKind, Sample},
    time::{EventTime, ReceivedAt},
};
use odograph_ingest::{
    decode::{DecodeLimits, Decoded, decode},
    minimise::scrub_message,
};
use rand::{Rng, RngExt, SeedableRng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use uuid::Uuid;

/// Small, so that what goes beyond them is met often.
const LIMITS: DecodeLimits = DecodeLimits {
    payload_bytes: 64 << 10,
    samples: 50,
};

/// A process that does this may not have needed more, MiB.
const MOST_MEMORY_MIB: u64 = 512;

type Target = fn(&mut ChaCha8Rng, &Seeds);

const TARGETS: &[(&str, Target)] = &[
    ("envelope", envelopes),
    ("json", |rng, seeds| payloads(rng, seeds, ContentType::Json)),
    ("protobuf", |rng, seeds| payloads(rng, seeds, ContentType::Protobuf)),
    ("framing", framing),
    ("traccar", forwarded_by_traccar),
    ("flespi", forwarded_by_flespi),
];

/// Sound inputs to begin with.
struct Seeds {
    json: Vec<Vec<u8>>,
    protobuf: Vec<Vec<u8>>,
    traccar: Vec<u8>,
    flespi: Vec<u8>,
}

#[test]
fn nothing_that_is_sent_breaks_what_reads_it() {
    let setting = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let inputs = setting("ODOGRAPH_FUZZ_INPUTS").unwrap_or(30_000);
    let seed = setting("ODOGRAPH_FUZZ_SEED").unwrap_or(1);
    let only = setting("ODOGRAPH_FUZZ_ONLY");
    let seeds = seeds();
    let each = inputs.div_ceil(TARGETS.len() as u64);
    let mut ran = 0;
    for (place, (name, target)) in TARGETS.iter().enumerate() {
        let since = Instant::now();
        for number in only.map_or(0..each, |only| only..only + 1) {
            // Each input is of a generator of its own, so that one can be made again without those before it.
            let mut rng =
                ChaCha8Rng::seed_from_u64(seed ^ (place as u64) << 56 ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let run = catch_unwind(AssertUnwindSafe(|| target(&mut rng, &seeds)));
            assert!(
                run.is_ok(),
                "{name}: ODOGRAPH_FUZZ_SEED={seed} ODOGRAPH_FUZZ_ONLY={number}"
            );
            ran += 1;
        }
        println!("{name}: {each} inputs in {:.1} s", since.elapsed().as_secs_f64());
    }
    let needed = peak_memory_mib();
    println!("{ran} inputs, {needed:?} MiB at most");
    assert!(needed.is_none_or(|mib| mib < MOST_MEMORY_MIB), "{needed:?} MiB");
}

/// What this process has needed at most, where the system says so.
fn peak_memory_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kib / 1024)
}

fn envelopes(rng: &mut ChaCha8Rng, seeds: &Seeds) {
    let payload = seeds.json.choose(rng).unwrap().clone();
    let whole = envelope(ContentType::Json, ContentEncoding::Identity, payload)
        .encode()
        .unwrap();
    let bytes = mutated(rng, &whole, &whole);
    if let Ok(envelope) = Envelope::decode(&bytes) {
        let again = Envelope::decode(&envelope.encode().unwrap()).unwrap();
        assert_eq!(again, envelope);
        let _ = decode(&envelope, &LIMITS);
    }
}

fn payloads(rng: &mut ChaCha8Rng, seeds: &Seeds, content_type: ContentType) {
    let seeds = match content_type {
        ContentType::Json => &seeds.json,
        ContentType::Protobuf => &seeds.protobuf,
    };
    let (one, other) = (seeds.choose(rng).unwrap(), seeds.choose(rng).unwrap());
    let mut payload = mutated(rng, one, other);
    let encoding = *[
        ContentEncoding::Identity,
        ContentEncoding::Identity,
        ContentEncoding::Gzip,
        ContentEncoding::Zstd,
    ]
    .choose(rng)
    .unwrap();
    payload = pack(&payload, encoding);
    if encoding != ContentEncoding::Identity && rng.random_bool(0.5) {
        payload = mutated(rng, &payload, &payload);
    }
    let envelope = envelope(content_type, encoding, payload);
    match decode(&envelope, &LIMITS) {
        Ok(decoded) => the_same_again(&decoded),
        Err(refusal) => {
            // What may be kept of it is a batch, or nothing.
            let kept = scrub_message(&envelope.header, &envelope.payload, &|_| false);
            assert!(!refusal.detail.is_empty() && kept.len() <= 40 * envelope.payload.len().max(LIMITS.payload_bytes));
        }
    }
}

/// Written in either form and read again it has the content that it had.
fn the_same_again(decoded: &Decoded) {
    assert!(decoded.samples.len() <= LIMITS.samples && decoded.impacts.len() <= LIMITS.samples);
    let samples: Option<Vec<Sample>> = decoded.samples.iter().map(|sample| sample.clone().ok()).collect();
    let impacts: Option<Vec<Impact>> = decoded.impacts.iter().map(|impact| impact.clone().ok()).collect();
    let (Some(samples), Some(impacts)) = (samples, impacts) else {
        return;
    };
    let batch = Batch {
        batch_id: decoded.batch_id.clone(),
        vehicle: decoded.vehicle.clone().unwrap_or_default(),
        device: decoded.device.clone(),
        driver: decoded.driver.clone(),
        accel_frame: decoded.accel_frame,
        gravity: decoded.gravity,
        samples,
        impacts,
    };
    // It may have become longer than a message may be.
    let limits = DecodeLimits {
        payload_bytes: 64 << 20,
        ..LIMITS
    };
    let again =
        |content_type, payload| decode(&envelope(content_type, ContentEncoding::Identity, payload), &limits).unwrap();
    let of_json = again(ContentType::Json, as_json(&batch)).content_hash;
    let of_protobuf = again(ContentType::Protobuf, batch.to_protobuf()).content_hash;
    assert_eq!(of_json, of_protobuf);
    // What is unknown of the batch itself is hashed, reported and kept nowhere.
    assert!(!decoded.unknown.is_empty() || of_json == decoded.content_hash);
}

fn framing(rng: &mut ChaCha8Rng, seeds: &Seeds) {
    const MOST: usize = 4 << 10;
    let mut stream = Vec::new();
    let framing = *[Framing::Lines, Framing::Delimited].choose(rng).unwrap();
    for _ in 0..rng.random_range(0..6) {
        match framing {
            Framing::Lines => {
                stream.extend_from_slice(seeds.json.choose(rng).unwrap());
                stream.push(b'\n');
            }
            Framing::Delimited => put_delimited(seeds.protobuf.choose(rng).unwrap(), &mut stream),
        }
    }
    if rng.random_bool(0.5) {
        stream = mutated(rng, &stream, &stream);
    }
    let encoding = *[ContentEncoding::Identity, ContentEncoding::Gzip, ContentEncoding::Zstd]
        .choose(rng)
        .unwrap();
    let mut body = pack(&stream, encoding);
    if rng.random_bool(0.5) {
        body = mutated(rng, &body, &body);
    }
    let mut incoming = Incoming::new(encoding, framing, MOST).unwrap();
    let mut frames = Vec::new();
    let mut rest = &body[..];
    while !rest.is_empty() {
        let piece = rest.len().min(rng.random_range(1..2_000));
        let Ok(taken) = incoming.take(&rest[..piece], &mut frames) else {
            return;
        };
        rest = &rest[taken..];
    }
    let _ = incoming.end(&mut frames);
    assert!(frames.iter().all(|frame| match frame {
        Frame::Batch(batch) => batch.len() <= MOST,
        Frame::TooLong => true,
    }));
}

fn forwarded_by_traccar(rng: &mut ChaCha8Rng, seeds: &Seeds) {
    let body = mutated(rng, &seeds.traccar, &seeds.flespi);
    if let Ok(forwarded) = traccar::translate(&body) {
        reads_as_a_batch(forwarded.batch);
    }
}

fn forwarded_by_flespi(rng: &mut ChaCha8Rng, seeds: &Seeds) {
    let body = mutated(rng, &seeds.flespi, &seeds.traccar);
    if let Ok((forwarded, _)) = flespi::translate(&body) {
        forwarded
            .into_iter()
            .for_each(|forwarded| reads_as_a_batch(forwarded.batch));
    }
}

/// What was translated is a batch to ingest, unless its device has no name that one can have.
fn reads_as_a_batch(batch: Vec<u8>) {
    let decoded = decode(
        &envelope(ContentType::Json, ContentEncoding::Identity, batch),
        &DecodeLimits::default(),
    );
    match decoded {
        Ok(decoded) => assert!(decoded.vehicle.is_none() && decoded.device.is_some()),
        Err(refusal) => assert!(refusal.detail.starts_with("device:"), "{refusal}"),
    }
}

/// Flipped, cut, spliced, repeated, or nothing like it.
fn mutated(rng: &mut ChaCha8Rng, one: &[u8], other: &[u8]) -> Vec<u8> {
    let mut bytes = one.to_vec();
    for _ in 0..rng.random_range(0..4) {
        let at = |rng: &mut ChaCha8Rng, length: usize| rng.random_range(0..=length);
        match rng.random_range(0..8) {
            0 | 1 if !bytes.is_empty() => {
                let place = rng.random_range(0..bytes.len());
                bytes[place] ^= 1 << rng.random_range(0..8);
            }
            2 if !bytes.is_empty() => {
                let place = rng.random_range(0..bytes.len());
                bytes[place] = rng.random();
            }
            3 => bytes.truncate(at(rng, bytes.len())),
            4 => {
                let (from, to) = (at(rng, bytes.len()), at(rng, bytes.len()));
                bytes.drain(from.min(to)..from.max(to));
            }
            5 => {
                let (from, to) = (at(rng, other.len()), at(rng, other.len()));
                let piece = other[from.min(to)..from.max(to)].to_vec();
                let place = at(rng, bytes.len());
                bytes.splice(place..place, piece);
            }
            6 => {
                let mut noise = vec![0; rng.random_range(0..20)];
                rng.fill_bytes(&mut noise);
                let place = at(rng, bytes.len());
                bytes.splice(place..place, noise);
            }
            _ => {
                // A token where it may hurt.
                let tokens: [&[u8]; 12] = [
                    b"null",
                    b"1e999",
                    b"-0",
                    b"\"\"",
                    b"[",
                    b"{",
                    b"9007199254740993",
                    b"1e-320",
                    b"\xff\xff\xff\xff\x0f",
                    b"\\u0000",
                    b"\x0b",
                    b"0.1000000000000000055511151231257827",
                ];
                let place = at(rng, bytes.len());
                bytes.splice(place..place, tokens.choose(rng).unwrap().iter().copied());
            }
        }
    }
    if rng.random_bool(0.02) {
        bytes = vec![0; rng.random_range(0..500)];
        rng.fill_bytes(&mut bytes);
    }
    bytes
}

fn seeds() -> Seeds {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let batches: Vec<Batch> = (0..24).map(|number| batch(&mut rng, number)).collect();
    let mut protobuf: Vec<Vec<u8>> = batches.iter().map(Batch::to_protobuf).collect();
    // Of a newer version: of the batch and of a sample.
    let mut newer = protobuf[0].clone();
    put_varint(900, 5, &mut newer);
    protobuf.push(newer);
    let mut sample = Vec::new();
    batches[1].samples[0].write_message(&mut sample);
    put_bytes(700, b"new", &mut sample);
    put_varint(700, 9, &mut sample);
    let mut newer = protobuf[1].clone();
    put_bytes(8, &sample, &mut newer);
    protobuf.push(newer);
    Seeds {
        json: batches.iter().map(as_json).collect(),
        protobuf,
        traccar: json!({
            "position": {
                "id": 7, "attributes": { "ignition": true, "odometer": 48_211_300, "hours": 5_400_000, "rpm": 1900, "dtcs": "P0301", "rssi": -71 },
                "fixTime": "2026-01-31T07:15:00.000+00:00", "outdated": false, "valid": true, "latitude": 48.137154,
                "longitude": 11.576124, "speed": 27.0, "course": 41.0, "accuracy": 0.0
            },
            "device": { "uniqueId": "123456789012345" }
        })
        .to_string()
        .into_bytes(),
        flespi: json!([
            { "ident": "352094081234567", "timestamp": 1769843700.25, "position.latitude": 48.1, "position.longitude": 11.5 },
            { "ident": 7, "timestamp": 1769843701, "position.valid": false, "vehicle.mileage": 48211.3, "can.engine.rpm": 1900 },
        ])
        .to_string()
        .into_bytes(),
    }
}

fn batch(rng: &mut ChaCha8Rng, number: i64) -> Batch {
    let time = |second: i64| EventTime::from_millis(1_769_843_700_000 + number * 60_000 + second * 1_000).unwrap();
    let sample = |rng: &mut ChaCha8Rng, second: i64| {
        let mut sample = Sample::at(time(second));
        for field in FIELDS {
            if rng.random_bool(0.5) {
                continue;
            }
            let value = match field.kind {
                FieldKind::Number if rng.random_bool(0.5) => json!(rng.random_range(-1e3..1e3)),
                FieldKind::Number => json!(rng.random_range(0..100)),
                FieldKind::Flag => json!(rng.random_bool(0.5)),
                FieldKind::Wheels => json!([220.0, 221.5, 230.0, rng.random_range(0.0..300.0)]),
                FieldKind::Codes => json!(vec!["P0301"; rng.random_range(0..3)]),
            };
            sample.set_json(field.name, value).unwrap();
        }
        if rng.random_bool(0.2) {
            sample.extra.insert("driver".to_owned(), json!("anna"));
            sample
                .extra
                .insert("cabin".to_owned(), json!({ "c": 21.5, "seats": [1, null, "x"] }));
        }
        sample
    };
    let impact = |rng: &mut ChaCha8Rng| Impact {
        trigger_ts: time(3),
        rate_hz: 400.0,
        t0_ms: -100.0,
        accel_ms2: vec![[rng.random_range(-60.0..60.0), 0.0, 9.8]; 3],
        gyro_rads: rng.random_bool(0.5).then(|| vec![[0.1, 0.2, 0.3]; 3]),
    };
    Batch {
        batch_id: BatchId::parse(format!("b-{number}")).unwrap(),
        vehicle: if rng.random_bool(0.8) {
            "fleet-0042".to_owned()
        } else {
            String::new()
        },
        device: Some("dongle".to_owned()),
        driver: rng.random_bool(0.3).then(|| "berta".to_owned()),
        accel_frame: *[AccelFrame::Vehicle, AccelFrame::Device, AccelFrame::Earth]
            .choose(rng)
            .unwrap(),
        gravity: *[Gravity::Included, Gravity::Removed].choose(rng).unwrap(),
        samples: (0..rng.random_range(1..8)).map(|second| sample(rng, second)).collect(),
        impacts: (0..rng.random_range(0..2)).map(|_| impact(rng)).collect(),
    }
}

fn as_json(batch: &Batch) -> Vec<u8> {
    let vehicle = Some(&batch.vehicle).filter(|name| !name.is_empty());
    let value: Value = json!({
        "schema": 1, "batch_id": batch.batch_id, "vehicle": vehicle, "device": batch.device, "driver": batch.driver,
        "accel_frame": batch.accel_frame, "gravity": batch.gravity, "samples": batch.samples, "impacts": batch.impacts,
    });
    value.to_string().into_bytes()
}

fn pack(bytes: &[u8], encoding: ContentEncoding) -> Vec<u8> {
    match encoding {
        ContentEncoding::Identity => bytes.to_vec(),
        ContentEncoding::Gzip => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        ContentEncoding::Zstd => zstd::encode_all(bytes, 1).unwrap(),
    }
}

fn envelope(content_type: ContentType, content_encoding: ContentEncoding, payload: Vec<u8>) -> Envelope {
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
        content_encoding,
        traceparent: None,
        resubmission_of: None,
        extra: serde_json::Map::new(),
    };
    Envelope { header, payload }
}
