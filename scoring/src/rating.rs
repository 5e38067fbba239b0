//! From mileage and score to money: the interpreter of rating plans.
//!
//! Amounts are exact. They are kept as `numerator / days of the period` until the one rounding at the end, so that no
//! third of a cent is lost on the way; see `docs/science/rating.md`.

use odograph_domain::{
    money::Money,
    rating::{
        RatedPremium, Rater, RatingError, RatingInputs, RatingSegment, RatingTerms, Rounding, RoundingMode, TraceStep,
    },
};
use rust_decimal::Decimal;

mod segments;
mod steps;
#[cfg(test)]
mod tests;

/// Version of the step interpreter for periods under the same terms throughout.
pub const WHOLE: u16 = 1;

/// Version of the step interpreter for periods within which the policy's terms changed.
pub const SEGMENTED: u16 = 2;

/// Amounts and factors have at most this many decimals. Far finer than money, and coarse enough that every product of
/// the interpreter fits the 96 bits of a decimal exactly.
const MOST_DECIMALS: u32 = 6;

/// Rates by a simple plan: base per month, rate per km, factor by score, minimum, maximum, rounding.
#[derive(Debug, Clone, Copy, Default)]
pub struct PlanRater;

impl Rater for PlanRater {
    fn check(&self, terms: &RatingTerms) -> Result<(), RatingError> {
        let wrong = |what: String| Err(RatingError::Terms(what));
        let amounts = [
            ("base_per_month", Some(terms.base_per_month)),
            ("rate_per_km", Some(terms.rate_per_km)),
            ("minimum", terms.minimum),
            ("maximum", terms.maximum),
        ];
        for (name, amount) in amounts
            .iter()
            .filter_map(|(name, amount)| amount.map(|amount| (name, amount)))
        {
            if amount < Decimal::ZERO || amount.normalize().scale() > MOST_DECIMALS {
                return wrong(format!(
                    "{name} must be 0 or more, with at most {MOST_DECIMALS} decimals, got {amount}"
                ));
            }
        }
        if let (Some(minimum), Some(maximum)) = (terms.minimum, terms.maximum)
            && minimum > maximum
        {
            return wrong(format!("the minimum {minimum} is above the maximum {maximum}"));
        }
        let step = terms.rounding.step;
        if step <= Decimal::ZERO || step.normalize().scale() > MOST_DECIMALS {
            return wrong(format!(
                "the rounding step must be above 0, with at most {MOST_DECIMALS} decimals, got {step}"
            ));
        }
        check_bands(terms)
    }

    fn rate(&self, inputs: &RatingInputs) -> Result<RatedPremium, RatingError> {
        // A period without a change is still rated by version 1, whose rules are those of version 2 for one segment: a
        // premium that stays the same needs no new version for its interpreter's sake.
        self.by_version(if inputs.segments.is_empty() { WHOLE } else { SEGMENTED }, inputs)
    }

    fn rerun(&self, stored: &RatedPremium) -> Result<RatedPremium, RatingError> {
        self.by_version(stored.interpreter, &stored.inputs)
    }
}

impl PlanRater {
    fn by_version(&self, interpreter: u16, inputs: &RatingInputs) -> Result<RatedPremium, RatingError> {
        self.check(&inputs.terms)?;
        check_inputs(inputs)?;
        match interpreter {
            WHOLE if inputs.segments.is_empty() => rate_v1(inputs),
            WHOLE => Err(RatingError::Inputs("interpreter 1 knows no segments".to_owned())),
            SEGMENTED => {
                segments::check(self, inputs)?;
                segments::rate_v2(inputs)
            }
            unknown => Err(RatingError::UnknownInterpreter(unknown)),
        }
    }
}

fn check_bands(terms: &RatingTerms) -> Result<(), RatingError> {
    let wrong = |what: String| Err(RatingError::Terms(what));
    let hundred = Decimal::ONE_HUNDRED;
    if let Some(first) = terms.score_bands.first()
        && first.from_score != Decimal::ZERO
    {
        return wrong(format!(
            "the first score band must begin at 0, not at {}",
            first.from_score
        ));
    }
    for pair in terms.score_bands.windows(2) {
        if pair[1].from_score <= pair[0].from_score {
            let (before, after) = (pair[0].from_score, pair[1].from_score);
            return wrong(format!("score bands must go up: {after} comes after {before}"));
        }
    }
    for band in &terms.score_bands {
        if band.from_score > hundred {
            return wrong(format!("a score band cannot begin above 100, got {}", band.from_score));
        }
        if band.factor <= Decimal::ZERO || band.factor > hundred || band.factor.normalize().scale() > MOST_DECIMALS {
            return wrong(format!(
                "a factor must be above 0 and at most 100, with at most {MOST_DECIMALS} decimals, got {}",
                band.factor
            ));
        }
    }
    Ok(())
}

fn check_inputs(inputs: &RatingInputs) -> Result<(), RatingError> {
    let wrong = |what: String| Err(RatingError::Inputs(what));
    if inputs.period_days != inputs.period.days() {
        return wrong(format!(
            "{} has {} days, not {}",
            inputs.period,
            inputs.period.days(),
            inputs.period_days
        ));
    }
    if inputs.covered_days > inputs.period_days {
        return wrong(format!(
            "{} covered days in a period of {}",
            inputs.covered_days, inputs.period_days
        ));
    }
    if inputs.usage_m < 0 {
        return wrong(format!("usage cannot be negative, got {} m", inputs.usage_m));
    }
    check_score(inputs.score)
}

fn check_score(score: Option<Decimal>) -> Result<(), RatingError> {
    match score {
        Some(score) if score < Decimal::ZERO || score > Decimal::ONE_HUNDRED => Err(RatingError::Inputs(format!(
            "a score lies between 0 and 100, got {score}"
        ))),
        _ => Ok(()),
    }
}

/// Version 1: base, distance, subtotal, score factor, minimum, maximum, rounding. Never changed: what was charged by it
/// must come out the same for as long as the premium is kept. A new rule is a new version.
fn rate_v1(inputs: &RatingInputs) -> Result<RatedPremium, RatingError> {
    let (part, mut trace) = (steps::Part::whole(inputs), steps::Trace::default());
    let scored = steps::scored(&part, &mut trace)?;
    let bounds = steps::bounds(&part)?;
    let raised = steps::minimum(&part, scored, &bounds, &mut trace)?;
    let capped = steps::maximum(&part, raised, &bounds, &mut trace)?;
    let amount = steps::rounding(&part, capped, &bounds, &mut trace)?;
    Ok(RatedPremium {
        interpreter: WHOLE,
        inputs: inputs.clone(),
        steps: trace.steps,
        premium: Money::new(amount, inputs.terms.currency),
    })
}
