//! Every premium can be explained: its trace, run again from its stored inputs, gives the same amount, and what it says
//! of usage and score is what is stored of them.

use chrono::NaiveDate;
use chrono_tz::Tz;
use odograph_domain::{
    id::TenantId,
    policy::{Policy, Product},
    rating::{Rater as _, RatingInputs, RoundingMode},
};
use odograph_scoring::rating::PlanRater;
use odograph_store::{PolicyFilter, PremiumRow};
use odograph_tests::{
    platform::{Insured, Platform},
    snapshot::every,
    telemetry::{Rows, small_fleet},
};
use rust_decimal::{Decimal, RoundingStrategy};
use serde_json::json;

struct Fleet {
    rows: Rows,
    insured: Vec<Insured>,
}

fn fleet() -> Fleet {
    let fleet = small_fleet(4, 8);
    let rows = Rows::of_fleet(&fleet);
    let insured = fleet.iter().map(|vehicle| Insured {
        vehicle: vehicle.external_ref.clone(),
        driver: vehicle.driver.external_ref.clone(),
        product: vehicle.product,
        time_zone: Tz::Europe__Berlin,
        // Within the first of the two months that are driven, so that one of them is covered in part.
        starts_on: rows.first_day(&vehicle.external_ref).expect("a first row"),
    });
    Fleet {
        insured: insured.collect(),
        rows,
    }
}

async fn policies(platform: &Platform, tenant: TenantId) -> Vec<Policy> {
    let store = platform.store(tenant);
    let records = every(async |page| store.policies(PolicyFilter::default(), page).await).await;
    records.into_iter().map(|record| record.policy).collect()
}

async fn premiums(platform: &Platform, tenant: TenantId, policy: &Policy, all: bool) -> Vec<PremiumRow> {
    let store = platform.store(tenant);
    every(async |page| store.premiums(policy.id, None, all, page).await).await
}

