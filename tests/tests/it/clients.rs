//! Clients that are generated from the committed document, compiled, and used against a running API.

use std::{path::Path, process::Stdio};

use odograph_tests::{
    platform::{Insured, Platform, Queue},
    telemetry::{Rows, small_fleet},
};
use serde_json::Value;
use tokio::process::Command;

/// What a script ends with where a package registry cannot be reached.
const SKIPPED: i32 = 77;

#[tokio::test(flavor = "multi_thread")]
async fn a_python_and_a_typescript_client_fetch_a_premium_with_its_trace() {
    let mut platform = Platform::start_with(Queue::Table, |_| {}).await;
    platform.work();
    let api = platform.serve().await;
    let tenant = platform.tenant("insurer").await;
    let fleet = small_fleet(1, 2);
    let rows = Rows::of_fleet(&fleet);
    let insured = Insured {
        vehicle: fleet[0].external_ref.clone(),
        driver: fleet[0].driver.external_ref.clone(),
        product: fleet[0].product,
        time_zone: chrono_tz::Tz::Europe__Berlin,
        starts_on: rows.first_day(&fleet[0].external_ref).expect("a first row"),
    };
    platform.insure(tenant, &[insured]).await;
    platform
        .import(tenant, &rows.write(platform.folder(), "fleet.csv"))
        .await;
    let client = platform.client(tenant, &["policies:read", "premiums:read"]).await;

    let token = api.token(&client).await;
    let policy = api.every(&token, "/v1/policies").await[0]["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let premium = api
        .get(&token, &format!("/v1/policies/{policy}/premiums?limit=1"))
        .await
        .json()["items"][0]
        .clone();

    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let folder = platform.folder().join("clients");
    let script = Command::new(repository.join("scripts/clients"))
        .args([folder.as_os_str()])
        .args(["--use", &api.url, &client.id.to_string(), &client.secret, &policy])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let told = script.await.expect("a script that runs");
    let (out, err) = (
        String::from_utf8_lossy(&told.stdout),
        String::from_utf8_lossy(&told.stderr),
    );
    if told.status.code() == Some(SKIPPED) {
        eprintln!("skipped: {err}");
    } else {
        assert!(told.status.success(), "--- out\n{out}\n--- err\n{err}");
        let told: Vec<Value> = out.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        assert_eq!(told.len(), 2, "one line of each client: {out}");
        assert_eq!(told[0], told[1], "the two clients were told different things");
        assert_eq!(told[0]["amount"], premium["premium"]["amount"]);
        assert_eq!(told[0]["period"], premium["period"]);
        assert!(
            told[0]["steps"].as_array().is_some_and(|steps| steps.len() > 3),
            "{out}"
        );
    }
    platform.end().await;
}
