//! Policies change by date: what may be kept, what is charged and by whom follows, to the cent.

mod quotes;
mod reading;

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use odograph_domain::{
    id::TenantId,
    policy::{Month, Product},
    rating::{RatedPremium, Rater as _, RatingInputs, RatingSegment},
    sample::{DataClass, Sample},
    time::{EventTime, Window},
};
use odograph_scoring::rating::PlanRater;
use odograph_store::TripFilter;
use odograph_tests::{
    http::{Answer, Api},
    platform::{Insured, Platform},
    snapshot::every,
    telemetry::{Rows, small_fleet},
};
use rust_decimal::{Decimal, RoundingStrategy};
use serde_json::{Value, json};

const SCOPES: &[&str] = &[
    "vehicles:read",
    "vehicles:write",
    "policies:read",
    "policies:write",
    "plans:read",
    "plans:write",
    "premiums:read",
    "premiums:write",
    "scores:read",
];

const CAR: &str = "demo-vehicle-001";
const POLICY: &str = "/v1/policies/demo-vehicle-001-policy";

fn day(text: &str) -> NaiveDate {
    text.parse().expect("a day")
}

/// A car insured from the 1st of March 2026 that drives from the 27th of March to the 3rd of April.
struct Story {
    platform: Platform,
    api: Api,
    tenant: TenantId,
    token: String,
}

impl Story {
    async fn begin(product: Product) -> Self {
        let mut platform = Platform::start().await;
        platform.work();
        let api = platform.serve().await;
        let tenant = platform.tenant("insurer").await;
        let insured = Insured {
            vehicle: CAR.to_owned(),
            driver: "demo-driver-001".to_owned(),
            product,
            time_zone: Tz::Europe__Berlin,
            starts_on: day("2026-03-01"),
        };
        platform.insure(tenant, &[insured]).await;
        let token = api.token(&platform.client(tenant, SCOPES).await).await;
        Self {
            platform,
            api,
            tenant,
            token,
        }
    }

    async fn drive(&self) {
        let rows = Rows::of_fleet(&small_fleet(1, 8));
        let file = rows.write(self.platform.folder(), "drive.csv");
        self.platform.import(self.tenant, &file).await;
    }

    async fn post(&self, path: &str, body: &Value) -> Answer {
        self.api.post(&self.token, path, body).await
    }

    /// Files a change and has what follows from it done.
    async fn change(&self, body: Value) -> Value {
        let answer = self.post(&format!("{POLICY}/changes"), &body).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        self.platform.derive(self.tenant).await;
        answer.json()
    }

    async fn file_plan(&self, name: &str, effective_from: &str, base: &str) {
        let terms = json!({ "currency": "EUR", "base_per_month": base, "rate_per_km": "0.031", "minimum": "4",
            "rounding": { "step": "0.01", "mode": "half_even" } });
        let body = json!({ "name": name, "effective_from": effective_from, "terms": terms });
        let answer = self.post("/v1/rating-plans", &body).await;
        assert_eq!(answer.status, 201, "{answer:?}");
    }

    /// Every version of a month's premium, the newest first, each checked to be what its inputs come to.
    async fn versions(&self, period: &str) -> Vec<RatedPremium> {
        let store = self.platform.store(self.tenant);
        let policy = store
            .policy(&"demo-vehicle-001-policy".parse().expect("a reference"))
            .await
            .expect("the policy")
            .policy;
        let period: Month = period.parse().expect("a month");
        let mut rows = every(async |page| store.premiums(policy.id, Some(period), true, page).await).await;
        rows.sort_by_key(|row| std::cmp::Reverse(row.version));
        assert!(
            rows.iter().enumerate().all(|(at, row)| row.current == (at == 0)),
            "{rows:#?}"
        );
        for row in &rows {
            assert_eq!(PlanRater.rerun(&row.rated).expect("a known version"), row.rated);
            assert_eq!(row.rated.premium.amount, by_hand(&row.rated.inputs), "{row:#?}");
        }
        rows.into_iter().map(|row| row.rated).collect()
    }

    async fn premium(&self, period: &str) -> RatedPremium {
        self.versions(period).await.remove(0)
    }

    async fn usage(&self, from: &str, to: &str) -> i64 {
        let answer = self
            .api
            .get(&self.token, &format!("{POLICY}/usage?from={from}&to={to}"))
            .await;
        answer.json()["total_m"]
            .as_i64()
            .unwrap_or_else(|| panic!("{answer:?}"))
    }

    async fn end(self) {
        self.platform.end().await;
    }
}

