//! Who gets in, and what for.

use std::time::Duration;

use odograph_tests::{
    http::Answer,
    platform::{Platform, Queue},
};
use reqwest::Method;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{insured, send};

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_given_for_the_right_secret_only() {
    let mut platform = Platform::start().await;
    let tenant = insured(&platform).await;
    let api = platform.serve().await;
    let client = platform.client(tenant, &["trips:read", "scores:read"]).await;
    let (id, secret) = (client.id.to_string(), client.secret.as_str());
    let ask = async |form: &str| send(api.token_request(form)).await;

    let given = ask(&format!(
        "grant_type=client_credentials&client_id={id}&client_secret={secret}"
    ))
    .await;
    assert_eq!(given.status, 200, "{given:?}");
    let token = given.json();
    assert_eq!(
        (&token["token_type"], &token["scope"]),
        (&json!("Bearer"), &json!("trips:read scores:read"))
    );
    assert!(
        token["expires_in"]
            .as_u64()
            .is_some_and(|seconds| seconds > 0 && seconds <= 3600),
        "{token}"
    );
    assert_eq!(given.header("cache-control"), "no-store");
    let bearer = token["access_token"].as_str().expect("a token").to_owned();
    assert_eq!(api.get(&bearer, "/v1/trips").await.status, 200);
    api.get(&bearer, "/v1/vehicles").await.problem(403);

    let basic = api
        .request(Method::POST, "/v1/oauth/token")
        .basic_auth(&id, Some(secret));
    let basic = basic.header("content-type", "application/x-www-form-urlencoded");
    let narrowed = send(basic.body("grant_type=client_credentials&scope=scores%3Aread")).await;
    assert_eq!(narrowed.json()["scope"], "scores:read", "{narrowed:?}");
    let bearer = narrowed.json()["access_token"].as_str().expect("a token").to_owned();
    api.get(&bearer, "/v1/trips").await.problem(403);

    let refused = |answer: Answer, status: u16, error: &str| {
        assert_eq!(
            (answer.status.as_u16(), &answer.json()["error"]),
            (status, &json!(error)),
            "{answer:?}"
        );
        assert!(!answer.text.contains(secret));
    };
    let both = format!("client_id={id}&client_secret={secret}");
    refused(
        ask(&format!("grant_type=password&{both}")).await,
        400,
        "unsupported_grant_type",
    );
    refused(ask(&both).await, 400, "invalid_request");
    refused(
        ask(&format!("grant_type=client_credentials&{both}&scope=tracks:read")).await,
        400,
        "invalid_scope",
    );
    refused(
        ask(&format!("grant_type=client_credentials&{both}&scope=nothing")).await,
        400,
        "invalid_scope",
    );
    let wrong = "grant_type=client_credentials&client_secret=wrong&client_id=";
    let absent = "0192f0c1-2f6b-7c3a-8a55-0d9f6f4f2a10";
    for id in [id.as_str(), absent, "no-uuid"] {
        refused(ask(&format!("{wrong}{id}")).await, 401, "invalid_client");
    }
    refused(ask("grant_type=client_credentials").await, 401, "invalid_client");
    platform
        .parts
        .store
        .operator()
        .disable_client(tenant, client.id)
        .await
        .expect("a client to disable");
    refused(
        ask(&format!("grant_type=client_credentials&{both}")).await,
        401,
        "invalid_client",
    );
    platform.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_good_for_its_time_its_tenant_and_unaltered_only() {
    let queue = Queue::usual();
    let mut platform = Platform::start_with(queue, |config| config.api.token_ttl_s = 2).await;
    let tenant = insured(&platform).await;
    let api = platform.serve().await;
    let token = api.token(&platform.client(tenant, &[]).await).await;
    assert_eq!(api.get(&token, "/v1/trips").await.status, 200);
    let parts: Vec<&str> = token.split('.').collect();
    let swapped = format!(
        "{}.{}.{}",
        parts[0],
        parts[1],
        parts[2].chars().rev().collect::<String>()
    );
    // {"alg":"none"} and an empty signature.
    let unsigned = format!("eyJhbGciOiJub25lIn0.{}.", parts[1]);
    for wrong in ["", "x", "a.b.c", &swapped, &unsigned] {
        assert_eq!(
            api.get(wrong, "/v1/trips").await.problem(401),
            "unauthenticated",
            "{wrong:?}"
        );
    }
    let without = send(api.request(Method::GET, "/v1/trips")).await;
    without.problem(401);
    assert!(without.header("www-authenticate").starts_with("Bearer"), "{without:?}");
    let jwks = send(api.request(Method::GET, "/.well-known/jwks.json")).await.json();
    assert_eq!(jwks["keys"][0]["crv"], "Ed25519", "{jwks}");
    assert!(jwks["keys"][0].get("d").is_none(), "the private key is published");
    tokio::time::sleep(Duration::from_millis(3200)).await;
    assert_eq!(api.get(&token, "/v1/trips").await.problem(401), "token_expired");
    platform.end().await;
}

/// Whoever has no token is turned away by the head of the request: the body may be huge, slow, or never come.
#[tokio::test(flavor = "multi_thread")]
async fn authentication_comes_before_the_body() {
    let mut platform = Platform::start().await;
    let api = platform.serve().await;
    for path in ["/v1/telemetry/batches", "/v1/vehicles"] {
        let address = api.url.strip_prefix("http://").expect("an address");
        let mut connection = TcpStream::connect(address).await.expect("a connection");
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: 4000000000\r\n\r\n{{"
        );
        connection
            .write_all(head.as_bytes())
            .await
            .expect("a head that is sent");
        let mut answer = vec![0; 4096];
        let read = tokio::time::timeout(Duration::from_secs(5), connection.read(&mut answer)).await;
        let read = read.expect("an answer at once").expect("an answer");
        let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
        assert!(answer.starts_with("HTTP/1.1 401"), "{path}: {answer}");
    }
    platform.end().await;
}

/// Names, addresses and numbers of drivers are given to whoever has the scope for them, and to nobody else.
#[tokio::test(flavor = "multi_thread")]
async fn identities_need_a_scope_of_their_own() {
    let mut platform = Platform::start().await;
    let tenant = insured(&platform).await;
    let api = platform.serve().await;
    let plain = api
        .token(&platform.client(tenant, &["drivers:read", "drivers:write"]).await)
        .await;
    let scopes = ["drivers:read", "drivers:write", "drivers:identity"];
    let trusted = api.token(&platform.client(tenant, &scopes).await).await;
    let ada = json!({ "external_ref": "ada", "identity": { "name": "Ada Lovelace", "email": "ada@example.com" } });
    api.post(&plain, "/v1/drivers", &ada).await.problem(403);
    assert_eq!(api.post(&trusted, "/v1/drivers", &ada).await.status, 201);
    let told = api.get(&trusted, "/v1/drivers/ada").await;
    assert!(told.text.contains("Ada Lovelace"), "{told:?}");
    let untold = api.get(&plain, "/v1/drivers/ada").await;
    assert!(untold.status == 200 && !untold.text.contains("Lovelace"), "{untold:?}");
    for token in [&plain, &trusted] {
        let list = api.get(token, "/v1/drivers").await;
        assert!(!list.text.contains("Lovelace"), "{list:?}");
    }
    platform.end().await;
}
