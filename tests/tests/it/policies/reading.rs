//! What a pricing system reads: usage, premiums and scores by period, rating plans, and ranges that make no sense.

use super::*;

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
