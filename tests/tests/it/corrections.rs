//! Corrections as stories with figures: data that comes late, twice or in the middle, and what is told of it; and rebuilds.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;
use odograph_domain::{id::TenantId, policy::Product};
use odograph_tests::{
    Backend,
    http::Api,
    platform::{Insured, Platform, Queue},
    process::{Told, kill, odograph, run},
    telemetry::Rows,
};
use serde_json::{Value, json};

/// Metres a second: 72 km/h, and two hundredths of a kilometre on the odometer.
const M_PER_S: i64 = 20;
/// Each drive takes ten minutes, 12 km, told every four seconds: one batch.
const DRIVE_S: i64 = 600;

fn day(text: &str) -> NaiveDate {
    text.parse().expect("a day")
}

fn eight_o_clock(day: NaiveDate) -> DateTime<Utc> {
    day.and_hms_opt(8, 0, 0).expect("a time").and_utc()
}

/// A drive a day, from the first of March to the third of April, of two cars: the first insured by behaviour, the second by
/// distance alone.
fn drives() -> Rows {
    let header = ["vehicle_id", "driver_id", "ts", "speed_kmh", "odometer_km", "ignition"];
    let mut rows = Vec::new();
    for car in ["car-1", "car-2"] {
        for (driven, day) in day("2026-03-01").iter_days().take(34).enumerate() {
            for second in (0..=DRIVE_S).step_by(4) {
                let ts = eight_o_clock(day) + TimeDelta::seconds(second);
                let metres = (driven as i64 * DRIVE_S + second) * M_PER_S;
                rows.push(vec![
                    car.to_owned(),
                    format!("{car}-driver"),
                    ts.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
                    "72".to_owned(),
                    format!("{}.{:03}", 10_000 + metres / 1000, metres % 1000),
                    (second < DRIVE_S).to_string(),
                ]);
            }
        }
    }
    Rows {
        header: header.map(str::to_owned).into(),
        rows,
    }
}

/// Rows of a day, from one second of the drive to another, both inclusive.
fn within(date: &str, from_s: i64, to_s: i64) -> impl Fn(&[String]) -> bool {
    let start = eight_o_clock(day(date));
    move |row| {
        let ts: DateTime<Utc> = row[2].parse().expect("a time");
        (start + TimeDelta::seconds(from_s)..=start + TimeDelta::seconds(to_s)).contains(&ts)
    }
}

fn insured() -> Vec<Insured> {
    let of = |car: &str, product| Insured {
        vehicle: car.to_owned(),
        driver: format!("{car}-driver"),
        product,
        time_zone: Tz::UTC,
        starts_on: day("2026-03-01"),
    };
    vec![of("car-1", Product::Phyd), of("car-2", Product::Payd)]
}

async fn import(platform: &Platform, tenant: TenantId, name: &str, rows: &Rows) {
    let file = rows.write(platform.folder(), &format!("{name}.csv"));
    platform.import(tenant, &file).await;
}

/// Late data, a batch a car: derived at once, and not in parts as a file's batches may be while more of them come.
async fn send(platform: &Platform, api: &Api, (tenant, token): (TenantId, &str), name: &str, rows: &Rows) {
    for car in ["car-1", "car-2"] {
        let sample = |row: &Vec<String>| {
            let number = |cell: &String| cell.parse::<f64>().expect("a number");
            json!({ "ts": row[2], "speed_kmh": number(&row[3]), "odometer_km": number(&row[4]),
                "ignition": row[5] == "true" })
        };
        let samples: Vec<Value> = rows.rows.iter().filter(|row| row[0] == car).map(sample).collect();
        let batch = json!({ "schema": 1, "batch_id": name, "vehicle": car, "driver": format!("{car}-driver"),
            "samples": samples });
        let answer = api.post(token, "/v1/telemetry/batches", &batch).await;
        assert_eq!(answer.status, 202, "{answer:?}");
    }
    platform.drained().await;
    platform.derive(tenant).await;
}

/// What is told under a query, the oldest first.
async fn told(api: &Api, token: &str, query: &str) -> Vec<Value> {
    let mut items = api.every(token, &format!("/v1/corrections?{query}")).await;
    items.reverse();
    items
}

