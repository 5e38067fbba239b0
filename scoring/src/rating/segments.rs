//! Interpreter version 2: a period within which the policy's terms changed.

use chrono::NaiveDate;

use super::{
    Money, PlanRater, RatedPremium, Rater as _, RatingError, RatingInputs, RatingSegment, SEGMENTED, check_score,
    steps::{self, Bounds, Part, Share, Trace},
};

/// The segments under one version of a plan, in the order they come. Its minimum and maximum hold for all of them
/// together, so that a change of something else (the product, the driver) does not count them twice.
#[derive(Debug)]
struct PlanPart<'a> {
    of: &'a RatingSegment,
    days: u32,
    shares: Vec<Share>,
}

/// Each segment by its own plan, days and score; each plan's minimum and maximum in proportion to its days; one rounding,
/// by the plan in force last. Never changed, as version 1.
pub(super) fn rate_v2(inputs: &RatingInputs) -> Result<RatedPremium, RatingError> {
    let (whole, mut trace) = (Part::whole(inputs), Trace::default());
    let mut plans: Vec<PlanPart<'_>> = Vec::new();
    for (number, segment) in (1..).zip(&inputs.segments) {
        trace.about(
            Some(number),
            format!("{}, {}", dates(segment.first, segment.last), plan(segment)),
        );
        let share = steps::scored(&Part::segment(inputs, segment), &mut trace)?;
        let known = plans.iter_mut().find(|known| same_plan(known.of, segment));
        match known {
            Some(known) => {
                known.days += segment.days();
                known.shares.push(share);
            }
            None => plans.push(PlanPart {
                of: segment,
                days: segment.days(),
                shares: vec![share],
            }),
        }
    }
    let mut amounts = Vec::with_capacity(plans.len());
    let mut together: Option<Bounds> = None;
    for known in &plans {
        let part = Part {
            covered_days: known.days,
            terms: &known.of.terms,
            ..whole
        };
        trace.about(None, plan(known.of));
        let total = steps::total(&part, &known.shares, "plan_total", &mut trace)?;
        let bounds = steps::bounds(&part)?;
        let raised = steps::minimum(&part, total, &bounds, &mut trace)?;
        amounts.push(steps::maximum(&part, raised, &bounds, &mut trace)?);
        together = Some(match together {
            Some(others) => others.plus(&bounds)?,
            None => bounds,
        });
    }
    let Some(together) = together else {
        return Err(RatingError::Inputs("a period without a segment".to_owned()));
    };
    trace.about(None, String::new());
    let total = steps::total(&whole, &amounts, "total", &mut trace)?;
    let amount = steps::rounding(&whole, total, &together, &mut trace)?;
    Ok(RatedPremium {
        interpreter: SEGMENTED,
        inputs: inputs.clone(),
        steps: trace.steps,
        premium: Money::new(amount, inputs.terms.currency),
    })
}

fn same_plan(one: &RatingSegment, other: &RatingSegment) -> bool {
    (one.plan, one.plan_version) == (other.plan, other.plan_version) && one.terms == other.terms
}

fn plan(segment: &RatingSegment) -> String {
    format!("{} v{}", segment.plan_name, segment.plan_version)
}

/// Days of one month, as a person writes them.
fn dates(first: NaiveDate, last: NaiveDate) -> String {
    if first == last {
        first.format("%-d %B").to_string()
    } else {
        format!("{}–{}", first.format("%-d"), last.format("%-d %B"))
    }
}

/// Whether the segments are the period's covered days, each once, and add up to what is said of the whole.
pub(super) fn check(rater: &PlanRater, inputs: &RatingInputs) -> Result<(), RatingError> {
    let wrong = |what: String| Err(RatingError::Inputs(what));
    let mut after = inputs.period.first_day();
    for segment in &inputs.segments {
        rater.check(&segment.terms)?;
        check_score(segment.score)?;
        let (first, last) = (segment.first, segment.last);
        if first < after || last < first || last >= inputs.period.end() {
            return wrong(format!(
                "segments must follow each other within {}, got {first} to {last}",
                inputs.period
            ));
        }
        if segment.usage_m < 0 {
            return wrong(format!("usage cannot be negative, got {} m", segment.usage_m));
        }
        if segment.terms.currency != inputs.terms.currency {
            let (one, other) = (segment.terms.currency, inputs.terms.currency);
            return wrong(format!("one period in two currencies, {one} and {other}"));
        }
        after = last.succ_opt().unwrap_or(last);
    }
    let days: u32 = inputs.segments.iter().map(RatingSegment::days).sum();
    let usage = inputs
        .segments
        .iter()
        .try_fold(0_i64, |sum, segment| sum.checked_add(segment.usage_m));
    if (days, usage) != (inputs.covered_days, Some(inputs.usage_m)) {
        return wrong(format!(
            "the segments do not add up to {} days and {} m",
            inputs.covered_days, inputs.usage_m
        ));
    }
    match inputs.segments.last() {
        Some(last)
            if (last.product, last.score, last.plan, last.plan_version)
                == (inputs.product, inputs.score, inputs.plan, inputs.plan_version)
                && last.terms == inputs.terms =>
        {
            Ok(())
        }
        _ => wrong("what is said of the period is not what is said of its last segment".to_owned()),
    }
}
