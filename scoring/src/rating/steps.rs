//! The steps of interpreter version 1. Amounts are [`Share`]s: exact numerators over the days of the period.

use std::cmp::Ordering;

use odograph_domain::policy::Product;

use super::{Decimal, RatingError, RatingInputs, Rounding, RoundingMode, TraceStep};

/// An amount, times the days of the period. Dividing waits for the rounding, so nothing is lost before it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Share(Decimal);

/// The plan's minimum and maximum, in proportion to the days covered.
#[derive(Debug)]
pub(super) struct Bounds {
    minimum: Option<Share>,
    maximum: Option<Share>,
}

type Trace = Vec<TraceStep>;

pub(super) fn base(inputs: &RatingInputs, trace: &mut Trace) -> Result<Share, RatingError> {
    let terms = &inputs.terms;
    let share = Share(product(
        terms.base_per_month,
        Decimal::from(inputs.covered_days),
        "base",
    )?);
    let text = format!(
        "{} {} a month × {} of {} days covered",
        terms.base_per_month, terms.currency, inputs.covered_days, inputs.period_days
    );
    note(trace, "base", text, amount(inputs, share, "base")?);
    Ok(share)
}

pub(super) fn distance(inputs: &RatingInputs, trace: &mut Trace) -> Result<Share, RatingError> {
    let terms = &inputs.terms;
    let km = Decimal::try_from_i128_with_scale(i128::from(inputs.usage_m), 3)
        .map_err(|_| RatingError::Overflow("distance"))?;
    let charge = product(km, terms.rate_per_km, "distance")?;
    let text = format!("{km} km × {} {} a km", terms.rate_per_km, terms.currency);
    note(trace, "distance", text, charge.normalize());
    Ok(Share(product(charge, Decimal::from(inputs.period_days), "distance")?))
}

pub(super) fn subtotal(
    inputs: &RatingInputs,
    base: Share,
    distance: Share,
    trace: &mut Trace,
) -> Result<Share, RatingError> {
    let share = Share(sum(base.0, distance.0, "subtotal")?);
    note(
        trace,
        "subtotal",
        "base + distance".to_owned(),
        amount(inputs, share, "subtotal")?,
    );
    Ok(share)
}

/// PHYD only: the factor of the band the score lies in.
pub(super) fn score_factor(inputs: &RatingInputs, subtotal: Share, trace: &mut Trace) -> Result<Share, RatingError> {
    let bands = &inputs.terms.score_bands;
    if inputs.product == Product::Payd || bands.is_empty() {
        return Ok(subtotal);
    }
    let (factor, text) = match inputs.score {
        None => (
            Decimal::ONE,
            "no score on the last covered day (too little driven): × 1".to_owned(),
        ),
        Some(score) => {
            let band = bands.iter().rfind(|band| band.from_score <= score);
            let band = band.ok_or_else(|| RatingError::Terms(format!("no band for the score {score}")))?;
            (
                band.factor,
                format!("score {score}, in the band from {}: × {}", band.from_score, band.factor),
            )
        }
    };
    let share = Share(product(subtotal.0, factor, "score_factor")?);
    note(trace, "score_factor", text, amount(inputs, share, "score_factor")?);
    Ok(share)
}

pub(super) fn bounds(inputs: &RatingInputs) -> Result<Bounds, RatingError> {
    let days = Decimal::from(inputs.covered_days);
    let share = |bound: Option<Decimal>, step| bound.map(|b| product(b, days, step).map(Share)).transpose();
    Ok(Bounds {
        minimum: share(inputs.terms.minimum, "minimum")?,
        maximum: share(inputs.terms.maximum, "maximum")?,
    })
}

pub(super) fn minimum(
    inputs: &RatingInputs,
    before: Share,
    bounds: &Bounds,
    trace: &mut Trace,
) -> Result<Share, RatingError> {
    let (Some(bound), Some(stated)) = (bounds.minimum, inputs.terms.minimum) else {
        return Ok(before);
    };
    let reached = before.0 >= bound.0;
    let after = if reached { before } else { bound };
    let what = if reached { "not below" } else { "raised to" };
    note(
        trace,
        "minimum",
        bound_text(inputs, what, "minimum", stated),
        amount(inputs, after, "minimum")?,
    );
    Ok(after)
}

pub(super) fn maximum(
    inputs: &RatingInputs,
    before: Share,
    bounds: &Bounds,
    trace: &mut Trace,
) -> Result<Share, RatingError> {
    let (Some(bound), Some(stated)) = (bounds.maximum, inputs.terms.maximum) else {
        return Ok(before);
    };
    let within = before.0 <= bound.0;
    let after = if within { before } else { bound };
    let what = if within { "not above" } else { "lowered to" };
    note(
        trace,
        "maximum",
        bound_text(inputs, what, "maximum", stated),
        amount(inputs, after, "maximum")?,
    );
    Ok(after)
}

