//! The number of partitions changes while everything runs: nothing is lost, nothing counts twice, and each vehicle's batches
//! are committed in the order they were taken in, whichever process took them.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use chrono::NaiveDate;
use chrono_tz::Tz;
use odograph::fleet::{self, FleetSpec, GeneratedVehicle, Rates};
use odograph_domain::id::TenantId;
use odograph_tests::{
    Backend,
    chaos::Member,
    http::{Answer, Api},
    platform::{Insured, Platform, Queue},
    private_postgres::free_port,
    process::{odograph, run},
    snapshot::Snapshot,
};
use reqwest::Method;
use sqlx::PgConnection;
use tokio::task::JoinSet;

const ZONE: Tz = Tz::Europe__Berlin;

/// Clean: the batches of a vehicle are numbered in the order they are sent.
fn fleet() -> Vec<GeneratedVehicle> {
    let first_day = NaiveDate::from_ymd_opt(2026, 5, 4).expect("a day");
    let spec = FleetSpec {
        rates: Rates::CLEAN,
        ..FleetSpec::days(5, 6, first_day, 2, ZONE)
    };
    let mut fleet: Vec<GeneratedVehicle> = fleet::generate(&spec).collect();
    for vehicle in &mut fleet {
        vehicle.batches.sort_by(|a, b| a.batch_id.cmp(&b.batch_id));
    }
    fleet
}

/// Writes down the order in which batches are committed: a vehicle's row is locked from before they are written until then.
async fn watch_commits(db: &mut PgConnection) {
    let watch = "CREATE TABLE committed (seq bigint GENERATED ALWAYS AS IDENTITY, tx xid8, vehicle uuid, batch text);
        CREATE FUNCTION note_commit() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
        BEGIN
            INSERT INTO public.committed (tx, vehicle, batch)
            VALUES (pg_current_xact_id(), NEW.vehicle_id, NEW.batch_id);
            RETURN NULL;
        END $$;
        CREATE TRIGGER note_commit AFTER INSERT ON batch_ledger FOR EACH ROW EXECUTE FUNCTION note_commit();";
    sqlx::raw_sql(watch).execute(db).await.expect("a trigger on the ledger");
}

/// In one transaction rows have no order; from one to the next the numbers of a vehicle's batches must go up.
async fn assert_in_order(db: &mut PgConnection) {
    let rows: Vec<(i64, String, String, String)> =
        sqlx::query_as("SELECT seq, tx::text, vehicle::text, batch FROM committed ORDER BY seq")
            .fetch_all(db)
            .await
            .expect("commits");
    // Of each vehicle: the highest number that was committed before the transaction at hand, and in it.
    let mut seen: BTreeMap<&str, (&str, &str, &str)> = BTreeMap::new();
    for (_, tx, vehicle, batch) in &rows {
        let (last_tx, before, within) = seen.get(vehicle.as_str()).copied().unwrap_or_default();
        let before = if last_tx == tx { before } else { within };
        assert!(batch.as_str() > before, "{batch} was committed after {before}");
        let within = if last_tx == tx { within.max(batch) } else { batch };
        seen.insert(vehicle, (tx, before, within));
    }
    assert!(rows.len() > 50, "{} commits are too few to say anything", rows.len());
}

