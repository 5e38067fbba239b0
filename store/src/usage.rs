//! Usage days: whole metres of an insured-local day under a policy.

use chrono::{DateTime, NaiveDate, Utc};
use odograph_domain::{
    id::{ExternalRef, PolicyId, RatingPlanId, TenantId, VehicleId},
    policy::{Month, Product},
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    error::{Result, StoreError},
    page::{Listed, Page, midnight},
    policies::policy_by_id,
    tenant::{TenantStore, named, reference},
};

/// One day's usage, with all that was used to cut the day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageDay {
    /// Insured-local.
    pub day: NaiveDate,
    pub metres: i64,
    pub utc_from: DateTime<Utc>,
    /// Exclusive.
    pub utc_to: DateTime<Utc>,
    /// Version of the time zone database.
    pub tzdb: String,
    /// Version of what turned trips into metres.
    pub interpreter: u16,
}

struct UsageRow {
    policy_id: Uuid,
    day: NaiveDate,
    metres: i64,
    utc_from: DateTime<Utc>,
    utc_to: DateTime<Utc>,
    tzdb: String,
    interpreter: i16,
}

impl UsageRow {
    fn read(self) -> Result<(PolicyId, UsageDay)> {
        let interpreter = u16::try_from(self.interpreter).map_err(StoreError::corrupt)?;
        let Self {
            day,
            metres,
            utc_from,
            utc_to,
            tzdb,
            ..
        } = self;
        Ok((
            self.policy_id.into(),
            UsageDay {
                day,
                metres,
                utc_from,
                utc_to,
                tzdb,
                interpreter,
            },
        ))
    }
}

impl TenantStore {
    /// Both days inclusive; days without usage have no row.
    pub async fn usage_by_policy(&self, policy: PolicyId, from: NaiveDate, to: NaiveDate) -> Result<Vec<UsageDay>> {
        let mut tx = self.begin().await?;
        policy_by_id(&mut tx, self.tenant_id(), policy).await?;
        let days = usage_days(&mut tx, self.tenant_id(), policy, from, to).await?;
        tx.commit().await?;
        Ok(days)
    }

