//! From trips to money: usage by insured-local day, scores, premiums.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use chrono::{Days, NaiveDate, NaiveTime};
use odograph_domain::{
    correction::{Correction, Why},
    features::TripFeatures,
    id::{DriverId, PolicyId, VehicleId},
    intake::{Cover, VehicleContext},
    policy::{Month, Policy, day_bounds},
    score::Score,
};
use odograph_store::{DeriveTx, PutPremium, ScoreChange, StoreError, UsageDay};
use tracing::warn;

use super::{Pipeline, correct, derive::Changes};

/// What a change of trips came to.
#[derive(Debug, Default)]
pub struct Charged {
    /// Those that are new or another.
    pub premiums: Vec<PutPremium>,
    /// Of scores and premiums that had been shown.
    pub corrections: Vec<Correction>,
}

/// Follows a change of trips through to the premiums. Everything is computed again from what is stored, so it can be
/// done as often as one likes.
///
/// `whole`: the window is derived to its end, so that what else is due of the vehicle's premiums can be rated too.
pub async fn charge(
    pipeline: &Pipeline,
    tx: &mut DeriveTx,
    context: &VehicleContext,
    changes: &Changes,
    whole: bool,
) -> Result<Charged> {
    let mut charged = Charged::default();
    let mut months: BTreeMap<(PolicyId, Month), VehicleId> = BTreeMap::new();
    let mut span = changes.days.first().copied().zip(changes.days.last().copied());
    let cause = tx.dirty().cause.clone();
    let corrects = correct::corrects(&changes.corrections, &cause);
    if whole
        && cause.why.contains(&Why::PolicyChanged)
        && let Some(from) = tx.take_rating_due().await?
    {
        // A day before: the insured's day begins up to one before that of UTC.
        let instant = (from - Days::new(1)).and_time(NaiveTime::MIN).and_utc();
        // Read again: what is due may have been changed after the window was taken.
        let context = tx.context().await?;
        tx.forget_behaviour(&context, instant).await?;
        let since = charged_since(tx, from).await?;
        months.extend(since.into_iter().map(|month| (month, context.vehicle)));
        let (first, last) = span.unwrap_or((from, from));
        let end = months.keys().map(|(_, month)| month.end() - Days::new(1)).max();
        span = Some((first.min(from), last.max(from).max(end.unwrap_or(last))));
    }
    let Some((first, last)) = span else {
        return Ok(charged);
    };
    for cover in &context.covers {
        let covered = meter(tx, cover, &changes.days).await?;
        months.extend(
            covered
                .into_iter()
                .map(|day| ((cover.policy, Month::of(day)), context.vehicle)),
        );
    }
    // A trip counts in the scores of the days after it, as long as the model looks back.
    let horizon = last + Days::new(u64::from(pipeline.model.window_days()));
    // Not only who drove: also who the vehicle's policies are rated by, who may have been named since.
    let mut drivers = changes.drivers.clone();
    drivers.extend(
        context
            .covers
            .iter()
            .filter(|cover| cover.product.allows_behaviour())
            .filter_map(|c| c.main_driver),
    );
    drivers.extend(context.assignments.iter().map(|assigned| assigned.driver));
    let drivers: Vec<DriverId> = drivers.into_iter().collect();
    tx.lock_drivers(&drivers).await?;
    let mut known: BTreeMap<PolicyId, Policy> = BTreeMap::new();
    for driver in drivers {
        let policies = tx.policies_rated_by(driver).await?;
        let scored = score(pipeline, tx, driver, &policies, (first, horizon)).await?;
        let shown = changes.shown.drivers.get(&driver).copied();
        charged.corrections.extend(correct::scores(
            driver,
            context.vehicle,
            &scored,
            shown,
            corrects,
            &cause,
        ));
        for policy in policies {
            let rated = tx.premium_months(policy.id).await?;
            let reached = rated
                .into_iter()
                .filter(|month| month.end() > first && month.first_day() <= horizon);
            months.extend(reached.map(|month| ((policy.id, month), policy.vehicle)));
            known.insert(policy.id, policy);
        }
    }
    let mut locked = None;
    for ((policy, month), vehicle) in months {
        // In the order of the policies' ids: two who lock several cannot wait for each other in a circle.
        if locked.replace(policy) != Some(policy) {
            tx.lock_policy(policy).await?;
        }
        if !known.contains_key(&policy) {
            known.insert(policy, tx.policy(policy).await?);
        }
        let Some(put) = rate(pipeline, tx, &known[&policy], month).await? else {
            continue;
        };
        if corrects || correct::month_was_over(month, &changes.shown) {
            charged.corrections.extend(put.correction(Some(vehicle), cause.clone()));
        }
        charged.premiums.extend(put.new.then_some(put));
    }
    Ok(charged)
}

