//! One trip in every form it can be sent in, and one ledger: what was sent in one form is a duplicate in any other.

use std::{io::Write as _, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use flate2::{Compression, write::GzEncoder};
use odograph_domain::{
    batch::{AccelFrame, Batch, BatchId, Gravity},
    id::TenantId,
    policy::Product,
    protobuf::{put_bytes, put_delimited},
    sample::Sample,
    time::EventTime,
};
use odograph_tests::{
    http::{Answer, Api},
    platform::{Insured, Platform},
};
use reqwest::Method;
use serde_json::{Value, json};

const JSON: &str = "application/json";
const NDJSON: &str = "application/x-ndjson";
const PROTOBUF: &str = "application/x-protobuf";

const SINGLE: &str = "/v1/telemetry/batches";
const BULK: &str = "/v1/telemetry/bulk";

async fn insured(platform: &Platform, product: Product) -> TenantId {
    let tenant = platform.tenant("insurer").await;
    let insured: Vec<_> = ["car-1", "car-2"]
        .map(|vehicle| Insured {
            vehicle: vehicle.to_owned(),
            driver: format!("{vehicle}-driver"),
            product,
            time_zone: chrono_tz::Tz::Europe__Berlin,
            starts_on: (Utc::now() - TimeDelta::days(100)).date_naive(),
        })
        .into();
    platform.insure(tenant, &insured).await;
    tenant
}

fn start() -> DateTime<Utc> {
    Utc::now() - TimeDelta::hours(5)
}

/// A few kilometres northwards at 72 km/h, in figures that no short decimal is.
fn drive(start: DateTime<Utc>) -> Vec<Sample> {
    let sample = |second: i64| {
        let mut sample = Sample::at(EventTime::new(start + TimeDelta::seconds(second)));
        sample.lat = Some(48.1 + second as f64 * 20.0 / 111_195.080_233_532_9);
        sample.lon = Some(11.576_124_3);
        sample.speed_kmh = Some(if (10..290).contains(&second) { 72.0 } else { 0.0 });
        sample.ignition = Some(second < 299);
        sample.accel_x_ms2 = Some((second as f64 / 7.0).sin() / 3.0);
        sample
    };
    (0..300).map(sample).collect()
}

fn batches(vehicle: &str, start: DateTime<Utc>) -> Vec<Batch> {
    let samples = drive(start);
    let batch = |(number, samples): (usize, &[Sample])| Batch {
        batch_id: BatchId::parse(format!("b-{number}")).expect("a batch id"),
        vehicle: vehicle.to_owned(),
        device: None,
        driver: None,
        accel_frame: AccelFrame::Vehicle,
        gravity: Gravity::Included,
        samples: samples.to_vec(),
        impacts: Vec::new(),
    };
    samples.chunks(60).enumerate().map(batch).collect()
}

fn as_json(batch: &Batch) -> Value {
    json!({ "schema": 1, "batch_id": batch.batch_id, "vehicle": batch.vehicle, "samples": batch.samples })
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("compressed bytes");
    encoder.finish().expect("gzip")
}

async fn post(api: &Api, token: &str, path: &str, kind: &str, encoding: &str, body: Vec<u8>) -> Answer {
    let request = api.request(Method::POST, path).bearer_auth(token);
    let request = request
        .header("content-type", kind)
        .header("content-encoding", encoding);
    Answer::of(request.body(body).send().await).await
}

/// Where a message is, once it is settled.
async fn settled(api: &Api, token: &str, message: &Value) -> Value {
    let path = format!("/v1/telemetry/messages/{}", message.as_str().expect("a message's id"));
    for _ in 0..600 {
        let status = api.get(token, &path).await;
        assert_eq!(status.status, 200, "{status:?}");
        if status.json()["state"] == "settled" {
            return status.json();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{message} was never settled");
}

/// Messages of an answer, whether it is of one batch or of many.
fn messages(answer: &Answer) -> Vec<Value> {
    assert_eq!(answer.status, 202, "{answer:?}");
    let told = answer.json();
    match told["batches"].as_array() {
        Some(batches) => batches.iter().map(|batch| batch["message_id"].clone()).collect(),
        None => vec![told["message_id"].clone()],
    }
}

/// Sends the drive in every form. Each as what comes over the wire: path, content type, content encoding, bodies.
fn forms(batches: &[Batch]) -> Vec<(&'static str, &'static str, &'static str, Vec<Vec<u8>>)> {
    let json: Vec<Vec<u8>> = batches
        .iter()
        .map(|batch| as_json(batch).to_string().into_bytes())
        .collect();
    let protobuf: Vec<Vec<u8>> = batches.iter().map(Batch::to_protobuf).collect();
    let zstd = |bytes: &[u8]| zstd::encode_all(bytes, 3).expect("zstd");
    let lines = json.join(&b'\n');
    let list = json!({ "batches": batches.iter().map(as_json).collect::<Vec<_>>() })
        .to_string()
        .into_bytes();
    let mut stream = Vec::new();
    protobuf.iter().for_each(|message| put_delimited(message, &mut stream));
    let each = |bodies: &[Vec<u8>], pack: &dyn Fn(&[u8]) -> Vec<u8>| bodies.iter().map(|body| pack(body)).collect();
    vec![
        (SINGLE, JSON, "identity", json.clone()),
        (SINGLE, PROTOBUF, "identity", protobuf.clone()),
        (
            SINGLE,
            "application/protobuf",
            "gzip",
            each(&protobuf, &|body| gzip(body)),
        ),
        (SINGLE, JSON, "gzip", each(&json, &|body| gzip(body))),
        (SINGLE, JSON, "zstd", each(&json, &|body| zstd(body))),
        (SINGLE, PROTOBUF, "zstd", each(&protobuf, &|body| zstd(body))),
        (BULK, JSON, "zstd", vec![zstd(&list)]),
        (BULK, NDJSON, "identity", vec![lines.clone()]),
        (BULK, NDJSON, "gzip", vec![gzip(&lines)]),
        (BULK, NDJSON, "zstd", vec![zstd(&lines)]),
        (BULK, PROTOBUF, "identity", vec![stream.clone()]),
        (BULK, PROTOBUF, "gzip", vec![gzip(&stream)]),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_trip_comes_of_every_form_and_counts_once() {
    let mut platform = Platform::start().await;
    platform.work();
    let tenant = insured(&platform, Product::Phyd).await;
    let api = platform.serve().await;
    let token = api.token(&platform.client(tenant, &[]).await).await;
    let start = start();
    let forms_of = |vehicle: &str| forms(&batches(vehicle, start));
    // Two cars drive the same; the one's trip comes as JSON first, the other's as protobuf.
    for (vehicle, first) in [("car-1", 0), ("car-2", 1)] {
        let mut forms = forms_of(vehicle);
        forms.swap(0, first);
        for (place, (path, kind, encoding, bodies)) in forms.into_iter().enumerate() {
            let (mut accepted, mut doubled) = (0, 0);
            for body in bodies {
                let answer = post(&api, &token, path, kind, encoding, body).await;
                for message in messages(&answer) {
                    let told = settled(&api, &token, &message).await;
                    assert_eq!(told["samples"]["rejected"], json!({}), "{kind} {encoding}: {told}");
                    accepted += told["samples"]["accepted"].as_u64().expect("a count");
                    doubled += told["samples"]["duplicate"].as_u64().expect("a count");
                }
            }
            let wanted = if place == 0 { (300, 0) } else { (0, 300) };
            assert_eq!((accepted, doubled), wanted, "{vehicle}: {path} {kind} {encoding}");
        }
    }
    platform.drained().await;
    platform.derive(tenant).await;
    let reader = api.token(&platform.client(tenant, &["trips:read"]).await).await;
    let trips = api.every(&reader, "/v1/trips").await;
    assert_eq!(trips.len(), 2, "{trips:#?}");
    let distance = |trip: &Value| trip["distance_m"].clone();
    assert!(!distance(&trips[0]).is_null(), "{:#}", trips[0]);
    assert_eq!(distance(&trips[0]), distance(&trips[1]));
    assert_eq!(
        api.every(&reader_of_letters(&platform, &api, tenant).await, "/v1/dead-letters")
            .await,
        [] as [Value; 0]
    );
    platform.end().await;
}

async fn reader_of_letters(platform: &Platform, api: &Api, tenant: TenantId) -> String {
    let scopes = [
        "deadletters:read",
        "deadletters:write",
        "tracks:read",
        "telemetry:write",
    ];
    api.token(&platform.client(tenant, &scopes).await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_sample_of_a_protobuf_batch_is_kept_mended_and_sent_again() {
    let mut platform = Platform::start().await;
    platform.work();
    let tenant = insured(&platform, Product::Phyd).await;
    let api = platform.serve().await;
    let token = reader_of_letters(&platform, &api, tenant).await;
    let mut batch = batches("car-1", start()).remove(0);
    batch.samples[7].speed_kmh = Some(f64::NAN);
    let mut body = batch.to_protobuf();
    // A sample that breaks off, and a field of a newer version.
    put_bytes(8, &[0x21, 0, 0], &mut body);
    put_bytes(1_000, b"new", &mut body);
    let answer = post(&api, &token, SINGLE, PROTOBUF, "identity", body).await;
    let told = settled(&api, &token, &messages(&answer)[0]).await;
    assert_eq!(
        (&told["outcome"], &told["samples"]["accepted"]),
        (&json!("accepted_in_part"), &json!(59))
    );
    assert_eq!(
        told["samples"]["rejected"],
        json!({ "not_finite": 1, "malformed_sample": 1 })
    );

    let letters = api.every(&token, "/v1/dead-letters?reason=not_finite").await;
    let path = format!("/v1/dead-letters/{}", letters[0]["id"].as_str().expect("an id"));
    let mut kept = api.get(&token, &path).await.json()["payload"]["data"].clone();
    assert_eq!(kept["samples"][0]["speed_kmh"], "NaN", "{kept:#}");
    kept["samples"][0]["speed_kmh"] = json!(72);
    let again = api
        .post(&token, &format!("{path}/resubmission"), &json!({ "payload": kept }))
        .await;
    let landed = settled(&api, &token, &messages(&again)[0]).await;
    assert_eq!(
        (&landed["outcome"], &landed["samples"]["accepted"]),
        (&json!("accepted"), &json!(1))
    );

    // A message that does not read at all is told at the door.
    let broken = batch.to_protobuf();
    let answer = post(
        &api,
        &token,
        SINGLE,
        PROTOBUF,
        "identity",
        broken[..broken.len() - 3].to_vec(),
    )
    .await;
    assert_eq!(answer.problem(400), "malformed_body");
    let answer = post(&api, &token, SINGLE, PROTOBUF, "zstd", broken).await;
    assert_eq!(answer.problem(400), "malformed_body");
    platform.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_taken_line_by_line() {
    let mut platform = Platform::start().await;
    platform.work();
    let tenant = insured(&platform, Product::Phyd).await;
    let api = platform.serve().await;
    let token = reader_of_letters(&platform, &api, tenant).await;
    let start = start();
    let line = |number: i64| {
        let sample = json!({ "ts": (start + TimeDelta::seconds(number)).to_rfc3339(), "speed_kmh": 50 });
        json!({ "schema": 1, "batch_id": format!("l-{number}"), "vehicle": "car-1", "samples": [sample] }).to_string()
    };
    // More than a list may have, with bad ones among them.
    let mut lines: Vec<String> = (0..3_000).map(line).collect();
    lines[10] = "{\"schema\":1,".to_owned();
    lines[2_500] = line(2_500).replace("car-1", "nobody");
    let body = lines.join("\n").into_bytes();
    for encoding in ["identity", "gzip", "zstd"] {
        let packed = match encoding {
            "gzip" => gzip(&body),
            "zstd" => zstd::encode_all(&body[..], 3).expect("zstd"),
            _ => body.clone(),
        };
        let answer = post(&api, &token, BULK, NDJSON, encoding, packed).await;
        assert_eq!(answer.status, 207, "{answer:?}");
        let told = answer.json();
        assert_eq!(
            (&told["accepted"], &told["refused"]),
            (&json!(2_998), &json!(2)),
            "{encoding}"
        );
        let refused: Vec<_> = told["batches"]
            .as_array()
            .expect("outcomes")
            .iter()
            .filter(|outcome| outcome["status"] == "refused")
            .map(|outcome| (outcome["index"].clone(), outcome["code"].clone()))
            .collect();
        assert_eq!(
            refused,
            [
                (json!(10), json!("malformed_body")),
                (json!(2_500), json!("unknown_vehicle"))
            ]
        );
        assert_eq!((&told["omitted"], &told["stopped"]), (&json!(1_999), &json!(null)));
    }
    platform.drained().await;
    let counts = platform.outcomes(tenant).await;
    assert_eq!((counts.accepted, counts.duplicate), (2_998, 2 * 2_998));
    assert_eq!(api.every(&token, "/v1/dead-letters").await.len(), 6);

    // Cut off half way: what came is taken, and told.
    let packed = gzip(&lines[100..2_000].join("\n").into_bytes());
    let answer = post(&api, &token, BULK, NDJSON, "gzip", packed[..packed.len() / 2].to_vec()).await;
    let told = answer.json();
    assert_eq!(answer.status, 207, "{answer:?}");
    let accepted = told["accepted"].as_u64().expect("a count");
    assert!(accepted > 100 && accepted < 1_900, "{accepted}");
    assert_eq!(
        (&told["stopped"]["code"], &told["stopped"]["index"]),
        (&json!("malformed_body"), &json!(accepted))
    );
    platform.drained().await;
    platform.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_traccar_and_flespi_forward_is_of_the_car_that_the_device_is_in() {
    let mut platform = Platform::start().await;
    platform.work();
    let tenant = insured(&platform, Product::Phyd).await;
    let api = platform.serve().await;
    let token = reader_of_letters(&platform, &api, tenant).await;
    let keeper = api
        .token(&platform.client(tenant, &["vehicles:write", "vehicles:read"]).await)
        .await;
    for (car, device) in [("car-1", "123456789012345"), ("car-2", "352094081234567")] {
        let body = json!({ "external_ref": device, "kind": "obd", "from": "2020-01-01T00:00:00Z" });
        let answer = api.post(&keeper, &format!("/v1/vehicles/{car}/devices"), &body).await;
        assert_eq!(answer.status, 201, "{answer:?}");
    }
    let at = start();
    let position = |device: &str, speed: Value| {
        json!({
            "position": {
                "id": 7, "attributes": { "ignition": true, "odometer": 48_211_300, "io239": 1 }, "deviceId": 4,
                "fixTime": at.to_rfc3339(), "deviceTime": at.to_rfc3339(), "outdated": false, "valid": true,
                "latitude": 48.137154, "longitude": 11.576124, "altitude": 519.0, "speed": speed, "course": 41.0, "accuracy": 0.0
            },
            "device": { "id": 4, "uniqueId": device }
        })
    };
    let traccar = "/v1/telemetry/traccar";
    for outcome in ["accepted", "duplicate"] {
        let answer = api
            .post(&token, traccar, &position("123456789012345", json!(27.0)))
            .await;
        let told = settled(&api, &token, &messages(&answer)[0]).await;
        assert_eq!(told["outcome"], outcome, "{told}");
    }
    let answer = api
        .post(&token, traccar, &position("123456789012345", json!("fast")))
        .await;
    let told = settled(&api, &token, &messages(&answer)[0]).await;
    assert_eq!(told["samples"]["rejected"], json!({ "malformed_sample": 1 }));
    let answer = api.post(&token, traccar, &position("stranger", json!(27.0))).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.json()["batches"][0]["code"]),
        (207, &json!("unknown_device"))
    );
    assert_eq!(
        api.post(&token, traccar, &json!([])).await.problem(400),
        "malformed_body"
    );

    let seconds = at.timestamp();
    let messages_of_flespi = json!([
        { "ident": "352094081234567", "timestamp": seconds, "position.latitude": 48.1, "position.longitude": 11.5, "position.speed": 50,
          "engine.ignition.status": true, "vehicle.mileage": 48211.3 },
        { "ident": "123456789012345", "timestamp": seconds + 1, "position.speed": 50 },
        { "ident": "352094081234567", "timestamp": seconds + 1, "position.latitude": 48.1001, "position.longitude": 11.5 },
        { "timestamp": seconds },
    ]);
    let flespi = "/v1/telemetry/flespi";
    let answer = api.post(&token, flespi, &messages_of_flespi).await;
    let told = answer.json();
    assert_eq!(
        (answer.status.as_u16(), &told["accepted"], &told["refused"]),
        (207, &json!(2), &json!(1)),
        "{told:#}"
    );
    for (place, samples) in [(0, 1), (1, 2)] {
        let told = settled(&api, &token, &told["batches"][place]["message_id"]).await;
        assert_eq!(told["samples"]["accepted"], json!(samples), "{told}");
    }
    assert_eq!(
        api.post(&token, flespi, &json!({})).await.problem(400),
        "malformed_body"
    );
    platform.drained().await;
    platform.end().await;
}