fn of_kind<'a>(corrections: &'a [Value], kind: &str) -> Vec<&'a Value> {
    corrections
        .iter()
        .filter(|correction| correction["kind"] == kind)
        .collect()
}

#[track_caller]
fn only<'a>(corrections: &'a [Value], kind: &str) -> &'a Value {
    match of_kind(corrections, kind)[..] {
        [one] => one,
        _ => panic!("wanted one {kind} in {corrections:#?}"),
    }
}

/// What is told of the second car since a time.
async fn since(api: &Api, token: &str, car: &str, at: DateTime<Utc>) -> Vec<Value> {
    let at = at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
    told(api, token, &format!("vehicle={car}&from={at}")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_late_is_corrected_and_explained() {
    let all = drives();
    // Held back: all of the tenth, the second half of the twentieth, the middle of the twenty-fifth.
    let tenth = all.filter(within("2026-03-10", 0, DRIVE_S));
    let twentieth = all.filter(within("2026-03-20", 301, DRIVE_S));
    let twenty_fifth = all.filter(within("2026-03-25", 101, 499));
    let held = [&tenth, &twentieth, &twenty_fifth];
    let early = all.filter(|row| !held.iter().any(|late| late.rows.iter().any(|other| other == row)));
    let mut platform = Platform::start().await;
    platform.work();
    let api = platform.serve().await;
    let tenant = platform.tenant("insurer").await;
    platform.insure(tenant, &insured()).await;
    let token = api.token(&platform.client(tenant, &[]).await).await;

    import(&platform, tenant, "early", &early).await;
    let first = told(&api, &token, "").await;
    assert_eq!(first, Vec::<Value>::new(), "new driving is no correction");

    a_whole_drive(&platform, &api, (tenant, &token), &tenth).await;
    the_second_half(&platform, &api, (tenant, &token), &twentieth).await;
    the_middle(&platform, &api, (tenant, &token), &twenty_fifth).await;
    let before = told(&api, &token, "").await;
    import(&platform, tenant, "again", &all).await;
    assert_eq!(
        told(&api, &token, "").await,
        before,
        "the same data again corrected something"
    );
    filters_and_scopes(&platform, &api, (tenant, &token), &before).await;
    platform.end().await;
}

async fn a_whole_drive(platform: &Platform, api: &Api, (tenant, token): (TenantId, &str), late: &Rows) {
    let began = platform.parts.clock.now();
    send(platform, api, (tenant, token), "tenth", late).await;

    let corrections = since(api, token, "car-2", began).await;
    let added = only(&corrections, "trip_added");
    assert_eq!(added["before"], Value::Null);
    let trip = &added["after"]["trip"];
    assert_eq!(
        (&trip["version"], &trip["start"]),
        (&json!(1), &json!("2026-03-10T08:00:00Z"))
    );
    assert!(
        (trip["distance_m"].as_f64().expect("metres") - 12_000.0).abs() < 0.5,
        "{trip}"
    );
    assert_eq!(
        (&added["from_day"], &added["to_day"]),
        (&json!("2026-03-10"), &json!("2026-03-10"))
    );
    assert_eq!(added["cause"]["why"], json!(["late_data"]));
    assert_eq!(added["cause"]["batches"], json!(1));
    assert_eq!(
        added["cause"]["clients"].as_array().map(Vec::len),
        Some(1),
        "who sent it"
    );

    // 31 days less the tenth, half of the twentieth and two thirds of the twenty-fifth: 28 × 12 km + 6 km + 4 km.
    let premium = only(&corrections, "premium_changed");
    let (before, after) = (&premium["before"]["premium"], &premium["after"]["premium"]);
    assert_eq!(
        (&before["usage_m"], &after["usage_m"]),
        (&json!(346_000), &json!(358_000))
    );
    assert_eq!(
        before["amount"],
        json!({ "amount": "36.45", "currency": "EUR" }),
        "19.50 + 346 km at 0.049"
    );
    assert_eq!(
        after["amount"],
        json!({ "amount": "37.04", "currency": "EUR" }),
        "19.50 + 358 km at 0.049"
    );
    assert_eq!(
        (&premium["from_day"], &premium["to_day"]),
        (&json!("2026-03-01"), &json!("2026-03-31"))
    );
    let version = |told: &Value| told["version"].as_i64().expect("a version");
    assert_eq!(version(after), version(before) + 1);
    assert_eq!(
        corrections.len(),
        2,
        "nobody scores who pays by distance alone: {corrections:#?}"
    );

    // The other car's driver is scored: the day itself and every day after it, to the end of the month and beyond.
    let corrections = since(api, token, "car-1", began).await;
    let scores = only(&corrections, "scores_changed");
    let days = |told: &Value| -> Vec<(String, i64)> {
        let scores = told["scores"].as_array().expect("scores").iter();
        scores
            .map(|score| (score["as_of"].as_str().expect("a day").to_owned(), version(score)))
            .collect()
    };
    let (before, after) = (days(&scores["before"]), days(&scores["after"]));
    assert_eq!(before.len(), after.len());
    assert!(
        before
            .iter()
            .zip(&after)
            .all(|((one, old), (other, new))| one == other && *new == old + 1)
    );
    assert!(
        after.iter().all(|(as_of, _)| as_of.as_str() > "2026-03-10"),
        "{after:?}"
    );
    let path = "/v1/drivers/car-1-driver/scores?all_versions=true&from=2026-03-31&to=2026-03-31";
    let versions = api.every(token, path).await;
    let (_, newest) = after
        .iter()
        .find(|(as_of, _)| as_of == "2026-03-31")
        .expect("the last of March");
    assert_eq!(version(&versions[0]), *newest);
    assert_eq!(versions.len() as i64, *newest, "every version is there: {versions:#?}");
    assert!(versions[0]["replaced_at"].is_null() && versions[1]["replaced_at"].is_string());
    assert_eq!(of_kind(&corrections, "trip_added").len(), 1);
}

async fn the_second_half(platform: &Platform, api: &Api, (tenant, token): (TenantId, &str), late: &Rows) {
    let began = platform.parts.clock.now();
    send(platform, api, (tenant, token), "twentieth", late).await;
    let corrections = since(api, token, "car-2", began).await;
    let changed = only(&corrections, "trip_changed");
    let (before, after) = (&changed["before"]["trip"], &changed["after"]["trip"]);
    assert_eq!(
        (&before["end"], &after["end"]),
        (&json!("2026-03-20T08:05:00Z"), &json!("2026-03-20T08:10:00Z"))
    );
    assert_eq!((&before["version"], &after["version"]), (&json!(1), &json!(2)));
    assert_eq!((&before["samples"], &after["samples"]), (&json!(76), &json!(151)));
    let amounts = only(&corrections, "premium_changed");
    assert_eq!(amounts["before"]["premium"]["amount"]["amount"], "37.04");
    assert_eq!(
        amounts["after"]["premium"]["amount"]["amount"], "37.34",
        "19.50 + 364 km at 0.049"
    );

    let id = changed["trip"].as_str().expect("a trip");
    let trip = api.get(token, &format!("/v1/trips/{id}")).await.json();
    assert_eq!(trip["version"], 2);
    let link = trip["corrections"].as_str().expect("a link");
    let linked = api.every(token, link).await;
    assert_eq!(linked, std::slice::from_ref(changed));
    let versions = api.every(token, &format!("/v1/trips/{id}/versions")).await;
    let metres: Vec<_> = versions
        .iter()
        .map(|version| version["distance_m"].as_f64().expect("metres").round())
        .collect();
    assert_eq!(metres, [12_000.0, 6_000.0]);
    assert_eq!(versions[1]["features"]["samples"], 76);
    assert!(versions[0]["replaced_at"].is_null() && versions[1]["replaced_at"].is_string());
}

async fn the_middle(platform: &Platform, api: &Api, (tenant, token): (TenantId, &str), late: &Rows) {
    let began = platform.parts.clock.now();
    send(platform, api, (tenant, token), "twenty-fifth", late).await;
    let corrections = since(api, token, "car-2", began).await;
    let merged = of_kind(&corrections, "trips_merged");
    assert_eq!(merged.len(), 2, "{corrections:#?}");
    let (kept, gone): (Vec<&Value>, Vec<&Value>) = merged
        .into_iter()
        .partition(|told| told["after"]["trip"]["trip"] == told["trip"]);
    assert_eq!((kept.len(), gone.len()), (1, 1));
    assert_eq!(
        gone[0]["after"], kept[0]["after"],
        "what the one went into is the other"
    );
    assert_eq!(kept[0]["after"]["trip"]["end"], "2026-03-25T08:10:00Z");
    let id = gone[0]["trip"].as_str().expect("a trip");
    api.get(token, &format!("/v1/trips/{id}")).await.problem(404);
    let versions = api.every(token, &format!("/v1/trips/{id}/versions")).await;
    assert!(
        versions.len() == 1 && versions[0]["replaced_at"].is_string(),
        "{versions:#?}"
    );
    let amounts = only(&corrections, "premium_changed");
    assert_eq!(
        amounts["after"]["premium"]["amount"]["amount"], "37.73",
        "19.50 + 372 km at 0.049"
    );
}

async fn filters_and_scopes(platform: &Platform, api: &Api, (tenant, token): (TenantId, &str), all: &[Value]) {
    let count = |field: &str, value: &Value| all.iter().filter(|told| told[field] == *value).count();
    let driver = &of_kind(all, "scores_changed")[0]["driver"];
    for (query, wanted) in [
        ("kind=premium_changed", count("kind", &json!("premium_changed"))),
        ("driver=car-1-driver", count("driver", driver)),
        ("policy=car-2-policy", 3),
        ("why=late_data", all.len()),
        ("why=rebuild", 0),
        ("to=2026-01-01T00:00:00Z", 0),
    ] {
        assert_eq!(told(api, token, query).await.len(), wanted, "{query}");
    }
    for wrong in ["kind=trip", "why=because", "trip=1", "from=yesterday"] {
        let field = wrong.split_once('=').expect("a field").0;
        let answer = api.get(token, &format!("/v1/corrections?{wrong}")).await;
        answer.problem(400);
        assert_eq!(answer.json()["errors"][0]["field"], field, "{answer:?}");
    }
    api.get(token, "/v1/corrections?vehicle=nobody").await.problem(404);

    // Without the scopes for them, scores and money are not shown; that they changed is.
    let narrow = api.token(&platform.client(tenant, &["trips:read"]).await).await;
    for correction in told(api, &narrow, "").await {
        let needed = match correction["kind"].as_str().expect("a kind") {
            "scores_changed" => json!("scores:read"),
            "premium_changed" => json!("premiums:read"),
            _ => Value::Null,
        };
        assert_eq!(correction["hidden_without"], needed);
        let hidden = correction["before"].is_null() && correction["after"].is_null();
        assert_eq!(hidden, !needed.is_null(), "{correction}");
        let id = correction["id"].as_str().expect("an id");
        assert_eq!(
            api.get(&narrow, &format!("/v1/corrections/{id}")).await.json(),
            correction
        );
    }
}

/// `None`, said so, where the database cannot be shared with another process.
async fn with_history() -> Option<(Platform, TenantId)> {
    if Backend::chosen() == Backend::Embedded {
        println!("skipped on embedded: a second process cannot use a database in this one");
        return None;
    }
    let mut platform = Platform::start_with(Queue::Table, |_| {}).await;
    let tenant = platform.tenant("insurer").await;
    platform.insure(tenant, &insured()).await;
    platform.work();
    import(&platform, tenant, "all", &drives()).await;
    platform.stop().await;
    Some((platform, tenant))
}

async fn rebuild(platform: &Platform, more: &[&str]) -> Told {
    let mut arguments = vec!["rebuild", "--tenant", "insurer"];
    arguments.extend(more);
    run(odograph(&arguments).envs(platform.environment())).await
}

/// As if an earlier version had got them wrong: a trip of the first car a kilometre too long, one gone, and what the second
/// car's March cost a Euro too dear.
const WRONG: &[&str] = &[
    "UPDATE trip SET content_hash = sha256('wrong') WHERE start_day = '2026-03-05' AND vehicle_id = (SELECT id FROM vehicle WHERE external_ref = 'car-1')",
    "UPDATE trip_features SET billable_m = billable_m + 1000 WHERE trip_id = (SELECT id FROM trip WHERE content_hash = sha256('wrong'))",
    "DELETE FROM trip WHERE start_day = '2026-03-07' AND vehicle_id = (SELECT id FROM vehicle WHERE external_ref = 'car-1')",
    "UPDATE premium SET amount = amount + 1 WHERE is_current AND period = '2026-03-01'
         AND policy_id = (SELECT id FROM policy WHERE external_ref = 'car-2-policy')",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_gives_what_live_data_gave_and_says_so_before() {
    let Some((mut platform, tenant)) = with_history().await else {
        return;
    };
    let right = platform.snapshot(tenant).await;
    let told = rebuild(&platform, &[]).await.succeeded();
    assert!(
        told.out.contains("marked 2 of 2 vehicles") && told.out.contains("nothing changed"),
        "{}",
        told.out
    );

    platform
        .as_superuser(async |db| {
            for statement in WRONG {
                let done = sqlx::query(*statement).execute(&mut *db).await.expect("a change");
                assert_eq!(done.rows_affected(), 1, "{statement}");
            }
        })
        .await;
    let wrong = platform.snapshot(tenant).await;
    assert!(right.difference(&wrong).is_some());
    let told = rebuild(&platform, &["--dry-run"]).await.succeeded();
    for word in [
        "2 of 2 vehicles with data would change",
        "nothing was written",
        "car-1",
        "397.000",
        "408.000",
        "38.73 EUR",
        "37.73 EUR",
    ] {
        assert!(told.out.contains(word), "no {word} in\n{}", told.out);
    }
    wrong.assert_same(&platform.snapshot(tenant).await, "before and after a dry run");
    assert_eq!(platform.store(tenant).dirty(None).await.expect("dirty windows"), []);

    // The second car, then what is left.
    let told = rebuild(&platform, &["--vehicle", "car-2", "--reason", "a Euro too much"])
        .await
        .succeeded();
    assert!(
        told.out.contains("premium_changed") && !told.out.contains("trip_"),
        "{}",
        told.out
    );
    let told = rebuild(&platform, &["--vehicle", "car-1", "--from", "2026-03-05"])
        .await
        .succeeded();
    assert!(
        told.out.contains("trip_changed") && told.out.contains("trip_added"),
        "{}",
        told.out
    );
    right.assert_same(&platform.snapshot(tenant).await, "live and rebuilt");

    let filter = odograph_store::CorrectionFilter::default();
    let page = odograph_store::Page {
        after: None,
        limit: 200,
    };
    let corrections = platform
        .store(tenant)
        .corrections(&filter, page)
        .await
        .expect("corrections")
        .items;
    let noted = |row: &&odograph_store::CorrectionRow| row.correction.cause.notes.contains("a Euro too much");
    assert_eq!(corrections.iter().filter(noted).count(), 1);
    for row in &corrections {
        assert_eq!(
            row.correction.cause.why,
            [odograph_domain::correction::Why::Rebuild].into()
        );
    }
    for (wrong, named) in [
        (&["--vehicle", "nobody"][..], "nobody"),
        (&["--from", "2026-03-02", "--to", "2026-03-01"], "--to"),
    ] {
        let told = rebuild(&platform, wrong).await.failed();
        assert!(told.err.contains(named), "{}", told.err);
    }
    platform.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_that_is_killed_goes_on_where_it_was() {
    let Some((platform, tenant)) = with_history().await else {
        return;
    };
    let right = platform.snapshot(tenant).await;
    let child = odograph(&["rebuild", "--tenant", "insurer"])
        .envs(platform.environment())
        .spawn()
        .expect("a process");
    let store = platform.store(tenant);
    let left = async || store.dirty(None).await.expect("dirty windows").len();
    let began = std::time::Instant::now();
    while left().await < 2 {
        assert!(began.elapsed().as_secs() < 60, "nothing was marked");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    kill(child).await;
    assert!(left().await > 0, "it was done before it could be killed");
    let told = rebuild(&platform, &[]).await.succeeded();
    assert!(told.out.contains("nothing changed"), "{}", told.out);
    assert_eq!(left().await, 0);

    // Marked only, for whoever works.
    let told = rebuild(&platform, &["--no-wait", "--vehicle", "car-1"])
        .await
        .succeeded();
    assert!(told.out.contains("marked 1 of 1 vehicles"), "{}", told.out);
    assert_eq!(left().await, 1);
    platform.derive(tenant).await;
    right.assert_same(&platform.snapshot(tenant).await, "live and rebuilt");
    platform.end().await;
}