/// The months from a day on for which the vehicle's policies have a premium: a change of a policy changes those too in
/// which nobody drove, or which it covers no more.
async fn charged_since(tx: &mut DeriveTx, from: NaiveDate) -> Result<BTreeSet<(PolicyId, Month)>> {
    tx.drop_uncovered_usage().await?;
    let mut months = BTreeSet::new();
    for policy in tx.policies().await? {
        let charged = tx.premium_months(policy.id).await?.into_iter();
        months.extend(
            charged
                .filter(|month| month.end() > from)
                .map(|month| (policy.id, month)),
        );
    }
    Ok(months)
}

/// Quantises the mileage of the days that the policy covers to whole metres, and returns those days.
async fn meter(tx: &mut DeriveTx, cover: &Cover, days: &BTreeSet<NaiveDate>) -> Result<Vec<NaiveDate>> {
    let covered = |day: &NaiveDate| {
        let (from, to) = day_bounds(*day, cover.time_zone);
        cover.from < to && cover.to.is_none_or(|end| from < end)
    };
    let days: Vec<NaiveDate> = days.iter().copied().filter(covered).collect();
    let (Some(first), Some(last)) = (days.first(), days.last()) else {
        return Ok(days);
    };
    let mut metres: BTreeMap<NaiveDate, f64> = BTreeMap::new();
    for share in tx.day_shares(*first, *last, cover.owned).await? {
        *metres.entry(share.day).or_default() += share.metres;
    }
    let usage: Vec<UsageDay> = days
        .iter()
        .map(|day| {
            let (utc_from, utc_to) = day_bounds(*day, cover.time_zone);
            UsageDay {
                day: *day,
                metres: metres.get(day).copied().unwrap_or(0.0).round() as i64,
                utc_from,
                utc_to,
                tzdb: chrono_tz::IANA_TZDB_VERSION.to_owned(),
                interpreter: METER_VERSION,
            }
        })
        .collect();
    tx.put_usage(cover.policy, &usage).await?;
    Ok(days)
}

/// Version of the rule above: the day's metres added up in the order of the trips' starts, then rounded once, halves away
/// from zero.
const METER_VERSION: u16 = 1;

/// Scores a driver on every day with a trip, and on the last day that every month of a policy is rated by it under the same
/// terms, as far as a change between the two days reaches; tells what changed.
async fn score(
    pipeline: &Pipeline,
    tx: &mut DeriveTx,
    driver: DriverId,
    policies: &[Policy],
    (first, horizon): (NaiveDate, NaiveDate),
) -> Result<Vec<ScoreChange>> {
    let window = Days::new(u64::from(pipeline.model.window_days()));
    // From the month's beginning: terms may have changed within it before the first trip, and need a score of that day.
    let first = Month::of(first).first_day();
    let trips = tx.driver_trips(driver, first - window, horizon).await?;
    let mut days: BTreeSet<NaiveDate> = trips.iter().map(|(day, _)| *day).collect();
    let mut month = Month::of(first);
    while month.first_day() <= horizon {
        let stretches = policies.iter().flat_map(|policy| policy.stretches(month));
        let rated_by_it = stretches.filter(|stretch| stretch.terms.main_driver.is_none_or(|main| main == driver));
        days.extend(rated_by_it.map(|stretch| stretch.last));
        month = Month::of(month.end());
    }
    let trips: Vec<(NaiveDate, &TripFeatures)> = trips.iter().map(|(day, features)| (*day, features)).collect();
    let scores: Vec<Score> = days
        .range(first..=horizon)
        .filter_map(|day| pipeline.model.score(*day, &trips))
        .collect();
    Ok(tx.replace_scores(driver, (first, horizon), &scores).await?)
}

/// `None` where the month cannot be rated.
async fn rate(pipeline: &Pipeline, tx: &mut DeriveTx, policy: &Policy, month: Month) -> Result<Option<PutPremium>> {
    let inputs = match tx.rating_inputs(policy, month).await {
        Ok(inputs) => inputs,
        // No version of the plan is in force yet: nothing can be charged, and asking for the premium says why.
        Err(StoreError::NotFound { kind }) => {
            warn!(policy.id = %policy.id, period = %month, missing = kind, "the period cannot be rated");
            return Ok(None);
        }
        Err(cause) => return Err(cause.into()),
    };
    match pipeline.rater.rate(&inputs) {
        Ok(rated) => Ok(Some(tx.put_premium(policy.id, &rated).await?)),
        // Terms that cannot be reckoned with must not keep trips from being derived.
        Err(cause) => {
            warn!(policy.id = %policy.id, period = %month, error = %cause, "the period cannot be rated");
            Ok(None)
        }
    }
}
