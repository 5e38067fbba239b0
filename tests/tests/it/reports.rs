//! Reports: the figures agree with what else is told, the page shows only what the caller may see, and a browser opens it
//! without a complaint.

use std::{path::Path, process::Stdio, time::Duration};

use odograph_domain::{
    id::{IdOrRef, TenantId},
    policy::Product,
};
use odograph_store::{Identity, NewDriver, NewFleet, Page};
use odograph_tests::{
    Backend,
    http::{Answer, Api},
    platform::{Insured, Platform, Queue, named},
    process::{odograph, run},
    telemetry::{Rows, small_fleet},
};
use reqwest::Method;
use serde_json::Value;
use tokio::process::Command;

use crate::api::send;

/// A tenant whose fleet has driven, with vehicles of both products.
async fn driven(platform: &Platform) -> TenantId {
    let fleet = small_fleet(3, 4);
    let rows = Rows::of_fleet(&fleet);
    let tenant = platform.tenant("insurer").await;
    let insured: Vec<_> = fleet
        .iter()
        .enumerate()
        .map(|(at, vehicle)| Insured {
            vehicle: vehicle.external_ref.clone(),
            driver: vehicle.driver.external_ref.clone(),
            product: if at == 2 { Product::Payd } else { Product::Phyd },
            time_zone: chrono_tz::Tz::Europe__Berlin,
            starts_on: rows.first_day(&vehicle.external_ref).expect("a first row"),
        })
        .collect();
    platform.insure(tenant, &insured).await;
    let store = platform.store(tenant);
    let new = NewFleet {
        external_ref: Some(named("north")),
        name: "North <b>".to_owned(),
    };
    store.create_fleet(new).await.expect("a fleet");
    for vehicle in &insured[..2] {
        let vehicle = IdOrRef::Ref(named(&vehicle.vehicle));
        store
            .add_to_fleet(&IdOrRef::Ref(named("north")), &vehicle)
            .await
            .expect("a vehicle in the fleet");
    }
    platform
        .import(tenant, &rows.write(platform.folder(), "fleet.csv"))
        .await;
    tenant
}

