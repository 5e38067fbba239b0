//! What could not be used, looked at, sent again, and given up.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use odograph_domain::{id::TenantId, policy::Product};
use odograph_tests::{
    http::Api,
    platform::{Insured, Platform},
};
use serde_json::{Value, json};

async fn insured(platform: &Platform) -> TenantId {
    let tenant = platform.tenant("insurer").await;
    let insured = Insured {
        vehicle: "car-1".to_owned(),
        driver: "driver-1".to_owned(),
        product: Product::Phyd,
        time_zone: chrono_tz::Tz::Europe__Berlin,
        starts_on: (Utc::now() - TimeDelta::days(1000)).date_naive(),
    };
    platform.insure(tenant, &[insured]).await;
    tenant
}

fn sample(at: DateTime<Utc>, speed_kmh: f64) -> Value {
    json!({ "ts": at.to_rfc3339(), "speed_kmh": speed_kmh })
}

/// Waits until a message has its outcome, and tells it.
async fn settled(api: &Api, token: &str, answer: &Value) -> Value {
    let id = answer["message_id"].as_str().expect("a message's id");
    for _ in 0..600 {
        let status = api.get(token, &format!("/v1/telemetry/messages/{id}")).await.json();
        if status["state"] == "settled" {
            return status;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{id} was never settled");
}

fn id(letter: &Value) -> &str {
    letter["id"].as_str().expect("an id")
}

#[tokio::test(flavor = "multi_thread")]
async fn samples_that_were_refused_are_mended_and_sent_again() {
    let mut platform = Platform::start().await;
    platform.work();
    let tenant = insured(&platform).await;
    let api = platform.serve().await;
    let token = api.token(&platform.client(tenant, &[]).await).await;
    let reader = api
        .token(&platform.client(tenant, &["deadletters:read", "tracks:read"]).await)
        .await;
    let now = Utc::now();
    let speeds = [50.0, 900.0, 51.0, 901.0, 902.0, 903.0, 904.0, 905.0];
    let samples: Vec<Value> = speeds
        .iter()
        .zip(0i64..)
        .map(|(speed, second)| sample(now - TimeDelta::seconds(3600 - second), *speed))
        .collect();
    let batch = json!({ "schema": 1, "batch_id": "b-1", "vehicle": "car-1", "samples": samples });
    let sent = api.post(&token, "/v1/telemetry/batches", &batch).await;
    let status = settled(&api, &token, &sent.json()).await;
    assert_eq!(status["outcome"], "accepted_in_part", "{status}");

    // The letter says what was wrong, how often, and where.
    let listed = api.every(&token, "/v1/dead-letters?source=http&status=open").await;
    assert_eq!(listed.len(), 1, "{listed:?}");
    let letter = &listed[0];
    assert_eq!(letter["samples"], 6);
    let detail = letter["detail"].as_str().expect("a detail");
    assert!(
        detail.contains("got 900") && detail.ends_with("(6 samples: 1, 3, 4, 5, 6 and 1 more)"),
        "{detail}"
    );
    assert_eq!(status["dead_letters"], json!([letter["id"]]));
    let path = format!("/v1/dead-letters/{}", id(letter));
    let seen = api.get(&reader, &path).await.json();
    assert_eq!(seen["payload_state"], "kept", "{seen}");
    assert_eq!(api.get(&token, &path).await.json().get("payload"), None);

    // As it is it is refused again, as a letter of its own that names this one.
    let again = api.post(&token, &format!("{path}/resubmission"), &json!({})).await;
    assert_eq!(again.status, 202, "{again:?}");
    assert_eq!(settled(&api, &token, &again.json()).await["outcome"], "rejected");
    let conflict = api.post(&token, &format!("{path}/resubmission"), &json!({})).await;
    assert_eq!(conflict.problem(409), "conflict");
    let first = api.get(&token, &path).await.json();
    assert_eq!(
        (&first["status"], &first["resubmitted_as"]),
        (&json!("resubmitted"), &again.json()["message_id"])
    );
    let second = api
        .every(&token, "/v1/dead-letters?status=open&source=resubmission")
        .await;
    assert_eq!(second.len(), 1, "{second:?}");
    assert_eq!(second[0]["resubmission_of"], first["id"]);

    // Mended it is taken.
    let path = format!("/v1/dead-letters/{}", id(&second[0]));
    let mut payload = api.get(&reader, &path).await.json()["payload"]["data"].clone();
    for sample in payload["samples"].as_array_mut().expect("samples") {
        let speed = sample["speed_kmh"].as_f64().expect("a speed");
        sample["speed_kmh"] = json!(speed - 850.0);
    }
    let mended = api
        .post(&token, &format!("{path}/resubmission"), &json!({ "payload": payload }))
        .await;
    let status = settled(&api, &token, &mended.json()).await;
    assert_eq!(
        (&status["outcome"], &status["samples"]["accepted"]),
        (&json!("accepted"), &json!(6))
    );
    assert_eq!(status["resubmission_of"], second[0]["id"]);
    platform.drained().await;
    let outcomes = api.get(&token, "/v1/outcomes").await.json();
    let count = |name: &str| -> i64 {
        let items = outcomes["items"].as_array().expect("items").iter();
        items
            .filter(|item| item["outcome"] == name)
            .map(|item| item["samples"].as_i64().expect("a count"))
            .sum()
    };
    assert_eq!(
        (count("received"), count("accepted"), count("speed_out_of_range")),
        (20, 8, 12)
    );
    platform.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn late_data_is_taken_when_an_operator_says_so() {
    let mut platform = Platform::start().await;
    platform.work();
    let tenant = insured(&platform).await;
    let api = platform.serve().await;
    let token = api.token(&platform.client(tenant, &[]).await).await;
    let old = Utc::now() - TimeDelta::days(500);
    let batch = json!({ "schema": 1, "batch_id": "old", "vehicle": "car-1", "samples": [sample(old, 50.0)] });
    let sent = api.post(&token, "/v1/telemetry/batches", &batch).await.json();
    assert_eq!(settled(&api, &token, &sent).await["outcome"], "rejected");
    let body = json!({ "filter": { "reason": "too_late" } });
    let many = api.post(&token, "/v1/dead-letters/resubmissions", &body).await;
    assert_eq!(many.status, 202, "{many:?}");
    let many = many.json();
    assert_eq!(
        (&many["resubmitted"], &many["refused"], &many["more"]),
        (&json!(1), &json!(0), &json!(false))
    );
    assert_eq!(settled(&api, &token, &many["messages"][0]).await["outcome"], "accepted");
    let none = api.post(&token, "/v1/dead-letters/resubmissions", &body).await.json();
    assert_eq!(none["resubmitted"], 0);
    platform.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_turned_away_needs_its_batch_and_what_is_given_up_loses_it() {
    let mut platform = Platform::start().await;
    platform.work();
    let tenant = insured(&platform).await;
    let api = platform.serve().await;
    let token = api.token(&platform.client(tenant, &[]).await).await;
    let reader = api
        .token(&platform.client(tenant, &["deadletters:read", "tracks:read"]).await)
        .await;
    let batch = |vehicle: &str| {
        let recent = sample(Utc::now() - TimeDelta::hours(1), 50.0);
        json!({ "schema": 1, "batch_id": "b", "vehicle": vehicle, "samples": [recent] })
    };
    for name in ["nobody", "nothing", "no-one"] {
        api.post(&token, "/v1/telemetry/batches", &batch(name))
            .await
            .problem(422);
    }
    let letters = api.every(&token, "/v1/dead-letters?reason=unknown_vehicle").await;
    assert_eq!(letters.len(), 3);
    let path = format!("/v1/dead-letters/{}", id(&letters[0]));

    // Nothing of it was kept; a batch that names nobody is no better, and one that does is taken.
    let empty = api.post(&token, &format!("{path}/resubmission"), &json!({})).await;
    assert_eq!(empty.problem(422), "not_resubmittable");
    let again = json!({ "payload": batch("nobody") });
    let unknown = api.post(&token, &format!("{path}/resubmission"), &again).await;
    assert_eq!(unknown.problem(422), "unknown_vehicle");
    assert_eq!(api.get(&token, &path).await.json()["status"], "open");
    let known = json!({ "payload": batch("car-1") });
    let sent = api.post(&token, &format!("{path}/resubmission"), &known).await;
    assert_eq!(settled(&api, &token, &sent.json()).await["outcome"], "accepted");

    // In bulk the others are refused by name and stay; then they are given up, one and many.
    let filter = json!({ "filter": { "reason": "unknown_vehicle", "source": "http" } });
    let many = api.post(&token, "/v1/dead-letters/resubmissions", &filter).await.json();
    assert_eq!((&many["resubmitted"], &many["refused"]), (&json!(0), &json!(2)));
    assert_eq!(many["refusals"][0]["code"], "not_resubmittable", "{many}");
    let path = format!("/v1/dead-letters/{}", id(&letters[1]));
    let reason = json!({ "reason": "a test drive" });
    api.post(&token, &format!("{path}/discard"), &json!({}))
        .await
        .problem(422);
    let gone = api.post(&token, &format!("{path}/discard"), &reason).await.json();
    assert_eq!(
        (&gone["status"], &gone["discard_reason"]),
        (&json!("discarded"), &json!("a test drive"))
    );
    let seen = api.get(&reader, &path).await.json();
    assert_eq!(
        (seen.get("payload"), &seen["payload_state"]),
        (None, &json!("discarded"))
    );
    assert_eq!(
        api.post(&token, &format!("{path}/resubmission"), &known)
            .await
            .problem(409),
        "conflict"
    );
    let all = json!({ "filter": {}, "reason": "all of it" });
    api.post(&token, "/v1/dead-letters/discards", &all).await.problem(422);
    let rest = json!({ "filter": { "reason": "unknown_vehicle" }, "reason": "a test drive" });
    let discarded = api.post(&token, "/v1/dead-letters/discards", &rest).await.json();
    assert_eq!(
        (&discarded["discarded"], &discarded["more"]),
        (&json!(1), &json!(false))
    );
    assert!(api.every(&token, "/v1/dead-letters?status=open").await.is_empty());
    let denied = api.post(&reader, &format!("{path}/discard"), &reason).await;
    assert_eq!(denied.problem(403), "insufficient_scope");
    platform.end().await;
}

/// The payload of a letter whose subject was erased is gone, and that is said.
#[tokio::test(flavor = "multi_thread")]
async fn an_erased_payload_is_gone_for_good() {
    let mut platform = Platform::start().await;
    platform.work();
    let tenant = insured(&platform).await;
    let api = platform.serve().await;
    let client = platform.client(tenant, &[]).await;
    let token = api.token(&client).await;
    let fast = sample(Utc::now() - TimeDelta::hours(1), 900.0);
    let batch = json!({ "schema": 1, "batch_id": "b", "vehicle": "car-1", "samples": [fast] });
    let sent = api.post(&token, "/v1/telemetry/batches", &batch).await.json();
    settled(&api, &token, &sent).await;
    platform.stop().await;
    platform
        .as_superuser(async |db| {
            let destroyed = sqlx::query("UPDATE subject_key SET wrapped = NULL, destroyed_at = now()")
                .execute(db)
                .await
                .expect("keys to destroy");
            assert!(destroyed.rows_affected() > 0);
        })
        .await;
    let api = platform.serve().await;
    let token = api.token(&client).await;
    let reader = api
        .token(&platform.client(tenant, &["deadletters:read", "tracks:read"]).await)
        .await;
    let letters = api.every(&token, "/v1/dead-letters").await;
    let path = format!("/v1/dead-letters/{}", id(&letters[0]));
    let seen = api.get(&reader, &path).await.json();
    assert_eq!(
        (seen.get("payload"), &seen["payload_state"]),
        (None, &json!("erased")),
        "{seen}"
    );
    let again = api.post(&token, &format!("{path}/resubmission"), &json!({})).await;
    assert_eq!(again.problem(410), "payload_erased");
    platform.end().await;
}
