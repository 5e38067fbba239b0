//! Operators manage tenants and reach none of their data; tenants' clients do not reach what is of the platform.

use odograph::cli::client;
use odograph_tests::platform::Platform;
use reqwest::Method;
use serde_json::{Value, json};

const ABSENT: &str = "0192f0c1-2f6b-7c3a-8a55-0d9f6f4f2a10";

/// Every operation of the document, with made-up ids, and a body where one is wanted.
fn operations(document: &Value) -> Vec<(Method, String, String)> {
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for method in item.as_object().expect("operations").keys() {
            let mut at = path.clone();
            while let Some((before, rest)) = at.split_once('{') {
                let (_, after) = rest.split_once('}').expect("the parameter's end");
                at = format!("{before}{ABSENT}{after}");
            }
            operations.push((method.to_uppercase().parse().expect("a method"), path.clone(), at));
        }
    }
    operations
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_and_tenants_do_not_reach_into_each_others_realm() {
    let mut platform = Platform::start().await;
    let api = platform.serve().await;
    let tenant = platform.tenant("insurer").await;
    let operator = api.token(&platform.operator(&[]).await).await;
    let document = api.openapi().await;
    let all: Vec<String> = document["components"]["securitySchemes"]["oauth2"]["flows"]["clientCredentials"]["scopes"]
        .as_object()
        .expect("scopes")
        .keys()
        .filter(|scope| !scope.starts_with("tenants:"))
        .cloned()
        .collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let client = api.token(&platform.client(tenant, &all).await).await;
    let mut tried = (0, 0);
    for (method, path, at) in operations(&document) {
        if !path.starts_with("/v1/") || path == "/v1/oauth/token" {
            continue;
        }
        let platforms = path.starts_with("/v1/tenants");
        let (stranger, count) = match platforms {
            true => (&client, &mut tried.0),
            false => (&operator, &mut tried.1),
        };
        *count += 1;
        let answer = api.send(method.clone(), stranger, &at, None).await;
        assert_eq!(answer.problem(403), "insufficient_scope", "{method} {path}");
    }
    assert!(tried.0 >= 8 && tried.1 >= 40, "{tried:?}");
    platform.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_makes_a_tenant_and_its_clients() {
    let mut platform = Platform::start().await;
    let api = platform.serve().await;
    let operator = api.token(&platform.operator(&[]).await).await;
    let acme = json!({ "name": "acme", "settings": { "trip": { "rest_s": 180 } } });
    let made = api.post(&operator, "/v1/tenants", &acme).await;
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(made.json()["settings"]["trip"]["rest_s"], 180);
    let path = made.header("location").to_owned();
    assert_eq!(api.get(&operator, &path).await.header("etag"), "\"1\"");
    assert_eq!(api.post(&operator, "/v1/tenants", &acme).await.problem(409), "conflict");
    let wrong = json!({ "name": "b", "settings": { "trip": { "gap_s": 1 } } });
    assert_eq!(
        api.post(&operator, "/v1/tenants", &wrong).await.problem(422),
        "invalid_body"
    );

    // A client with its secret, which is good at once and told to nobody again.
    let clients = format!("{path}/clients");
    for scopes in [json!([]), json!(["tenants:read"]), json!(["everything"])] {
        let body = json!({ "name": "x", "scopes": scopes });
        assert_eq!(api.post(&operator, &clients, &body).await.problem(422), "invalid_body");
    }
    let body = json!({ "name": "pricing", "scopes": ["vehicles:read", "vehicles:write"] });
    let made = api.post(&operator, &clients, &body).await;
    assert_eq!(made.status, 201, "{made:?}");
    let made = made.json();
    let credentials = |secret: &Value| client::Credentials {
        id: made["id"].as_str().expect("an id").parse().expect("a client's id"),
        secret: secret.as_str().expect("a secret").to_owned(),
        scopes: vec![],
    };
    let first = credentials(&made["client_secret"]);
    let token = api.token(&first).await;
    let car = json!({ "external_ref": "car-1" });
    assert_eq!(api.post(&token, "/v1/vehicles", &car).await.status, 201);
    let listed = api.every(&operator, &clients).await;
    assert_eq!(listed.len(), 1);
    assert!(listed[0].get("client_secret").is_none(), "{listed:?}");

    // Another secret, another scope, none at all.
    let refused = async |credentials: &client::Credentials| {
        let form = format!(
            "grant_type=client_credentials&client_id={}&client_secret={}",
            credentials.id, credentials.secret
        );
        api.token_request(&form)
            .send()
            .await
            .expect("an answer")
            .status()
            .as_u16()
    };
    let of_client = format!("{clients}/{}", first.id);
    let rotated = api
        .send(Method::POST, &operator, &format!("{of_client}/secret"), None)
        .await;
    assert_eq!(rotated.status, 200, "{rotated:?}");
    let second = credentials(&rotated.json()["client_secret"]);
    assert_eq!(refused(&first).await, 401);
    let narrowed = api
        .patch(&operator, &of_client, &json!({ "scopes": ["vehicles:read"] }))
        .await;
    assert_eq!(narrowed.json()["scopes"], json!(["vehicles:read"]), "{narrowed:?}");
    let token = api.token(&second).await;
    api.post(&token, "/v1/vehicles", &json!({})).await.problem(403);
    let disabled = api.patch(&operator, &of_client, &json!({ "disabled": true })).await;
    assert!(disabled.json()["disabled_at"].is_string(), "{disabled:?}");
    assert_eq!(refused(&second).await, 401);
    api.patch(&operator, &of_client, &json!({ "disabled": false })).await;
    assert_eq!(refused(&second).await, 200);

    // A tenant that is suspended gets no tokens; by its tag it is changed once.
    let suspended = api
        .patch(&operator, &path, &json!({ "suspended": true, "name": "acme-2" }))
        .await;
    assert_eq!(
        (suspended.header("etag"), &suspended.json()["name"]),
        ("\"2\"", &json!("acme-2"))
    );
    assert_eq!(refused(&second).await, 401);
    api.patch(&operator, &path, &json!({ "suspended": false })).await;
    assert_eq!(refused(&second).await, 200);
    for absent in [
        format!("/v1/tenants/{ABSENT}"),
        format!("/v1/tenants/{ABSENT}/clients"),
        "/v1/tenants/acme".to_owned(),
    ] {
        api.get(&operator, &absent).await.problem(404);
    }
    let reader = api.token(&platform.operator(&["tenants:read"]).await).await;
    assert_eq!(api.get(&reader, &path).await.status, 200);
    api.patch(&reader, &path, &json!({ "name": "mine" })).await.problem(403);
    platform.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_changes_its_own_settings_within_their_ranges() {
    let mut platform = Platform::start().await;
    let api = platform.serve().await;
    let tenant = platform.tenant("insurer").await;
    let token = api
        .token(&platform.client(tenant, &["settings:read", "settings:write"]).await)
        .await;
    let path = "/v1/settings";
    let before = api.get(&token, path).await;
    assert_eq!(
        (before.header("etag"), &before.json()["trip"]["rest_s"]),
        ("\"1\"", &json!(300))
    );
    let changed = api
        .patch(&token, path, &json!({ "trip": { "rest_s": null, "gap_s": 600 } }))
        .await;
    assert_eq!(changed.status, 200, "{changed:?}");
    let told = changed.json();
    assert_eq!(
        (&told["trip"]["rest_s"], &told["trip"]["gap_s"]),
        (&Value::Null, &json!(600))
    );
    assert_eq!(told["rebuild_needed"], true, "{told}");
    let late = api
        .patch(&token, path, &json!({ "accept": { "lateness_days": 30 } }))
        .await
        .json();
    assert_eq!(
        (&late["rebuild_needed"], &late["trip"]["gap_s"]),
        (&json!(false), &json!(600)),
        "{late}"
    );
    for wrong in [
        json!({ "trip": { "moving_kmh": 500 } }),
        json!({ "accept": { "lateness_days": 0 } }),
        json!({ "trip": { "gap_s": null } }),
        json!({ "colour": "red" }),
    ] {
        assert_eq!(
            api.patch(&token, path, &wrong).await.problem(422),
            "invalid_body",
            "{wrong}"
        );
    }
    let stale = api
        .request(Method::PATCH, path)
        .bearer_auth(&token)
        .header("if-match", "\"1\"")
        .json(&json!({}));
    let stale = odograph_tests::http::Answer::of(stale.send().await).await;
    assert_eq!(stale.problem(412), "precondition_failed");
    assert_eq!(
        platform
            .store(tenant)
            .tenant()
            .await
            .expect("the tenant")
            .settings
            .trip
            .gap_s,
        600
    );
    platform.end().await;
}
