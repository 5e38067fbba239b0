//! A disk that is full, a database that refuses, a broker that is short of memory: senders are told before anything is dropped,
//! nothing is lost, and all goes on by itself once there is room.

use std::{path::Path, sync::atomic::Ordering, time::Duration};

use anyhow::{Context as _, Result, ensure};
use chrono::{TimeDelta, Utc};
use odograph_domain::policy::Product;
use odograph_tests::{
    Backend,
    chaos::{Ended, Load, Post, Stage},
    http::{Answer, Api},
    platform::{Insured, Platform},
};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

/// The longest that a sender may be left without an answer.
const PROMPT: Duration = Duration::from_secs(15);

fn load() -> Load {
    Load::generate(3, 4, 1, 4)
}

async fn calm(stage: &mut Stage, load: &Load) -> Result<Ended> {
    let all = load.messages();
    let ended = stage
        .send(load, "undisturbed", false, async |_, post| {
            post.released.add_permits(all);
            Ok(())
        })
        .await?;
    println!("undisturbed: {}", ended.told());
    Ok(ended)
}

/// Lets the senders go on for a while, a few messages at a time.
async fn let_go(post: &Post, messages: usize, lasts: Duration) {
    const PARTS: u32 = 20;
    for _ in 0..PARTS {
        post.released.add_permits((messages / PARTS as usize).max(1));
        tokio::time::sleep(lasts / PARTS).await;
    }
}

fn put_off(post: &Post) -> u64 {
    post.tally.put_off.load(Ordering::Relaxed)
}

/// Whether the senders saw it, soon, and by no other answer.
fn check(ended: &Ended, calm: &Ended) -> Result<()> {
    println!("disturbed: {}", ended.told());
    let tally = &ended.post.tally;
    ensure!(
        tally.failed.load(Ordering::Relaxed) == 0,
        "an answer was neither yes, no nor later"
    );
    ensure!(tally.slowest() < PROMPT, "an answer took {:?}", tally.slowest());
    calm.same(ended)
}

async fn refused_and_blocked(stage: &mut Stage) -> Result<()> {
    let load = load();
    let all = load.messages();
    let calm = calm(stage, &load).await?;
    let ended = stage
        .send(&load, "refused", false, async |stage, post| {
            let_go(post, all / 4, Duration::from_secs(2)).await;
            stage.postgres.stop().await?;
            let_go(post, all / 4, Duration::from_secs(8)).await;
            ensure!(put_off(post) > 0, "nobody was told that the database is away");
            stage.postgres.restart().await?;
            post.released.add_permits(all);
            Ok(())
        })
        .await
        .context("a database that refuses")?;
    check(&ended, &calm).context("a database that refuses")?;
    let ended = stage
        .send(&load, "blocked", false, async |stage, post| {
            let_go(post, all / 4, Duration::from_secs(2)).await;
            stage.rabbit.ctl(&["set_vm_memory_high_watermark", "0.00001"]).await;
            let_go(post, all / 4, Duration::from_secs(8)).await;
            ensure!(put_off(post) > 0, "nobody was told that the broker takes nothing");
            stage.rabbit.ctl(&["set_vm_memory_high_watermark", "0.6"]).await;
            post.released.add_permits(all);
            Ok(())
        })
        .await
        .context("a broker short of memory")?;
    check(&ended, &calm).context("a broker short of memory")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_refuses_and_a_broker_that_blocks_are_felt_by_the_senders() {
    let Some(mut stage) = stage(None).await else { return };
    if let Err(error) = refused_and_blocked(&mut stage).await {
        stage.tell_what_was_said();
        panic!("{error:#}");
    }
    stage.clear().await.expect("processes that stop");
}

async fn stage(data: Option<&Path>) -> Option<Stage> {
    if Backend::chosen() == Backend::Embedded {
        println!("skipped on embedded: several processes cannot share a database in one of them");
        return None;
    }
    // Small, so that a small disk is full soon.
    let settings = ["max_wal_size=48MB", "min_wal_size=32MB", "autovacuum=off"];
    Stage::set(data, &settings).await.expect("servers and processes")
}

/// A small file system in memory, taken down at the end.
struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    /// `None`, said so, where none may be made.
    async fn mount(megabytes: u32) -> Option<Self> {
        let folder = TempDir::with_prefix("odograph-disk-").expect("a temporary folder");
        let size = format!("size={megabytes}m,mode=755");
        let path = folder.path().display().to_string();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs", &path])
            .output()
            .await;
        match mounted {
            Ok(output) if output.status.success() => Some(Self { folder }),
            _ => {
                println!("skipped: a small file system can be mounted by root only");
                None
            }
        }
    }

    fn data(&self) -> std::path::PathBuf {
        self.folder.path().join("data")
    }

    /// Leaves no byte free.
    fn fill(&self) -> Result<()> {
        use std::io::Write as _;
        let mut file = std::fs::File::create(self.folder.path().join("filler"))?;
        for block in [1 << 20, 1 << 12] {
            while file.write_all(&vec![1; block]).is_ok() {}
        }
        Ok(())
    }

    fn free(&self) -> Result<()> {
        Ok(std::fs::remove_file(self.folder.path().join("filler"))?)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a server that is being ended may still have files open there.
        let _ = std::process::Command::new("umount")
            .arg("-l")
            .arg(self.folder.path())
            .status();
    }
}

