//! The binary, as a person at a shell uses it.

use std::path::{Path, PathBuf};

use odograph_tests::{
    Backend, parquet,
    platform::{Platform, Queue},
    process::{Told, odograph, run},
    telemetry::{Rows, small_fleet},
};
use tempfile::TempDir;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Words of the table that an import ends with: outcome and count.
fn counts(told: &Told) -> Vec<(String, u64)> {
    let line = |line: &str| {
        let cells: Vec<&str> = line
            .split(['│', '┆', '|'])
            .flat_map(|cell| cell.split("  "))
            .map(str::trim)
            .collect();
        let cells: Vec<&str> = cells.into_iter().filter(|cell| !cell.is_empty()).collect();
        match cells[..] {
            [name, count] => Some((name.to_owned(), count.parse().ok()?)),
            _ => None,
        }
    };
    told.out.lines().filter_map(line).collect()
}

/// The counts of an import, which must add up.
#[track_caller]
fn balanced(told: &Told) -> impl Fn(&str) -> u64 {
    let counts = counts(told);
    let of = move |name: &str| {
        counts
            .iter()
            .filter(|(given, _)| given == name)
            .map(|(_, count)| *count)
            .sum::<u64>()
    };
    let rejected: u64 = self::counts(told)
        .iter()
        .filter(|(name, _)| name.starts_with("rejected"))
        .map(|(_, n)| n)
        .sum();
    assert_eq!(
        of("accepted") + of("duplicate") + rejected,
        of("received"),
        "{}",
        told.out
    );
    of
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_says_what_it_does() {
    let told = run(&mut odograph(&["--help"])).await.succeeded();
    let commands = told
        .out
        .split_once("Commands:")
        .and_then(|(_, rest)| rest.split_once("Options:"))
        .expect("commands")
        .0;
    // A description that goes on in a second line is indented further.
    let named = commands
        .lines()
        .filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' ')));
    let names: Vec<&str> = named.filter_map(|line| line.split_whitespace().next()).collect();
    for wanted in [
        "demo", "serve", "work", "all", "migrate", "import", "openapi", "tenant", "client",
    ] {
        assert!(names.contains(&wanted), "no command {wanted} in {names:?}");
    }
    for name in names.into_iter().filter(|name| *name != "help") {
        let told = run(&mut odograph(&[name, "--help"])).await.succeeded();
        assert!(told.out.contains("Usage: odograph") && told.out.lines().next().is_some_and(|line| line.len() > 10));
    }
    let told = run(&mut odograph(&["import"])).await;
    assert_eq!(told.status.code(), Some(2), "{told:?}");
    assert!(
        told.err.contains("--tenant") && told.err.contains("Usage"),
        "{}",
        told.err
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_setting_is_an_error_that_names_it() {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("odograph.toml");
    std::fs::write(&file, "[queue]\npartitoins = 3\n").expect("a file");
    let given = file.display().to_string();
    let told = run(&mut odograph(&["--config", &given, "tenant", "list"]))
        .await
        .failed();
    assert!(told.err.contains("partitoins"), "{}", told.err);
    let told = run(odograph(&["tenant", "list"]).env("ODOGRAPH__API__BINDD", "x"))
        .await
        .failed();
    assert!(told.err.contains("bindd"), "{}", told.err);
    let told = run(odograph(&["tenant", "list"]).env("ODOGRAPH__API__BIND", "nowhere"))
        .await
        .failed();
    assert!(told.err.to_lowercase().contains("bind"), "{}", told.err);
    let told = run(&mut odograph(&["--config", "/nonexistent.toml", "migrate"]))
        .await
        .failed();
    assert!(told.err.contains("/nonexistent.toml"), "{}", told.err);
    let printed = run(&mut odograph(&["config"])).await.succeeded();
    assert!(printed.out.contains("[worker]"), "{}", printed.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_does_not_answer_is_said_to_and_no_password_is_told() {
    let mut command = odograph(&["migrate"]);
    command.env(
        "ODOGRAPH__DATABASE__URL",
        "postgres://postgres:s3cret@127.0.0.1:1/postgres",
    );
    command.env("ODOGRAPH__KEYS__MASTER_KEY", odograph_tests::MASTER_KEY);
    let told = run(&mut command).await.failed();
    assert!(
        told.err.contains("database") && !told.err.contains("s3cret"),
        "{}",
        told.err
    );
    let mut command = odograph(&["migrate"]);
    command.env("ODOGRAPH__DATABASE__URL", "postgres://postgres@127.0.0.1:1/postgres");
    let told = run(&mut command).await.failed();
    assert!(told.err.contains("master_key"), "{}", told.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_document_that_is_committed_is_the_one_the_handlers_give() {
    let told = run(odograph(&["openapi", "--check"]).current_dir(repository())).await;
    assert!(told.status.success(), "{}", told.err);
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("openapi.json");
    let given = file.display().to_string();
    run(&mut odograph(&["openapi", "--output", &given])).await.succeeded();
    let document: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&file).expect("the document")).expect("a JSON document");
    assert!(
        document["openapi"]
            .as_str()
            .is_some_and(|version| version.starts_with("3.1")),
        "{}",
        document["openapi"]
    );
    std::fs::write(&file, "{}").expect("a file");
    let told = run(&mut odograph(&["openapi", "--check", "--output", &given]))
        .await
        .failed();
    assert!(told.err.contains("differs"), "{}", told.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn embedded_demo_of_a_generated_fleet_ends_with_the_table_of_drivers() {
    let told = run(&mut odograph(&["demo", "--exit", "--vehicles", "3", "--days", "3"]))
        .await
        .succeeded();
    for word in [
        "driver",
        "km",
        "trips",
        "events",
        "score",
        "top reason",
        "premium",
        "demo-driver-003",
        "EUR",
    ] {
        assert!(told.out.contains(word), "no {word} in\n{}", told.out);
    }
    let _ = balanced(&told);
    assert!(
        !told.err.contains("panicked") && !told.err.contains("ERROR"),
        "{}",
        told.err
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn embedded_demo_of_a_file_shows_its_drivers() {
    let folder = TempDir::new().expect("a folder");
    let rows = Rows::of_fleet(&small_fleet(2, 2));
    let file = rows.write_gzip(folder.path(), "fleet.csv.gz").display().to_string();
    let told = run(&mut odograph(&["demo", "--exit", "--data", &file]))
        .await
        .succeeded();
    assert_eq!(balanced(&told)("accepted"), rows.rows.len() as u64, "{}", told.out);
    assert!(told.out.contains("demo-driver-002"), "{}", told.out);
    let told = run(&mut odograph(&["demo", "--exit", "--data", "/nonexistent.csv"]))
        .await
        .failed();
    assert!(told.err.contains("/nonexistent.csv"), "{}", told.err);
}

/// Runs `odograph import` against the platform's database; its worker is the process itself.
async fn import(platform: &Platform, file: &Path, more: &[&str]) -> Told {
    let file = file.display().to_string();
    let mut arguments = vec!["import", "--tenant", "insurer", &file];
    arguments.extend(more);
    run(odograph(&arguments).envs(platform.environment())).await
}

/// `None`, said so, where the database cannot be shared with another process.
async fn shared_platform() -> Option<Platform> {
    if Backend::chosen() == Backend::Embedded {
        println!("skipped on embedded: a second process cannot use a database in this one");
        return None;
    }
    let platform = Platform::start_with(Queue::Table, |_| {}).await;
    platform.tenant("insurer").await;
    Some(platform)
}

#[tokio::test(flavor = "multi_thread")]
async fn files_with_bad_rows_are_read_on_and_summed_up() {
    let Some(platform) = shared_platform().await else {
        return;
    };
    let folder = platform.folder();
    let bad = "\u{feff}vehicle_id,ts,lat,lon,speed_kmh,odometer_km,mood\r\n\
        bad-1,2026-03-02T08:00:00Z,52.5,13.4,30,1000,calm\r\n\
        bad-1,2026-03-02T08:00:01Z,52.5,,30,1000,\r\n\
        bad-1,2026-03-02T08:00:02Z,52.5,13.4,NaN,1000,\r\n\
        bad-1,2026-03-02T08:00:03Z,52.5,13.4,fast,1000,\r\n\
        bad-1,yesterday,52.5,13.4,30,1000,\r\n\
        \r\n\
        bad-1,2026-03-02T08:00:05Z,52.5,13.4,30\r\n\
        ,2026-03-02T08:00:06Z,52.5,13.4,30,1000,\r\n\
        bad-1,2026-03-02T08:00:07Z,152.5,13.4,30,1000,\r\n\
        bad-1,2026-03-02T08:00:08Z,52.5,13.4,30,1000,\"quoted, and \"\"so\"\"\"\r\n\
        bad-1,1999-03-02T08:00:08Z,52.5,13.4,30,1000,\r\n";
    let file = folder.join("bad.csv");
    std::fs::write(&file, bad).expect("a file");
    let told = import(&platform, &file, &["--register"]).await.succeeded();
    let of = balanced(&told);
    assert_eq!(of("received"), 10, "{}", told.out);
    assert!(of("accepted") >= 2, "{}", told.out);
    for (name, least) in [
        ("half_coordinate", 1),
        ("coordinate_out_of_range", 1),
        ("ts_before_2000", 1),
        ("malformed_sample", 3),
    ] {
        assert!(of(&format!("rejected: {name}")) >= least, "{name}\n{}", told.out);
    }
    assert!(
        told.out.contains("mood"),
        "the unknown column is not reported:\n{}",
        told.out
    );

    // Again, with nobody registering: all of it is known now, so all that was sent is a duplicate.
    let again = import(&platform, &file, &[]).await.succeeded();
    assert_eq!(balanced(&again)("accepted"), 0, "{}", again.out);
    platform.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parquet_file_is_read_like_a_csv() {
    let Some(platform) = shared_platform().await else {
        return;
    };
    let rows = Rows::of_fleet(&small_fleet(1, 2));
    let csv = rows.write(platform.folder(), "fleet.csv");
    let told = import(&platform, &csv, &["--register"]).await.succeeded();
    assert_eq!(balanced(&told)("accepted"), rows.rows.len() as u64, "{}", told.out);
    // Recognised by its content: its name says nothing. The same samples are the same batches.
    let file = parquet::write(&rows, platform.folder(), "fleet.dat");
    let told = import(&platform, &file, &[]).await.succeeded();
    assert_eq!(balanced(&told)("duplicate"), rows.rows.len() as u64, "{}", told.out);
    platform.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_cannot_be_read_are_said_to_be() {
    let Some(platform) = shared_platform().await else {
        return;
    };
    let folder = platform.folder();
    let rows = Rows::of_fleet(&small_fleet(1, 1));
    let write = |name: &str, bytes: &[u8]| {
        let file = folder.join(name);
        std::fs::write(&file, bytes).expect("a file");
        file
    };
    for (file, wanted) in [
        (write("empty.csv", b""), "empty"),
        (write("no-ts.csv", b"vehicle_id,time\na,2026-03-02T08:00:00Z\n"), "ts"),
        (
            write("no-vehicle.csv", b"vehicle,ts\na,2026-03-02T08:00:00Z\n"),
            "vehicle_id",
        ),
        (
            write("not.parquet", b"PAR1 and then nothing of the kind"),
            "not.parquet",
        ),
        (folder.join("absent.csv"), "absent.csv"),
        // All of the above but the one that is not there.
        (folder.to_owned(), "4 of 4 files could not be read"),
    ] {
        let told = import(&platform, &file, &["--register"]).await.failed();
        assert!(
            told.err.contains(wanted),
            "{}: wanted {wanted:?} in\n{}",
            file.display(),
            told.err
        );
    }
    let header_only = write("header.csv", b"vehicle_id,ts,speed_kmh\n");
    let told = import(&platform, &header_only, &["--register"]).await.succeeded();
    assert_eq!(balanced(&told)("received"), 0, "{}", told.out);

    // Cut off in the middle: what could be read is imported, and the end is not passed over in silence.
    let whole = std::fs::read(rows.write_gzip(folder, "whole.csv.gz")).expect("a file");
    let cut = write("cut.csv.gz", &whole[..whole.len() * 2 / 3]);
    let told = import(&platform, &cut, &["--register"]).await;
    assert!(!told.status.success() && !told.err.contains("panicked"), "{told:?}");
    assert!(told.err.contains("cut.csv.gz"), "{}", told.err);
    let told = import(&platform, &folder.join("whole.csv.gz"), &["--register"])
        .await
        .succeeded();
    let of = balanced(&told);
    assert_eq!(of("received"), rows.rows.len() as u64, "{}", told.out);
    platform.abandon().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_unknown_vehicles_are_kept_and_counted() {
    let Some(platform) = shared_platform().await else {
        return;
    };
    let rows = Rows::of_fleet(&small_fleet(1, 1));
    let file = rows.write(platform.folder(), "fleet.csv");
    let told = import(&platform, &file, &[]).await.succeeded();
    let of = balanced(&told);
    assert_eq!(of("rejected: unknown_vehicle"), rows.rows.len() as u64, "{}", told.out);
    let nobody = run(odograph(&["import", "--tenant", "nobody", "x.csv"]).envs(platform.environment()))
        .await
        .failed();
    assert!(nobody.err.contains("nobody"), "{}", nobody.err);
    platform.end().await;
}

/// Tenants and clients are made and listed; a secret is shown once.
#[tokio::test(flavor = "multi_thread")]
async fn tenants_and_clients_are_administered() {
    let Some(platform) = shared_platform().await else {
        return;
    };
    let run = async |arguments: &[&str]| run(odograph(arguments).envs(platform.environment())).await;
    let settings = r#"{"trip":{"rest_s":180}}"#;
    let created = run(&["tenant", "create", "second", "--settings", settings])
        .await
        .succeeded();
    let id = created.out.trim().to_owned();
    assert_eq!(id.len(), 36, "{}", created.out);
    let again = run(&["tenant", "create", "second"]).await.failed();
    assert!(!again.err.contains("INSERT"), "{}", again.err);
    let wrong = run(&["tenant", "create", "third", "--settings", r#"{"trip":{"rest":1}}"#]).await;
    assert!(!wrong.status.success() && wrong.err.contains("rest"), "{}", wrong.err);
    let listed = run(&["tenant", "list"]).await.succeeded();
    assert!(
        listed.out.contains(&id) && listed.out.contains("insurer"),
        "{}",
        listed.out
    );

    let client = run(&[
        "client",
        "create",
        "--tenant",
        "second",
        "reader",
        "--scope",
        "trips:read",
    ])
    .await
    .succeeded();
    let secret = client
        .out
        .lines()
        .find_map(|line| line.strip_prefix("client_secret"))
        .expect("a secret")
        .trim();
    let listed = run(&["client", "list", "--tenant", "second"]).await.succeeded();
    assert!(listed.out.contains("reader") && listed.out.contains("trips:read") && !listed.out.contains(secret));
    let wrong = run(&["client", "create", "--tenant", "second", "x", "--scope", "everything"])
        .await
        .failed();
    assert!(
        wrong.err.contains("everything") && wrong.err.contains("trips:read"),
        "{}",
        wrong.err
    );
    platform.end().await;
}
