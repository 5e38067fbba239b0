//! Things changed in place: what is absent stays, null empties, and nobody overwrites what they have not seen.

use odograph_tests::{http::Answer, platform::Platform};
use reqwest::Method;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn an_update_changes_what_it_names_and_depends_on_what_was_seen() {
    let mut platform = Platform::start().await;
    let api = platform.serve().await;
    let tenant = platform.tenant("insurer").await;
    let token = api
        .token(&platform.client(tenant, &["vehicles:read", "vehicles:write"]).await)
        .await;
    let path = "/v1/vehicles/car-1";
    let car = json!({ "external_ref": "car-1", "make": "Wartburg", "model": "353", "year": 1984 });
    assert_eq!(api.post(&token, "/v1/vehicles", &car).await.status, 201);
    let seen = api.get(&token, path).await;
    assert_eq!(seen.header("etag"), "\"1\"");

    let changed = update(&api, &token, path, "\"1\"", &json!({ "model": "311", "year": null })).await;
    assert_eq!(
        (changed.status.as_u16(), changed.header("etag")),
        (200, "\"2\""),
        "{changed:?}"
    );
    let car = changed.json();
    assert_eq!(
        (&car["make"], &car["model"], &car["year"]),
        (&json!("Wartburg"), &json!("311"), &Value::Null)
    );

    let late = update(&api, &token, path, "\"1\"", &json!({ "model": "1.3" })).await;
    assert_eq!(late.problem(412), "precondition_failed");
    assert_eq!(api.get(&token, path).await.json()["model"], "311");
    // Nothing in it that is new: the thing stays as it is, its tag too.
    let same = update(&api, &token, path, "*", &json!({ "model": "311" })).await;
    assert_eq!(same.header("etag"), "\"2\"");
    let unconditional = api.patch(&token, path, &json!({ "model": "1.3" })).await;
    assert_eq!(unconditional.header("etag"), "\"3\"");
    platform.end().await;
}

async fn update(api: &odograph_tests::http::Api, token: &str, path: &str, tag: &str, body: &Value) -> Answer {
    let request = api
        .request(Method::PATCH, path)
        .bearer_auth(token)
        .header("if-match", tag);
    Answer::of(request.json(body).send().await).await
}
