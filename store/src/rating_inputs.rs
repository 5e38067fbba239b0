//! What a premium follows from, gathered from what is stored.

use chrono::NaiveDate;
use odograph_domain::{
    id::{DriverId, PolicyId, TenantId},
    policy::{Month, Policy, PolicyTerms, Stretch, day_bounds},
    rating::{RatingInputs, RatingPlan, RatingSegment},
};
use rust_decimal::Decimal;
use sqlx::PgConnection;

use crate::{
    error::{Result, StoreError},
    policies::policy_by_id,
    rating_plans::version_in_force,
    scores::{score_before, score_on},
};

/// Which score a stretch of days is rated by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ScoreDay {
    /// That of its last day, as premiums are.
    Exact,
    /// Where there is none of its last day the newest of the month before: a stretch that is only supposed has none of its own.
    Nearest,
}

pub(crate) async fn rating_inputs(
    conn: &mut PgConnection,
    tenant: TenantId,
    policy: PolicyId,
    period: Month,
) -> Result<RatingInputs> {
    let policy = policy_by_id(conn, tenant, policy).await?;
    inputs_of(conn, tenant, &policy, period, ScoreDay::Exact).await
}

/// By the terms that the policy given has, which may be others than those stored.
pub(crate) async fn inputs_of(
    conn: &mut PgConnection,
    tenant: TenantId,
    policy: &Policy,
    period: Month,
    day: ScoreDay,
) -> Result<RatingInputs> {
    let mut segments = Vec::new();
    for stretch in policy.stretches(period) {
        segments.push(segment(conn, tenant, policy, &stretch, day).await?);
    }
    let Some(last) = segments.last().cloned() else {
        return uncovered(conn, tenant, policy, period).await;
    };
    let inputs = RatingInputs {
        product: last.product,
        period,
        covered_days: segments.iter().map(RatingSegment::days).sum(),
        period_days: period.days(),
        usage_m: segments.iter().map(|segment| segment.usage_m).sum(),
        score: last.score,
        plan: last.plan,
        plan_version: last.plan_version,
        terms: last.terms,
        segments: Vec::new(),
    };
    Ok(match segments.len() {
        1 => inputs,
        _ => RatingInputs { segments, ..inputs },
    })
}

/// A month that has a premium and is covered no more, since the policy was ended before it: nothing is owed for it. Of any
/// other month without cover there is nothing to rate.
async fn uncovered(conn: &mut PgConnection, tenant: TenantId, policy: &Policy, period: Month) -> Result<RatingInputs> {
    let charged = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM premium WHERE tenant_id = $1 AND policy_id = $2 AND period = $3) AS "charged!""#,
        tenant.uuid(),
        policy.id.uuid(),
        period.first_day(),
    )
    .fetch_one(&mut *conn)
    .await?;
    if !charged {
        return Err(StoreError::NotFound {
            kind: "covered day in this period",
        });
    }
    let day = period.first_day().max(policy.starts_on);
    let terms = policy.terms_on(day);
    let plan = in_force(conn, tenant, terms, day).await?;
    Ok(RatingInputs {
        product: terms.product,
        period,
        covered_days: 0,
        period_days: period.days(),
        usage_m: 0,
        score: None,
        plan: plan.id,
        plan_version: plan.version,
        terms: plan.terms,
        segments: Vec::new(),
    })
}

async fn segment(
    conn: &mut PgConnection,
    tenant: TenantId,
    policy: &Policy,
    stretch: &Stretch<'_>,
    day: ScoreDay,
) -> Result<RatingSegment> {
    let &Stretch { first, last, terms } = stretch;
    // By the first covered day: what these days are rated by does not change within them.
    let plan = in_force(conn, tenant, terms, first).await?;
    let usage_m = sqlx::query_scalar!(
        r#"SELECT coalesce(sum(metres), 0)::bigint AS "metres!" FROM usage_day
           WHERE tenant_id = $1 AND policy_id = $2 AND day BETWEEN $3 AND $4"#,
        tenant.uuid(),
        policy.id.uuid(),
        first,
        last,
    )
    .fetch_one(&mut *conn)
    .await?;
    Ok(RatingSegment {
        first,
        last,
        product: terms.product,
        usage_m,
        score: score(conn, tenant, policy, stretch, day).await?,
        plan: plan.id,
        plan_name: plan.name,
        plan_version: plan.version,
        terms: plan.terms,
    })
}

async fn in_force(
    conn: &mut PgConnection,
    tenant: TenantId,
    terms: &PolicyTerms,
    day: NaiveDate,
) -> Result<RatingPlan> {
    version_in_force(conn, tenant, terms.plan, day)
        .await?
        .ok_or(StoreError::NotFound {
            kind: "version of the rating plan in force",
        })
}

async fn score(
    conn: &mut PgConnection,
    tenant: TenantId,
    policy: &Policy,
    stretch: &Stretch<'_>,
    day: ScoreDay,
) -> Result<Option<Decimal>> {
    if !stretch.terms.product.allows_behaviour() {
        return Ok(None);
    }
    match driver_of(conn, tenant, policy, stretch).await? {
        Some(driver) => match (score_on(conn, tenant, driver, stretch.last).await?, day) {
            (None, ScoreDay::Nearest) => score_before(conn, tenant, driver, stretch.last).await,
            (score, _) => Ok(score),
        },
        None => Ok(None),
    }
}

/// The main driver; without one, whoever was assigned last within these days.
async fn driver_of(
    conn: &mut PgConnection,
    tenant: TenantId,
    policy: &Policy,
    stretch: &Stretch<'_>,
) -> Result<Option<DriverId>> {
    if stretch.terms.main_driver.is_some() {
        return Ok(stretch.terms.main_driver);
    }
    let from = day_bounds(stretch.first, policy.time_zone).0;
    let to = day_bounds(stretch.last, policy.time_zone).1;
    let driver = sqlx::query_scalar!(
        "SELECT driver_id FROM assignment
         WHERE tenant_id = $1 AND vehicle_id = $2 AND starts_at < $4 AND (ends_at IS NULL OR ends_at > $3)
         ORDER BY starts_at DESC LIMIT 1",
        tenant.uuid(),
        policy.vehicle.uuid(),
        from,
        to,
    )
    .fetch_optional(conn)
    .await?;
    Ok(driver.map(DriverId::from))
}
