//! The lake, as the database says it is: whatever came late, whoever died, and whatever the database has let go of.

use std::{path::PathBuf, process::Command};

use chrono::{TimeDelta, Utc};
use chrono_tz::Tz;
use odograph::{lake, rebuild, root::Parts};
use odograph_domain::{
    id::{IdOrRef, TenantId, VehicleId},
    policy::Product,
};
use odograph_store::{LakeStore, NewHold, StoreError};
use odograph_tests::{
    platform::{Insured, Platform, Queue, named},
    process::{odograph, run},
    snapshot::every,
    telemetry::{Rows, small_fleet},
};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

/// What the readers are; pinned, and kept between runs.
const DUCKDB: &str = "duckdb==1.4.2";
const POLARS: &str = "polars==2.1.0";

struct World {
    platform: Platform,
    tenant: TenantId,
    rows: Rows,
}

impl World {
    async fn new(settings: &str, lake: bool) -> Self {
        let platform = Platform::start_with(Queue::Table, |config| {
            if lake {
                config.lake.url = format!("file://{}/lake", config.data.dir.display());
                config.lake.file_bytes = 1 << 20;
            }
        })
        .await;
        let fleet = small_fleet(4, 3);
        let rows = Rows::of_fleet(&fleet);
        let insured: Vec<Insured> = fleet
            .iter()
            .map(|vehicle| Insured {
                vehicle: vehicle.external_ref.clone(),
                driver: vehicle.driver.external_ref.clone(),
                product: vehicle.product,
                time_zone: Tz::Europe__Berlin,
                starts_on: rows.first_day(&vehicle.external_ref).expect("a first row"),
            })
            .collect();
        assert!(insured.iter().any(|insured| insured.product == Product::Payd));
        let tenant = platform.tenant_with("lake", settings).await;
        platform.insure(tenant, &insured).await;
        Self { platform, tenant, rows }
    }

    fn keeper(&self) -> LakeStore {
        self.platform.parts.store.keep_lake().expect("a lake")
    }

    fn folder(&self) -> PathBuf {
        self.platform.folder().join("lake")
    }

    /// Imports those rows that come at one place of so many.
    async fn import_part(&mut self, part: usize, of: usize) {
        let place = std::cell::Cell::new(0);
        let rows = self.rows.filter(|_| {
            place.set(place.get() + 1);
            place.get() % of == part
        });
        let file = rows.write(self.platform.folder(), &format!("part-{part}.csv"));
        self.platform.work();
        self.platform.import(self.tenant, &file).await;
        self.platform.stop().await;
    }

    async fn import_all(&mut self) {
        let file = self.rows.write(self.platform.folder(), "all.csv");
        self.platform.work();
        self.platform.import(self.tenant, &file).await;
        self.platform.stop().await;
    }

    async fn sync(&self) -> lake::Synced {
        lake::sync(&self.keeper(), &CancellationToken::new())
            .await
            .expect("a lake in sync")
    }

    #[track_caller]
    fn faultless(verified: &odograph_store::Verified) {
        assert_eq!(verified.faults, [], "{verified:?}");
    }

    async fn verify(&self) -> odograph_store::Verified {
        self.keeper()
            .verify(self.tenant, false)
            .await
            .expect("a lake that can be read")
    }

    /// Derives all of the tenant anew.
    async fn rebuild(&self) {
        let vehicles: Vec<VehicleId> = every(async |page| self.platform.store(self.tenant).vehicles(page).await)
            .await
            .into_iter()
            .map(|vehicle| vehicle.id)
            .collect();
        let span = rebuild::Span {
            from: None,
            to: None,
            note: None,
        };
        let marked = rebuild::mark(&self.platform.parts, self.tenant, &vehicles, &span)
            .await
            .expect("marks");
        assert_eq!(marked.len(), vehicles.len());
        self.platform.derive(self.tenant).await;
    }

    async fn blocks(&self) -> i64 {
        self.platform
            .parts
            .store
            .operator()
            .counts()
            .await
            .expect("counts")
            .blocks
    }
}

