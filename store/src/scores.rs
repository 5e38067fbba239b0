//! Behaviour scores, one a driver and day.

use chrono::NaiveDate;
use odograph_domain::{
    id::{DriverId, IdOrRef, TenantId},
    score::{ModelRef, Score},
};
use rust_decimal::Decimal;
use sqlx::PgConnection;

use crate::{
    drivers::known_driver,
    error::{Result, StoreError},
    page::{Listed, Page, midnight},
    tenant::{TenantStore, from_json, to_json},
};

struct ScoreRow {
    as_of: NaiveDate,
    value: Decimal,
    window_days: i16,
    exposure_km: f64,
    trips: i32,
    model_name: String,
    model_version: String,
    parameters_sha256: String,
    reasons: serde_json::Value,
}

impl ScoreRow {
    fn read(self) -> Result<Score> {
        Ok(Score {
            value: self.value,
            as_of: self.as_of,
            window_days: u16::try_from(self.window_days).map_err(StoreError::corrupt)?,
            exposure_km: self.exposure_km,
            trips: u32::try_from(self.trips).map_err(StoreError::corrupt)?,
            model: ModelRef {
                name: self.model_name,
                version: self.model_version,
                parameters_sha256: self.parameters_sha256,
            },
            reasons: from_json(self.reasons, "a score's reasons")?,
        })
    }
}

impl TenantStore {
    /// The driver's score as of the last day it drove, or the newest up to a day. Later days have scores too, of the ends of
    /// months to come, over the part of their window that has been driven.
    pub async fn latest_score(&self, driver: DriverId, as_of: Option<NaiveDate>) -> Result<Option<Score>> {
        let mut tx = self.begin().await?;
        known_driver(&mut tx, self.tenant_id(), &IdOrRef::Id(driver)).await?;
        let row = sqlx::query_as!(
            ScoreRow,
            "SELECT as_of, value, window_days, exposure_km, trips, model_name, model_version, parameters_sha256, reasons
             FROM score WHERE tenant_id = $1 AND driver_id = $2
               AND as_of <= coalesce($3, (SELECT max(start_day) FROM trip WHERE tenant_id = $1 AND driver_id = $2), 'infinity')
             ORDER BY as_of DESC LIMIT 1",
            self.tenant_id().uuid(),
            driver.uuid(),
            as_of,
        )
        .fetch_optional(&mut *tx)
        .await?;
        tx.commit().await?;
        row.map(ScoreRow::read).transpose()
    }

    /// The driver's scores, the newest first; both days inclusive.
    pub async fn scores(
        &self,
        driver: DriverId,
        from: Option<NaiveDate>,
        to: Option<NaiveDate>,
        page: Page,
    ) -> Result<Listed<Score>> {
        let mut tx = self.begin().await?;
        known_driver(&mut tx, self.tenant_id(), &IdOrRef::Id(driver)).await?;
        let rows = sqlx::query_as!(
            ScoreRow,
            "SELECT as_of, value, window_days, exposure_km, trips, model_name, model_version, parameters_sha256, reasons
             FROM score
             WHERE tenant_id = $1 AND driver_id = $2 AND ($3::date IS NULL OR as_of >= $3)
               AND ($4::date IS NULL OR as_of <= $4) AND ($5::date IS NULL OR as_of < $5)
             ORDER BY as_of DESC LIMIT $6",
            self.tenant_id().uuid(),
            driver.uuid(),
            from,
            to,
            page.at().map(|at| at.date_naive()),
            page.fetch(),
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        let items = rows.into_iter().map(ScoreRow::read).collect::<Result<_>>()?;
        let place = |score: &Score| (midnight(score.as_of), driver.uuid());
        Ok(Listed::cut(&page, items, place))
    }
}

impl TenantStore {
    /// The newest score of each week (from Monday) or month, the newest period first, each with the period's first day; both
    /// days inclusive. Without a last day up to that of the last trip: days to come have scores too, as
    /// [`TenantStore::latest_score`] says.
    pub async fn scores_by_period(
        &self,
        driver: DriverId,
        period: ScorePeriod,
        from: Option<NaiveDate>,
        to: Option<NaiveDate>,
        page: Page,
    ) -> Result<Listed<(NaiveDate, Score)>> {
        let mut tx = self.begin().await?;
        known_driver(&mut tx, self.tenant_id(), &IdOrRef::Id(driver)).await?;
        let rows = sqlx::query!(
            r#"SELECT DISTINCT ON (1) date_trunc($6, as_of::timestamp)::date AS "period!", as_of, value, window_days,
                      exposure_km, trips, model_name, model_version, parameters_sha256, reasons
               FROM score
               WHERE tenant_id = $1 AND driver_id = $2 AND ($3::date IS NULL OR as_of >= $3)
                 AND as_of <= coalesce($4, (SELECT max(start_day) FROM trip WHERE tenant_id = $1 AND driver_id = $2), 'infinity')
                 AND ($5::date IS NULL OR as_of < $5)
               ORDER BY 1 DESC, as_of DESC LIMIT $7"#,
            self.tenant_id().uuid(),
            driver.uuid(),
            from,
            to,
            page.at().map(|at| at.date_naive()),
            period.field(),
            page.fetch(),
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        let mut items = Vec::with_capacity(rows.len());
        for row in rows {
            let score = ScoreRow {
                as_of: row.as_of,
                value: row.value,
                window_days: row.window_days,
                exposure_km: row.exposure_km,
                trips: row.trips,
                model_name: row.model_name,
                model_version: row.model_version,
                parameters_sha256: row.parameters_sha256,
                reasons: row.reasons,
            };
            items.push((row.period, score.read()?));
        }
        let place = |(period, _): &(NaiveDate, Score)| (midnight(*period), driver.uuid());
        Ok(Listed::cut(&page, items, place))
    }
}

/// What scores are gathered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScorePeriod {
    /// From Monday.
    Week,
    Month,
}

impl ScorePeriod {
    /// As `date_trunc` calls it.
    fn field(self) -> &'static str {
        match self {
            Self::Week => "week",
            Self::Month => "month",
        }
    }
}

