//! Metrics: what was done is what they say; and what dashboard, alerts and documentation name is there.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::TcpListener,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use chrono::{TimeDelta, Utc};
use odograph::metrics;
use odograph_domain::{id::TenantId, policy::Product};
use odograph_tests::{
    http::Answer,
    platform::{Insured, Platform},
};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// What `/metrics` answered.
#[derive(Debug, Default)]
struct Scraped {
    /// Type and help, by the name of the family.
    families: BTreeMap<String, (String, String)>,
    /// Values by name and labels, as they are written.
    values: BTreeMap<String, f64>,
}

impl Scraped {
    fn parse(text: &str) -> Self {
        let mut scraped = Self::default();
        assert!(text.ends_with("# EOF\n"), "not OpenMetrics: {text}");
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').expect("a name and its help");
                scraped.families.entry(name.to_owned()).or_default().1 = help.to_owned();
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect("a name and its type");
                let known = scraped.families.entry(name.to_owned()).or_default();
                assert!(known.0.is_empty(), "{name} is there twice");
                known.0 = kind.to_owned();
            } else if !line.starts_with('#') {
                let (series, value) = line.rsplit_once(' ').expect("a series and its value");
                let before = scraped.values.insert(series.to_owned(), value.parse().expect(line));
                assert!(before.is_none(), "{series} is there twice");
            }
        }
        scraped
    }

    fn value(&self, series: &str) -> f64 {
        let value = self.values.get(series).copied();
        value.unwrap_or_else(|| panic!("no {series} in {:#?}", self.values.keys().collect::<Vec<_>>()))
    }

    fn sum(&self, name: &str) -> f64 {
        let of_name = |series: &str| series.split('{').next() == Some(name);
        self.values
            .iter()
            .filter(|(series, _)| of_name(series))
            .map(|(_, value)| value)
            .sum()
    }

    /// Every name that a query may use.
    fn names(&self) -> BTreeSet<String> {
        let suffixes = |kind: &str| match kind {
            "counter" => vec!["_total"],
            "histogram" => vec!["_bucket", "_sum", "_count"],
            "info" => vec!["_info"],
            "gauge" => vec![""],
            other => panic!("a metric of the type {other}"),
        };
        let families = self.families.iter();
        families
            .flat_map(|(name, (kind, _))| suffixes(kind).into_iter().map(move |suffix| format!("{name}{suffix}")))
            .collect()
    }
}

