//! The steps that the interpreters are made of. Amounts are [`Share`]s: exact numerators over the days of the period.

use std::cmp::Ordering;

use odograph_domain::policy::Product;

use super::{Decimal, RatingError, RatingInputs, RatingSegment, RatingTerms, Rounding, RoundingMode, TraceStep};

/// An amount, times the days of the period. Dividing waits for the rounding, so nothing is lost before it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Share(Decimal);

/// The plan's minimum and maximum, in proportion to the days covered.
#[derive(Debug)]
pub(super) struct Bounds {
    minimum: Option<Share>,
    maximum: Option<Share>,
}

/// What the steps look at: a period, or a part of it under the same terms.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part<'a> {
    pub(super) product: Product,
    pub(super) covered_days: u32,
    pub(super) period_days: u32,
    pub(super) usage_m: i64,
    pub(super) score: Option<Decimal>,
    pub(super) terms: &'a RatingTerms,
}

impl<'a> Part<'a> {
    pub(super) fn whole(inputs: &'a RatingInputs) -> Self {
        Self {
            product: inputs.product,
            covered_days: inputs.covered_days,
            period_days: inputs.period_days,
            usage_m: inputs.usage_m,
            score: inputs.score,
            terms: &inputs.terms,
        }
    }

    pub(super) fn segment(inputs: &RatingInputs, segment: &'a RatingSegment) -> Self {
        Self {
            product: segment.product,
            covered_days: segment.days(),
            period_days: inputs.period_days,
            usage_m: segment.usage_m,
            score: segment.score,
            terms: &segment.terms,
        }
    }
}

/// The steps taken so far, and what the next ones are about.
#[derive(Debug, Default)]
pub(super) struct Trace {
    pub(super) steps: Vec<TraceStep>,
    about: String,
    segment: Option<u16>,
}

impl Trace {
    /// The steps from here on are about this part of the period.
    pub(super) fn about(&mut self, segment: Option<u16>, part: String) {
        self.segment = segment;
        self.about = part;
    }
}

impl Share {
    pub(super) const NOTHING: Self = Self(Decimal::ZERO);

    pub(super) fn plus(self, other: Self, step: &'static str) -> Result<Self, RatingError> {
        sum(self.0, other.0, step).map(Self)
    }
}

impl Bounds {
    /// What an amount lies between that is the sum of one within these bounds and of one within the others.
    pub(super) fn plus(&self, other: &Self) -> Result<Self, RatingError> {
        let minimum = match (self.minimum, other.minimum) {
            (Some(one), Some(two)) => Some(one.plus(two, "minimum")?),
            (one, two) => one.or(two),
        };
        let maximum = match (self.maximum, other.maximum) {
            (Some(one), Some(two)) => Some(one.plus(two, "maximum")?),
            _ => None,
        };
        Ok(Self { minimum, maximum })
    }
}

/// Base, distance, subtotal and score factor: what the days cost before the plan's bounds.
pub(super) fn scored(part: &Part<'_>, trace: &mut Trace) -> Result<Share, RatingError> {
    let base = base(part, trace)?;
    let distance = distance(part, trace)?;
    let subtotal = subtotal(part, base, distance, trace)?;
    score_factor(part, subtotal, trace)
}

fn base(part: &Part<'_>, trace: &mut Trace) -> Result<Share, RatingError> {
    let terms = part.terms;
    let share = Share(product(terms.base_per_month, Decimal::from(part.covered_days), "base")?);
    let text = format!(
        "{} {} a month × {} of {} days covered",
        terms.base_per_month, terms.currency, part.covered_days, part.period_days
    );
    note(trace, "base", text, amount(part, share, "base")?);
    Ok(share)
}

fn distance(part: &Part<'_>, trace: &mut Trace) -> Result<Share, RatingError> {
    let terms = part.terms;
    let km = Decimal::try_from_i128_with_scale(i128::from(part.usage_m), 3)
        .map_err(|_| RatingError::Overflow("distance"))?;
    let charge = product(km, terms.rate_per_km, "distance")?;
    let text = format!("{km} km × {} {} a km", terms.rate_per_km, terms.currency);
    note(trace, "distance", text, charge.normalize());
    Ok(Share(product(charge, Decimal::from(part.period_days), "distance")?))
}

