//! The API over the network: who gets in, how errors look, and what becomes of a batch.

use std::{io::Write as _, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use flate2::{Compression, write::GzEncoder};
use odograph_domain::{id::TenantId, policy::Product};
use odograph_tests::{
    http::Answer,
    platform::{Insured, Platform},
};
use reqwest::Method;
use serde_json::{Value, json};

mod access;

const VEHICLE: &str = "car-1";

async fn insured(platform: &Platform) -> TenantId {
    let tenant = platform.tenant("insurer").await;
    let insured = Insured {
        vehicle: VEHICLE.to_owned(),
        driver: "driver-1".to_owned(),
        product: Product::Phyd,
        time_zone: Tz::Europe__Berlin,
        starts_on: (Utc::now() - TimeDelta::days(100)).date_naive(),
    };
    platform.insure(tenant, &[insured]).await;
    tenant
}

/// Half an hour of city driving some days ago, a sample a second, in one batch.
fn drive() -> Value {
    let start = (Utc::now() - TimeDelta::days(3))
        .date_naive()
        .and_hms_opt(9, 0, 0)
        .expect("nine o'clock")
        .and_utc();
    batch("drive", (0..=1800).map(|second| sample(start, second)).collect())
}

fn sample(start: DateTime<Utc>, second: i64) -> Value {
    json!({
        "ts": (start + TimeDelta::seconds(second)).to_rfc3339(), "lat": 52.5, "lon": 13.4 + 0.000_2 * second as f64,
        "speed_kmh": 48.7, "ignition": second < 1800,
    })
}

fn batch(id: &str, samples: Vec<Value>) -> Value {
    json!({ "schema": 1, "batch_id": id, "vehicle": VEHICLE, "samples": samples })
}

fn recent(id: &str) -> Value {
    batch(id, vec![sample(Utc::now() - TimeDelta::hours(1), 0)])
}

pub(super) async fn send(request: reqwest::RequestBuilder) -> Answer {
    Answer::of(request.send().await).await
}

fn outcome(outcomes: &Value, name: &str, unit: &str) -> i64 {
    let items = outcomes["items"].as_array().expect("items");
    items
        .iter()
        .filter(|item| item["outcome"] == name)
        .map(|item| item[unit].as_i64().expect("a count"))
        .sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_error_is_a_problem_of_the_one_shape() {
    let mut platform = Platform::start().await;
    let tenant = insured(&platform).await;
    let api = platform.serve().await;
    let token = api.token(&platform.client(tenant, &[]).await).await;
    let body = |method: Method, path: &str, kind: &str, text: &str| {
        let request = api.request(method, path).bearer_auth(&token);
        let request = if kind.is_empty() {
            request
        } else {
            request.header("content-type", kind)
        };
        request.body(text.to_owned())
    };
    let json_to = |path: &str, text: &str| body(Method::POST, path, "application/json", text);
    let get = |path: &str| api.request(Method::GET, path).bearer_auth(&token);
    let (vehicles, batches) = ("/v1/vehicles", "/v1/telemetry/batches");
    let huge = format!("{{\"make\":\"{}\"}}", "x".repeat(2 << 20));
    for (what, request, status, code) in [
        ("malformed JSON", json_to(vehicles, "{\"make\":"), 400, "malformed_body"),
        ("more than JSON", json_to(vehicles, "{} x"), 400, "malformed_body"),
        (
            "a wrong type",
            json_to(vehicles, "{\"year\":\"old\"}"),
            422,
            "invalid_body",
        ),
        ("no object", json_to(vehicles, "[1,2]"), 422, "invalid_body"),
        (
            "an unknown field",
            json_to(vehicles, "{\"colour\":\"red\"}"),
            422,
            "invalid_body",
        ),
        (
            "a bad reference",
            json_to(vehicles, "{\"external_ref\":\" a\"}"),
            422,
            "invalid_body",
        ),
        (
            "a NUL",
            json_to(vehicles, "{\"make\":\"a\\u0000b\"}"),
            422,
            "invalid_body",
        ),
        (
            "a taken reference",
            json_to(vehicles, "{\"external_ref\":\"car-1\"}"),
            409,
            "conflict",
        ),
        ("no body", json_to(vehicles, ""), 400, "malformed_body"),
        ("too large a body", json_to(vehicles, &huge), 413, "body_too_large"),
        (
            "another type of body",
            body(Method::POST, vehicles, "text/plain", "{}"),
            415,
            "unsupported_media_type",
        ),
        (
            "no type of body",
            body(Method::POST, vehicles, "", "{}"),
            415,
            "unsupported_media_type",
        ),
        (
            "bytes that are no text",
            json_to(vehicles, "\u{fffd}"),
            400,
            "malformed_body",
        ),
        ("an unknown route", get("/v1/nothing"), 404, "route_not_found"),
        (
            "another method",
            body(Method::DELETE, vehicles, "", ""),
            405,
            "method_not_allowed",
        ),
        ("an id that is none", get("/v1/trips/not-a-uuid"), 404, "not_found"),
        ("an id with odd letters", get("/v1/vehicles/%00%ff"), 404, "not_found"),
        (
            "an id with a slash",
            get("/v1/vehicles/..%2f..%2fetc"),
            404,
            "not_found",
        ),
        ("a bad limit", get("/v1/trips?limit=0"), 400, "invalid_query"),
        ("a bad cursor", get("/v1/trips?cursor=AAAA"), 400, "invalid_query"),
        (
            "an unknown parameter",
            get("/v1/trips?colour=red"),
            400,
            "invalid_query",
        ),
        ("a bad time", get("/v1/trips?from=yesterday"), 400, "invalid_query"),
        (
            "a vehicle that is none",
            get("/v1/trips?vehicle=nobody"),
            404,
            "not_found",
        ),
        ("no batch", json_to(batches, "{\"schema\":1"), 400, "malformed_body"),
        (
            "another schema",
            json_to(batches, "{\"schema\":7}"),
            400,
            "unsupported_schema",
        ),
        (
            "an unknown vehicle",
            json_to(batches, &recent("b").to_string().replace(VEHICLE, "nobody")),
            422,
            "unknown_vehicle",
        ),
        (
            "an empty batch",
            json_to(batches, &batch("b", vec![]).to_string()),
            400,
            "bad_batch",
        ),
        (
            "another encoding",
            json_to(batches, "x").header("content-encoding", "br"),
            415,
            "unsupported_media_type",
        ),
        (
            "no gzip",
            json_to(batches, "x").header("content-encoding", "gzip"),
            400,
            "malformed_body",
        ),
    ] {
        let answer = send(request).await;
        assert_eq!(answer.status.as_u16(), status, "{what}: {answer:?}");
        assert_eq!(answer.problem(status), code, "{what}");
    }
    let unknown = send(json_to(vehicles, "{\"colour\":\"red\"}")).await.json();
    assert_eq!(unknown["errors"][0]["field"], "colour", "{unknown}");
    let method = send(body(Method::DELETE, vehicles, "", "")).await;
    assert!(
        method.header("allow").contains("GET") && method.header("allow").contains("POST"),
        "{method:?}"
    );
    platform.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_has_an_id_the_callers_where_it_is_sound() {
    let mut platform = Platform::start().await;
    let api = platform.serve().await;
    let with = async |id: &str| send(api.request(Method::GET, "/healthz").header("x-request-id", id)).await;
    assert_eq!(with("sound-1.2_3").await.header("x-request-id"), "sound-1.2_3");
    let long = "x".repeat(300);
    for wrong in ["two words", "<script>", &long] {
        let answer = with(wrong).await;
        let id = answer.header("x-request-id");
        assert!(id != wrong && !id.is_empty(), "{answer:?}");
    }
    let ready = send(api.request(Method::GET, "/readyz")).await;
    assert_eq!(ready.status, 200, "{ready:?}");
    assert_eq!(ready.header("x-content-type-options"), "nosniff");
    let docs = send(api.request(Method::GET, "/docs/")).await;
    assert_eq!(docs.status, 200, "{docs:?}");
    assert!(docs.text.contains("swagger"), "{docs:?}");
    platform.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_becomes_a_trip_a_score_and_a_premium() {
    let mut platform = Platform::start().await;
    platform.work();
    let tenant = insured(&platform).await;
    let api = platform.serve().await;
    let token = api.token(&platform.client(tenant, &[]).await).await;
    let answer = api.post(&token, "/v1/telemetry/batches", &drive()).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!(answer.json()["lane"], "live");
    // The ignition was switched off: no timer has to run out.
    let mut trips = Vec::new();
    for _ in 0..600 {
        trips = api.every(&token, "/v1/trips?vehicle=car-1").await;
        if !trips.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(trips.len(), 1, "{trips:?}");
    assert_eq!(trips[0]["ended_by"], "ignition_off", "{trips:?}");
    let km = trips[0]["distance_m"].as_f64().expect("a distance") / 1000.0;
    assert!((23.0..26.0).contains(&km), "{km} km");
    let id = trips[0]["id"].as_str().expect("an id");
    let trip = api.get(&token, &format!("/v1/trips/{id}")).await.json();
    assert!(
        trip["features"]["behaviour"]["top_speed_kmh"].as_f64().is_some(),
        "{trip}"
    );

    // The track is a class of its own.
    api.get(&token, &format!("/v1/trips/{id}/track")).await.problem(403);
    let tracker = api.token(&platform.client(tenant, &["tracks:read"]).await).await;
    let track = api.get(&tracker, &format!("/v1/trips/{id}/track")).await;
    assert_eq!(track.status, 200, "{track:?}");
    assert!(
        track.text.contains("13.4") && !trip.to_string().contains("\"lat\""),
        "{trip}"
    );

    let score = api.get(&token, "/v1/drivers/driver-1/score").await;
    assert_eq!(score.status, 200, "{score:?}");
    assert!(
        !score.json()["reasons"].as_array().expect("reasons").is_empty(),
        "{score:?}"
    );
    let premiums = api.every(&token, "/v1/policies/car-1-policy/premiums").await;
    assert_eq!(premiums.len(), 1, "{premiums:?}");
    let usage = api
        .get(
            &token,
            &format!("/v1/policies/car-1-policy/usage?from={0}&to={0}", day(&trips[0])),
        )
        .await;
    let metres = usage.json()["days"][0]["metres"].as_i64().expect("metres");
    assert!((metres as f64 / 1000.0 - km).abs() < 0.001, "{usage:?}");
    platform.end().await;
}

/// The day a trip began; none of these is near midnight.
fn day(trip: &Value) -> &str {
    &trip["start"].as_str().expect("a start")[..10]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_sample_that_was_received_has_one_outcome() {
    let mut platform = Platform::start().await;
    platform.work();
    let tenant = insured(&platform).await;
    let api = platform.serve().await;
    let token = api.token(&platform.client(tenant, &[]).await).await;
    let path = "/v1/telemetry/batches";
    let hour_ago = Utc::now() - TimeDelta::hours(1);
    let mixed = batch(
        "mixed",
        vec![
            sample(hour_ago, 0),
            sample(hour_ago, 1),
            sample(hour_ago, 1),
            json!({ "ts": hour_ago.to_rfc3339(), "lat": 1.0 }),
            json!({ "ts": "yesterday" }),
            json!({ "ts": (Utc::now() + TimeDelta::days(2)).to_rfc3339(), "speed_kmh": 1 }),
            json!({ "ts": "1999-01-01T00:00:00Z", "speed_kmh": 1 }),
            json!({ "ts": "2001-01-01T00:00:00Z", "speed_kmh": 1 }),
            json!({ "ts": hour_ago.to_rfc3339(), "lat": 91.0, "lon": 0.0 }),
            json!({ "ts": hour_ago.to_rfc3339(), "speed_kmh": "fast" }),
            json!(5),
        ],
    );
    let answer = api.post(&token, path, &mixed).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!(api.post(&token, path, &mixed).await.status, 202);
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(recent("packed").to_string().as_bytes())
        .expect("compressed text");
    let packed = api
        .request(Method::POST, path)
        .bearer_auth(&token)
        .header("content-type", "application/json");
    let packed = send(
        packed
            .header("content-encoding", "gzip")
            .body(gzip.finish().expect("gzip")),
    )
    .await;
    assert_eq!(packed.status, 202, "{packed:?}");
    let other = batch("mixed", vec![sample(hour_ago, 7)]);
    assert_eq!(api.post(&token, path, &other).await.status, 202);
    let unknown = recent("b").to_string().replace(VEHICLE, "nobody");
    let unknown: Value = serde_json::from_str(&unknown).expect("JSON");
    api.post(&token, path, &unknown).await.problem(422);
    platform.drained().await;

    let outcomes = api.get(&token, "/v1/outcomes").await.json();
    let count = |name: &str| outcome(&outcomes, name, "samples");
    let wanted = [
        ("received", 11 + 11 + 1 + 1 + 1),
        ("accepted", 2 + 1),
        ("duplicate", 1 + 11),
        ("half_coordinate", 1),
        ("malformed_sample", 3),
        ("ts_in_future", 1),
        ("ts_before_2000", 1),
        ("too_late", 1),
        ("coordinate_out_of_range", 1),
        ("batch_conflict", 1),
        ("unknown_vehicle", 1),
    ];
    for (name, samples) in wanted {
        assert_eq!(count(name), samples, "{name}: {outcomes:#}");
    }
    let names: Vec<&str> = wanted.iter().map(|(name, _)| *name).collect();
    for item in outcomes["items"].as_array().expect("items") {
        let samples = item["samples"].as_i64().expect("a count");
        assert!(
            samples == 0 || names.iter().any(|name| item["outcome"] == *name),
            "{item}"
        );
    }
    let ended: i64 = names[1..].iter().map(|name| count(name)).sum();
    assert_eq!(
        ended,
        count("received"),
        "accepted + duplicate + rejected is not what was received"
    );

    let letters = api.every(&token, "/v1/dead-letters").await;
    let of = |reason: &str| letters.iter().filter(|letter| letter["reason"] == reason).count();
    for (reason, _) in &wanted[3..] {
        assert!(of(reason) > 0, "no dead letter for {reason}: {letters:#?}");
    }
    let unknown: Vec<_> = api.every(&token, "/v1/dead-letters?reason=unknown_vehicle").await;
    assert_eq!(
        (unknown.len(), &unknown[0]["vehicle_given"]),
        (1, &json!("nobody")),
        "{unknown:?}"
    );
    platform.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_come_in_pages_that_miss_nothing() {
    let mut platform = Platform::start().await;
    let tenant = insured(&platform).await;
    let api = platform.serve().await;
    let token = api.token(&platform.client(tenant, &[]).await).await;
    for number in 0..25 {
        let body = json!({ "external_ref": format!("fleet-{number:02}") });
        let answer = api.post(&token, "/v1/vehicles", &body).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        let location = answer.header("location");
        assert_eq!(
            api.get(&token, location).await.json()["external_ref"],
            body["external_ref"]
        );
    }
    let listed = api.every(&token, "/v1/vehicles").await;
    let mut names: Vec<&str> = listed
        .iter()
        .map(|vehicle| vehicle["external_ref"].as_str().expect("a name"))
        .collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!((listed.len(), names.len()), (26, 26), "{names:?}");
    let by_name = api.get(&token, "/v1/vehicles/fleet-07").await.json();
    let by_id = api
        .get(
            &token,
            &format!("/v1/vehicles/{}", by_name["id"].as_str().expect("an id")),
        )
        .await
        .json();
    assert_eq!(by_name, by_id);
    platform.end().await;
}
