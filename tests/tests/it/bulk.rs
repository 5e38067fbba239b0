//! Many batches in one request, and what became of each message.

use std::{io::Write as _, time::Duration};

use chrono::{TimeDelta, Utc};
use flate2::{Compression, write::GzEncoder};
use odograph_domain::{id::TenantId, policy::Product};
use odograph_tests::{
    http::{Answer, Api},
    platform::{Insured, Platform},
};
use reqwest::Method;
use serde_json::{Value, json};

async fn insured(platform: &Platform) -> TenantId {
    let tenant = platform.tenant("insurer").await;
    let insured: Vec<_> = ["car-1", "car-2"]
        .map(|vehicle| Insured {
            vehicle: vehicle.to_owned(),
            driver: format!("{vehicle}-driver"),
            product: Product::Phyd,
            time_zone: chrono_tz::Tz::Europe__Berlin,
            starts_on: (Utc::now() - TimeDelta::days(100)).date_naive(),
        })
        .into();
    platform.insure(tenant, &insured).await;
    tenant
}

fn batch(vehicle: &str, id: &str, samples: i64) -> Value {
    let start = Utc::now() - TimeDelta::hours(1);
    let samples: Vec<Value> = (0..samples)
        .map(|second| json!({ "ts": (start + TimeDelta::seconds(second)).to_rfc3339(), "speed_kmh": 50 }))
        .collect();
    json!({ "schema": 1, "batch_id": id, "vehicle": vehicle, "samples": samples })
}

async fn send(api: &Api, token: &str, kind: &str, body: Vec<u8>, encoding: Option<&str>) -> Answer {
    let request = api
        .request(Method::POST, "/v1/telemetry/bulk")
        .bearer_auth(token)
        .header("content-type", kind)
        .body(body);
    let request = match encoding {
        Some(encoding) => request.header("content-encoding", encoding),
        None => request,
    };
    Answer::of(request.send().await).await
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

#[tokio::test(flavor = "multi_thread")]
async fn each_batch_of_many_has_its_own_outcome() {
    let mut platform = Platform::start().await;
    let tenant = insured(&platform).await;
    let api = platform.serve().await;
    let token = api.token(&platform.client(tenant, &[]).await).await;
    let batches = json!({ "batches": [
        batch("car-1", "b-1", 3), batch("nobody", "b-2", 2), { "schema": 7, "batch_id": "b-3" },
        batch("car-2", "b-4", 1), 5, batch("car-1", "b-6", 0),
    ] });
    let answer = send(&api, &token, "application/json", batches.to_string().into_bytes(), None).await;
    assert_eq!(answer.status.as_u16(), 207, "{answer:?}");
    let told = answer.json();
    assert_eq!(
        (&told["accepted"], &told["refused"]),
        (&json!(2), &json!(4)),
        "{told:#}"
    );
    let outcomes: Vec<_> = told["batches"]
        .as_array()
        .expect("outcomes")
        .iter()
        .map(|outcome| outcome["code"].as_str().unwrap_or("accepted"))
        .collect();
    assert_eq!(
        outcomes,
        [
            "accepted",
            "unknown_vehicle",
            "unsupported_schema",
            "accepted",
            "malformed_body",
            "bad_batch"
        ]
    );
    // What waits is known to wait, and what was turned away is kept and settled.
    let accepted = &told["batches"][0]["message_id"];
    let path = format!("/v1/telemetry/messages/{}", accepted.as_str().expect("an id"));
    assert_eq!(api.get(&token, &path).await.json()["state"], "pending");
    let refused = settled(&api, &token, &told["batches"][1]["message_id"]).await;
    assert_eq!(
        (&refused["outcome"], &refused["samples"]["rejected"]),
        (&json!("rejected"), &json!({ "unknown_vehicle": 2 }))
    );
    assert_eq!(refused["dead_letters"].as_array().map(Vec::len), Some(1), "{refused}");
    assert_eq!(api.every(&token, "/v1/dead-letters").await.len(), 4);

    platform.work();
    let settled_one = settled(&api, &token, accepted).await;
    assert_eq!(
        (&settled_one["outcome"], &settled_one["samples"]),
        (
            &json!("accepted"),
            &json!({ "received": 3, "accepted": 3, "duplicate": 0, "rejected": {} })
        )
    );

    // Line by line, compressed; one of them again.
    let lines = format!("{}\n\n{}\r\n", batch("car-1", "l-1", 2), batches["batches"][3]);
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(lines.as_bytes()).expect("compressed text");
    let packed = gzip.finish().expect("gzip");
    let answer = send(&api, &token, "application/x-ndjson", packed, Some("gzip")).await;
    assert_eq!(answer.status.as_u16(), 202, "{answer:?}");
    let again = settled(&api, &token, &answer.json()["batches"][1]["message_id"]).await;
    assert_eq!(
        (&again["outcome"], &again["samples"]["duplicate"]),
        (&json!("duplicate"), &json!(1))
    );
    platform.drained().await;
    platform.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_in_which_no_batch_can_be_told_is_refused_whole() {
    let mut platform = Platform::start().await;
    let tenant = insured(&platform).await;
    let api = platform.serve().await;
    let token = api.token(&platform.client(tenant, &[]).await).await;
    for (kind, body, status, code) in [
        ("application/json", "[]", 400, "malformed_body"),
        ("application/json", "{\"batches\":[", 400, "malformed_body"),
        ("application/json", "{\"batches\":[],\"more\":1}", 400, "malformed_body"),
        ("application/json", "{\"batches\":[]}", 422, "invalid_body"),
        ("application/x-ndjson", "\n\n", 422, "invalid_body"),
        ("text/plain", "{}", 415, "unsupported_media_type"),
    ] {
        let answer = send(&api, &token, kind, body.as_bytes().to_vec(), None).await;
        assert_eq!(answer.problem(status), code, "{body}");
    }
    let many = json!({ "batches": vec![1; 1001] }).to_string();
    let answer = send(&api, &token, "application/json", many.into_bytes(), None).await;
    assert_eq!(answer.problem(422), "invalid_body");
    // A list is no batch either, whatever is in it.
    let list = json!([1, "b", "car-1", null, null, [{ "ts": "2026-03-28T07:15:00Z" }], null]);
    let answer = api.post(&token, "/v1/telemetry/batches", &list).await;
    assert_eq!(answer.problem(400), "malformed_body");
    assert!(answer.text.contains("got a list"), "{answer:?}");
    let absent = "/v1/telemetry/messages/0192f0c1-2f6b-7c3a-8a55-0d9f6f4f2a10";
    api.get(&token, absent).await.problem(404);
    platform.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_answers_to_get_answers_to_head() {
    let mut platform = Platform::start().await;
    let api = platform.serve().await;
    for path in ["/healthz", "/openapi.json", "/docs/", "/docs"] {
        let head = Answer::of(api.request(Method::HEAD, path).send().await).await;
        assert_eq!(head.status, 200, "{path}: {head:?}");
        assert!(head.text.is_empty(), "{path}: {head:?}");
    }
    let unknown = Answer::of(api.request(Method::HEAD, "/v1/nothing").send().await).await;
    assert_eq!(unknown.status, 404, "{unknown:?}");
    let closed = Answer::of(api.request(Method::HEAD, "/v1/vehicles").send().await).await;
    assert_eq!(closed.status, 401, "{closed:?}");
    platform.end().await;
}