async fn filled_up(stage: &mut Stage, disk: &SmallDisk) -> Result<()> {
    let load = load();
    let all = load.messages();
    let calm = calm(stage, &load).await?;
    let ended = stage
        .send(&load, "full", false, async |stage, post| {
            let_go(post, all / 4, Duration::from_secs(2)).await;
            disk.fill()?;
            let_go(post, all / 2, Duration::from_secs(15)).await;
            ensure!(put_off(post) > 0, "nobody was told that the disk is full");
            disk.free()?;
            // A server that could not write its log has given up; whoever watches over it starts it again.
            stage.postgres.restart().await?;
            post.released.add_permits(all);
            Ok(())
        })
        .await?;
    check(&ended, &calm)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_felt_by_the_senders_and_loses_nothing() {
    let Some(disk) = SmallDisk::mount(320).await else {
        return;
    };
    let Some(mut stage) = stage(Some(&disk.data())).await else {
        return;
    };
    if let Err(error) = filled_up(&mut stage, &disk).await {
        stage.tell_what_was_said();
        println!("--- PostgreSQL said at last\n{}", stage.postgres.log());
        panic!("{error:#}");
    }
    stage.clear().await.expect("processes that stop");
}

fn batch(vehicle: &str, id: &str, samples: i64) -> Value {
    let start = Utc::now() - TimeDelta::hours(3);
    let sample = |second| json!({ "ts": (start + TimeDelta::seconds(second)).to_rfc3339(), "speed_kmh": 50 });
    let samples: Vec<Value> = (0..samples).map(sample).collect();
    json!({ "schema": 1, "batch_id": id, "vehicle": vehicle, "samples": samples })
}

async fn post(api: &Api, token: &str, body: &Value) -> Answer {
    let request = api.request(Method::POST, "/v1/telemetry/batches").bearer_auth(token);
    Answer::of(request.json(body).send().await).await
}

async fn insured(platform: &Platform, name: &str) -> String {
    let tenant = platform.tenant(name).await;
    let insured = Insured {
        vehicle: "car-1".to_owned(),
        driver: "driver-1".to_owned(),
        product: Product::Phyd,
        time_zone: chrono_tz::Tz::Europe__Berlin,
        starts_on: (Utc::now() - TimeDelta::days(10)).date_naive(),
    };
    platform.insure(tenant, &[insured]).await;
    let credentials = platform.client(tenant, &["telemetry:write"]).await;
    format!("{}:{}", credentials.id, credentials.secret)
}

async fn token(api: &Api, credentials: &str) -> String {
    let (id, secret) = credentials.split_once(':').expect("an id and a secret");
    let form = format!("grant_type=client_credentials&client_id={id}&client_secret={secret}");
    let answer = Answer::of(api.token_request(&form).send().await).await.json();
    answer["access_token"].as_str().expect("a token").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_floods_is_told_to_wait_and_others_are_not() {
    let configure = |config: &mut odograph::config::Config| {
        config.api.rate.requests_per_s = 2;
        config.api.rate.burst_s = 2;
    };
    let mut platform = Platform::start_with(odograph_tests::platform::Queue::usual(), configure).await;
    let (one, other) = (insured(&platform, "one").await, insured(&platform, "other").await);
    let api = platform.serve().await;
    let (one, other) = (token(&api, &one).await, token(&api, &other).await);
    let mut refused = None;
    for number in 0..10 {
        let answer = post(&api, &one, &batch("car-1", &format!("b-{number}"), 1)).await;
        assert_eq!(answer.header("ratelimit-policy"), "\"telemetry\";q=4;w=2", "{answer:?}");
        assert!(answer.header("ratelimit").starts_with("\"telemetry\";r="), "{answer:?}");
        if answer.status != 202 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("an answer that says to wait");
    assert_eq!(refused.problem(429), "rate_limited");
    assert_eq!(refused.header("retry-after"), "1");
    assert_eq!(post(&api, &other, &batch("car-1", "b-1", 1)).await.status, 202);
    // Nothing else is bounded by it.
    assert_eq!(
        api.get(&one, "/v1/telemetry/messages/0192f0c1-2f6b-7c3a-8a55-0d9f6f4f2a10")
            .await
            .status,
        404
    );
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(post(&api, &one, &batch("car-1", "b-11", 1)).await.status, 202);
    platform.work();
    platform.drained().await;
    platform.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_that_is_full_is_felt_by_its_senders_and_the_others_go_on() {
    let configure = |config: &mut odograph::config::Config| config.queue.max_ready = 5;
    let mut platform = Platform::start_with(odograph_tests::platform::Queue::usual(), configure).await;
    let credentials = insured(&platform, "insurer").await;
    let api = platform.serve().await;
    let token = token(&api, &credentials).await;
    let mut taken = 0;
    let refused = loop {
        let answer = post(&api, &token, &batch("car-1", &format!("b-{taken}"), 1)).await;
        if answer.status != 202 {
            break answer;
        }
        taken += 1;
        assert!(taken < 100, "nobody is told that the lane is full");
    };
    assert_eq!(refused.problem(429), "queue_full");
    assert!(!refused.header("retry-after").is_empty(), "{refused:?}");
    // A large upload goes by another lane, and so does what is urgent.
    let large = post(&api, &token, &batch("car-1", "large", 5_001)).await;
    assert_eq!((large.status.as_u16(), &large.json()["lane"]), (202, &json!("bulk")));
    let mut crash = batch("car-1", "crash", 1);
    crash["samples"][0]["airbag"] = json!(true);
    let crash = post(&api, &token, &crash).await;
    assert_eq!((crash.status.as_u16(), &crash.json()["lane"]), (202, &json!("urgent")));
    platform.work();
    // Room again, without a hand.
    let mut answer = post(&api, &token, &batch("car-1", "later", 1)).await;
    for _ in 0..100 {
        if answer.status == 202 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        answer = post(&api, &token, &batch("car-1", "later", 1)).await;
    }
    assert_eq!(answer.status, 202, "{answer:?}");
    platform.drained().await;
    platform.end().await;
}