/// The report as figures.
async fn figures(api: &Api, token: &str, path: &str) -> Value {
    let request = api.request(Method::GET, path).bearer_auth(token);
    let answer = send(request.header("accept", "application/json")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

fn close(one: f64, other: f64) -> bool {
    (one - other).abs() < 0.01
}

async fn trips_km(api: &Api, token: &str, filter: &str) -> (usize, f64) {
    let trips = api.every(token, &format!("/v1/trips{filter}")).await;
    let metres: f64 = trips.iter().filter_map(|trip| trip["distance_m"].as_f64()).sum();
    (trips.len(), metres / 1000.0)
}

fn is_a_page(answer: &Answer) {
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.header("content-type").starts_with("text/html"), "{answer:?}");
    let policy = answer.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    assert!(answer.header("cache-control").contains("no-store"));
    assert!(answer.text.starts_with("<!doctype html>") && !answer.text.contains("<script"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_says_what_the_trips_scores_and_premiums_say() {
    let mut platform = Platform::start().await;
    platform.work();
    let tenant = driven(&platform).await;
    let api = platform.serve().await;
    let token = api.token(&platform.client(tenant, &[]).await).await;

    let report = figures(&api, &token, "/v1/drivers/demo-driver-001/report?period=2026").await;
    let (trips, km) = trips_km(&api, &token, "?driver=demo-driver-001").await;
    assert!(trips > 3, "{trips}");
    assert_eq!(report["totals"]["trips"], trips);
    assert!(
        close(report["totals"]["distance_km"].as_f64().unwrap(), km),
        "{km} {report}"
    );
    let of = |list: &Value, field: &str| -> f64 {
        let items = list.as_array().expect("a list");
        items.iter().filter_map(|item| item[field].as_f64()).sum()
    };
    for list in ["days", "hours", "mileage", "vehicles"] {
        assert!(close(of(&report[list], "distance_km"), km), "{list}: {report}");
        assert!(close(of(&report[list], "trips"), trips as f64), "{list}: {report}");
    }
    let score = api.get(&token, "/v1/drivers/demo-driver-001/score").await.json();
    let days = report["score"]["days"].as_array().expect("days with a score");
    let value: f64 = score["value"]
        .as_str()
        .map_or_else(|| score["value"].as_f64().unwrap(), |text| text.parse().unwrap());
    assert!(
        days.iter().any(|day| close(day["score"].as_f64().unwrap(), value)),
        "{score} {report}"
    );
    let premiums = api.every(&token, "/v1/policies/demo-vehicle-001-policy/premiums").await;
    assert!(!premiums.is_empty());
    assert_eq!(report["premiums"].as_array().unwrap().len(), premiums.len());
    let rates = report["behaviour"]["rates"].as_array().expect("rates");
    assert_eq!(rates.len(), 6);
    assert!(
        rates
            .iter()
            .all(|rate| rate["value"].is_null() == rate["portfolio"].is_null()),
        "{rates:?}"
    );

    // Parts of the year add up to it; what lies before it is empty.
    let mut parts = 0.0;
    for period in ["2026-Q1", "2026-04-01..2026-12-31"] {
        let part = figures(
            &api,
            &token,
            &format!("/v1/drivers/demo-driver-001/report?period={period}"),
        )
        .await;
        parts += part["totals"]["distance_km"].as_f64().unwrap();
    }
    assert!(close(parts, km));
    let empty = figures(&api, &token, "/v1/drivers/demo-driver-001/report?period=2025-12").await;
    assert_eq!(
        (&empty["totals"]["trips"], &empty["score"], &empty["behaviour"]),
        (&0.into(), &Value::Null, &Value::Null)
    );

    // Pay-as-you-drive: about distance only.
    let payd = figures(&api, &token, "/v1/drivers/demo-driver-003/report?period=2026").await;
    assert!(payd["totals"]["trips"].as_i64() > Some(0));
    assert_eq!((&payd["behaviour"], &payd["score"]), (&Value::Null, &Value::Null));

    let fleet = figures(&api, &token, "/v1/fleets/north/report?period=2026").await;
    let two = trips_km(&api, &token, "?vehicle=demo-vehicle-001").await.1
        + trips_km(&api, &token, "?vehicle=demo-vehicle-002").await.1;
    assert!(
        close(fleet["totals"]["distance_km"].as_f64().unwrap(), two),
        "{two} {fleet}"
    );
    assert_eq!(fleet["vehicles"].as_array().unwrap().len(), 2);
    assert_eq!(fleet["totals"]["drivers"], 2);
    let page = api.get(&token, "/v1/fleets/north/report?period=2026-Q1").await;
    is_a_page(&page);
    assert!(page.text.contains("North &lt;b&gt;"));

    for wrong in [
        "",
        "?period=",
        "?period=May",
        "?period=2026-05-02..2026-05-01",
        "?period=2026&more=1",
    ] {
        api.get(&token, &format!("/v1/drivers/demo-driver-001/report{wrong}"))
            .await
            .problem(400);
    }
    api.get(&token, "/v1/drivers/nobody/report?period=2026")
        .await
        .problem(404);
    api.get(&token, "/v1/fleets/nothing/report?period=2026")
        .await
        .problem(404);
    let other = api.token(&platform.client(tenant, &["trips:read"]).await).await;
    api.get(&other, "/v1/drivers/demo-driver-001/report?period=2026")
        .await
        .problem(403);
    platform.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tracks_and_names_are_in_a_report_for_whoever_may_see_them_only() {
    let mut platform = Platform::start().await;
    platform.work();
    let tenant = driven(&platform).await;
    let store = platform.store(tenant);
    let evil = NewDriver {
        external_ref: Some(named("<script>alert(2)</script>")),
        identity: Some(Identity {
            name: Some("<script>alert(1)</script>".to_owned()),
            ..Identity::default()
        }),
    };
    let evil = store.create_driver(evil).await.expect("a driver").id;
    let api = platform.serve().await;
    let plain = api.token(&platform.client(tenant, &["reports:read"]).await).await;
    let scopes = ["reports:read", "tracks:read", "drivers:identity"];
    let trusted = api.token(&platform.client(tenant, &scopes).await).await;
    let audited = async |kind: &str| {
        let page = Page {
            after: None,
            limit: 200,
        };
        let log = platform.store(tenant).audit_log(page).await.expect("the audit log");
        log.items
            .iter()
            .filter(|row| row.object_kind == kind && row.action == "read")
            .count()
    };

    let path = "/v1/drivers/demo-driver-001/report?period=2026";
    let report = figures(&api, &plain, path).await;
    assert!(report["map"]["none_because"].as_str().unwrap().contains("tracks:read"));
    assert_eq!(report["map"]["trips"], Value::Array(vec![]));
    let page = api.get(&plain, path).await;
    is_a_page(&page);
    assert!(page.text.contains("There is no map") && !page.text.contains("class=\"track\""));
    assert_eq!(audited("track").await, 0);

    let report = figures(&api, &trusted, path).await;
    let drawn = report["map"]["trips"].as_array().unwrap().len();
    assert!(drawn > 3, "{report}");
    assert_eq!(audited("track").await, drawn);
    let page = api.get(&trusted, path).await;
    is_a_page(&page);
    assert_eq!(page.text.matches("class=\"track\"").count(), drawn);

    let path = format!("/v1/drivers/{evil}/report?period=2026");
    let page = api.get(&plain, &path).await;
    is_a_page(&page);
    assert!(page.text.contains("&lt;script&gt;alert(2)&lt;/script&gt;") && !page.text.contains("alert(1)"));
    let page = api.get(&trusted, &path).await;
    is_a_page(&page);
    assert!(page.text.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    assert_eq!(audited("driver_identity").await, 1);
    platform.end().await;
}

/// What a browser makes of a page: the document, and what it complained of. `None`, said so, where there is no browser.
async fn browsed(page: &Path) -> Option<(String, Vec<String>)> {
    let profile = tempfile::tempdir().expect("a folder");
    let mut command = Command::new("chromium");
    command
        .args([
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--enable-logging=stderr",
            "--v=0",
        ])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args(["--virtual-time-budget=2000", "--dump-dom"])
        .arg(format!("file://{}", page.display()))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = match tokio::time::timeout(Duration::from_secs(120), command.output()).await {
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => {
            println!("skipped: chromium is not installed, so no report is opened in a browser");
            return None;
        }
        output => output.expect("a browser that ends").expect("a browser that runs"),
    };
    let said = String::from_utf8_lossy(&output.stderr);
    let complaints = said
        .lines()
        .filter(|line| line.contains("CONSOLE"))
        .map(str::to_owned)
        .collect();
    Some((String::from_utf8_lossy(&output.stdout).into_owned(), complaints))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_opens_the_reports_of_the_command_without_a_complaint() {
    if Backend::chosen() == Backend::Embedded {
        println!("skipped on embedded: a second process cannot use a database in this one");
        return;
    }
    let mut platform = Platform::start_with(Queue::Table, |_| {}).await;
    platform.work();
    driven(&platform).await;
    let make = async |arguments: &[&str], file: &str| {
        let out = platform.folder().join(file);
        let target = out.display().to_string();
        let mut all = vec!["report"];
        all.extend(arguments);
        all.extend(["--tenant", "insurer", "--period", "2026", "--out", &target]);
        run(odograph(&all).envs(platform.environment())).await.succeeded();
        out
    };
    let driver = make(&["driver", "demo-driver-001", "--tracks"], "driver.html").await;
    let payd = make(&["driver", "demo-driver-003"], "payd.html").await;
    let fleet = make(&["fleet", "north"], "fleet.html").await;
    let all = make(&["fleet", "--all"], "all.html").await;
    for (page, drawings) in [(&driver, 7), (&payd, 3), (&fleet, 5), (&all, 5)] {
        let Some((document, complaints)) = browsed(page).await else {
            break;
        };
        assert_eq!(complaints, Vec::<String>::new(), "{}", page.display());
        assert_eq!(document.matches("<svg").count(), drawings, "{}", page.display());
        assert!(document.contains("</footer>"), "{}", page.display());
    }
    // Looking is known to find: what the page's own policy forbids is complained of.
    let tampered = std::fs::read_to_string(&driver).expect("the page");
    let file = platform.folder().join("tampered.html");
    std::fs::write(
        &file,
        tampered.replace("</body>", "<script>document.title = 'ran'</script></body>"),
    )
    .expect("a page");
    if let Some((document, complaints)) = browsed(&file).await {
        assert!(
            !complaints.is_empty() && !document.contains("<title>ran"),
            "a script was let run"
        );
    }
    let wrong =
        run(odograph(&["report", "fleet", "--tenant", "insurer", "--period", "2026"]).envs(platform.environment()))
            .await;
    assert!(!wrong.status.success() && wrong.err.contains("--all"), "{}", wrong.err);
    let nobody = ["report", "driver", "nobody", "--tenant", "insurer", "--period", "2026"];
    let nobody = run(odograph(&nobody).envs(platform.environment())).await.failed();
    assert!(nobody.err.contains("nobody"), "{}", nobody.err);
    platform.end().await;
}