    /// Over all policies of the vehicle; both days inclusive.
    pub async fn usage_by_vehicle(
        &self,
        vehicle: VehicleId,
        from: NaiveDate,
        to: NaiveDate,
    ) -> Result<Vec<(PolicyId, UsageDay)>> {
        let mut tx = self.begin().await?;
        let rows = sqlx::query_as!(
            UsageRow,
            "SELECT u.policy_id, u.day, u.metres, u.utc_from, u.utc_to, u.tzdb, u.interpreter
             FROM policy p JOIN usage_day u ON u.tenant_id = p.tenant_id AND u.policy_id = p.id
             WHERE p.tenant_id = $1 AND p.vehicle_id = $2 AND u.day BETWEEN $3 AND $4
             ORDER BY u.day, u.policy_id",
            self.tenant_id().uuid(),
            vehicle.uuid(),
            from,
            to,
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        rows.into_iter().map(UsageRow::read).collect()
    }
}

/// What a policy's vehicle drove in a month.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageMonth {
    pub policy: PolicyId,
    pub external_ref: Option<ExternalRef>,
    pub vehicle: VehicleId,
    pub period: Month,
    pub metres: i64,
    /// Days with a metre or more.
    pub days: i64,
    /// Product and plan of the month's premium, at its end; `None` where the month could not be rated.
    pub rated_by: Option<(Product, RatingPlanId)>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct UsageFilter {
    pub policy: Option<PolicyId>,
    pub product: Option<Product>,
    pub plan: Option<RatingPlanId>,
    /// Both inclusive.
    pub from: Option<Month>,
    pub to: Option<Month>,
}

impl TenantStore {
    /// By month and policy; months in which nothing was driven are left out.
    pub async fn usage_months(&self, filter: UsageFilter, page: Page) -> Result<Listed<UsageMonth>> {
        let mut tx = self.begin().await?;
        let rows = sqlx::query!(
            r#"SELECT u.policy_id, p.external_ref, p.vehicle_id, u.period AS "period!", u.metres AS "metres!",
                      u.days AS "days!", r.inputs ->> 'product' AS product, r.plan_id AS "plan_id?"
               FROM (SELECT policy_id, date_trunc('month', day::timestamp)::date AS period, sum(metres)::bigint AS metres,
                            count(*) AS days
                     FROM usage_day
                     WHERE tenant_id = $1 AND ($2::uuid IS NULL OR policy_id = $2) AND ($3::date IS NULL OR day >= $3)
                       AND ($4::date IS NULL OR day < $4)
                     GROUP BY 1, 2) AS u
               JOIN policy p ON p.tenant_id = $1 AND p.id = u.policy_id
               LEFT JOIN premium r ON r.tenant_id = $1 AND r.policy_id = u.policy_id AND r.period = u.period AND r.is_current
               WHERE ($5::text IS NULL OR r.inputs ->> 'product' = $5) AND ($6::uuid IS NULL OR r.plan_id = $6)
                 AND ($7::date IS NULL OR (u.period, u.policy_id) > ($7, $8))
               ORDER BY u.period, u.policy_id LIMIT $9"#,
            self.tenant_id().uuid(),
            filter.policy.map(PolicyId::uuid),
            filter.from.map(Month::first_day),
            filter.to.map(Month::end),
            filter.product.map(Product::as_str),
            filter.plan.map(RatingPlanId::uuid),
            page.at().map(|at| at.date_naive()),
            page.id(),
            page.fetch(),
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        let mut items = Vec::with_capacity(rows.len());
        for row in rows {
            let product = row.product.map(|name| named(&name, Product::parse)).transpose()?;
            items.push(UsageMonth {
                policy: row.policy_id.into(),
                external_ref: reference(row.external_ref)?,
                vehicle: row.vehicle_id.into(),
                period: Month::of(row.period),
                metres: row.metres,
                days: row.days,
                rated_by: product.zip(row.plan_id.map(RatingPlanId::from)),
            });
        }
        Ok(Listed::cut(&page, items, |month: &UsageMonth| {
            (midnight(month.period.first_day()), month.policy.uuid())
        }))
    }
}

pub(crate) async fn usage_days(
    conn: &mut PgConnection,
    tenant: TenantId,
    policy: PolicyId,
    from: NaiveDate,
    to: NaiveDate,
) -> Result<Vec<UsageDay>> {
    let rows = sqlx::query_as!(
        UsageRow,
        "SELECT policy_id, day, metres, utc_from, utc_to, tzdb, interpreter FROM usage_day
         WHERE tenant_id = $1 AND policy_id = $2 AND day BETWEEN $3 AND $4 ORDER BY day",
        tenant.uuid(),
        policy.uuid(),
        from,
        to,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(|row| row.read().map(|(_, day)| day)).collect()
}

/// Writes days; one of no metres is removed.
pub(crate) async fn put_usage(
    conn: &mut PgConnection,
    tenant: TenantId,
    policy: PolicyId,
    days: &[UsageDay],
) -> Result<()> {
    let empty: Vec<NaiveDate> = days.iter().filter(|day| day.metres <= 0).map(|day| day.day).collect();
    if !empty.is_empty() {
        sqlx::query!(
            "DELETE FROM usage_day WHERE tenant_id = $1 AND policy_id = $2 AND day = ANY ($3)",
            tenant.uuid(),
            policy.uuid(),
            &empty,
        )
        .execute(&mut *conn)
        .await?;
    }
    let driven: Vec<&UsageDay> = days.iter().filter(|day| day.metres > 0).collect();
    if driven.is_empty() {
        return Ok(());
    }
    let (mut dates, mut metres, mut from, mut to) = (vec![], vec![], vec![], vec![]);
    let (mut tzdb, mut interpreters) = (vec![], vec![]);
    for day in driven {
        dates.push(day.day);
        metres.push(day.metres);
        from.push(day.utc_from);
        to.push(day.utc_to);
        tzdb.push(day.tzdb.as_str());
        interpreters.push(i16::try_from(day.interpreter).unwrap_or(i16::MAX));
    }
    sqlx::query!(
        "INSERT INTO usage_day AS u (tenant_id, policy_id, day, metres, utc_from, utc_to, tzdb, interpreter)
         SELECT $1::uuid, $2::uuid, n.* FROM unnest($3::date[], $4::bigint[], $5::timestamptz[], $6::timestamptz[], $7::text[],
                                        $8::smallint[]) AS n (day, metres, utc_from, utc_to, tzdb, interpreter)
         ON CONFLICT (tenant_id, policy_id, day) DO UPDATE SET
             metres = excluded.metres, utc_from = excluded.utc_from, utc_to = excluded.utc_to, tzdb = excluded.tzdb,
             interpreter = excluded.interpreter",
        tenant.uuid(),
        policy.uuid(),
        &dates,
        &metres,
        &from,
        &to,
        &tzdb as &[&str],
        &interpreters,
    )
    .execute(conn)
    .await?;
    Ok(())
}
