//! Traces: from a request through the queue to the worker, as a collector receives them.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use chrono::{TimeDelta, Utc};
use odograph_domain::{id::TenantId, policy::Product};
use odograph_tests::{
    Backend,
    http::{Answer, Api},
    platform::{Insured, Platform, Queue},
    process::{odograph, terminate},
};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest, common::v1::any_value, trace::v1::Span,
};
use prost::Message as _;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    process::Child,
};

/// As much of OTLP over HTTP as an exporter asks for.
#[derive(Debug, Clone)]
struct Collector {
    address: SocketAddr,
    spans: Arc<Mutex<Vec<Span>>>,
}

impl Collector {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let collector = Self {
            address: listener.local_addr().unwrap(),
            spans: Arc::default(),
        };
        let receiving = collector.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(receiving.clone().receive(stream));
            }
        });
        collector
    }

    async fn receive(self, mut stream: TcpStream) {
        let mut bytes = Vec::new();
        loop {
            let head = bytes
                .windows(4)
                .position(|window| window == b"\r\n\r\n")
                .map(|at| at + 4);
            let length = head.and_then(|head| {
                let text = String::from_utf8_lossy(&bytes[..head]).to_lowercase();
                assert!(text.starts_with("post /v1/traces "), "{text}");
                assert!(text.contains("content-type: application/x-protobuf"), "{text}");
                let length = text
                    .split("content-length: ")
                    .nth(1)?
                    .lines()
                    .next()?
                    .trim()
                    .parse::<usize>()
                    .ok()?;
                Some((head, length))
            });
            if let Some((head, length)) = length
                && bytes.len() >= head + length
            {
                let export = ExportTraceServiceRequest::decode(&bytes[head..head + length]).unwrap();
                let spans = export
                    .resource_spans
                    .into_iter()
                    .flat_map(|of| of.scope_spans)
                    .flat_map(|of| of.spans);
                self.spans.lock().unwrap().extend(spans);
                bytes.drain(..head + length);
                let answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n";
                stream.write_all(answer).await.unwrap();
                continue;
            }
            match stream.read_buf(&mut bytes).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
    }
}

/// A drive that has ended: what comes of it is derived at once. At a place that no span may tell.
fn drive(batch: &str) -> Value {
    let start = Utc::now() - TimeDelta::minutes(30);
    let samples: Vec<Value> = (0..=300)
        .map(|second| {
            json!({ "ts": (start + TimeDelta::seconds(second)).to_rfc3339(), "speed_kmh": 36.0, "lat": 52.123_456,
                "lon": 13.0 + second as f64 * 1.5e-4, "odometer_km": 1000.0 + second as f64 / 100.0, "ignition": second < 300 })
        })
        .collect();
    json!({ "schema": 1, "batch_id": batch, "vehicle": "car-1", "samples": samples })
}

async fn platform() -> Option<(Platform, TenantId)> {
    if Backend::chosen() == Backend::Embedded {
        println!("skipped: one process at a time can use the embedded database");
        return None;
    }
    let platform = Platform::start_with(Queue::Rabbit, |_| {}).await;
    let tenant = platform.tenant("insurer").await;
    let car = Insured {
        vehicle: "car-1".to_owned(),
        driver: "driver-1".to_owned(),
        product: Product::Phyd,
        time_zone: chrono_tz::Tz::UTC,
        starts_on: (Utc::now() - TimeDelta::days(10)).date_naive(),
    };
    platform.insure(tenant, &[car]).await;
    Some((platform, tenant))
}

