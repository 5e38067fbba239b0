//! What holds for every operation alike: conditional reading, compression, cross-origin calls, cursors and orders.

use std::io::Write as _;

use flate2::{Compression, write::GzEncoder};
use odograph_tests::{
    http::{Answer, Api},
    platform::{Platform, Queue},
};
use reqwest::Method;
use serde_json::json;

const PORTAL: &str = "https://portal.example.com";

/// A platform that lets the portal in, some vehicles, and a token.
async fn furnished() -> (Platform, Api, String) {
    let mut platform = Platform::start_with(Queue::Table, |config| {
        config.api.cors.allowed_origins = vec![PORTAL.to_owned()];
    })
    .await;
    let api = platform.serve().await;
    let tenant = platform.tenant("insurer").await;
    let scopes = ["vehicles:read", "vehicles:write", "drivers:read", "drivers:write"];
    let token = api.token(&platform.client(tenant, &scopes).await).await;
    for n in 0..12 {
        let car = json!({ "external_ref": format!("car-{:02}", (7 * n) % 12), "make": "Wartburg", "model": "353" });
        assert_eq!(api.post(&token, "/v1/vehicles", &car).await.status, 201);
        let driver = json!({ "external_ref": format!("driver-{n}") });
        assert_eq!(api.post(&token, "/v1/drivers", &driver).await.status, 201);
    }
    (platform, api, token)
}