fn bound_text(inputs: &RatingInputs, what: &str, which: &str, stated: Decimal) -> String {
    let (covered, days) = (inputs.covered_days, inputs.period_days);
    format!(
        "{what} the {which} of {stated} {} a month × {covered} of {days} days",
        inputs.terms.currency
    )
}

/// To a multiple of the step, by the plan's mode; where that would leave the minimum or the maximum, the next multiple
/// inside. If no multiple lies between them the maximum holds.
pub(super) fn rounding(
    inputs: &RatingInputs,
    exact: Share,
    bounds: &Bounds,
    trace: &mut Trace,
) -> Result<Decimal, RatingError> {
    let Rounding { step, mode } = inputs.terms.rounding;
    let unit = product(step, Decimal::from(inputs.period_days), "rounding")?;
    let (mut units, remainder) = divide(exact.0, unit)?;
    if rounds_up(mode, units, remainder, unit)? {
        units = sum(units, Decimal::ONE, "rounding")?;
    }
    if let Some(minimum) = bounds.minimum {
        let (whole, rest) = divide(minimum.0, unit)?;
        let lowest = if rest.is_zero() {
            whole
        } else {
            sum(whole, Decimal::ONE, "rounding")?
        };
        units = units.max(lowest);
    }
    if let Some(maximum) = bounds.maximum {
        units = units.min(divide(maximum.0, unit)?.0);
    }
    // The step's own scale shows in the result: 12.50, not 12.5, where the step is 0.01.
    let mut rounded = product(units, step, "rounding")?;
    rounded.rescale(step.scale());
    let text = format!("to a multiple of {step} {}, {}", inputs.terms.currency, mode_text(mode));
    note(trace, "rounding", text, rounded);
    Ok(rounded)
}

/// How many whole units there are, and what is left. Both exact: the remainder of two decimals is, and what it leaves is
/// a multiple of the unit.
fn divide(share: Decimal, unit: Decimal) -> Result<(Decimal, Decimal), RatingError> {
    let overflow = RatingError::Overflow("rounding");
    let remainder = share.checked_rem(unit).ok_or(overflow.clone())?;
    let whole = share
        .checked_sub(remainder)
        .and_then(|even| even.checked_div(unit))
        .ok_or(overflow)?;
    Ok((whole.round(), remainder))
}

fn rounds_up(mode: RoundingMode, units: Decimal, remainder: Decimal, unit: Decimal) -> Result<bool, RatingError> {
    let halves = product(remainder, Decimal::TWO, "rounding")?.cmp(&unit);
    Ok(match mode {
        RoundingMode::Down => false,
        RoundingMode::Up => !remainder.is_zero(),
        RoundingMode::HalfUp => halves != Ordering::Less,
        RoundingMode::HalfEven => match halves {
            Ordering::Greater => true,
            Ordering::Less => false,
            Ordering::Equal => !(units % Decimal::TWO).is_zero(),
        },
    })
}

fn mode_text(mode: RoundingMode) -> &'static str {
    match mode {
        RoundingMode::HalfUp => "halves up",
        RoundingMode::HalfEven => "halves to the even neighbour",
        RoundingMode::Up => "up",
        RoundingMode::Down => "down",
    }
}

fn note(trace: &mut Trace, step: &str, explanation: String, value: Decimal) {
    trace.push(TraceStep {
        step: step.to_owned(),
        explanation,
        value,
    });
}

/// The amount a share stands for, to the 28 digits of a decimal. For the trace only: the calculation goes on with the
/// share.
fn amount(inputs: &RatingInputs, share: Share, step: &'static str) -> Result<Decimal, RatingError> {
    let days = Decimal::from(inputs.period_days);
    share
        .0
        .checked_div(days)
        .map(|amount| amount.normalize())
        .ok_or(RatingError::Overflow(step))
}

/// A product that is exact or an error: `checked_mul` alone would drop decimals that do not fit.
fn product(a: Decimal, b: Decimal, step: &'static str) -> Result<Decimal, RatingError> {
    let (a, b) = (a.normalize(), b.normalize());
    let product = a.checked_mul(b).ok_or(RatingError::Overflow(step))?;
    if !a.is_zero() && !b.is_zero() && product.scale() != a.scale() + b.scale() {
        return Err(RatingError::Overflow(step));
    }
    Ok(product)
}

/// A sum that is exact or an error.
fn sum(a: Decimal, b: Decimal, step: &'static str) -> Result<Decimal, RatingError> {
    let sum = a.checked_add(b).ok_or(RatingError::Overflow(step))?;
    if sum.checked_sub(b) != Some(a) {
        return Err(RatingError::Overflow(step));
    }
    Ok(sum)
}