/// `odograph all`, which sends its spans there, once it answers.
async fn all(platform: &Platform, collector: SocketAddr) -> (Child, Api) {
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let mut command = odograph(&["all"]);
    command
        .envs(platform.environment())
        .env("ODOGRAPH__API__BIND", free.to_string())
        .env("ODOGRAPH__TRACING__OTLP_ENDPOINT", format!("http://{collector}"))
        .env("ODOGRAPH__TRACING__SAMPLE_RATIO", "0")
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let child = command.spawn().unwrap();
    let api = Api::at(&format!("http://{free}"));
    for _ in 0..600 {
        if api
            .request(Method::GET, "/readyz")
            .send()
            .await
            .is_ok_and(|answer| answer.status().is_success())
        {
            return (child, api);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the API never was ready: {:?}", terminate(child).await);
}

async fn sent(api: &Api, token: &str, batch: &str, traceparent: Option<&str>) {
    let mut request = api
        .request(Method::POST, "/v1/telemetry/batches")
        .bearer_auth(token)
        .json(&drive(batch));
    if let Some(traceparent) = traceparent {
        request = request.header("traceparent", traceparent);
    }
    let answer = Answer::of(request.send().await).await;
    assert_eq!(answer.status.as_u16(), 202, "{answer:?}");
}

async fn until_accepted(platform: &Platform, tenant: TenantId, samples: u64) {
    for _ in 0..600 {
        let outcomes = platform.outcomes(tenant).await;
        if outcomes.received >= samples {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{samples} samples never had their outcome");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_goes_from_the_request_to_the_trip() {
    let Some((platform, tenant)) = platform().await else {
        return;
    };
    let collector = Collector::start().await;
    let (child, api) = all(&platform, collector.address).await;
    let token = api.token(&platform.client(tenant, &[]).await).await;

    // One that is not sampled, and one that says nothing, which the ratio of 0 leaves out.
    sent(
        &api,
        &token,
        "b-0",
        Some("00-11111111111111111111111111111111-2222222222222222-00"),
    )
    .await;
    sent(&api, &token, "b-1", None).await;
    until_accepted(&platform, tenant, 602).await;
    let (trace, caller) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
    let traced = format!("00-{trace}-{caller}-01");
    sent(&api, &token, "b-2", Some(&traced)).await;
    until_accepted(&platform, tenant, 903).await;
    for _ in 0..600 {
        if platform
            .store(tenant)
            .dirty(None)
            .await
            .unwrap()
            .iter()
            .all(|window| !window.at_once)
        {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let told = terminate(child).await;
    assert!(told.status.success(), "{told:?}");
    assert!(!told.err.contains("collector"), "{}", told.err);

    let spans = collector.spans.lock().unwrap().clone();
    let of = |name: &str| -> &Span {
        let mut found = spans.iter().filter(|span| span.name == name);
        let span = found.next().unwrap_or_else(|| panic!("no span {name} in {spans:#?}"));
        assert!(found.next().is_none() || name == "derive", "{name} is there twice");
        span
    };
    for span in &spans {
        assert_eq!(hex::encode(&span.trace_id), trace, "{span:?}");
    }
    let (request, publish, batch) = (of("send_batch"), of("publish"), of("micro_batch"));
    assert_eq!(hex::encode(&request.parent_span_id), caller);
    assert_eq!(publish.parent_span_id, request.span_id);
    // What the worker does follows on the request, and says so by a link as well.
    assert_eq!(batch.parent_span_id, request.span_id);
    let linked: Vec<_> = batch
        .links
        .iter()
        .map(|link| (hex::encode(&link.trace_id), &link.span_id))
        .collect();
    assert_eq!(linked, [(trace.to_owned(), &request.span_id)]);
    for step in ["open", "judge", "settle", "write", "commit"] {
        assert_eq!(of(step).parent_span_id, batch.span_id, "{step}");
    }
    let derive = of("derive");
    assert_eq!(derive.parent_span_id, batch.span_id);
    assert_eq!(of("derive_commit").parent_span_id, derive.span_id);

    // Ids and counts, and nothing else.
    let allowed = BTreeSet::from([
        "http.response.status_code",
        "level",
        "message.id",
        "messages",
        "queue.partition",
        "request.id",
        "target",
        "vehicle.id",
    ]);
    for span in &spans {
        assert!(span.events.is_empty(), "{span:?}");
        for attribute in &span.attributes {
            assert!(allowed.contains(attribute.key.as_str()), "{attribute:?}");
            if let Some(any_value::Value::StringValue(text)) =
                attribute.value.as_ref().and_then(|value| value.value.as_ref())
            {
                assert!(!text.contains("52.12") && !text.contains("car-1"), "{attribute:?}");
            }
        }
    }
    platform.end().await;
}

/// Whoever watches being away disturbs nothing, and is told once.
#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_disturbs_nothing() {
    let Some((platform, tenant)) = platform().await else {
        return;
    };
    let nobody = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let (child, api) = all(&platform, nobody).await;
    let token = api.token(&platform.client(tenant, &[]).await).await;
    let traced = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    for number in 0..5_u64 {
        sent(&api, &token, &format!("b-{number}"), Some(traced)).await;
        until_accepted(&platform, tenant, 301 * (number + 1)).await;
    }
    let told = terminate(child).await;
    assert!(told.status.success() && !told.err.contains("panicked"), "{told:?}");
    assert_eq!(
        told.err.matches("the collector of traces does not answer").count(),
        1,
        "{}",
        told.err
    );
    platform.end().await;
}
