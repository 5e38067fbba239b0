//! Requests under a key of the client's: done once, however often they are sent.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use odograph_tests::{
    http::{Answer, Api},
    platform::{Platform, Queue},
};
use reqwest::Method;
use serde_json::{Value, json};

async fn post(api: &Api, token: &str, path: &str, key: &str, body: &Value) -> Answer {
    let request = api
        .request(Method::POST, path)
        .bearer_auth(token)
        .header("idempotency-key", key);
    Answer::of(request.json(body).send().await).await
}

async fn furnished() -> (Platform, Api, [String; 2]) {
    let mut platform = Platform::start_with(Queue::Table, |_| {}).await;
    let api = platform.serve().await;
    let tenant = platform.tenant("insurer").await;
    let scopes = [
        "vehicles:read",
        "vehicles:write",
        "drivers:read",
        "drivers:write",
        "drivers:identity",
    ];
    let one = api.token(&platform.client(tenant, &scopes).await).await;
    let two = api.token(&platform.client(tenant, &scopes).await).await;
    (platform, api, [one, two])
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_is_answered_again_and_not_done_again() {
    let (mut platform, api, [token, other]) = furnished().await;
    let car = json!({ "make": "Wartburg", "model": "353" });
    let first = post(&api, &token, "/v1/vehicles", "\"k-1\"", &car).await;
    assert_eq!(
        (first.status.as_u16(), first.header("idempotency-replayed")),
        (201, ""),
        "{first:?}"
    );
    // Quoted, as the standard to be has it, or not, as most write it.
    for key in ["k-1", "\"k-1\""] {
        let again = post(&api, &token, "/v1/vehicles", key, &car).await;
        assert_eq!((again.status, &again.text), (first.status, &first.text));
        assert_eq!(again.header("location"), first.header("location"));
        assert_eq!(again.header("content-type"), "application/json");
        assert_eq!(again.header("idempotency-replayed"), "true");
        assert_ne!(again.header("x-request-id"), first.header("x-request-id"));
    }
    // The key is the client's own, and for one request only.
    let of_another = post(&api, &other, "/v1/vehicles", "k-1", &car).await;
    assert_ne!(of_another.json()["id"], first.json()["id"]);
    let reused = post(&api, &token, "/v1/vehicles", "k-1", &json!({ "make": "Trabant" })).await;
    assert_eq!(reused.problem(422), "idempotency_key_reused");
    let elsewhere = post(&api, &token, "/v1/drivers", "k-1", &car).await;
    assert_eq!(elsewhere.problem(422), "idempotency_key_reused");
    assert_eq!(api.every(&token, "/v1/vehicles").await.len(), 2);
    for key in ["", "two words", &"x".repeat(256)] {
        assert_eq!(
            post(&api, &token, "/v1/vehicles", key, &car).await.problem(400),
            "bad_request",
            "{key}"
        );
    }
    // Without a key every request is a new one.
    assert_ne!(
        api.post(&token, "/v1/vehicles", &car).await.json()["id"],
        api.post(&token, "/v1/vehicles", &car).await.json()["id"]
    );

    // What is kept can be read neither as it is nor under the key.
    let driver = json!({ "external_ref": "d-1", "identity": { "name": "Ada Lovelace" } });
    assert_eq!(post(&api, &token, "/v1/drivers", "k-secret", &driver).await.status, 201);
    platform.stop().await;
    let rows: Vec<String> = platform
        .as_superuser(async |db| {
            let query = "SELECT k::text || encode(coalesce(sealed, ''), 'escape') FROM idempotency_key k";
            sqlx::query_scalar(query).fetch_all(db).await.expect("the rows")
        })
        .await;
    assert_eq!(rows.len(), 3);
    assert!(
        !rows
            .iter()
            .any(|row| row.contains("Lovelace") || row.contains("k-1") || row.contains("k-secret")),
        "{rows:?}"
    );
    platform.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_refused_did_nothing_and_frees_its_key() {
    let (platform, api, [token, _]) = furnished().await;
    let wrong = json!({ "external_ref": "car-1", "year": 1700 });
    assert_eq!(
        post(&api, &token, "/v1/vehicles", "k", &wrong).await.problem(422),
        "invalid_body"
    );
    let right = json!({ "external_ref": "car-1", "year": 1970 });
    let made = post(&api, &token, "/v1/vehicles", "k", &right).await;
    assert_eq!(made.status, 201, "{made:?}");
    let taken = post(&api, &token, "/v1/vehicles", "k-2", &right).await;
    assert_eq!(taken.problem(409), "conflict");
    assert_eq!(post(&api, &token, "/v1/vehicles", "k", &right).await.text, made.text);
    platform.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_twenty_at_once_one_is_done() {
    let (platform, api, [token, _]) = furnished().await;
    let car = json!({ "make": "Wartburg" });
    let answers = join_all((0..20).map(|_| post(&api, &token, "/v1/vehicles", "k", &car))).await;
    let mut made = BTreeSet::new();
    for answer in &answers {
        if answer.status == 201 {
            made.insert(answer.json()["id"].to_string());
        } else {
            assert_eq!(answer.problem(409), "idempotency_in_progress");
            assert_eq!(answer.header("retry-after"), "1");
        }
    }
    assert_eq!(made.len(), 1, "{answers:?}");
    assert_eq!(api.every(&token, "/v1/vehicles").await.len(), 1);
    assert_eq!(
        post(&api, &token, "/v1/vehicles", "k", &car)
            .await
            .header("idempotency-replayed"),
        "true"
    );
    platform.end().await;
}
