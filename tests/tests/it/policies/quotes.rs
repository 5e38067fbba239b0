//! Quotes: what new business or a change would cost is what it costs then.

use super::*;

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
