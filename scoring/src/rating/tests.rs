use odograph_domain::{id::RatingPlanId, money::Currency, policy::Product, rating::ScoreBand};
use proptest::prelude::*;

use super::*;

fn dec(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn terms() -> RatingTerms {
    let band = |from: &str, factor: &str| ScoreBand {
        from_score: dec(from),
        factor: dec(factor),
    };
    RatingTerms {
        currency: Currency::parse("EUR").unwrap(),
        base_per_month: dec("10.00"),
        rate_per_km: dec("0.05"),
        score_bands: vec![band("0", "1.3"), band("50", "1.0"), band("80", "0.8")],
        minimum: Some(dec("12.00")),
        maximum: Some(dec("90.00")),
        rounding: Rounding {
            step: dec("0.01"),
            mode: RoundingMode::HalfUp,
        },
    }
}

fn inputs(product: Product, covered_days: u32, usage_m: i64, score: Option<&str>) -> RatingInputs {
    RatingInputs {
        product,
        period: "2026-03".parse().unwrap(),
        covered_days,
        period_days: 31,
        usage_m,
        score: score.map(dec),
        plan: "0192f0c1-2f6b-7c3a-8a55-0d9f6f4f2a10".parse::<RatingPlanId>().unwrap(),
        plan_version: 1,
        terms: terms(),
        segments: vec![],
    }
}

fn segment(of: &RatingInputs, first: u32, last: u32, usage_m: i64) -> RatingSegment {
    let day = |day: u32| of.period.first_day() + chrono::Days::new(u64::from(day) - 1);
    RatingSegment {
        first: day(first),
        last: day(last),
        product: of.product,
        usage_m,
        score: of.score,
        plan: of.plan,
        plan_name: "standard".to_owned(),
        plan_version: of.plan_version,
        terms: of.terms.clone(),
    }
}

/// Inputs of a period that falls into these segments.
fn segmented(of: &RatingInputs, segments: Vec<RatingSegment>) -> RatingInputs {
    let last = segments.last().unwrap().clone();
    RatingInputs {
        product: last.product,
        covered_days: segments.iter().map(RatingSegment::days).sum(),
        usage_m: segments.iter().map(|segment| segment.usage_m).sum(),
        score: last.score,
        plan: last.plan,
        plan_version: last.plan_version,
        terms: last.terms,
        segments,
        ..of.clone()
    }
}

fn amount(inputs: &RatingInputs) -> Decimal {
    PlanRater.rate(inputs).unwrap().premium.amount
}

#[test]
fn a_premium_with_its_steps() {
    let rated = PlanRater
        .rate(&inputs(Product::Phyd, 31, 412_345, Some("83.4")))
        .unwrap();
    let steps: Vec<(&str, Decimal)> = rated.steps.iter().map(|s| (s.step.as_str(), s.value)).collect();
    assert_eq!(
        steps,
        [
            ("base", dec("10")),
            ("distance", dec("20.61725")),
            ("subtotal", dec("30.61725")),
            ("score_factor", dec("24.4938")),
            ("minimum", dec("24.4938")),
            ("maximum", dec("24.4938")),
            ("rounding", dec("24.49")),
        ]
    );
    assert_eq!(rated.premium.to_string(), "24.49 EUR");
    assert_eq!(rated.steps[1].explanation, "412.345 km × 0.05 EUR a km");
    assert_eq!(rated.steps[3].explanation, "score 83.4, in the band from 80: × 0.8");
}

#[test]
fn payd_never_looks_at_the_score() {
    let rated = PlanRater.rate(&inputs(Product::Payd, 31, 412_345, Some("10"))).unwrap();
    assert_eq!(rated.premium.amount, dec("30.62"));
    assert!(rated.steps.iter().all(|step| step.step != "score_factor"));
}

#[test]
fn without_a_score_the_factor_is_one_and_said_so() {
    let rated = PlanRater.rate(&inputs(Product::Phyd, 31, 412_345, None)).unwrap();
    assert_eq!(rated.premium.amount, dec("30.62"));
    assert!(rated.steps[3].explanation.starts_with("no score"));
}

#[test]
fn base_minimum_and_maximum_are_in_proportion_to_the_days_covered() {
    // 10 × 7/31 = 2.258…, below the minimum of 12 × 7/31 = 2.709…: the cent above it.
    assert_eq!(amount(&inputs(Product::Payd, 7, 0, None)), dec("2.71"));
    // 90 × 7/31 = 20.322…: the cent below it.
    assert_eq!(amount(&inputs(Product::Payd, 7, 9_000_000, None)), dec("20.32"));
    assert_eq!(amount(&inputs(Product::Payd, 0, 0, None)), dec("0.00"));
}

#[test]
fn thirds_are_not_lost_before_the_rounding() {
    // (10/31 × 31) is 10 and nothing less, by whatever way.
    let mut exact = inputs(Product::Payd, 31, 0, None);
    exact.terms.minimum = None;
    exact.terms.rounding.mode = RoundingMode::Down;
    assert_eq!(amount(&exact), dec("10.00"));
    exact.terms.base_per_month = dec("0.31");
    exact.covered_days = 1;
    assert_eq!(amount(&exact), dec("0.01"));
}

#[test]
fn rounding_modes() {
    let mut half = inputs(Product::Payd, 31, 0, None);
    half.terms.minimum = None;
    let mut rounded = |base: &str, step: &str, mode| {
        half.terms.base_per_month = dec(base);
        half.terms.rounding = Rounding { step: dec(step), mode };
        amount(&half).to_string()
    };
    assert_eq!(rounded("1.005", "0.01", RoundingMode::HalfUp), "1.01");
    assert_eq!(rounded("1.005", "0.01", RoundingMode::HalfEven), "1.00");
    assert_eq!(rounded("1.015", "0.01", RoundingMode::HalfEven), "1.02");
    assert_eq!(rounded("1.001", "0.01", RoundingMode::Up), "1.01");
    assert_eq!(rounded("1.009", "0.01", RoundingMode::Down), "1.00");
    assert_eq!(rounded("1.02", "0.05", RoundingMode::HalfUp), "1.00");
    assert_eq!(rounded("1.03", "0.05", RoundingMode::HalfUp), "1.05");
    assert_eq!(rounded("17", "10", RoundingMode::HalfUp), "20");
}

#[test]
fn unsound_terms_and_inputs_are_named() {
    let broken = |change: fn(&mut RatingTerms)| {
        let mut terms = terms();
        change(&mut terms);
        PlanRater.check(&terms).unwrap_err().to_string()
    };
    assert!(broken(|t| t.base_per_month = dec("-1")).contains("base_per_month"));
    assert!(broken(|t| t.rate_per_km = dec("0.0000001")).contains("rate_per_km"));
    assert!(broken(|t| t.minimum = Some(dec("91"))).contains("above the maximum"));
    assert!(broken(|t| t.rounding.step = dec("0")).contains("step"));
    assert!(broken(|t| t.score_bands[0].from_score = dec("1")).contains("begin at 0"));
    assert!(broken(|t| t.score_bands.swap(1, 2)).contains("go up"));
    assert!(broken(|t| t.score_bands[1].factor = dec("0")).contains("factor"));
    let wrong = |covered, usage, score| {
        PlanRater
            .rate(&inputs(Product::Phyd, covered, usage, score))
            .unwrap_err()
    };
    assert!(matches!(wrong(32, 0, None), RatingError::Inputs(_)));
    assert!(matches!(wrong(31, -1, None), RatingError::Inputs(_)));
    assert!(matches!(wrong(31, 0, Some("100.1")), RatingError::Inputs(_)));
}

#[test]
fn what_a_decimal_cannot_hold_is_an_error_and_not_a_guess() {
    let mut huge = inputs(Product::Phyd, 31, i64::MAX, Some("0"));
    huge.terms.rate_per_km = dec("123456789.123456");
    huge.terms.maximum = None;
    assert!(matches!(PlanRater.rate(&huge), Err(RatingError::Overflow(_))));
}

#[test]
fn an_unknown_interpreter_is_refused() {
    let mut rated = PlanRater.rate(&inputs(Product::Payd, 31, 1000, None)).unwrap();
    rated.interpreter = 99;
    assert_eq!(PlanRater.rerun(&rated), Err(RatingError::UnknownInterpreter(99)));
}

#[test]
fn a_month_within_which_the_terms_changed() {
    let whole = inputs(Product::Payd, 31, 0, None);
    let before = segment(&whole, 1, 14, 100_000);
    let mut after = segment(&whole, 15, 31, 200_000);
    (after.product, after.score) = (Product::Phyd, Some(dec("83.4")));
    let rated = PlanRater
        .rate(&segmented(&whole, vec![before.clone(), after.clone()]))
        .unwrap();
    // (10 × 14/31 + 100 × 0.05) + (10 × 17/31 + 200 × 0.05) × 0.8 = 9.516129… + 12.387096…
    assert_eq!((rated.premium.amount, rated.interpreter), (dec("21.90"), 2));
    let steps: Vec<(&str, Option<u16>)> = rated.steps.iter().map(|s| (s.step.as_str(), s.segment)).collect();
    assert_eq!(
        steps,
        [
            ("base", Some(1)),
            ("distance", Some(1)),
            ("subtotal", Some(1)),
            ("base", Some(2)),
            ("distance", Some(2)),
            ("subtotal", Some(2)),
            ("score_factor", Some(2)),
            ("plan_total", None),
            ("minimum", None),
            ("maximum", None),
            ("total", None),
            ("rounding", None),
        ]
    );
    assert_eq!(
        rated.steps[0].explanation,
        "1–14 March, standard v1: 10.00 EUR a month × 14 of 31 days covered"
    );
    assert_eq!(
        rated.steps[6].explanation,
        "15–31 March, standard v1: score 83.4, in the band from 80: × 0.8"
    );

    // Another plan from the 15th, with bounds of its own: each part is held to those of its plan.
    after.plan_version = 2;
    after.terms.minimum = Some(dec("31.00"));
    let rated = PlanRater.rate(&segmented(&whole, vec![before, after.clone()])).unwrap();
    // 9.516129… + 31 × 17/31.
    assert_eq!(rated.premium.amount, dec("26.52"));
    assert_eq!(
        rated.steps.iter().filter(|step| step.step == "minimum").count(),
        2,
        "{rated:?}"
    );

    // A day alone is called by its date.
    let one = segmented(&whole, vec![segment(&whole, 1, 1, 0), after.clone()]);
    let rated = PlanRater.rate(&one).unwrap();
    assert!(rated.steps[0].explanation.starts_with("1 March, "), "{rated:?}");
}

#[test]
fn segments_that_do_not_make_up_the_period_are_refused() {
    let whole = inputs(Product::Payd, 31, 0, None);
    let good = segmented(&whole, vec![segment(&whole, 1, 14, 5), segment(&whole, 15, 31, 6)]);
    assert!(PlanRater.rate(&good).is_ok());
    let refused = |change: fn(&mut RatingInputs)| {
        let mut wrong = good.clone();
        change(&mut wrong);
        PlanRater.rate(&wrong).unwrap_err().to_string()
    };
    assert!(refused(|i| i.segments[1].first = i.segments[0].last).contains("follow each other"));
    assert!(refused(|i| i.segments.swap(0, 1)).contains("follow each other"));
    assert!(refused(|i| i.usage_m += 1).contains("add up"));
    assert!(refused(|i| i.covered_days -= 1).contains("add up"));
    assert!(refused(|i| i.segments[1].plan_version = 2).contains("last segment"));
    assert!(refused(|i| i.segments[0].score = Some(Decimal::from(101))).contains("between 0 and 100"));
    assert!(refused(|i| i.segments[0].terms.currency = Currency::parse("CHF").unwrap()).contains("currencies"));
    assert!(refused(|i| i.segments[0].terms.rounding.step = Decimal::ZERO).contains("step"));
    // Version 1 never knew of segments.
    let stored = RatedPremium {
        interpreter: 1,
        ..PlanRater.rate(&good).unwrap()
    };
    assert!(PlanRater.rerun(&stored).is_err());
}

/// Premiums as they were stored by each version, with what is between the inputs and the amount: they come out the same for
/// as long as there are stored ones.
#[test]
fn premiums_of_every_version_run_again_to_the_cent() {
    for (version, text) in [
        (1, include_str!("../../tests/golden/premium_v1.json")),
        (2, include_str!("../../tests/golden/premium_v2.json")),
    ] {
        let stored: RatedPremium = serde_json::from_str(text).unwrap();
        assert_eq!(stored.interpreter, version);
        assert_eq!(PlanRater.rerun(&stored).unwrap(), stored);
        // Nor may what is written change its form.
        let written: serde_json::Value = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_value(&stored).unwrap(), written);
    }
}

