//! Policies change by date: what may be kept, what is charged and by whom follows, to the cent.

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
async fn a_quote_is_what_is_charged_later_for_the_same() {
    let story = Story::begin(Product::Phyd).await;
    story.drive().await;
    story.file_plan("thrift", "2026-01-01", "6.20").await;
    let before = (story.versions("2026-03").await, story.versions("2026-04").await);
    let change = json!({ "effective_on": "2026-03-30", "rating_plan": "thrift" });
    let body = json!({ "change": change, "from": "2026-03", "to": "2026-04" });
    let answer = story.post(&format!("{POLICY}/quotes"), &body).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let quote = answer.json();
    let amount =
        |value: &Value| -> Decimal { value["amount"].as_str().expect("an amount").parse().expect("a decimal") };
    let as_is = before.0[0].premium.amount + before.1[0].premium.amount;
    assert_eq!(amount(&quote["as_is_total"]), as_is);
    assert_eq!(amount(&quote["difference"]), amount(&quote["total"]) - as_is);
    assert_eq!(
        (story.versions("2026-03").await, story.versions("2026-04").await),
        before,
        "a quote has charged something"
    );
    let id = quote["id"].as_str().expect("an id");
    assert_eq!(
        story.api.get(&story.token, &format!("/v1/quotes/{id}")).await.json(),
        quote
    );
    let listed = story
        .api
        .every(&story.token, "/v1/quotes?policy=demo-vehicle-001-policy")
        .await;
    assert_eq!((listed.len(), &listed[0]["total"]), (1, &quote["total"]));

    // Filed, the change costs what was quoted, to the cent and by the same steps.
    story.change(change).await;
    for (at, period) in ["2026-03", "2026-04"].into_iter().enumerate() {
        let charged = story.premium(period).await;
        let quoted = &quote["months"][at];
        assert_eq!(
            (amount(&quoted["premium"]), &quoted["period"]),
            (charged.premium.amount, &json!(period))
        );
        let steps: Vec<&str> = charged.steps.iter().map(|step| step.explanation.as_str()).collect();
        let told: Vec<&str> = quoted["trace"]
            .as_array()
            .expect("a trace")
            .iter()
            .filter_map(|step| step["explanation"].as_str())
            .collect();
        assert_eq!(told, steps);
    }
    story.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn new_business_is_quoted_by_month_and_term() {
    let story = Story::begin(Product::Phyd).await;
    story.file_plan("thrift", "2026-01-01", "6.20").await;
    // From the middle of June: 15 of 30 days at 6.20 and 400 of 800 km, then whole months.
    let body = json!({ "product": "payd", "rating_plan": "thrift", "starts_on": "2026-06-16", "months": 2,
        "km_per_month": "800" });
    let answer = story.post("/v1/quotes", &body).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let quote = answer.json();
    let months: Vec<(&Value, &Value)> = quote["months"]
        .as_array()
        .expect("months")
        .iter()
        .map(|month| (&month["period"], &month["premium"]["amount"]))
        .collect();
    // 3.10 + 12.40; 6.20 + 24.80; 15 of 31 days: 3 + 387.097 km × 0.031 = 12.000007.
    assert_eq!(
        months,
        [
            (&json!("2026-06"), &json!("15.50")),
            (&json!("2026-07"), &json!("31.00")),
            (&json!("2026-08"), &json!("15.00")),
        ]
    );
    assert_eq!(
        (&quote["total"]["amount"], &quote["ends_on"]),
        (&json!("61.50"), &json!("2026-08-16"))
    );

    // By score: with the example plan 83.4 is in the band of 0.9. (19.50 + 800 × 0.049) × 0.9 = 52.83.
    let scored = |product: &str| {
        json!({ "product": product, "rating_plan": "standard", "starts_on": "2026-07-01", "months": 1,
            "km_per_year": "9600", "score": "83.4" })
    };
    let premium = async |body: Value| story.post("/v1/quotes", &body).await.json()["total"]["amount"].clone();
    assert_eq!(premium(scored("phyd")).await, "52.83");
    assert_eq!(premium(scored("payd")).await, "58.70");

    for (change, code, wanted) in [
        (json!({ "km_per_month": "1" }), "invalid_body", "got both"),
        (json!({ "km_per_year": "-1" }), "invalid_body", "wanted 0 to"),
        (json!({ "score": "100.1" }), "invalid_body", "wanted 0 to 100"),
        (json!({ "months": 37 }), "invalid_body", "wanted 1 to 36"),
        (json!({ "rating_plan": "none" }), "unknown_reference", "no rating plan"),
        (
            json!({ "as_of": "1999-01-01" }),
            "not_ratable",
            "in force on 1999-01-01",
        ),
        (
            json!({ "driver": "demo-driver-001", "score": null }),
            "not_ratable",
            "has none yet",
        ),
    ] {
        let mut body = scored("phyd");
        for (field, value) in change.as_object().expect("a change") {
            body[field] = value.clone();
        }
        let answer = story.post("/v1/quotes", &body).await;
        assert_eq!(answer.problem(422), code, "{body}");
        assert!(answer.text.contains(wanted), "{body}: {answer:?}");
    }
    story.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pricing_system_reads_months_across_policies() {
    let story = Story::begin(Product::Phyd).await;
    story.drive().await;
    let (march, april) = (story.premium("2026-03").await, story.premium("2026-04").await);
    let usage = story.api.every(&story.token, "/v1/usage").await;
    let told: Vec<_> = usage.iter().map(|month| (&month["period"], &month["metres"])).collect();
    assert_eq!(
        told,
        [
            (&json!("2026-03"), &json!(march.inputs.usage_m)),
            (&json!("2026-04"), &json!(april.inputs.usage_m)),
        ]
    );
    assert_eq!(
        (&usage[0]["policy_ref"], &usage[0]["product"]),
        (&json!("demo-vehicle-001-policy"), &json!("phyd"))
    );
    for (query, months) in [
        ("from=2026-04", 1),
        ("to=2026-03&product=phyd&rating_plan=standard", 1),
        ("product=payd", 0),
        ("policy=demo-vehicle-001-policy", 2),
    ] {
        let found = story.api.every(&story.token, &format!("/v1/usage?{query}")).await;
        assert_eq!(found.len(), months, "{query}");
    }
    let by_month = story
        .api
        .get(
            &story.token,
            &format!("{POLICY}/usage?granularity=month&from=2026-01-01&to=2026-12-31"),
        )
        .await
        .json();
    assert_eq!(by_month["total_m"], march.inputs.usage_m + april.inputs.usage_m);
    assert_eq!(by_month["months"][1]["metres"], april.inputs.usage_m);
    assert_eq!(by_month["days"], json!([]));

    let premiums = story
        .api
        .every(&story.token, "/v1/premiums?period=2026-04&trace=true")
        .await;
    assert_eq!(premiums.len(), 1, "{premiums:?}");
    assert_eq!(premiums[0]["premium"]["amount"], april.premium.amount.to_string());
    assert_eq!(premiums[0]["trace"].as_array().map(Vec::len), Some(april.steps.len()));
    let rated_at = premiums[0]["rated_at"].as_str().expect("a time").replace('+', "%2B");
    let since = format!("/v1/premiums?changed_since={rated_at}&vehicle={CAR}");
    assert!(
        story
            .api
            .every(&story.token, &since)
            .await
            .iter()
            .any(|row| row["id"] == premiums[0]["id"])
    );
    let later = "/v1/premiums?changed_since=2199-01-01T00:00:00Z";
    assert!(story.api.every(&story.token, later).await.is_empty());
    story.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scores_are_read_by_period_and_by_policy() {
    let story = Story::begin(Product::Phyd).await;
    let none = story.api.get(&story.token, &format!("{POLICY}/score")).await.json();
    assert_eq!(
        (&none["score"], &none["why_none"]),
        (&Value::Null, &json!("not_scored"))
    );
    let scores = "/v1/drivers/demo-driver-001/scores";
    assert!(story.api.every(&story.token, scores).await.is_empty());
    assert_eq!(
        story
            .api
            .get(&story.token, "/v1/drivers/demo-driver-001/score")
            .await
            .problem(404),
        "no_score"
    );

    story.drive().await;
    let days = story.api.every(&story.token, scores).await;
    let driven: Vec<&Value> = days
        .iter()
        .filter(|score| score["as_of"].as_str() <= Some("2026-04-05"))
        .collect();
    let months = story
        .api
        .every(&story.token, &format!("{scores}?granularity=month&reasons=false"))
        .await;
    let told: Vec<_> = months.iter().map(|month| &month["period_start"]).collect();
    assert_eq!(told, ["2026-04-01", "2026-03-01"]);
    assert_eq!(
        (&months[0]["as_of"], &months[0]["reasons"]),
        (&driven[0]["as_of"], &Value::Null)
    );
    // The last of March is scored since March is rated by it.
    assert_eq!(months[1]["as_of"], "2026-03-31");
    let weeks = story
        .api
        .every(&story.token, &format!("{scores}?granularity=week&to=2026-03-29"))
        .await;
    assert_eq!(weeks.len(), 1, "{weeks:?}");
    assert_eq!(weeks[0]["period_start"], "2026-03-23");

    let of_policy = story
        .api
        .get(&story.token, &format!("{POLICY}/score?as_of=2026-03-31"))
        .await
        .json();
    assert_eq!(of_policy["score"]["value"], months[1]["value"]);
    story
        .change(json!({ "effective_on": "2026-03-15", "product": "payd" }))
        .await;
    let none = story.api.get(&story.token, &format!("{POLICY}/score")).await.json();
    assert_eq!(none["why_none"], "payd");
    story.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rating_plans_are_filed_once_and_stand_by_their_day() {
    let story = Story::begin(Product::Payd).await;
    let terms = |base: &str| {
        json!({ "currency": "EUR", "base_per_month": base, "rate_per_km": "0.03",
            "rounding": { "step": "0.01", "mode": "half_up" } })
    };
    let file = async |day: &str, base: &str| {
        let body = json!({ "effective_from": day, "terms": terms(base) });
        story.post("/v1/rating-plans/town/versions", &body).await
    };
    let first = json!({ "name": "town", "effective_from": "2026-01-01", "terms": terms("10") });
    assert_eq!(story.post("/v1/rating-plans", &first).await.status, 201);
    // The same terms for the same day, however the decimals are written: nothing new.
    let again = json!({ "name": "town", "effective_from": "2026-01-01", "terms": terms("10.00") });
    let answer = story.post("/v1/rating-plans", &again).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["version"]), (200, &json!(1)));
    assert_eq!(file("2026-02-01", "11").await.json()["standing"], "in_force");
    let future = file("2190-01-01", "12").await;
    assert_eq!(
        (future.status.as_u16(), &future.json()["standing"]),
        (201, &json!("future"))
    );
    assert_eq!(file("2190-01-01", "12").await.status, 200);
    let history = story.api.get(&story.token, "/v1/rating-plans/town").await.json();
    let told: Vec<_> = history["versions"]
        .as_array()
        .expect("versions")
        .iter()
        .map(|version| (&version["version"], &version["standing"]))
        .collect();
    assert_eq!(
        told,
        [
            (&json!(3), &json!("future")),
            (&json!(2), &json!("in_force")),
            (&json!(1), &json!("superseded")),
        ]
    );
    let listed = story.api.every(&story.token, "/v1/rating-plans").await;
    assert_eq!(listed.last().map(|plan| &plan["standing"]), Some(&json!("future")));
    for (day, base, field, wanted) in [
        ("2300-01-01", "1", "effective_from", "of the years 1900 to 2200"),
        ("2026-01-01", "1000000001", "terms.base_per_month", "at most 1000000000"),
        ("2026-01-01", "0.1234567", "terms", "at most 6 decimals"),
    ] {
        let answer = file(day, base).await;
        assert_eq!(answer.problem(422), "invalid_body");
        assert_eq!(answer.json()["errors"][0]["field"], field);
        assert!(answer.text.contains(wanted), "{answer:?}");
    }
    story.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_that_ends_before_it_begins_is_refused_everywhere() {
    let story = Story::begin(Product::Payd).await;
    let token = story
        .api
        .token(
            &story
                .platform
                .client(
                    story.tenant,
                    &["trips:read", "scores:read", "premiums:read", "deadletters:read"],
                )
                .await,
        )
        .await;
    for (path, from, to) in [
        ("/v1/trips", "2026-02-01T00:00:00Z", "2026-01-01T00:00:00Z"),
        ("/v1/outcomes", "2026-02-01", "2026-01-01"),
        ("/v1/drivers/demo-driver-001/scores", "2026-02-01", "2026-01-01"),
        (&format!("{POLICY}/usage"), "2026-02-01", "2026-01-01"),
        ("/v1/usage", "2026-02", "2026-01"),
        ("/v1/premiums", "2026-02", "2026-01"),
    ] {
        let answer = story.api.get(&token, &format!("{path}?from={from}&to={to}")).await;
        assert_eq!(answer.problem(400), "invalid_query", "{path}");
        let detail = answer.json()["errors"][0]["detail"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let days = (&from[..7], &to[..7]);
        assert!(detail.contains(days.0) && detail.contains(days.1), "{path}: {detail}");
    }
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