async fn get(api: &Api, token: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = api.request(Method::GET, path).bearer_auth(token);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Answer::of(request.send().await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_caller_has_already_is_not_sent_again() {
    let (platform, api, token) = furnished().await;
    for path in ["/v1/vehicles", "/v1/vehicles/car-01"] {
        let first = api.get(&token, path).await;
        let tag = first.header("etag").to_owned();
        assert!(tag.starts_with('"'), "{first:?}");
        let again = get(&api, &token, path, &[("if-none-match", &tag)]).await;
        assert_eq!((again.status.as_u16(), again.text.as_str()), (304, ""), "{again:?}");
        assert_eq!(again.header("etag"), tag);
        let change = json!({ "model": path });
        assert_eq!(api.patch(&token, "/v1/vehicles/car-01", &change).await.status, 200);
        let changed = get(&api, &token, path, &[("if-none-match", &tag)]).await;
        assert_eq!(changed.status, 200);
        assert_ne!(changed.header("etag"), tag, "{path}");
    }
    // A tag does not open what the token does not.
    let refused = get(&api, "", "/v1/vehicles", &[("if-none-match", "*")]).await;
    assert_eq!(refused.problem(401), "unauthenticated");
    platform.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn long_answers_are_compressed_and_compressed_bodies_are_read() {
    let (platform, api, token) = furnished().await;
    let plain = api.get(&token, "/v1/vehicles").await;
    assert_eq!(plain.header("content-encoding"), "");
    for encoding in ["gzip", "br", "zstd"] {
        let request = api.request(Method::GET, "/v1/vehicles").bearer_auth(&token);
        let answer = request
            .header("accept-encoding", encoding)
            .send()
            .await
            .expect("an answer");
        assert_eq!(answer.headers()["content-encoding"], encoding);
        let length = answer.bytes().await.expect("a body").len();
        assert!(
            length < plain.text.len() / 2,
            "{length} of {} with {encoding}",
            plain.text.len()
        );
    }
    let short = get(&api, &token, "/v1/vehicles/car-01", &[("accept-encoding", "gzip")]).await;
    assert_eq!(short.header("content-encoding"), "");
    assert_eq!(short.json()["external_ref"], "car-01");

    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(br#"{"external_ref":"zipped"}"#).expect("a body");
    let body = encoder.finish().expect("a body");
    let send = async |body: Vec<u8>, encoding: &str| {
        let request = api.request(Method::POST, "/v1/vehicles").bearer_auth(&token).body(body);
        let request = request
            .header("content-type", "application/json")
            .header("content-encoding", encoding);
        Answer::of(request.send().await).await
    };
    let created = send(body.clone(), "gzip").await;
    assert_eq!(
        (created.status.as_u16(), &created.json()["external_ref"]),
        (201, &json!("zipped"))
    );
    assert_eq!(send(body[..12].to_vec(), "gzip").await.problem(400), "malformed_body");
    assert_eq!(send(body, "br").await.problem(415), "unsupported_media_type");
    platform.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_the_portal_may_call_and_others_may_not() {
    let (platform, api, token) = furnished().await;
    let preflight = async |origin: &str| {
        let request = api
            .request(Method::OPTIONS, "/v1/vehicles/car-01")
            .header("origin", origin);
        let request = request.header("access-control-request-method", "PATCH");
        let request = request.header(
            "access-control-request-headers",
            "authorization,content-type,if-match,idempotency-key",
        );
        Answer::of(request.send().await).await
    };
    let allowed = preflight(PORTAL).await;
    assert_eq!(allowed.status, 200, "{allowed:?}");
    assert_eq!(allowed.header("access-control-allow-origin"), PORTAL);
    assert!(
        allowed.header("access-control-allow-methods").contains("PATCH"),
        "{allowed:?}"
    );
    assert!(
        allowed
            .header("access-control-allow-headers")
            .contains("idempotency-key"),
        "{allowed:?}"
    );
    let refused = preflight("https://elsewhere.example.com").await;
    assert_eq!(refused.header("access-control-allow-origin"), "", "{refused:?}");

    let asked = get(&api, &token, "/v1/vehicles/car-01", &[("origin", PORTAL)]).await;
    assert_eq!(asked.header("access-control-allow-origin"), PORTAL);
    let exposed = asked.header("access-control-expose-headers").to_lowercase();
    for header in [
        "etag",
        "location",
        "x-request-id",
        "retry-after",
        "idempotency-replayed",
    ] {
        assert!(exposed.contains(header), "{header} is not exposed: {exposed}");
    }
    // A page is told of errors as well: without the header the browser would hide them.
    let error = get(&api, "", "/v1/vehicles/car-01", &[("origin", PORTAL)]).await;
    assert_eq!(error.problem(401), "unauthenticated");
    assert_eq!(error.header("access-control-allow-origin"), PORTAL);
    let other = get(
        &api,
        &token,
        "/v1/vehicles/car-01",
        &[("origin", "https://elsewhere.example.com")],
    )
    .await;
    assert_eq!(
        (other.status.as_u16(), other.header("access-control-allow-origin")),
        (200, "")
    );
    platform.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_goes_on_where_its_own_list_ended_and_nowhere_else() {
    let (platform, api, token) = furnished().await;
    let first = api.get(&token, "/v1/vehicles?limit=5&sort=-external_ref").await.json();
    let cursor = first["next_cursor"].as_str().expect("a cursor");
    let next = api
        .get(
            &token,
            &format!("/v1/vehicles?sort=-external_ref&limit=3&cursor={cursor}"),
        )
        .await;
    assert_eq!(next.json()["items"][0]["external_ref"], "car-06", "{next:?}");
    for other in [
        "/v1/vehicles",
        "/v1/vehicles?sort=external_ref",
        "/v1/vehicles?sort=created_at",
        "/v1/drivers",
    ] {
        let joint = if other.contains('?') { '&' } else { '?' };
        let answer = api.get(&token, &format!("{other}{joint}cursor={cursor}")).await;
        assert_eq!(answer.problem(400), "invalid_query", "{other}");
        assert_eq!(answer.json()["errors"][0]["field"], "cursor");
    }
    let answer = api.get(&token, "/v1/vehicles?sort=colour").await;
    assert_eq!(answer.problem(400), "invalid_query");
    assert!(answer.text.contains("-external_ref"), "{answer:?}");
    for (sort, first) in [
        ("external_ref", "car-00"),
        ("-external_ref", "car-11"),
        ("created_at", "car-00"),
    ] {
        let all = api.every(&token, &format!("/v1/vehicles?sort={sort}")).await;
        assert_eq!((all.len(), &all[0]["external_ref"]), (12, &json!(first)), "{sort}");
    }
    platform.end().await;
}