/// Sends a vehicle's batches one after the other, each by another API than the one before.
async fn drive(apis: Vec<(Api, String)>, bodies: Vec<Vec<u8>>, sent: Arc<AtomicUsize>) {
    for (place, body) in bodies.into_iter().enumerate() {
        let (api, token) = &apis[place % apis.len()];
        let began = Instant::now();
        loop {
            let request = api.request(Method::POST, "/v1/telemetry/batches").bearer_auth(token);
            let request = request.header("content-type", "application/json").body(body.clone());
            let answer = Answer::of(request.send().await).await;
            if answer.status == 202 {
                break;
            }
            assert!(matches!(answer.status.as_u16(), 429 | 503), "{answer:?}");
            assert!(began.elapsed() < Duration::from_secs(60), "{answer:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        sent.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
}

struct Scene {
    platform: Platform,
    fleet: Vec<GeneratedVehicle>,
    batches: usize,
}

impl Scene {
    async fn tenant(&self, name: &str) -> TenantId {
        let tenant = self.platform.tenant(name).await;
        let insured: Vec<Insured> = self
            .fleet
            .iter()
            .map(|vehicle| Insured {
                vehicle: vehicle.external_ref.clone(),
                driver: vehicle.driver.external_ref.clone(),
                product: vehicle.product,
                time_zone: ZONE,
                starts_on: NaiveDate::from_ymd_opt(2026, 5, 1).expect("a day"),
            })
            .collect();
        self.platform.insure(tenant, &insured).await;
        tenant
    }

    /// Starts sending; the counter says how far it is.
    async fn send(&self, tenant: TenantId, apis: &[Api]) -> (JoinSet<()>, Arc<AtomicUsize>) {
        let credentials = self.platform.client(tenant, &["telemetry:write"]).await;
        let mut known = Vec::new();
        for api in apis {
            known.push((api.clone(), api.token(&credentials).await));
        }
        let sent = Arc::new(AtomicUsize::new(0));
        let mut sending = JoinSet::new();
        for vehicle in &self.fleet {
            let bodies = vehicle.batches.iter().map(|batch| vehicle.body(batch).expect("JSON"));
            sending.spawn(drive(known.clone(), bodies.collect(), sent.clone()));
        }
        (sending, sent)
    }

    /// Until every batch has its outcome; then what came of it all.
    async fn results(&self, tenant: TenantId) -> Snapshot {
        let samples: u64 = self
            .fleet
            .iter()
            .flat_map(|v| &v.batches)
            .map(|b| b.samples.len() as u64)
            .sum();
        let began = Instant::now();
        // A batch that was taken although its sender was told otherwise is received twice.
        while self.platform.outcomes(tenant).await.accepted < samples {
            assert!(
                began.elapsed() < Duration::from_secs(120),
                "{:?}",
                self.platform.outcomes(tenant).await
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.platform.derive(tenant).await;
        let outcomes = self.platform.outcomes(tenant).await;
        assert!(outcomes.balances(), "{outcomes:?}");
        assert_eq!(
            (outcomes.accepted, outcomes.rejected_total()),
            (samples, 0),
            "{outcomes:?}"
        );
        self.platform.snapshot(tenant).await
    }

    async fn cli(&self, arguments: &[&str]) -> String {
        run(odograph(arguments).envs(self.platform.environment()))
            .await
            .succeeded()
            .out
    }

    /// Changes the number when this share is sent, and waits until the generation before is gone.
    async fn repartition(&self, partitions: u16, at: f64, sent: &AtomicUsize) {
        let wanted = (self.batches as f64 * at) as usize;
        while sent.load(Ordering::Relaxed) < wanted {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.cli(&["queue", "repartition", &partitions.to_string()]).await;
    }

    async fn worked_off(&self) {
        let began = Instant::now();
        while self
            .platform
            .parts
            .store
            .generations()
            .all()
            .await
            .expect("generations")
            .len()
            > 1
        {
            assert!(
                began.elapsed() < Duration::from_secs(60),
                "the old queues are not worked off"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

async fn repartitioned_under_load(queue: Queue) {
    if Backend::chosen() == Backend::Embedded {
        println!("skipped on embedded: several processes cannot share a database in one of them");
        return;
    }
    let port = free_port().expect("a port");
    let configure = |config: &mut odograph::config::Config| {
        config.worker.batch_messages = 3;
        config.worker.lease_s = 1;
        config.api.bind = ([127, 0, 0, 1], port).into();
    };
    let mut platform = Platform::start_with(queue, configure).await;
    platform.as_superuser(watch_commits).await;
    let fleet = fleet();
    let batches = fleet.iter().map(|vehicle| vehicle.batches.len()).sum();
    let mut scene = Scene {
        platform,
        fleet,
        batches,
    };
    let environment = scene.platform.environment();
    let folder = scene.platform.folder().to_owned();
    let member = |name: &str, role: &str| Member::start(name, &[role], &environment, &folder);
    let serving = member("api", "serve");
    scene.platform.parts.config.api.bind = ([127, 0, 0, 1], 0).into();
    let apis = [
        scene.platform.serve().await,
        Api::at(&format!("http://127.0.0.1:{port}")),
    ];
    let began = Instant::now();
    while reqwest::get(format!("{}/readyz", apis[1].url)).await.is_err() {
        assert!(began.elapsed() < Duration::from_secs(60), "{}", serving.said());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    let mut workers = vec![member("worker-1", "work"), member("worker-2", "work")];
    let tenant = scene.tenant("undisturbed").await;
    let (sending, _) = scene.send(tenant, &apis).await;
    sending.join_all().await;
    let calm = scene.results(tenant).await;

    let tenant = scene.tenant("repartitioned").await;
    let (sending, sent) = scene.send(tenant, &apis).await;
    scene.repartition(5, 0.2, &sent).await;
    workers.push(member("worker-3", "work"));
    workers[0].kill().await;
    scene.worked_off().await;
    workers.swap_remove(1).stop().await.expect("a worker that stops");
    scene.repartition(3, 0.6, &sent).await;
    // In the middle of it.
    workers[0].kill().await;
    sending.join_all().await;
    let rough = scene.results(tenant).await;
    scene.worked_off().await;
    calm.assert_same(&rough, "undisturbed and repartitioned");
    let status = scene.cli(&["queue", "status"]).await;
    assert!(status.contains("current") && !status.contains("drained"), "{status}");

    for member in workers.into_iter().chain([serving]) {
        member.stop().await.expect("a process that stops");
    }
    scene.platform.stop().await;
    scene.platform.as_superuser(assert_in_order).await;
    scene.platform.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_number_of_partitions_under_load_changes_nothing_over_rabbit() {
    repartitioned_under_load(Queue::Rabbit).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_number_of_partitions_under_load_changes_nothing_over_the_table() {
    repartitioned_under_load(Queue::Table).await;
}