/// What the plans say, worked out a second time: each stretch by its days, its plan's bounds by the days under it, and
/// rounded once.
fn by_hand(inputs: &RatingInputs) -> Decimal {
    let days = Decimal::from(inputs.period_days);
    let whole = vec![RatingSegment {
        first: inputs.period.first_day(),
        last: inputs.period.first_day(),
        product: inputs.product,
        usage_m: inputs.usage_m,
        score: inputs.score,
        plan: inputs.plan,
        plan_name: String::new(),
        plan_version: inputs.plan_version,
        terms: inputs.terms.clone(),
    }];
    let (parts, covered) = match inputs.segments.as_slice() {
        [] => (whole, vec![Decimal::from(inputs.covered_days)]),
        segments => {
            let days = segments.iter().map(|part| Decimal::from(part.days()));
            (segments.to_vec(), days.collect())
        }
    };
    let mut plans: Vec<(&RatingSegment, Decimal, Decimal)> = Vec::new();
    for (part, covered) in parts.iter().zip(covered) {
        let terms = &part.terms;
        let mut amount = terms.base_per_month * covered / days + terms.rate_per_km * Decimal::new(part.usage_m, 3);
        if let (Product::Phyd, Some(score)) = (part.product, part.score) {
            let band = terms.score_bands.iter().rev().find(|band| band.from_score <= score);
            amount *= band.map_or(Decimal::ONE, |band| band.factor);
        }
        let known = plans
            .iter_mut()
            .find(|(of, ..)| (of.plan, of.plan_version) == (part.plan, part.plan_version));
        match known {
            Some((_, days, total)) => {
                *days += covered;
                *total += amount;
            }
            None => plans.push((part, covered, amount)),
        }
    }
    let (mut total, mut lowest) = (Decimal::ZERO, Decimal::ZERO);
    for (part, under, amount) in plans {
        let low = part.terms.minimum.map_or(Decimal::ZERO, |low| low * under / days);
        let high = part.terms.maximum.map_or(Decimal::MAX, |high| high * under / days);
        total += amount.clamp(low, high);
        lowest += low;
    }
    let cents = total.round_dp_with_strategy(2, RoundingStrategy::MidpointNearestEven);
    if cents < lowest.round_dp(20) {
        cents + Decimal::new(1, 2)
    } else {
        cents
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn from_pay_as_you_drive_to_pay_how_you_drive_within_a_month() {
    let story = Story::begin(Product::Payd).await;
    let change = story
        .change(json!({ "effective_on": "2026-03-30", "product": "phyd", "reason": "wanted a score" }))
        .await;
    assert_eq!(
        (&change["product"], &change["rating_plan"]),
        (&json!("phyd"), &Value::Null)
    );
    story.drive().await;

    // Behaviour is kept of what happened from then on, and of nothing before.
    let store = story.platform.store(story.tenant);
    let midnight: DateTime<Utc> = "2026-03-29T22:00:00Z".parse().expect("a time");
    let (mut before, mut after) = (0, 0);
    for row in every(async |page| store.trips(TripFilter::default(), page).await).await {
        let trip = store.trip(row.record.id).await.expect("the trip").record;
        let since = trip.bounds.start.utc() >= midnight;
        assert_eq!(trip.features.behaviour.is_some(), since, "{trip:#?}");
        *(if since { &mut after } else { &mut before }) += 1;
    }
    assert!(before >= 3 && after >= 3, "{before} trips before, {after} after");

    let march = story.premium("2026-03").await;
    let told: Vec<_> = march
        .inputs
        .segments
        .iter()
        .map(|part| (part.first, part.last, part.product, part.score.is_some()))
        .collect();
    assert_eq!(
        told,
        [
            (day("2026-03-01"), day("2026-03-29"), Product::Payd, false),
            (day("2026-03-30"), day("2026-03-31"), Product::Phyd, true),
        ]
    );
    assert_eq!(
        march.inputs.segments[0].usage_m,
        story.usage("2026-03-01", "2026-03-29").await
    );
    assert_eq!(march.inputs.usage_m, story.usage("2026-03-01", "2026-03-31").await);
    assert!(march.inputs.segments.iter().all(|part| part.usage_m > 0));
    assert!(
        march.steps[0].explanation.starts_with("1–29 March, standard v1: "),
        "{march:#?}"
    );
    let april = story.premium("2026-04").await;
    assert!(
        april.inputs.segments.is_empty() && april.inputs.product == Product::Phyd,
        "{april:#?}"
    );

    // By the API too, where the pricing system reads it.
    let listed = story
        .api
        .every(&story.token, &format!("{POLICY}/premiums?period=2026-03"))
        .await;
    let id = listed[0]["id"].as_str().expect("an id");
    let told = story.api.get(&story.token, &format!("/v1/premiums/{id}")).await.json();
    assert_eq!(told["inputs"]["segments"][1]["first"], "2026-03-30");
    assert_eq!(
        (&told["trace"][0]["segment"], &told["interpreter"]),
        (&json!(1), &json!(2))
    );
    let policy = story.api.get(&story.token, POLICY).await;
    assert_eq!(policy.header("etag"), "\"2\"");
    let terms: Vec<Value> = policy.json()["terms"].as_array().expect("terms").clone();
    assert_eq!((terms.len(), &terms[1]["from"]), (2, &json!("2026-03-30")));
    let changes = story.api.every(&story.token, &format!("{POLICY}/changes")).await;
    assert_eq!(changes, [change]);
    story.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_in_the_past_is_rated_anew_and_what_was_charged_stays() {
    let story = Story::begin(Product::Phyd).await;
    story.drive().await;
    let (march, april) = (story.premium("2026-03").await, story.premium("2026-04").await);
    assert!(
        march.inputs.segments.is_empty() && march.inputs.score.is_some(),
        "{march:#?}"
    );
    // While the data came in there may have been some.
    let known = (
        story.versions("2026-03").await.len(),
        story.versions("2026-04").await.len(),
    );
    // A month that nobody drove in, rated on demand.
    let may = story
        .post(&format!("{POLICY}/premiums"), &json!({ "period": "2026-05" }))
        .await;
    assert_eq!(may.status, 200, "{may:?}");

    story.file_plan("thrift", "2026-01-01", "6.20").await;
    story
        .change(json!({ "effective_on": "2026-03-11", "rating_plan": "thrift" }))
        .await;
    for (period, old, before) in [("2026-03", &march, known.0), ("2026-04", &april, known.1)] {
        let versions = story.versions(period).await;
        assert_eq!(versions.len(), before + 1, "{versions:#?}");
        assert_eq!(&versions[1], old, "what was charged was changed");
        assert!(versions[0].premium.amount < old.premium.amount, "{versions:#?}");
        assert_eq!(versions[0].inputs.usage_m, old.inputs.usage_m);
    }
    let march = story.premium("2026-03").await;
    let plans: Vec<_> = march
        .inputs
        .segments
        .iter()
        .map(|part| (part.plan_name.as_str(), part.days()))
        .collect();
    assert_eq!(plans, [("standard", 10), ("thrift", 21)]);
    // 6.20 for the whole of May.
    let may = story.premium("2026-05").await;
    assert_eq!(
        (may.premium.amount, may.inputs.usage_m),
        ("6.20".parse().expect("a decimal"), 0)
    );

    // The same once more changes nothing, and says so.
    let again = json!({ "effective_on": "2026-04-01", "rating_plan": "thrift" });
    assert_eq!(
        story.post(&format!("{POLICY}/changes"), &again).await.problem(409),
        "conflict"
    );
    story.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_be_kept_no_more_is_taken_out_of_the_raw_data_too() {
    let mut story = Story::begin(Product::Phyd).await;
    story.drive().await;
    story
        .change(json!({ "effective_on": "2026-03-30", "product": "payd" }))
        .await;
    let store = story.platform.store(story.tenant);
    let midnight: DateTime<Utc> = "2026-03-29T22:00:00Z".parse().expect("a time");
    for row in every(async |page| store.trips(TripFilter::default(), page).await).await {
        let trip = store.trip(row.record.id).await.expect("the trip").record;
        assert_eq!(
            trip.features.behaviour.is_some(),
            trip.bounds.end.utc() < midnight,
            "{trip:#?}"
        );
    }
    let driver = store
        .resolve_driver("demo-driver-001")
        .await
        .expect("drivers")
        .expect("the driver");
    let march = story.premium("2026-03").await;
    assert_eq!(march.inputs.segments[1].score, None);

    story.platform.stop().await;
    let raw = every_raw_sample(&mut story.platform, story.tenant).await;
    let telling = |sample: &&Sample| {
        let mut allowed = (*sample).clone();
        allowed.retain(|class| class == DataClass::Mileage);
        allowed != **sample
    };
    let (before, after): (Vec<_>, Vec<_>) = raw.iter().partition(|sample| sample.ts.utc() < midnight);
    assert!(before.iter().any(telling), "nothing of behaviour to be looked for");
    assert!(after.len() > 1_000 && !after.iter().any(telling));
    // Where it was and how far stays: what is charged by distance is as it was.
    assert!(
        after
            .iter()
            .any(|sample| sample.lat.is_some() && sample.speed_kmh.is_some())
    );
    let scores = story
        .platform
        .store(story.tenant)
        .latest_score(driver, Some(day("2026-03-29")))
        .await;
    assert!(scores.expect("scores").is_some(), "what was allowed is still scored");
    story.end().await;
}

/// Every raw sample that is stored of the tenant's one vehicle.
async fn every_raw_sample(platform: &mut Platform, tenant: TenantId) -> Vec<Sample> {
    platform
        .as_superuser(async |db| {
            let marked = sqlx::query(
                "INSERT INTO dirty_window (tenant_id, vehicle_id, from_ts, to_ts, due_at, at_once, why)
                 SELECT tenant_id, vehicle_id, watermark, watermark, now(), true, '{rebuild}' FROM vehicle_state",
            );
            marked.execute(db).await.expect("a dirty window");
        })
        .await;
    let now = platform.parts.clock.now();
    let due = platform.parts.store.worker().next_due(now, Some(tenant), true).await;
    let mut tx = due.expect("a look at what is due").expect("the window just marked");
    let at = |text: &str| EventTime::new(text.parse().expect("a time"));
    let window = Window {
        from: at("2026-01-01T00:00:00Z"),
        to: at("2026-12-31T00:00:00Z"),
    };
    let raw = tx.raw(window).await.expect("raw data");
    tx.release().await.expect("a window given back");
    platform.derive(tenant).await;
    raw.into_iter().map(|raw| raw.sample).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_policy_is_charged_for_the_days_it_covered() {
    let story = Story::begin(Product::Payd).await;
    story.drive().await;
    let (march, april) = (story.premium("2026-03").await, story.premium("2026-04").await);
    let known = (
        story.versions("2026-03").await.len(),
        story.versions("2026-04").await.len(),
    );
    let may = story
        .post(&format!("{POLICY}/premiums"), &json!({ "period": "2026-05" }))
        .await;
    assert_eq!(may.status, 200, "{may:?}");

    let cancellation = json!({ "ends_on": "2026-04-02", "reason": "car sold" });
    let answer = story.post(&format!("{POLICY}/cancellation"), &cancellation).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json()["cancellation_reason"], "car sold");
    story.platform.derive(story.tenant).await;
    assert_eq!(story.versions("2026-03").await.len(), known.0, "March is as it was");
    let ended = story.premium("2026-04").await;
    assert_eq!(ended.inputs.covered_days, 1);
    assert_eq!(ended.inputs.usage_m, story.usage("2026-04-01", "2026-04-30").await);
    assert!(ended.inputs.usage_m < april.inputs.usage_m, "{ended:#?}");
    assert_eq!(story.premium("2026-05").await.premium.amount, Decimal::ZERO);
    // Another day after that is none it can end on.
    let later = story
        .post(&format!("{POLICY}/cancellation"), &json!({ "ends_on": "2026-04-09" }))
        .await;
    assert_eq!(later.problem(422), "invalid_body");

    // Reinstated: as if nothing had been.
    let answer = story.api.patch(&story.token, POLICY, &json!({ "ends_on": null })).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.json()["cancelled_at"]),
        (200, &Value::Null)
    );
    story.platform.derive(story.tenant).await;
    let versions = story.versions("2026-04").await;
    assert_eq!((versions.len(), &versions[0]), (known.1 + 2, &april));

    // From the beginning: nothing is owed for anything.
    let answer = story
        .post(&format!("{POLICY}/cancellation"), &json!({ "ends_on": "2026-03-01" }))
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
    story.platform.derive(story.tenant).await;
    for period in ["2026-03", "2026-04", "2026-05"] {
        assert_eq!(story.premium(period).await.premium.amount, Decimal::ZERO);
    }
    assert_eq!(story.usage("2026-03-01", "2026-04-30").await, 0);
    assert_eq!(story.versions("2026-03").await[1], march);
    story.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_changed_is_said_with_what_was_wanted() {
    let story = Story::begin(Product::Payd).await;
    story.file_plan("next-year", "2027-01-01", "9").await;
    let changes = format!("{POLICY}/changes");
    for (body, code, wanted) in [
        (
            json!({ "effective_on": "2026-02-28", "product": "phyd" }),
            "invalid_body",
            "from 2026-03-01 on",
        ),
        (
            json!({ "effective_on": "2026-03-28" }),
            "invalid_body",
            "at least one of",
        ),
        (
            json!({ "effective_on": "2026-03-28", "rating_plan": "next-year" }),
            "invalid_body",
            "effective from 2027-01-01",
        ),
        (
            json!({ "effective_on": "2026-03-28", "rating_plan": "none" }),
            "unknown_reference",
            "no rating plan",
        ),
        (
            json!({ "effective_on": "2026-03-28", "main_driver": "nobody" }),
            "unknown_reference",
            "no driver",
        ),
    ] {
        let answer = story.post(&changes, &body).await;
        assert_eq!(answer.problem(422), code, "{body}");
        assert!(answer.text.contains(wanted), "{body}: {answer:?}");
    }
    // Two at once: the second learns of the first.
    let stale = story
        .api
        .request(reqwest::Method::POST, &changes)
        .bearer_auth(&story.token)
        .header("if-match", "\"7\"")
        .json(&json!({ "effective_on": "2026-03-28", "product": "phyd" }));
    assert_eq!(Answer::of(stale.send().await).await.problem(412), "precondition_failed");
    story.end().await;
}