/// What the plan says, worked out a second time.
fn by_hand(inputs: &RatingInputs) -> Decimal {
    let terms = &inputs.terms;
    let (covered, days) = (Decimal::from(inputs.covered_days), Decimal::from(inputs.period_days));
    let mut amount = terms.base_per_month * covered / days + terms.rate_per_km * Decimal::new(inputs.usage_m, 3);
    if let (Product::Phyd, Some(score)) = (inputs.product, inputs.score) {
        let band = terms.score_bands.iter().rev().find(|band| band.from_score <= score);
        amount *= band.map_or(Decimal::ONE, |band| band.factor);
    }
    // Like the base, the bounds are for the covered part of the month.
    let low = terms.minimum.map_or(Decimal::ZERO, |low| low * covered / days);
    let high = terms.maximum.map_or(Decimal::MAX, |high| high * covered / days);
    let (amount, step) = (amount.clamp(low, high), terms.rounding.step);
    assert_eq!(terms.rounding.mode, RoundingMode::HalfEven);
    let steps = (amount / step).round_dp_with_strategy(0, RoundingStrategy::MidpointNearestEven);
    if steps * step < low {
        (steps + Decimal::ONE) * step
    } else {
        steps * step
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_premium_is_its_trace_run_again() {
    let fleet = fleet();
    let mut platform = Platform::start().await;
    platform.work();
    let api = platform.serve().await;
    let tenant = platform.tenant("insurer").await;
    platform.insure(tenant, &fleet.insured).await;
    platform
        .import(tenant, &fleet.rows.write(platform.folder(), "fleet.csv"))
        .await;
    let token = api.token(&platform.client(tenant, &[]).await).await;
    let store = platform.store(tenant);
    let (mut rated, mut scored) = (0, 0);
    for policy in policies(&platform, tenant).await {
        for row in premiums(&platform, tenant, &policy, true).await {
            let PremiumRow { rated: stored, .. } = &row;
            let again = PlanRater.rerun(stored).expect("an interpreter of this version");
            assert_eq!(&again, stored);
            let inputs = &stored.inputs;
            assert_eq!(stored.premium.amount, by_hand(inputs), "{stored:?}");
            assert_eq!(stored.steps.last().expect("steps").value, stored.premium.amount);
            assert_eq!(
                (inputs.covered_days, inputs.period_days),
                (policy.covered_days(inputs.period), inputs.period.days())
            );

            // A version that was corrected was made from what was known then.
            if !row.current {
                continue;
            }
            rated += 1;
            let last = inputs.period.end().pred_opt().expect("a day");
            let usage = store
                .usage_by_policy(policy.id, inputs.period.first_day(), last)
                .await
                .expect("usage");
            assert_eq!(
                inputs.usage_m,
                usage.iter().map(|day| day.metres).sum::<i64>(),
                "{stored:?}"
            );
            if let Some(score) = inputs.score {
                let (driver, day) = (
                    policy.terms.last().main_driver.expect("a driver"),
                    policy.last_covered_day(inputs.period),
                );
                let found = store
                    .latest_score(driver, day)
                    .await
                    .expect("scores")
                    .expect("the score it was rated by")
                    .score;
                assert_eq!((Some(found.as_of), found.value), (day, score));
                scored += 1;
            }
            assert!(inputs.score.is_none() || policy.terms.last().product == Product::Phyd);

            let told = api.get(&token, &format!("/v1/premiums/{}", row.id)).await;
            assert_eq!(told.status, 200, "{told:?}");
            let amount = stored.premium.amount.to_string();
            assert!(
                told.text.contains(&format!("\"{amount}\"")),
                "{amount} is not in {}",
                told.text
            );
            for step in &stored.steps {
                assert!(
                    told.text.contains(&json!(step.explanation).to_string()),
                    "{step:?} is not in {}",
                    told.text
                );
            }
        }
    }
    // Four policies, two months.
    assert!(rated >= 8 && scored >= 3, "{rated} premiums, {scored} with a score");
    platform.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn late_data_makes_a_new_version_and_the_old_one_stays() {
    let fleet = fleet();
    let ts = fleet.rows.column("ts");
    let late_day = |row: &[String]| row[ts].starts_with("2026-03-30");
    let (early, late) = (fleet.rows.filter(|row| !late_day(row)), fleet.rows.filter(late_day));
    assert!(!late.rows.is_empty());
    let mut platform = Platform::start().await;
    platform.work();
    let tenant = platform.tenant("insurer").await;
    platform.insure(tenant, &fleet.insured).await;
    platform
        .import(tenant, &early.write(platform.folder(), "early.csv"))
        .await;

    let march = |rows: Vec<PremiumRow>| -> Vec<PremiumRow> {
        let first: NaiveDate = "2026-03-01".parse().expect("a day");
        rows.into_iter()
            .filter(|row| row.rated.inputs.period.first_day() == first)
            .collect()
    };
    let mut before = Vec::new();
    for policy in policies(&platform, tenant).await {
        let versions = march(premiums(&platform, tenant, &policy, true).await);
        let current = versions.iter().filter(|row| row.current).count();
        assert_eq!(current, 1, "{versions:#?}");
        before.push(versions);
    }
    platform
        .import(tenant, &late.write(platform.folder(), "late.csv"))
        .await;
    let mut changed = 0;
    for (policy, before) in policies(&platform, tenant).await.iter().zip(&before) {
        let after = march(premiums(&platform, tenant, policy, true).await);
        let newest = after.iter().max_by_key(|row| row.version).expect("a version");
        assert!(
            newest.current && after.iter().filter(|row| row.current).count() == 1,
            "{after:#?}"
        );
        for old in before {
            let kept = after.iter().find(|row| row.id == old.id).expect("the old version");
            assert_eq!(
                (kept.version, &kept.rated),
                (old.version, &old.rated),
                "an old version was changed"
            );
        }
        let old = before
            .iter()
            .find(|row| row.current)
            .expect("the version that was current");
        if newest.id != old.id {
            assert!(newest.version > old.version && newest.rated != old.rated, "{after:#?}");
            assert!(newest.rated.inputs.usage_m > old.rated.inputs.usage_m, "{after:#?}");
            changed += 1;
        }
    }
    assert!(changed >= 3, "{changed} of four premiums changed");
    let versions = count_versions(&platform, tenant).await;
    platform
        .import(tenant, &fleet.rows.write(platform.folder(), "again.csv"))
        .await;
    assert_eq!(
        count_versions(&platform, tenant).await,
        versions,
        "the same data again made new versions"
    );
    platform.end().await;
}

async fn count_versions(platform: &Platform, tenant: TenantId) -> usize {
    let mut versions = 0;
    for policy in policies(platform, tenant).await {
        versions += premiums(platform, tenant, &policy, true).await.len();
    }
    versions
}