struct Watched {
    url: String,
    stop: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Watched {
    fn start(platform: &Platform) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}/metrics", listener.local_addr().expect("its address"));
        let (stop, parts) = (CancellationToken::new(), platform.parts.clone());
        let stopping = stop.clone();
        let task = tokio::spawn(async move { metrics::serve_on(listener, &parts, "all", stopping).await });
        Self { url, stop, task }
    }

    async fn scrape(&self) -> Scraped {
        let answer = Answer::of(reqwest::get(&self.url).await).await;
        assert_eq!(answer.status.as_u16(), 200, "{answer:?}");
        let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        assert_eq!(answer.header("content-type"), kind);
        Scraped::parse(&answer.text)
    }

    /// Until it is so, since what is sampled is a moment old.
    async fn until(&self, so: impl Fn(&Scraped) -> bool) -> Scraped {
        let began = Instant::now();
        loop {
            let scraped = self.scrape().await;
            if so(&scraped) {
                return scraped;
            }
            assert!(
                began.elapsed() < Duration::from_secs(60),
                "it never was so: {scraped:#?}"
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn end(self) {
        self.stop.cancel();
        self.task
            .await
            .expect("metrics that do not panic")
            .expect("metrics that stop");
    }
}

async fn insured(platform: &Platform) -> TenantId {
    let tenant = platform.tenant("insurer").await;
    let car = Insured {
        vehicle: "car-1".to_owned(),
        driver: "driver-1".to_owned(),
        product: Product::Payd,
        time_zone: chrono_tz::Tz::UTC,
        starts_on: (Utc::now() - TimeDelta::days(10)).date_naive(),
    };
    platform.insure(tenant, &[car]).await;
    tenant
}

/// A drive of so many seconds that ends a quarter of an hour ago, with the ignition off.
fn drive(batch: &str, seconds: i64) -> Value {
    let start = Utc::now() - TimeDelta::minutes(15) - TimeDelta::seconds(seconds);
    let samples: Vec<Value> = (0..=seconds)
        .map(|second| {
            json!({ "ts": (start + TimeDelta::seconds(second)).to_rfc3339(), "speed_kmh": 36.0,
                "odometer_km": 1000.0 + second as f64 / 100.0, "ignition": second < seconds })
        })
        .collect();
    json!({ "schema": 1, "batch_id": batch, "vehicle": "car-1", "samples": samples })
}

fn repository(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file)
}

fn read(file: &str) -> String {
    std::fs::read_to_string(repository(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// What in a text is named as our metrics are.
fn named_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words
        .filter(|word| word.starts_with("odograph_") || word.starts_with("process_"))
        .map(str::to_owned)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_say_what_was_done_and_no_more() {
    let mut platform = Platform::start().await;
    let tenant = insured(&platform).await;
    let api = platform.serve().await;
    let watched = Watched::start(&platform);

    // Nobody works yet.
    let scraped = watched
        .until(|scraped| scraped.value("odograph_sampled_timestamp_seconds") > 0.0)
        .await;
    assert_eq!(scraped.value("odograph_partitions_unheld"), 2.0);
    assert_eq!(scraped.value("odograph_workers"), 0.0);
    assert_eq!(scraped.value("odograph_queue_partitions"), 2.0);
    assert_eq!(scraped.value("odograph_repartition_seconds"), 0.0);
    assert_eq!(scraped.sum("odograph_bridge_messages_total"), 0.0);
    assert_eq!(scraped.sum("odograph_samples_total"), 0.0);

    let token = api.token(&platform.client(tenant, &[]).await).await;
    let mut first = drive("b-1", 600);
    let path = "/v1/telemetry/batches";
    assert_eq!(api.post(&token, path, &first).await.status.as_u16(), 202);
    let waits = watched
        .until(|scraped| scraped.value(r#"odograph_queue_messages{lane="live"}"#) == 1.0)
        .await;
    assert_eq!(waits.value(r#"odograph_queue_messages{lane="bulk"}"#), 0.0);
    platform.work();
    watched
        .until(|scraped| scraped.value(r#"odograph_trips_total{change="added"}"#) == 1.0)
        .await;

    // Doubled, refused in part, refused as a whole, turned away at the door, and no request of ours at all.
    assert_eq!(api.post(&token, path, &first).await.status.as_u16(), 202);
    let mut future = drive("b-2", 9);
    future["samples"][3]["ts"] = json!("2199-01-01T00:00:00Z");
    assert_eq!(api.post(&token, path, &future).await.status.as_u16(), 202);
    first["samples"][0]["speed_kmh"] = json!(1.0);
    assert_eq!(api.post(&token, path, &first).await.status.as_u16(), 202);
    let nobody =
        json!({ "schema": 1, "batch_id": "b", "vehicle": "nobody", "samples": [{ "ts": "2026-01-01T00:00:00Z" }] });
    assert_eq!(api.post(&token, path, &nobody).await.status.as_u16(), 422);
    let metrics = Answer::of(api.request(Method::GET, "/metrics").send().await).await;
    assert_eq!(
        metrics.status.as_u16(),
        404,
        "metrics are not for whoever reaches the API"
    );
    platform.drained().await;

    let open = r#"odograph_dead_letters_open{reason="ts_in_future"}"#;
    let scraped = watched.until(|scraped| scraped.values.contains_key(open)).await;
    let samples = |outcome: &str| {
        scraped.value(&format!(
            r#"odograph_samples_total{{source="http",outcome="{outcome}"}}"#
        ))
    };
    assert_eq!((samples("accepted"), samples("duplicate")), (601.0 + 9.0, 601.0));
    assert_eq!(samples("ts_in_future"), 1.0);
    assert_eq!((samples("batch_conflict"), samples("unknown_vehicle")), (601.0, 1.0));
    // They are the counts of the database, which are those of the API.
    let outcomes = platform.outcomes(tenant).await;
    assert!(outcomes.balances());
    assert_eq!(scraped.sum("odograph_samples_total"), outcomes.received as f64);
    let messages = |outcome: &str| {
        scraped.value(&format!(
            r#"odograph_messages_total{{source="http",outcome="{outcome}"}}"#
        ))
    };
    let ended = ["accepted", "accepted_in_part", "duplicate", "redelivered", "rejected"].map(messages);
    assert_eq!(ended, [1.0, 1.0, 1.0, 0.0, 2.0]);
    let refused = r#"odograph_refusals_total{source="http",reason="batch_conflict"}"#;
    assert_eq!(scraped.value(refused), 1.0);
    assert_eq!(scraped.sum("odograph_dead_letters_open"), 3.0);

    let requests = |status: u16| {
        scraped.value(&format!(
            r#"odograph_http_requests_total{{operation="send_batch",status="{status}"}}"#
        ))
    };
    assert_eq!((requests(202), requests(422)), (4.0, 1.0));
    assert_eq!(
        scraped.value(r#"odograph_http_request_seconds_count{operation="send_batch"}"#),
        5.0
    );
    assert_eq!(
        scraped.value(r#"odograph_publish_seconds_count{outcome="confirmed"}"#),
        4.0
    );
    assert_eq!(scraped.value("odograph_published_messages_total"), 4.0);
    assert_eq!(scraped.sum("odograph_micro_batch_messages_sum"), 4.0);
    let committed = scraped.sum("odograph_micro_batch_messages_count");
    assert_eq!(
        scraped.value(r#"odograph_step_seconds_count{step="commit"}"#),
        committed
    );
    let arrival = r#"odograph_arrival_to_commit_seconds_count{lane="live"}"#;
    assert_eq!(scraped.value(arrival), 4.0);
    let event_s = scraped.value(r#"odograph_event_to_commit_seconds_sum{lane="live"}"#);
    assert!((3.0 * 900.0..4.0 * 1000.0).contains(&event_s), "{event_s}");
    assert!(scraped.value(r#"odograph_derive_seconds_count{outcome="derived"}"#) >= 1.0);
    assert_eq!(
        (
            scraped.value("odograph_partitions_unheld"),
            scraped.value("odograph_leases_held")
        ),
        (0.0, 2.0)
    );
    assert_eq!(scraped.value("odograph_leases_gained_total"), 2.0);
    for lane in ["urgent", "live", "bulk"] {
        for partition in 0..2 {
            let lag = format!(r#"odograph_partition_arrival_lag_seconds{{partition="{partition}",lane="{lane}"}}"#);
            assert_eq!(scraped.value(&lag), 0.0, "{lag}");
        }
    }
    assert!(scraped.value("process_cpu_seconds_total") > 0.0);
    assert!(scraped.value("odograph_database_size_bytes") > 1e6);

    holds_together(&scraped);
    platform.stop().await;
    let scraped = watched.scrape().await;
    assert_eq!(scraped.value("odograph_leases_held"), 0.0);
    assert_eq!(scraped.sum("odograph_partition_event_lag_seconds"), 0.0);
    watched.end().await;
    platform.end().await;
}

/// Labels are bounded, everything is explained, and what names a metric names one that there is.
fn holds_together(scraped: &Scraped) {
    let allowed = [
        "cause",
        "change",
        "kind",
        "lane",
        "le",
        "operation",
        "outcome",
        "part",
        "partition",
        "reason",
        "role",
        "source",
        "state",
        "status",
        "step",
        "version",
    ];
    for series in scraped.values.keys() {
        let labels = series
            .split_once('{')
            .map_or("", |(_, rest)| rest.trim_end_matches('}'));
        for label in labels.split(',').filter(|label| !label.is_empty()) {
            let name = label.split('=').next().expect("a label's name");
            assert!(allowed.contains(&name), "{series}: how many values can {name} have?");
        }
    }
    let docs = read("docs/operations.md");
    for (name, (kind, help)) in &scraped.families {
        assert!(
            !kind.is_empty() && help.ends_with('.') && !help.ends_with(".."),
            "{name}: {kind} {help:?}"
        );
        let shown = match kind.as_str() {
            "counter" => format!("{name}_total"),
            "info" => format!("{name}_info"),
            _ => name.clone(),
        };
        assert!(
            docs.contains(&format!("`{shown}`")),
            "docs/operations.md does not tell what {shown} is"
        );
    }
    let known = scraped.names();
    let families: BTreeSet<&String> = scraped.families.keys().collect();
    for file in [
        "deploy/grafana/dashboards/odograph.json",
        "deploy/prometheus/alerts.yml",
        "deploy/kubernetes/autoscaling.yaml",
        "docs/operations.md",
    ] {
        let text = read(file);
        let named: BTreeSet<_> = named_in(&text)
            .into_iter()
            // The login's and the roles' names are no metrics.
            .filter(|name| !["odograph_api", "odograph_worker", "odograph_operator", "odograph_maintenance"].contains(&name.as_str()))
            .collect();
        assert!(!named.is_empty(), "{file} names no metric");
        for name in named {
            let is_family = file.ends_with(".md") && families.contains(&name);
            assert!(
                known.contains(&name) || is_family,
                "{file} names {name}, which there is not"
            );
        }
    }
    let dashboard: Value = serde_json::from_str(&read("deploy/grafana/dashboards/odograph.json")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let queries: Vec<&Value> = panels
        .iter()
        .flat_map(|panel| panel["targets"].as_array().into_iter().flatten())
        .collect();
    assert!(
        queries.len() > 30
            && queries
                .iter()
                .all(|query| query["expr"].as_str().is_some_and(|expr| !expr.is_empty()))
    );
}

/// Every alert says what it means and what to do, and where there is more to read, which there is.
#[test]
fn alerts_explain_themselves() {
    let (alerts, docs) = (read("deploy/prometheus/alerts.yml"), read("docs/operations.md"));
    let anchors: BTreeSet<String> = docs
        .lines()
        .filter_map(|line| line.strip_prefix('#'))
        .map(|heading| heading.trim_start_matches('#').trim().to_lowercase().replace(' ', "-"))
        .collect();
    let rules: Vec<&str> = alerts.split("- alert: ").skip(1).collect();
    assert!(rules.len() > 15, "{}", rules.len());
    for rule in rules {
        let name = rule.lines().next().expect("a name");
        for word in ["expr:", "severity:", "summary:", "meaning:", "action:", "runbook:"] {
            assert!(rule.contains(word), "{name} has no {word}");
        }
        let runbook = rule
            .split("runbook: \"docs/operations.md#")
            .nth(1)
            .and_then(|rest| rest.split('"').next());
        let runbook = runbook.unwrap_or_else(|| panic!("{name} leads nowhere"));
        assert!(
            anchors.contains(runbook),
            "{name} leads to #{runbook}, which is not in docs/operations.md"
        );
    }
}
