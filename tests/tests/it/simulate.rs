//! The simulator: the same bytes for the same seed, stopped and taken up again, sent every way, and its truth found again
//! by the platform.

use std::{collections::BTreeMap, path::Path, process::Stdio, time::Duration};

use odograph::simulate::check;
use odograph_tests::{
    Backend,
    platform::{Platform, Queue},
    process::{Told, odograph, run, signal},
};
use serde_json::Value;
use tempfile::TempDir;

/// Every file of a run but its state, which tells of the stops.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder_here) = open.pop() {
        for entry in std::fs::read_dir(&folder_here).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else if !path.ends_with("state.json") {
                let name = path
                    .strip_prefix(folder)
                    .expect("a file of the run")
                    .display()
                    .to_string();
                found.insert(name, std::fs::read(&path).expect("a file"));
            }
        }
    }
    found
}

async fn simulate(folder: &Path, arguments: &[&str]) -> Told {
    let out = folder.display().to_string();
    let mut all = vec!["simulate", "--out", &out];
    all.extend(arguments);
    run(&mut odograph(&all)).await
}

#[track_caller]
fn assert_same_files(a: &Path, b: &Path) {
    let (a, b) = (files(a), files(b));
    assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>());
    for (name, bytes) in &a {
        assert!(
            bytes == &b[name],
            "{name} differs: {} and {} bytes",
            bytes.len(),
            b[name].len()
        );
        assert!(!bytes.is_empty(), "{name} is empty");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_seed_gives_the_same_bytes_on_any_number_of_threads() {
    let folder = TempDir::new().expect("a folder");
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    let spec = [
        "--vehicles",
        "15",
        "--duration",
        "300s",
        "--rate-hz",
        "1",
        "--format",
        "both",
        "--seed",
        "7",
    ];
    simulate(&one, &[&spec[..], &["--threads", "1"]].concat())
        .await
        .succeeded();
    simulate(&two, &[&spec[..], &["--threads", "3"]].concat())
        .await
        .succeeded();
    assert_same_files(&one, &two);
    let trips = std::fs::read_to_string(one.join("truth/trips.csv")).expect("the truth");
    assert_eq!(trips.lines().count(), 16, "every vehicle is on its way:\n{trips}");

    let other = folder.path().join("other");
    simulate(&other, &[&spec[..8], &["--seed", "8"]].concat())
        .await
        .succeeded();
    assert_ne!(files(&one)["telemetry.csv.gz"], files(&other)["telemetry.csv.gz"]);
    // A larger fleet begins with the smaller one: member by member, so byte by byte.
    let larger = folder.path().join("larger");
    let more = [&["--vehicles", "20"][..], &spec[2..]].concat();
    simulate(&larger, &more).await.succeeded();
    for name in [
        "telemetry.csv.gz",
        "batches.ndjson.gz",
        "truth/trips.csv",
        "truth/events.csv",
    ] {
        assert!(files(&larger)[name].starts_with(&files(&one)[name]), "{name}");
    }
    // The files are what other programs take them for.
    let status = run(&mut odograph(&[
        "simulate",
        "status",
        "--run",
        &one.display().to_string(),
    ]))
    .await
    .succeeded();
    assert!(
        status.out.contains("done") && status.out.contains("15 of 15"),
        "{}",
        status.out
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_stopped_goes_on_as_if_it_had_not_been() {
    let folder = TempDir::new().expect("a folder");
    for order in ["vehicle", "time"] {
        let (whole, broken) = (
            folder.path().join(format!("{order}-whole")),
            folder.path().join(format!("{order}-broken")),
        );
        let spec = [
            "--vehicles",
            "24",
            "--days",
            "1",
            "--format",
            "ndjson",
            "--order",
            order,
            "--threads",
            "1",
        ];
        simulate(&whole, &spec).await.succeeded();
        let out = broken.display().to_string();
        let mut command = odograph(&[&["simulate", "--out", &out][..], &spec].concat());
        let child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a process");
        // Some vehicles are made, and not all.
        let mut waited = 0;
        while std::fs::read_to_string(broken.join("truth/trips.csv"))
            .unwrap_or_default()
            .lines()
            .count()
            < 4
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
            waited += 1;
            assert!(waited < 20_000, "nothing is written");
        }
        signal(&child, "INT").await;
        let told: Told = child.wait_with_output().await.expect("its output").into();
        let told = told.failed();
        assert!(told.err.contains("--resume"), "{}", told.err);
        let status = run(&mut odograph(&["simulate", "status", "--run", &out]))
            .await
            .succeeded();
        assert!(status.out.contains("not finished"), "{}", status.out);
        // A folder that holds a run is not overwritten by mistake.
        let again = simulate(&broken, &spec).await.failed();
        assert!(
            again.err.contains("--resume") && again.err.contains("--force"),
            "{}",
            again.err
        );
        // What a power cut leaves beyond the last save is cut off.
        let file = broken.join("truth/trips.csv");
        let mut text = std::fs::read(&file).expect("the truth");
        text.extend_from_slice(b"half a li");
        std::fs::write(&file, text).expect("the truth");
        run(&mut odograph(&["simulate", "--resume", &out])).await.succeeded();
        assert_same_files(&whole, &broken);
    }
    let (vehicle, time) = (folder.path().join("vehicle-whole"), folder.path().join("time-whole"));
    // In order of time it is the same batches.
    let lines = |run: &Path| {
        let mut plain = String::new();
        let bytes = std::fs::read(run.join("batches.ndjson.gz")).expect("batches");
        let mut gzip = flate2::read::MultiGzDecoder::new(&bytes[..]);
        std::io::Read::read_to_string(&mut gzip, &mut plain).expect("gzip of text");
        plain.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let (by_vehicle, by_time) = (lines(&vehicle), lines(&time));
    let sent_at = |line: &String| {
        serde_json::from_str::<Value>(line).expect("JSON")["sent_at"]
            .as_str()
            .expect("a time")
            .to_owned()
    };
    assert!(by_time.is_sorted_by_key(sent_at) && !by_vehicle.is_sorted_by_key(sent_at));
    let sorted = |mut lines: Vec<String>| {
        lines.sort();
        lines
    };
    assert_eq!(sorted(by_vehicle), sorted(by_time));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_is_said_by_name() {
    let folder = TempDir::new().expect("a folder");
    let out = folder.path().join("run");
    let scenario = folder.path().join("scenario.json");
    let given = scenario.display().to_string();
    let asked = |text: &str| std::fs::write(&scenario, text).expect("a file");
    let crash =
        r#"{"schema":1,"scenarios":[{"kind":"crash","vehicle":VEHICLE,"at":"2026-05-04T08:00:00Z","FIELD":30}]}"#;
    for (vehicle, field, named) in [
        ("1", "delta_v", "delta_v"),
        ("99", "delta_v_kmh", "99"),
        ("1", "direction_deg", ""),
    ] {
        asked(&crash.replace("VEHICLE", vehicle).replace("FIELD", field));
        let told = simulate(
            &out,
            &["--scenario", &given, "--vehicles", "1", "--duration", "60s", "--force"],
        )
        .await;
        if named.is_empty() {
            told.succeeded();
        } else {
            let told = told.failed();
            assert!(
                told.err.contains(named) && told.err.contains("scenarios[0]"),
                "{}",
                told.err
            );
        }
    }
    let rates = folder.path().join("rates.json");
    std::fs::write(&rates, r#"{"duplicates":0.5}"#).expect("a file");
    let told = simulate(&out, &["--rates", &rates.display().to_string(), "--force"])
        .await
        .failed();
    assert!(told.err.contains("duplicates"), "{}", told.err);
    for (arguments, named) in [
        (&["--to", "ftp://x"][..], "http://"),
        (&["--to", "amqp"], "--tenant"),
        (&["--to", "http://127.0.0.1:1"], "ODOGRAPH_CLIENT_SECRET"),
        (&["--speed", "1"], "--to"),
        (&["--format", "csv", "--order", "time"], "ndjson"),
        (&["--start", "tomorrow"], "tomorrow"),
        (&["--duration", "36h"], "whole days"),
    ] {
        let told = simulate(&out, &[arguments, &["--force"]].concat()).await.failed();
        assert!(told.err.contains(named), "{arguments:?}: {}", told.err);
    }
    let told = run(&mut odograph(&["simulate"])).await.failed();
    assert!(told.err.contains("--out"), "{}", told.err);
}

/// Late, doubled, overlapping and resent uploads of every kind of device, through the queue: nearly every trip is found,
/// the kilometres are those driven, and nobody pays for a car that was parked.
#[tokio::test(flavor = "multi_thread")]
async fn a_fleets_day_is_found_and_billed_as_it_was_driven() {
    if Backend::chosen() == Backend::Embedded {
        println!("skipped on embedded: a second process cannot use a database in this one");
        return;
    }
    let platform = Platform::start_with(Queue::Table, |_| {}).await;
    let tenant = platform.tenant("insurer").await;
    let folder = platform.folder().join("run");
    let out = folder.display().to_string();
    let arguments = [
        "simulate",
        "--out",
        &out,
        "--vehicles",
        "40",
        "--days",
        "1",
        "--to",
        "amqp",
        "--tenant",
        "insurer",
        "--register",
    ];
    let told = run(odograph(&arguments).envs(platform.environment())).await.succeeded();
    assert!(told.out.contains("registered 40 vehicles"), "{}", told.out);
    let report = check::check(&folder, &platform.store(tenant)).await.expect("a report");
    println!("{report}");
    for finding in &report.findings {
        println!("{finding:?}");
    }
    let all = report.all();
    assert!(all.true_trips > 80 && report.by_quality.len() >= 5, "{report}");
    assert!(all.matched_share() >= 0.96, "{report}");
    assert!(all.off().abs() <= 0.02, "{report}");
    assert_eq!(all.drift_km, 0.0, "{report}");
    // The command says the same, and fails where too much is asked.
    let checked = [
        "simulate",
        "check",
        "--run",
        &out,
        "--tenant",
        "insurer",
        "--least-found",
        "0.9",
    ];
    let told = run(odograph(&checked).envs(platform.environment())).await.succeeded();
    assert!(
        told.out.contains("builtin, odometer") && told.out.contains("all"),
        "{}",
        told.out
    );
    let strict = [&checked[..], &["--most-off", "0.000001"]].concat();
    let told = run(odograph(&strict).envs(platform.environment())).await.failed();
    assert!(told.err.contains("billed"), "{}", told.err);
    platform.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_is_sent_over_http_and_a_crash_goes_first() {
    let mut platform = Platform::start().await;
    platform.work();
    let tenant = platform.tenant("insurer").await;
    let api = platform.serve().await;
    let sender = platform
        .client(
            tenant,
            &[
                "telemetry:write",
                "drivers:write",
                "vehicles:write",
                "policies:write",
                "plans:read",
            ],
        )
        .await;
    let folder = platform.folder().join("run");
    let scenario = platform.folder().join("crash.json");
    let crash =
        r#"{"schema":1,"scenarios":[{"kind":"crash","vehicle":2,"at":"2026-05-04T06:02:00Z","delta_v_kmh":30}]}"#;
    std::fs::write(&scenario, crash).expect("a file");
    let out = folder.display().to_string();
    let scenario = scenario.display().to_string();
    let arguments = [
        "simulate",
        "--out",
        &out,
        "--vehicles",
        "4",
        "--duration",
        "300s",
        "--quality",
        "builtin",
        "--scenario",
        &scenario,
        "--to",
        &api.url,
        "--speed",
        "600",
        "--format",
        "ndjson",
        "--client-id",
        &sender.id.to_string(),
    ];
    // Nobody knows the vehicles: refused, and told so.
    let told = run(odograph(&arguments).env("ODOGRAPH_CLIENT_SECRET", &sender.secret))
        .await
        .succeeded();
    assert!(told.out.contains("refused: 422"), "{}", told.out);
    // The plan that they are to be registered on must be there.
    let register = [&arguments[..], &["--force", "--register"]].concat();
    let told = run(odograph(&register).env("ODOGRAPH_CLIENT_SECRET", &sender.secret))
        .await
        .failed();
    assert!(told.err.contains("/v1/rating-plans/standard"), "{}", told.err);
    odograph::plan::named_or_example(&platform.store(tenant), "standard")
        .await
        .expect("a plan");
    let told = run(odograph(&register).env("ODOGRAPH_CLIENT_SECRET", &sender.secret))
        .await
        .succeeded();
    assert!(
        !told.out.contains("refused") && told.out.contains("batches accepted"),
        "{}",
        told.out
    );
    let again = [&arguments[..], &["--force"]].concat();
    let state: Value =
        serde_json::from_slice(&std::fs::read(folder.join("state.json")).expect("the state")).expect("JSON");
    assert_eq!(state["happened"].as_array().map(Vec::len), Some(1), "{state}");
    platform.drained().await;
    let outcomes = platform.outcomes(tenant).await;
    assert!(outcomes.balances() && outcomes.accepted > 900, "{outcomes:?}");
    let wrong = run(odograph(&again).env("ODOGRAPH_CLIENT_SECRET", "guessed"))
        .await
        .failed();
    assert!(
        wrong.err.contains("no token") && !wrong.err.contains("guessed"),
        "{}",
        wrong.err
    );

    let last = run(&mut odograph(&["simulate", "last", "--run", &out]))
        .await
        .succeeded();
    assert!(
        last.out.contains("sim-vehicle-004") && last.out.contains("builtin"),
        "{}",
        last.out
    );
    let one = run(&mut odograph(&[
        "simulate",
        "last",
        "--run",
        &out,
        "--vehicle",
        "sim-vehicle-002",
    ]))
    .await;
    let one: Value = serde_json::from_str(&one.succeeded().out).expect("JSON");
    assert_eq!(one["vehicle"], "sim-vehicle-002");
    assert_eq!(one["last"]["airbag"], true, "{one}");
    let nobody = run(&mut odograph(&[
        "simulate",
        "last",
        "--run",
        &out,
        "--vehicle",
        "nobody",
    ]))
    .await
    .failed();
    assert!(nobody.err.contains("nobody"), "{}", nobody.err);
    platform.end().await;
}