/// A Python that has both readers. `None`, after saying so, where it cannot be had: the test skips.
fn python() -> Option<PathBuf> {
    let home = PathBuf::from(std::env::var_os("HOME")?);
    let folder = home.join(".cache/odograph-tools/lake-1");
    let python = folder.join("bin/python");
    let has_both = || {
        let told = Command::new(&python).args(["-c", "import duckdb, polars"]).output();
        told.is_ok_and(|told| told.status.success())
    };
    let succeeds = |command: &mut Command| command.status().is_ok_and(|status| status.success());
    if has_both()
        || (succeeds(Command::new("python3").args(["-m", "venv"]).arg(&folder))
            && succeeds(Command::new(&python).args(["-m", "pip", "-q", "install", DUCKDB, POLARS]))
            && has_both())
    {
        return Some(python);
    }
    println!("skipped: {DUCKDB} and {POLARS} cannot be had from PyPI");
    None
}

impl World {
    /// What DuckDB and polars find in the lake.
    fn read_by_others(&self, python: &PathBuf) -> Value {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/lake_reader.py");
        let told = Command::new(python)
            .arg(script)
            .arg(self.folder())
            .output()
            .expect("python");
        assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
        serde_json::from_slice(&told.stdout).expect("JSON")
    }

    /// Holds both against the API.
    async fn agrees_with_the_api(&mut self, python: &PathBuf) -> f64 {
        let api = self.platform.serve().await;
        let token = api.token(&self.platform.client(self.tenant, &[]).await).await;
        let trips = api.every(&token, "/v1/trips").await;
        self.platform.stop().await;
        let metres: f64 = trips
            .iter()
            .map(|trip| trip["distance_m"].as_f64().expect("metres"))
            .sum();
        let found = self.read_by_others(python);
        for reader in ["duckdb", "polars"] {
            let found = &found[reader];
            let figure = |name: &str| found[name].as_f64().expect("a figure");
            assert_eq!(figure("trips"), trips.len() as f64, "{reader}: {found}");
            assert_eq!(figure("distinct"), trips.len() as f64, "{reader}: {found}");
            assert!(
                (figure("distance_m") - metres).abs() < 1e-6 * metres,
                "{reader}: {found}, the API {metres}"
            );
            assert_eq!((figure("tenants"), figure("misfiled")), (1.0, 0.0), "{reader}: {found}");
            assert!(figure("days") >= 3.0 && figure("braking") > 0.0, "{reader}: {found}");
            // One of the vehicles pays as it drives: nothing of its behaviour is there.
            let with_behaviour = figure("with_behaviour");
            assert!(
                with_behaviour > 0.0 && with_behaviour < trips.len() as f64,
                "{reader}: {found}"
            );
        }
        assert_eq!(found["duckdb"]["date_type"], "DATE");
        assert_eq!(found["duckdb"]["instant"], "TIMESTAMP WITH TIME ZONE");
        assert_eq!(found["polars"]["date_type"], "Date");
        metres
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn others_read_the_trips_and_count_as_the_api_does() {
    let mut world = World::new("{}", true).await;
    world.import_part(0, 3).await;
    let synced = world.sync().await;
    assert!(synced.trips.trips > 0 && synced.raw.blocks > 0, "{synced:?}");
    World::faultless(&world.verify().await);
    let Some(python) = python() else {
        return world.platform.end().await;
    };
    let thinned = world.agrees_with_the_api(&python).await;
    // The rest comes late: trips are corrected, some withdrawn, some new.
    world.import_part(1, 3).await;
    world.import_part(2, 3).await;
    assert!(world.sync().await.trips.days > 0);
    let whole = world.agrees_with_the_api(&python).await;
    assert_ne!(thinned, whole);
    // What is as it was is not written again.
    assert_eq!(world.sync().await, lake::Synced::default());
    World::faultless(&world.verify().await);
    world.platform.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_dies_between_storing_and_saying_so_leaves_nothing_twice() {
    let mut world = World::new("{}", true).await;
    world.import_all().await;
    let keeper = world.keeper();
    let days = keeper.changed_days().await.unwrap();
    assert!(days.len() >= 3, "{days:?}");
    for (tenant, day) in &days {
        drop(
            keeper
                .put_trips(*tenant, *day)
                .await
                .unwrap()
                .expect("nobody else is at it"),
        );
    }
    let put = keeper.put_blocks(world.tenant).await.unwrap();
    let containers = put.len() as i64;
    drop(put);
    let status = &keeper.status().await.unwrap()[0];
    assert_eq!((status.trip_files, status.unsettled), (0, containers), "{status:?}");
    assert_eq!(status.days_behind, days.len() as i64);
    let synced = world.sync().await;
    assert_eq!(synced.trips.days, days.len() as u64);
    assert_eq!(synced.raw.blocks as i64, world.blocks().await);
    World::faultless(&world.verify().await);
    // Nobody takes what was left for data, and it goes.
    let soon = Utc::now() + TimeDelta::hours(1);
    assert_eq!(keeper.tidy().await.unwrap().orphans, 0);
    assert_eq!(keeper.tidy_before(soon, soon).await.unwrap().orphans as i64, containers);
    let files = keeper.status().await.unwrap()[0].clone();
    assert_eq!((files.unsettled, files.blocks), (0, world.blocks().await));
    // One who stored the same in the meantime did so for nothing.
    let mut late = keeper.put_blocks(world.tenant).await.unwrap();
    assert!(late.is_empty());
    world.import_part(0, 2).await;
    late.append(&mut keeper.put_blocks(world.tenant).await.unwrap());
    assert!(!late.is_empty());
    world.sync().await;
    for put in late {
        assert_eq!(put.commit().await.unwrap().blocks, 0);
    }
    World::faultless(&world.verify().await);
    if let Some(python) = python() {
        world.agrees_with_the_api(&python).await;
    }
    world.platform.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_database_let_go_of_is_derived_from_the_lake_as_before() {
    let mut world = World::new("{}", true).await;
    for part in 0..3 {
        world.import_part(part, 3).await;
        world.sync().await;
    }
    let before = world.platform.snapshot(world.tenant).await;
    let (keeper, operator) = (world.keeper(), world.platform.parts.store.operator());
    let status = keeper.status().await.unwrap()[0].clone();
    assert!(status.raw_files >= 3, "{status:?}");

    let dropped = operator.drop_raw(world.tenant, Utc::now(), true).await.unwrap();
    assert_eq!((dropped.blocks as i64, dropped.kept), (status.blocks, 0));
    assert_eq!(world.blocks().await, 0);
    world.rebuild().await;
    world
        .platform
        .snapshot(world.tenant)
        .await
        .assert_same(&before, "from the lake");

    // Small containers become large ones, and all is still there.
    let compacted = lake::compact(&keeper, &CancellationToken::new()).await.unwrap();
    assert!(compacted.before > compacted.after, "{compacted:?}");
    let soon = Utc::now() + TimeDelta::hours(1);
    // A worker may have merged some before.
    assert!(keeper.tidy_before(soon, soon).await.unwrap().replaced >= compacted.before);
    let after = keeper.status().await.unwrap()[0].clone();
    assert_eq!(
        (after.blocks, after.block_samples),
        (status.blocks, status.block_samples)
    );
    assert!(after.raw_files < status.raw_files, "{after:?}");
    World::faultless(&world.verify().await);
    world.rebuild().await;
    world
        .platform
        .snapshot(world.tenant)
        .await
        .assert_same(&before, "from merged containers");

    // Without the lake nothing is derived rather than half of it.
    let mut config = world.platform.parts.config.clone();
    config.lake.url = String::new();
    if !config.embedded() {
        let blind = Parts::open_database(config).await.unwrap();
        let trip = every(async |page| blind.store.tenant(world.tenant).trips(Default::default(), page).await)
            .await
            .remove(0);
        let told = blind
            .store
            .tenant(world.tenant)
            .with_tracks()
            .track(trip.record.id)
            .await;
        assert!(matches!(told, Err(StoreError::Lake(_))), "{told:?}");
        blind.close().await.unwrap();
    }

    // A key that is destroyed takes with it what lies in the lake.
    world
        .platform
        .as_superuser(async |db| {
            sqlx::query("UPDATE subject_key SET wrapped = NULL, destroyed_at = now()")
                .execute(db)
                .await
                .unwrap();
        })
        .await;
    world.rebuild().await;
    world.sync().await;
    lake::compact(&world.keeper(), &CancellationToken::new()).await.unwrap();
    let erased = world.keeper().status().await.unwrap()[0].clone();
    assert_eq!(
        (erased.trips, erased.trip_files, erased.blocks),
        (0, 0, 0),
        "{erased:?}"
    );
    World::faultless(&world.verify().await);
    world.platform.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_keeps_what_it_names_and_what_is_gone_for_good_leaves_its_trips() {
    let settings = r#"{"accept":{"lateness_days":1},"retention":{"raw_days":1}}"#;
    let mut world = World::new(settings, false).await;
    world.import_all().await;
    let before = world.platform.snapshot(world.tenant).await;
    let blocks = world.blocks().await;
    let operator = world.platform.parts.store.operator();
    let first = world
        .rows
        .names("vehicle_id")
        .first()
        .map(|name| (*name).to_owned())
        .unwrap();
    let hold = NewHold {
        vehicle: IdOrRef::Ref(named(&first)),
        from: "2026-03-01T00:00:00Z".parse().unwrap(),
        to: "2026-12-31T00:00:00Z".parse().unwrap(),
        reason: "claim 17".to_owned(),
        placed_by: "claims department".to_owned(),
    };
    let hold = operator.place_hold(world.tenant, hold).await.unwrap();
    assert_eq!(
        operator.holds(world.tenant, false).await.unwrap(),
        std::slice::from_ref(&hold)
    );
    let store = world.platform.parts.store.clone();
    let retain = async |lake| lake::retain(&store, Utc::now(), lake).await.unwrap()[0].1;
    // Nothing that is to be kept in the lake goes before it is there.
    assert_eq!(retain(true).await.blocks, 0);
    let dropped = retain(false).await;
    assert!(dropped.blocks > 0 && dropped.kept > 0, "{dropped:?}");
    assert_eq!(dropped.blocks + dropped.kept, blocks as u64);
    world.rebuild().await;
    world
        .platform
        .snapshot(world.tenant)
        .await
        .assert_same(&before, "trips without raw data");
    operator.release_hold(world.tenant, hold.id).await.unwrap();
    assert!(operator.release_hold(world.tenant, hold.id).await.is_err());
    assert_eq!(retain(false).await.kept, 0);
    assert_eq!(world.blocks().await, 0);
    world.rebuild().await;
    world
        .platform
        .snapshot(world.tenant)
        .await
        .assert_same(&before, "trips without any raw data");
    world.platform.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_shell() {
    let mut world = World::new("{}", true).await;
    world.import_all().await;
    let lake = ("ODOGRAPH__LAKE__URL", world.platform.parts.config.lake.url.clone());
    let environment: Vec<_> = world.platform.environment().into_iter().chain([lake]).collect();
    if world.platform.parts.config.embedded() || odograph_tests::Backend::chosen() == odograph_tests::Backend::Embedded
    {
        // The binary would need the database that is open here.
        return world.platform.end().await;
    }
    let said = async |arguments: &[&str]| run(odograph(arguments).envs(environment.clone())).await;
    let told = said(&["lake", "sync"]).await.succeeded();
    assert!(
        told.out.contains(" trips of ") && !told.out.starts_with("0 "),
        "{}",
        told.out
    );
    said(&["lake", "compact"]).await.succeeded();
    let status = said(&["lake", "status"]).await.succeeded();
    assert!(status.out.contains(&world.tenant.to_string()[..8]), "{}", status.out);
    said(&["lake", "verify", "--tenant", "lake"]).await.succeeded();
    // Somebody meddles with a file: it is found, and mended.
    let file = first_file(&world.folder().join("trips"));
    std::fs::write(&file, b"PAR1 not at all PAR1").unwrap();
    let told = said(&["lake", "verify", "--repair"]).await.failed();
    assert!(told.out.contains("has 20 bytes, wanted"), "{}", told.out);
    said(&["lake", "sync"]).await.succeeded();
    said(&["lake", "verify"]).await.succeeded();
    let vehicle = world
        .rows
        .names("vehicle_id")
        .first()
        .map(|name| (*name).to_owned())
        .unwrap();
    let place = [
        "hold",
        "place",
        "--tenant",
        "lake",
        "--from",
        "2026-03-01",
        "--to",
        "2026-04-01",
        "--by",
        "court",
    ];
    let told = said(&[&place[..], &["--reason", "AZ 12/26", "--vehicle", &vehicle]].concat())
        .await
        .succeeded();
    let hold = told.out.trim();
    assert!(
        said(&["hold", "list", "--tenant", "lake"])
            .await
            .succeeded()
            .out
            .contains("AZ 12/26")
    );
    said(&["hold", "release", "--tenant", "lake", hold]).await.succeeded();
    said(&["hold", "release", "--tenant", "lake", hold]).await.failed();
    said(&["lake", "retain"]).await.succeeded();
    world.platform.end().await;
}

fn first_file(folder: &std::path::Path) -> PathBuf {
    let entry = std::fs::read_dir(folder)
        .unwrap()
        .next()
        .expect("something in it")
        .unwrap()
        .path();
    if entry.is_dir() { first_file(&entry) } else { entry }
}
