//! The same telemetry, however it comes: trips, scores, usage and money are the same.

use chrono::TimeDelta;
use chrono_tz::Tz;
use odograph_domain::{id::TenantId, policy::Product};
use odograph_tests::{
    data,
    platform::{Insured, Platform},
    snapshot::Snapshot,
    telemetry::{Rows, small_fleet},
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What is sent, and for whom.
struct Telemetry {
    rows: Rows,
    insured: Vec<Insured>,
}

fn generated() -> Telemetry {
    let fleet = small_fleet(4, 4);
    let rows = Rows::of_fleet(&fleet);
    let insured = fleet.iter().map(|vehicle| Insured {
        vehicle: vehicle.external_ref.clone(),
        driver: vehicle.driver.external_ref.clone(),
        product: vehicle.product,
        time_zone: Tz::Europe__Berlin,
        starts_on: rows.first_day(&vehicle.external_ref).expect("a first row"),
    });
    Telemetry {
        insured: insured.collect(),
        rows,
    }
}

fn recorded() -> Option<Telemetry> {
    let rows = Rows::read(&data("telemetry/nds.csv.gz")?);
    let insured = Insured {
        vehicle: "nds-1".to_owned(),
        driver: "nds-driver-1".to_owned(),
        product: Product::Phyd,
        time_zone: Tz::America__Chicago,
        starts_on: rows.first_day("nds-1")? - TimeDelta::days(1),
    };
    Some(Telemetry {
        rows,
        insured: vec![insured],
    })
}

impl Telemetry {
    async fn tenant(&self, platform: &Platform, name: &str) -> TenantId {
        let tenant = platform.tenant(name).await;
        platform.insure(tenant, &self.insured).await;
        tenant
    }

    /// Sent in one file, in order.
    async fn in_order(&self, platform: &Platform) -> Snapshot {
        let tenant = self.tenant(platform, "in order").await;
        platform
            .import(tenant, &self.rows.write(platform.folder(), "in-order.csv"))
            .await;
        let snapshot = platform.snapshot(tenant).await;
        println!(
            "{} trips, {} scores, {} premiums",
            snapshot.trips(),
            snapshot.scores(),
            snapshot.premiums()
        );
        snapshot
    }

    async fn twice(&self, platform: &Platform) -> Snapshot {
        let tenant = self.tenant(platform, "twice").await;
        let file = self.rows.write(platform.folder(), "twice.csv");
        platform.import(tenant, &file).await;
        let once = platform.snapshot(tenant).await;
        platform.import(tenant, &file).await;
        let outcomes = platform.outcomes(tenant).await;
        assert!(outcomes.balances(), "{outcomes:?}");
        let rows = self.rows.rows.len() as u64;
        assert_eq!((outcomes.accepted, outcomes.duplicate), (rows, rows), "{outcomes:?}");
        let twice = platform.snapshot(tenant).await;
        once.assert_same(&twice, "once and twice");
        twice
    }

    async fn shuffled(&self, platform: &Platform, seed: u64) -> Snapshot {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let tenant = self.tenant(platform, &format!("shuffled {seed}")).await;
        let rows = self.rows.shuffled(&mut rng);
        platform
            .import(tenant, &rows.write(platform.folder(), "shuffled.csv"))
            .await;
        platform.snapshot(tenant).await
    }

    /// Sent in pieces that overlap, in random order; now and then what is there is derived, holes and all, so that later
    /// pieces come late.
    async fn in_pieces(&self, platform: &Platform, seed: u64) -> Snapshot {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let tenant = self.tenant(platform, &format!("in pieces {seed}")).await;
        let most = rng.random_range(100..900);
        for piece in self.rows.pieces(most, &mut rng) {
            platform
                .send(tenant, &piece.write(platform.folder(), "piece.csv"))
                .await;
            if rng.random_bool(0.1) {
                platform.drained().await;
                platform.derive(tenant).await;
            }
        }
        platform.drained().await;
        platform.derive(tenant).await;
        let outcomes = platform.outcomes(tenant).await;
        assert!(outcomes.balances() && outcomes.accepted > 0, "{outcomes:?}");
        platform.snapshot(tenant).await
    }
}

async fn the_same_in_any_order(telemetry: Telemetry) {
    let mut platform = Platform::start().await;
    platform.work();
    let wanted = telemetry.in_order(&platform).await;
    assert!(
        wanted.trips() > 10 && wanted.scores() > 0,
        "too little to compare: {} trips",
        wanted.trips()
    );
    wanted.assert_same(&telemetry.twice(&platform).await, "in order and twice");
    for seed in 1..=2 {
        wanted.assert_same(
            &telemetry.shuffled(&platform, seed).await,
            &format!("in order and shuffled, seed {seed}"),
        );
    }
    for seed in 1..=4 {
        wanted.assert_same(
            &telemetry.in_pieces(&platform, seed).await,
            &format!("in order and in pieces, seed {seed}"),
        );
    }
    platform.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generated_fleets_results_do_not_depend_on_how_the_data_came() {
    the_same_in_any_order(generated()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_cars_results_do_not_depend_on_how_the_data_came() {
    if let Some(telemetry) = recorded() {
        the_same_in_any_order(telemetry).await;
    }
}

/// Data of another day, or with one value changed, is not the same: the comparison can fail.
#[tokio::test(flavor = "multi_thread")]
async fn other_data_gives_other_results() {
    let telemetry = generated();
    let mut platform = Platform::start().await;
    platform.work();
    let wanted = telemetry.in_order(&platform).await;
    let mut other = telemetry.rows.clone();
    let (at, fast) = (other.column("speed_kmh"), "94.5".to_owned());
    let place = other
        .rows
        .iter()
        .position(|row| row[at].parse::<f64>().is_ok_and(|speed| speed > 30.0));
    other.rows[place.expect("a row of a moving car")][at] = fast;
    let tenant = telemetry.tenant(&platform, "other").await;
    platform
        .import(tenant, &other.write(platform.folder(), "other.csv"))
        .await;
    let difference = wanted.difference(&platform.snapshot(tenant).await);
    assert!(difference.is_some(), "one speed was changed, and nothing differs");
    platform.end().await;
}
