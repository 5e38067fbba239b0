//! Many who send at once are served together, and each gets its own answer.

use chrono::{TimeDelta, Utc};
use futures_util::future::join_all;
use odograph_domain::{id::TenantId, policy::Product};
use odograph_tests::{
    http::{Answer, Api},
    platform::{Insured, Platform, Queue},
};
use serde_json::{Value, json};

const CARS: usize = 12;
const BATCHES: usize = 10;

async fn insurer(platform: &Platform, name: &str) -> TenantId {
    let tenant = platform.tenant(name).await;
    let insured: Vec<_> = (0..CARS)
        .map(|car| Insured {
            vehicle: format!("car-{car}"),
            driver: format!("driver-{car}"),
            product: Product::Phyd,
            time_zone: chrono_tz::Tz::Europe__Berlin,
            starts_on: (Utc::now() - TimeDelta::days(100)).date_naive(),
        })
        .collect();
    platform.insure(tenant, &insured).await;
    tenant
}

fn batch(vehicle: &str, id: String, minute: i64) -> Value {
    let start = Utc::now() - TimeDelta::minutes(90 - minute);
    let samples: Vec<Value> = (0..10)
        .map(|second| json!({ "ts": (start + TimeDelta::seconds(second)).to_rfc3339(), "speed_kmh": 50 }))
        .collect();
    json!({ "schema": 1, "batch_id": id, "vehicle": vehicle, "samples": samples })
}

async fn post(api: &Api, token: &str, body: Value) -> Answer {
    api.post(token, "/v1/telemetry/batches", &body).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_at_once_gets_their_own_answer() {
    let mut platform = Platform::start_with(Queue::usual(), |_| {}).await;
    let mut tenants = Vec::new();
    for name in ["first", "second"] {
        tenants.push(insurer(&platform, name).await);
    }
    let api = platform.serve().await;
    let mut tokens = Vec::new();
    for tenant in &tenants {
        tokens.push(api.token(&platform.client(*tenant, &["telemetry:write"]).await).await);
    }
    let mut sending = Vec::new();
    for token in &tokens {
        for number in 0..BATCHES {
            for car in 0..CARS {
                let minute = number as i64;
                sending.push(post(
                    &api,
                    token,
                    batch(&format!("car-{car}"), format!("b-{number}"), minute),
                ));
            }
            sending.push(post(&api, token, batch("nobodys-car", format!("b-{number}"), 0)));
        }
    }
    let answers = join_all(sending).await;
    let accepted = answers.iter().filter(|answer| answer.status == 202).count();
    let unknown = answers.iter().filter(|answer| answer.status == 422).count();
    assert_eq!(
        (accepted, unknown),
        (2 * BATCHES * CARS, 2 * BATCHES),
        "{:?}",
        answers[0]
    );

    platform.work();
    for tenant in &tenants {
        let wanted = (BATCHES * CARS * 10) as u64;
        let tally = loop {
            let tally = platform.outcomes(*tenant).await;
            if tally.accepted + tally.duplicate >= wanted {
                break tally;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        };
        assert_eq!((tally.accepted, tally.duplicate), (wanted, 0), "{tally:?}");
        assert!(tally.balances(), "{tally:?}");
    }
    platform.end().await;
}