fn any_inputs() -> impl Strategy<Value = RatingInputs> {
    let mode = prop::sample::select(RoundingMode::ALL.to_vec());
    let product = prop::sample::select(Product::ALL.to_vec());
    let score = prop::option::of(0_i64..=1000);
    let step = prop::sample::select(vec!["0.01", "0.05", "0.1", "1", "0.001"]);
    (
        product,
        0_u32..=31,
        0_i64..5_000_000,
        score,
        mode,
        step,
        0_i64..5000,
        0_i64..900,
        0_i64..300,
        0_i64..300,
    )
        .prop_map(
            |(product, covered, usage, score, mode, step, base, rate, minimum, above)| {
                let mut inputs = inputs(product, covered, usage, None);
                inputs.score = score.map(|tenths| Decimal::new(tenths, 1));
                inputs.terms.base_per_month = Decimal::new(base, 2);
                inputs.terms.rate_per_km = Decimal::new(rate, 4);
                inputs.terms.minimum = Some(Decimal::new(minimum * 31, 1));
                inputs.terms.maximum = Some(Decimal::new((minimum + above) * 31, 1));
                inputs.terms.rounding = Rounding { step: dec(step), mode };
                inputs
            },
        )
}

proptest! {
    #[test]
    fn rerun_equals_rate(inputs in any_inputs()) {
        let rated = PlanRater.rate(&inputs).unwrap();
        prop_assert_eq!(PlanRater.rerun(&rated).unwrap(), rated.clone());
        let stored: RatedPremium = serde_json::from_str(&serde_json::to_string(&rated).unwrap()).unwrap();
        prop_assert_eq!(PlanRater.rerun(&stored).unwrap(), rated);
    }

    #[test]
    fn more_usage_never_costs_less(inputs in any_inputs(), more in 0_i64..1_000_000) {
        let mut longer = inputs.clone();
        longer.usage_m += more;
        prop_assert!(amount(&longer) >= amount(&inputs));
    }

    #[test]
    fn premiums_are_multiples_of_the_step_between_minimum_and_maximum(inputs in any_inputs()) {
        let amount = amount(&inputs);
        let terms = &inputs.terms;
        prop_assert_eq!(amount % terms.rounding.step, Decimal::ZERO);
        // The made bounds are whole tenths a day: exact shares.
        let share = |bound: Option<Decimal>| bound.unwrap() / Decimal::from(31) * Decimal::from(inputs.covered_days);
        prop_assert!(amount <= share(terms.maximum));
        let room = share(terms.maximum) - share(terms.minimum) >= terms.rounding.step;
        prop_assert!(!room || amount >= share(terms.minimum), "{} below {}", amount, share(terms.minimum));
    }

    #[test]
    fn without_bounds_rounding_stays_within_a_step(inputs in any_inputs()) {
        let mut free = inputs;
        (free.terms.minimum, free.terms.maximum) = (None, None);
        let rated = PlanRater.rate(&free).unwrap();
        let before = rated.steps[rated.steps.len() - 2].value;
        let off = (rated.premium.amount - before).abs();
        prop_assert!(off < free.terms.rounding.step + Decimal::new(1, 20));
    }

    #[test]
    fn a_change_that_changes_nothing_costs_nothing(inputs in any_inputs(), at in 1_u32..=30, driven in 0_i64..=1000) {
        prop_assume!(at < inputs.covered_days);
        let before = inputs.usage_m * driven / 1000;
        let parts = vec![
            segment(&inputs, 1, at, before),
            segment(&inputs, at + 1, inputs.covered_days, inputs.usage_m - before),
        ];
        let split = PlanRater.rate(&segmented(&inputs, parts)).unwrap();
        let whole = PlanRater.rate(&inputs).unwrap();
        prop_assert_eq!(split.premium, whole.premium);
        prop_assert_eq!(PlanRater.rerun(&split).unwrap(), split);
    }

    #[test]
    fn segments_cost_what_they_would_alone(inputs in any_inputs(), at in 1_u32..=30, base in 0_i64..5000) {
        let covered = inputs.covered_days;
        prop_assume!(at < covered);
        // Finer than any amount here, so that what is rounded is what was added up.
        let fine = Rounding { step: dec("0.000001"), mode: RoundingMode::HalfEven };
        let mut inputs = inputs;
        inputs.terms.rounding = fine;
        let (before, mut after) = (segment(&inputs, 1, at, inputs.usage_m), segment(&inputs, at + 1, covered, 1000));
        after.plan_version = 2;
        after.terms.base_per_month = Decimal::new(base, 2);
        let alone = |part: &RatingSegment| amount(&RatingInputs {
            covered_days: part.days(), usage_m: part.usage_m, terms: part.terms.clone(), ..inputs.clone()
        });
        let together = amount(&segmented(&inputs, vec![before.clone(), after.clone()]));
        let off = (together - alone(&before) - alone(&after)).abs();
        prop_assert!(off <= Decimal::new(2, 6), "{} apart", off);
    }
}