/// The score of exactly this day.
pub(crate) async fn score_on(
    conn: &mut PgConnection,
    tenant: TenantId,
    driver: DriverId,
    as_of: NaiveDate,
) -> Result<Option<Decimal>> {
    let value = sqlx::query_scalar!(
        "SELECT value FROM score WHERE tenant_id = $1 AND driver_id = $2 AND as_of = $3",
        tenant.uuid(),
        driver.uuid(),
        as_of,
    )
    .fetch_optional(conn)
    .await?;
    Ok(value)
}

/// The newest score of the month up to a day.
pub(crate) async fn score_before(
    conn: &mut PgConnection,
    tenant: TenantId,
    driver: DriverId,
    day: NaiveDate,
) -> Result<Option<Decimal>> {
    let value = sqlx::query_scalar!(
        "SELECT value FROM score WHERE tenant_id = $1 AND driver_id = $2 AND as_of <= $3 AND as_of > $3 - 31
         ORDER BY as_of DESC LIMIT 1",
        tenant.uuid(),
        driver.uuid(),
        day,
    )
    .fetch_optional(conn)
    .await?;
    Ok(value)
}

pub(crate) async fn put_scores(
    conn: &mut PgConnection,
    tenant: TenantId,
    driver: DriverId,
    scores: &[Score],
) -> Result<()> {
    if scores.is_empty() {
        return Ok(());
    }
    let (mut days, mut values, mut windows, mut kilometres, mut trips) = (vec![], vec![], vec![], vec![], vec![]);
    let (mut names, mut versions, mut parameters, mut reasons) = (vec![], vec![], vec![], vec![]);
    for score in scores {
        days.push(score.as_of);
        values.push(score.value);
        windows.push(i16::try_from(score.window_days).unwrap_or(i16::MAX));
        kilometres.push(score.exposure_km);
        trips.push(i32::try_from(score.trips).unwrap_or(i32::MAX));
        names.push(score.model.name.as_str());
        versions.push(score.model.version.as_str());
        parameters.push(score.model.parameters_sha256.as_str());
        reasons.push(to_json(&score.reasons)?);
    }
    sqlx::query!(
        "INSERT INTO score (tenant_id, driver_id, as_of, value, window_days, exposure_km, trips, model_name,
                            model_version, parameters_sha256, reasons)
         SELECT $1::uuid, $2::uuid, n.* FROM unnest($3::date[], $4::numeric[], $5::smallint[], $6::float8[], $7::int[],
             $8::text[], $9::text[], $10::text[], $11::jsonb[])
             AS n (as_of, value, window_days, exposure_km, trips, model_name, model_version, parameters_sha256, reasons)
         ON CONFLICT (tenant_id, driver_id, as_of) DO UPDATE SET
             value = excluded.value, window_days = excluded.window_days, exposure_km = excluded.exposure_km,
             trips = excluded.trips, model_name = excluded.model_name, model_version = excluded.model_version,
             parameters_sha256 = excluded.parameters_sha256, reasons = excluded.reasons",
        tenant.uuid(),
        driver.uuid(),
        &days,
        &values,
        &windows,
        &kilometres,
        &trips,
        &names as &[&str],
        &versions as &[&str],
        &parameters as &[&str],
        &reasons,
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub(crate) async fn remove_scores(
    conn: &mut PgConnection,
    tenant: TenantId,
    driver: DriverId,
    days: &[NaiveDate],
) -> Result<()> {
    sqlx::query!(
        "DELETE FROM score WHERE tenant_id = $1 AND driver_id = $2 AND as_of = ANY ($3)",
        tenant.uuid(),
        driver.uuid(),
        days,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The days from one on for which the driver has a score.
pub(crate) async fn score_days(
    conn: &mut PgConnection,
    tenant: TenantId,
    driver: DriverId,
    from: NaiveDate,
) -> Result<Vec<NaiveDate>> {
    let days = sqlx::query_scalar!(
        "SELECT as_of FROM score WHERE tenant_id = $1 AND driver_id = $2 AND as_of >= $3 ORDER BY as_of",
        tenant.uuid(),
        driver.uuid(),
        from,
    )
    .fetch_all(conn)
    .await?;
    Ok(days)
}