fn subtotal(part: &Part<'_>, base: Share, distance: Share, trace: &mut Trace) -> Result<Share, RatingError> {
    let share = Share(sum(base.0, distance.0, "subtotal")?);
    note(
        trace,
        "subtotal",
        "base + distance".to_owned(),
        amount(part, share, "subtotal")?,
    );
    Ok(share)
}

/// PHYD only: the factor of the band the score lies in.
fn score_factor(part: &Part<'_>, subtotal: Share, trace: &mut Trace) -> Result<Share, RatingError> {
    let bands = &part.terms.score_bands;
    if part.product == Product::Payd || bands.is_empty() {
        return Ok(subtotal);
    }
    let (factor, text) = match part.score {
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
    note(trace, "score_factor", text, amount(part, share, "score_factor")?);
    Ok(share)
}

/// Parts of the period added up.
pub(super) fn total(
    part: &Part<'_>,
    shares: &[Share],
    step: &'static str,
    trace: &mut Trace,
) -> Result<Share, RatingError> {
    let share = shares
        .iter()
        .try_fold(Share::NOTHING, |total, share| total.plus(*share, step))?;
    let amounts = shares
        .iter()
        .map(|share| amount(part, *share, step).map(|amount| amount.to_string()))
        .collect::<Result<Vec<_>, _>>()?;
    note(trace, step, amounts.join(" + "), amount(part, share, step)?);
    Ok(share)
}

pub(super) fn bounds(part: &Part<'_>) -> Result<Bounds, RatingError> {
    let days = Decimal::from(part.covered_days);
    let share = |bound: Option<Decimal>, step| bound.map(|b| product(b, days, step).map(Share)).transpose();
    Ok(Bounds {
        minimum: share(part.terms.minimum, "minimum")?,
        maximum: share(part.terms.maximum, "maximum")?,
    })
}

pub(super) fn minimum(
    part: &Part<'_>,
    before: Share,
    bounds: &Bounds,
    trace: &mut Trace,
) -> Result<Share, RatingError> {
    let (Some(bound), Some(stated)) = (bounds.minimum, part.terms.minimum) else {
        return Ok(before);
    };
    let reached = before.0 >= bound.0;
    let after = if reached { before } else { bound };
    let what = if reached { "not below" } else { "raised to" };
    note(
        trace,
        "minimum",
        bound_text(part, what, "minimum", stated),
        amount(part, after, "minimum")?,
    );
    Ok(after)
}

pub(super) fn maximum(
    part: &Part<'_>,
    before: Share,
    bounds: &Bounds,
    trace: &mut Trace,
) -> Result<Share, RatingError> {
    let (Some(bound), Some(stated)) = (bounds.maximum, part.terms.maximum) else {
        return Ok(before);
    };
    let within = before.0 <= bound.0;
    let after = if within { before } else { bound };
    let what = if within { "not above" } else { "lowered to" };
    note(
        trace,
        "maximum",
        bound_text(part, what, "maximum", stated),
        amount(part, after, "maximum")?,
    );
    Ok(after)
}

fn bound_text(part: &Part<'_>, what: &str, which: &str, stated: Decimal) -> String {
    let (covered, days) = (part.covered_days, part.period_days);
    format!(
        "{what} the {which} of {stated} {} a month × {covered} of {days} days",
        part.terms.currency
    )
}

/// To a multiple of the step, by the plan's mode; where that would leave the minimum or the maximum, the next multiple
/// inside. If no multiple lies between them the maximum holds.
pub(super) fn rounding(
    part: &Part<'_>,
    exact: Share,
    bounds: &Bounds,
    trace: &mut Trace,
) -> Result<Decimal, RatingError> {
    let Rounding { step, mode } = part.terms.rounding;
    let unit = product(step, Decimal::from(part.period_days), "rounding")?;
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
    let text = format!("to a multiple of {step} {}, {}", part.terms.currency, mode_text(mode));
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
    let explanation = match trace.about.as_str() {
        "" => explanation,
        about => format!("{about}: {explanation}"),
    };
    trace.steps.push(TraceStep {
        step: step.to_owned(),
        segment: trace.segment,
        explanation,
        value,
    });
}

/// The amount a share stands for, to the 28 digits of a decimal. For the trace only: the calculation goes on with the
/// share.
fn amount(part: &Part<'_>, share: Share, step: &'static str) -> Result<Decimal, RatingError> {
    let days = Decimal::from(part.period_days);
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
