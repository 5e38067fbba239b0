//! Processes that die in the middle: nothing is lost and nothing counts twice.

use std::{path::Path, time::Duration};

use chrono_tz::Tz;
use odograph_domain::id::TenantId;
use odograph_tests::{
    Backend,
    platform::{Insured, Platform, Queue},
    process::{Told, kill, odograph, run, signal, terminate},
    snapshot::Snapshot,
    telemetry::{Rows, small_fleet},
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sqlx::PgConnection;
use tokio::process::{Child, Command};

struct Fleet {
    rows: Rows,
    insured: Vec<Insured>,
}

fn fleet() -> Fleet {
    let fleet = small_fleet(4, 4);
    let rows = Rows::of_fleet(&fleet);
    let insured = fleet.iter().map(|vehicle| Insured {
        vehicle: vehicle.external_ref.clone(),
        driver: vehicle.driver.external_ref.clone(),
        product: vehicle.product,
        time_zone: Tz::Europe__Berlin,
        starts_on: rows.first_day(&vehicle.external_ref).expect("a first row"),
    });
    Fleet {
        insured: insured.collect(),
        rows,
    }
}

/// `None`, said so, where there is no server that several processes could share.
async fn platform(queue: Queue) -> Option<Platform> {
    if Backend::chosen() == Backend::Embedded {
        println!("skipped on embedded: several processes cannot share a database in one of them");
        return None;
    }
    let configure = |config: &mut odograph::config::Config| {
        // Many small commits, so that a kill falls between and into them, and leases that run out soon.
        config.worker.batch_messages = 2;
        config.worker.lease_s = 1;
    };
    Some(Platform::start_with(queue, configure).await)
}

fn command(platform: &Platform, arguments: &[&str]) -> Command {
    let mut command = odograph(arguments);
    command.envs(platform.environment());
    command
}

fn start(platform: &Platform, arguments: &[&str]) -> Child {
    let mut command = command(platform, arguments);
    command
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    command.spawn().expect("a process of odograph")
}

async fn import(platform: &Platform, tenant: &str, file: &Path) -> Told {
    let file = file.display().to_string();
    run(&mut command(
        platform,
        &["import", "--tenant", tenant, "--no-work", &file],
    ))
    .await
}

/// The results of a run that nothing disturbs, in this process.
async fn undisturbed(platform: &mut Platform, fleet: &Fleet, file: &Path) -> Snapshot {
    let tenant = platform.tenant("undisturbed").await;
    platform.insure(tenant, &fleet.insured).await;
    platform.work();
    platform.import(tenant, file).await;
    platform.stop().await;
    platform.snapshot(tenant).await
}

/// Waits until this many samples have been accepted. The queue cannot tell: what a process holds is not waiting in it.
async fn accepted(platform: &Platform, tenant: TenantId, wanted: u64) -> u64 {
    for _ in 0..12_000 {
        let accepted = platform.outcomes(tenant).await.accepted;
        if accepted >= wanted {
            return accepted;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!(
        "the workers do not get on: {:?} of {wanted} accepted",
        platform.outcomes(tenant).await
    );
}

async fn killed_workers(queue: Queue) {
    let Some(mut platform) = platform(queue).await else {
        return;
    };
    let fleet = fleet();
    let file = fleet.rows.write_gzip(platform.folder(), "fleet.csv.gz");
    run(&mut command(&platform, &["migrate"])).await.succeeded();
    let wanted = undisturbed(&mut platform, &fleet, &file).await;
    let tenant = platform.tenant("disturbed").await;
    platform.insure(tenant, &fleet.insured).await;
    import(&platform, "disturbed", &file).await.succeeded();

    let mut rng = ChaCha8Rng::seed_from_u64(8);
    let (all, mut done) = (fleet.rows.rows.len() as u64, 0);
    let kills = 6;
    for _ in 0..kills {
        // Two at a time, so that one takes up what the other held.
        let workers = [start(&platform, &["work"]), start(&platform, &["work"])];
        done = accepted(&platform, tenant, done + all / 10).await;
        tokio::time::sleep(Duration::from_millis(rng.random_range(0..40))).await;
        for worker in workers {
            kill(worker).await;
        }
    }
    let done = platform.outcomes(tenant).await.accepted;
    assert!(
        done < all,
        "all was worked through before the last kill: this shows little"
    );
    println!("{kills} times killed, {done} of {all} samples accepted by then");
    finish(&platform, tenant, &fleet).await;
    assert_nothing_lost_or_doubled(&platform, tenant, &fleet).await;
    wanted.assert_same(&platform.snapshot(tenant).await, "undisturbed and killed");
    platform.end().await;
}

/// Works off what is left, stops by SIGTERM, and derives what still waits for silence.
async fn finish(platform: &Platform, tenant: TenantId, fleet: &Fleet) {
    loop {
        let worker = start(platform, &["work"]);
        accepted(platform, tenant, fleet.rows.rows.len() as u64).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        let told = terminate(worker).await;
        assert!(told.status.success(), "a worker that was asked to stop: {told:?}");
        // What came again may still wait.
        if platform.parts.queue.depth().await.expect("the depth of the queue") == 0 {
            break;
        }
    }
    platform.derive(tenant).await;
}

/// A message that comes again is a duplicate; each sample was accepted once.
async fn assert_nothing_lost_or_doubled(platform: &Platform, tenant: TenantId, fleet: &Fleet) {
    let outcomes = platform.outcomes(tenant).await;
    assert!(outcomes.balances(), "{outcomes:?}");
    assert_eq!(outcomes.accepted, fleet.rows.rows.len() as u64, "{outcomes:?}");
    assert_eq!(outcomes.rejected_total(), 0, "{outcomes:?}");
}

/// What a worker frozen in the middle of a transaction holds is let go by the server after a minute. Here sooner.
async fn let_go_soon(db: &mut PgConnection) {
    let alter = "DO $$ BEGIN EXECUTE format(
        'ALTER DATABASE %I SET idle_in_transaction_session_timeout = 2000', current_database()); END $$";
    sqlx::raw_sql(alter)
        .execute(db)
        .await
        .expect("a setting of the database");
}

/// A worker that stands still for longer than its lease lasts, and then goes on with what it held: another has taken that
/// up in the meantime, and the late commit must be refused.
async fn frozen_worker(queue: Queue) {
    let Some(mut platform) = platform(queue).await else {
        return;
    };
    let fleet = fleet();
    let file = fleet.rows.write(platform.folder(), "fleet.csv");
    let wanted = undisturbed(&mut platform, &fleet, &file).await;
    let tenant = platform.tenant("disturbed").await;
    platform.insure(tenant, &fleet.insured).await;
    import(&platform, "disturbed", &file).await.succeeded();
    platform.as_superuser(let_go_soon).await;
    let all = fleet.rows.rows.len() as u64;
    let frozen = start(&platform, &["work"]);
    let mut rng = ChaCha8Rng::seed_from_u64(10);
    for part in 1..=3 {
        accepted(&platform, tenant, all * part / 8).await;
        tokio::time::sleep(Duration::from_millis(rng.random_range(0..40))).await;
        signal(&frozen, "STOP").await;
        let other = start(&platform, &["work"]);
        // Longer than a lease.
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        let before = platform.outcomes(tenant).await.accepted;
        accepted(&platform, tenant, (before + 1).min(all)).await;
        signal(&frozen, "CONT").await;
        tokio::time::sleep(Duration::from_millis(rng.random_range(0..200))).await;
        kill(other).await;
    }
    accepted(&platform, tenant, all).await;
    assert!(terminate(frozen).await.status.success());
    finish(&platform, tenant, &fleet).await;
    assert_nothing_lost_or_doubled(&platform, tenant, &fleet).await;
    wanted.assert_same(&platform.snapshot(tenant).await, "undisturbed and frozen");
    platform.end().await;
}

async fn killed_importer(queue: Queue) {
    let Some(mut platform) = platform(queue).await else {
        return;
    };
    let fleet = fleet();
    let file = fleet.rows.write(platform.folder(), "fleet.csv");
    let wanted = undisturbed(&mut platform, &fleet, &file).await;
    let tenant = platform.tenant("disturbed").await;
    platform.insure(tenant, &fleet.insured).await;
    let given = file.display().to_string();
    let mut rng = ChaCha8Rng::seed_from_u64(9);
    for _ in 0..3 {
        let before = platform.parts.queue.depth().await.expect("the depth of the queue");
        let importer = start(&platform, &["import", "--tenant", "disturbed", "--no-work", &given]);
        // Into the sending: as soon as something has arrived, and a little later.
        for _ in 0..500 {
            if platform.parts.queue.depth().await.expect("the depth of the queue") > before {
                break;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        tokio::time::sleep(Duration::from_millis(rng.random_range(0..10))).await;
        kill(importer).await;
    }
    import(&platform, "disturbed", &file).await.succeeded();
    finish(&platform, tenant, &fleet).await;
    assert_nothing_lost_or_doubled(&platform, tenant, &fleet).await;
    wanted.assert_same(
        &platform.snapshot(tenant).await,
        "undisturbed and with killed importers",
    );
    platform.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_killed_in_the_middle_change_nothing_over_rabbit() {
    killed_workers(Queue::Rabbit).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_killed_in_the_middle_change_nothing_over_the_table() {
    killed_workers(Queue::Table).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_frozen_past_its_lease_changes_nothing_over_rabbit() {
    frozen_worker(Queue::Rabbit).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_frozen_past_its_lease_changes_nothing_over_the_table() {
    frozen_worker(Queue::Table).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn importers_killed_in_the_middle_change_nothing_over_rabbit() {
    killed_importer(Queue::Rabbit).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn importers_killed_in_the_middle_change_nothing_over_the_table() {
    killed_importer(Queue::Table).await;
}

/// Every role stops with 0 when it is asked to, having finished what it began.
#[tokio::test(flavor = "multi_thread")]
async fn roles_stop_when_asked() {
    let Some(platform) = platform(Queue::Rabbit).await else {
        return;
    };
    for role in ["serve", "work", "all"] {
        let child = start(&platform, &[role]);
        tokio::time::sleep(Duration::from_millis(1500)).await;
        let told = terminate(child).await;
        assert!(told.status.success(), "{role}: {told:?}");
        assert!(
            !told.err.contains("panicked") && !told.err.contains("ERROR"),
            "{role}: {}",
            told.err
        );
    }
    platform.end().await;
}
