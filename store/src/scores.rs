//! Behaviour scores, one a driver and day.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use odograph_domain::{
    id::{DriverId, IdOrRef, TenantId},
    score::{ModelRef, Score},
};
use rust_decimal::Decimal;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    drivers::known_driver,
    error::{Result, StoreError},
    page::{Listed, Page, midnight},
    session::Caller,
    tenant::{TenantStore, from_json, to_json},
};

/// A score with its place in its history.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoreRow {
    pub score: Score,
    /// 1 for the first of a day; grows with each that differs.
    pub version: i32,
    pub scored_at: DateTime<Utc>,
    /// When the next version took its place; `None` for the one in force.
    pub replaced_at: Option<DateTime<Utc>>,
}

/// A day whose score is not what it was.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoreChange {
    pub as_of: NaiveDate,
    /// Version and value; `None` where there was no score.
    pub before: Option<(i32, Decimal)>,
    pub after: Option<(i32, Decimal)>,
}

struct StoredScore {
    as_of: NaiveDate,
    value: Decimal,
    window_days: i16,
    exposure_km: f64,
    trips: i32,
    model_name: String,
    model_version: String,
    parameters_sha256: String,
    reasons: serde_json::Value,
    version: i32,
    scored_at: DateTime<Utc>,
    replaced_at: Option<DateTime<Utc>>,
}

impl StoredScore {
    fn read(self) -> Result<ScoreRow> {
        let score = Score {
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
        };
        Ok(ScoreRow {
            score,
            version: self.version,
            scored_at: self.scored_at,
            replaced_at: self.replaced_at,
        })
    }
}

impl TenantStore {
    /// The driver's score as of the last day it drove, or the newest up to a day. Later days have scores too, of the ends of
    /// months to come, over the part of their window that has been driven.
    pub async fn latest_score(&self, driver: DriverId, as_of: Option<NaiveDate>) -> Result<Option<ScoreRow>> {
        let mut tx = self.begin().await?;
        known_driver(&mut tx, self.tenant_id(), &IdOrRef::Id(driver)).await?;
        let row = sqlx::query_as!(
            StoredScore,
            "SELECT as_of, value, window_days, exposure_km, trips, model_name, model_version, parameters_sha256, reasons,
                    version, scored_at, NULL::timestamptz AS replaced_at
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
        row.map(StoredScore::read).transpose()
    }

    /// The driver's scores, the newest first; both days inclusive: those in force, or every version there was.
    pub async fn scores(
        &self,
        driver: DriverId,
        (from, to): (Option<NaiveDate>, Option<NaiveDate>),
        all_versions: bool,
        page: Page,
    ) -> Result<Listed<ScoreRow>> {
        let mut tx = self.begin().await?;
        known_driver(&mut tx, self.tenant_id(), &IdOrRef::Id(driver)).await?;
        let rows = sqlx::query_as!(
            StoredScore,
            r#"SELECT as_of AS "as_of!", value AS "value!", window_days AS "window_days!", exposure_km AS "exposure_km!",
                      trips AS "trips!", model_name AS "model_name!", model_version AS "model_version!",
                      parameters_sha256 AS "parameters_sha256!", reasons AS "reasons!", version AS "version!",
                      scored_at AS "scored_at!", replaced_at
               FROM (SELECT as_of, value, window_days, exposure_km, trips, model_name, model_version, parameters_sha256,
                            reasons, version, scored_at, NULL::timestamptz AS replaced_at
                     FROM score
                     WHERE tenant_id = $1 AND driver_id = $2 AND ($3::date IS NULL OR as_of >= $3)
                       AND ($4::date IS NULL OR as_of <= $4)
                     UNION ALL
                     SELECT as_of, value, window_days, exposure_km, trips, model_name, model_version, parameters_sha256,
                            reasons, version, scored_at, replaced_at
                     FROM score_history
                     WHERE $5 AND tenant_id = $1 AND driver_id = $2 AND ($3::date IS NULL OR as_of >= $3)
                       AND ($4::date IS NULL OR as_of <= $4)) AS s
               WHERE $6::date IS NULL OR (as_of, version) < ($6, $7)
               ORDER BY as_of DESC, version DESC LIMIT $8"#,
            self.tenant_id().uuid(),
            driver.uuid(),
            from,
            to,
            all_versions,
            page.at().map(|at| at.date_naive()),
            page.id().map(version_of),
            page.fetch(),
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        let items = rows.into_iter().map(StoredScore::read).collect::<Result<_>>()?;
        let place = |row: &ScoreRow| (midnight(row.score.as_of), place_of(row.version));
        Ok(Listed::cut(&page, items, place))
    }
}

/// A cursor has room for an id beside the day: here a version stands in it.
fn place_of(version: i32) -> Uuid {
    Uuid::from_u128(u128::from(version.unsigned_abs()))
}

fn version_of(place: Uuid) -> i32 {
    i32::try_from(place.as_u128()).unwrap_or(i32::MAX)
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
    ) -> Result<Listed<(NaiveDate, ScoreRow)>> {
        let mut tx = self.begin().await?;
        known_driver(&mut tx, self.tenant_id(), &IdOrRef::Id(driver)).await?;
        let rows = sqlx::query!(
            r#"SELECT DISTINCT ON (1) date_trunc($6, as_of::timestamp)::date AS "period!", as_of, value, window_days,
                      exposure_km, trips, model_name, model_version, parameters_sha256, reasons, version, scored_at
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
            let score = StoredScore {
                as_of: row.as_of,
                value: row.value,
                window_days: row.window_days,
                exposure_km: row.exposure_km,
                trips: row.trips,
                model_name: row.model_name,
                model_version: row.model_version,
                parameters_sha256: row.parameters_sha256,
                reasons: row.reasons,
                version: row.version,
                scored_at: row.scored_at,
                replaced_at: None,
            };
            items.push((row.period, score.read()?));
        }
        let place = |(period, _): &(NaiveDate, ScoreRow)| (midnight(*period), driver.uuid());
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

/// Puts these scores in the place of all that the driver has of the days, both inclusive. What is the same stays untouched;
/// what differs goes into the history, and its successor has the next version. Tells what changed, by day.
pub(crate) async fn replace_scores(
    conn: &mut PgConnection,
    caller: &Caller<'_>,
    driver: DriverId,
    (from, to): (NaiveDate, NaiveDate),
    scores: &[Score],
) -> Result<Vec<ScoreChange>> {
    let known = stored(conn, caller, driver, (from, to)).await?;
    let wanted: BTreeMap<NaiveDate, &Score> = scores.iter().map(|score| (score.as_of, score)).collect();
    let stale = |row: &&ScoreRow| wanted.get(&row.score.as_of).is_none_or(|score| **score != row.score);
    let replaced: Vec<&ScoreRow> = known.values().filter(stale).collect();
    let fresh: Vec<&Score> = wanted
        .values()
        .copied()
        .filter(|score| known.get(&score.as_of).is_none_or(|row| row.score != **score))
        .collect();
    if replaced.is_empty() && fresh.is_empty() {
        return Ok(Vec::new());
    }
    let days: Vec<NaiveDate> = replaced.iter().map(|row| row.score.as_of).collect();
    archive(conn, caller, driver, &days).await?;
    let newcomers: Vec<NaiveDate> = fresh
        .iter()
        .map(|score| score.as_of)
        .filter(|day| !known.contains_key(day))
        .collect();
    let earlier = last_versions(conn, caller, driver, &newcomers).await?;
    let version = |day: &NaiveDate| {
        let last = known
            .get(day)
            .map(|row| row.version)
            .or_else(|| earlier.get(day).copied());
        last.unwrap_or(0) + 1
    };
    insert(conn, caller, driver, &fresh, version).await?;

    let mut changes: BTreeMap<NaiveDate, ScoreChange> = BTreeMap::new();
    let nothing = |as_of| ScoreChange {
        as_of,
        before: None,
        after: None,
    };
    for row in replaced {
        let as_of = row.score.as_of;
        changes.entry(as_of).or_insert_with(|| nothing(as_of)).before = Some((row.version, row.score.value));
    }
    for score in fresh {
        let as_of = score.as_of;
        changes.entry(as_of).or_insert_with(|| nothing(as_of)).after = Some((version(&as_of), score.value));
    }
    Ok(changes.into_values().collect())
}

async fn stored(
    conn: &mut PgConnection,
    caller: &Caller<'_>,
    driver: DriverId,
    (from, to): (NaiveDate, NaiveDate),
) -> Result<BTreeMap<NaiveDate, ScoreRow>> {
    let rows = sqlx::query_as!(
        StoredScore,
        "SELECT as_of, value, window_days, exposure_km, trips, model_name, model_version, parameters_sha256, reasons,
                version, scored_at, NULL::timestamptz AS replaced_at
         FROM score WHERE tenant_id = $1 AND driver_id = $2 AND as_of BETWEEN $3 AND $4",
        caller.tenant.uuid(),
        driver.uuid(),
        from,
        to,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| row.read().map(|row| (row.score.as_of, row)))
        .collect()
}

/// Moves the scores of these days into the history.
async fn archive(conn: &mut PgConnection, caller: &Caller<'_>, driver: DriverId, days: &[NaiveDate]) -> Result<()> {
    if days.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "WITH gone AS (DELETE FROM score WHERE tenant_id = $1 AND driver_id = $2 AND as_of = ANY ($3) RETURNING *)
         INSERT INTO score_history (tenant_id, driver_id, as_of, version, value, window_days, exposure_km, trips, model_name,
                                    model_version, parameters_sha256, reasons, scored_at, replaced_at)
         SELECT tenant_id, driver_id, as_of, version, value, window_days, exposure_km, trips, model_name, model_version,
                parameters_sha256, reasons, scored_at, $4 FROM gone",
        caller.tenant.uuid(),
        driver.uuid(),
        days,
        caller.now,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The last versions of days that have no score now but may have had one.
async fn last_versions(
    conn: &mut PgConnection,
    caller: &Caller<'_>,
    driver: DriverId,
    days: &[NaiveDate],
) -> Result<BTreeMap<NaiveDate, i32>> {
    if days.is_empty() {
        return Ok(BTreeMap::new());
    }
    let rows = sqlx::query!(
        r#"SELECT as_of, max(version) AS "version!" FROM score_history
           WHERE tenant_id = $1 AND driver_id = $2 AND as_of = ANY ($3) GROUP BY as_of"#,
        caller.tenant.uuid(),
        driver.uuid(),
        days,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.as_of, row.version)).collect())
}

async fn insert(
    conn: &mut PgConnection,
    caller: &Caller<'_>,
    driver: DriverId,
    scores: &[&Score],
    version: impl Fn(&NaiveDate) -> i32,
) -> Result<()> {
    let (mut days, mut versions, mut values, mut windows) = (vec![], vec![], vec![], vec![]);
    let (mut exposures, mut trips, mut reasons) = (vec![], vec![], vec![]);
    let (mut models, mut model_versions, mut parameters) = (vec![], vec![], vec![]);
    for score in scores {
        days.push(score.as_of);
        versions.push(version(&score.as_of));
        values.push(score.value);
        windows.push(i16::try_from(score.window_days).unwrap_or(i16::MAX));
        exposures.push(score.exposure_km);
        trips.push(i32::try_from(score.trips).unwrap_or(i32::MAX));
        models.push(score.model.name.as_str());
        model_versions.push(score.model.version.as_str());
        parameters.push(score.model.parameters_sha256.as_str());
        reasons.push(to_json(&score.reasons)?);
    }
    sqlx::query!(
        "INSERT INTO score (tenant_id, driver_id, as_of, version, value, window_days, exposure_km, trips, model_name,
                            model_version, parameters_sha256, reasons, scored_at)
         SELECT $1::uuid, $2::uuid, n.*, $3::timestamptz
         FROM unnest($4::date[], $5::int[], $6::numeric[], $7::smallint[], $8::float8[], $9::int[], $10::text[], $11::text[],
                     $12::text[], $13::jsonb[])
             AS n (as_of, version, value, window_days, exposure_km, trips, model_name, model_version, parameters_sha256, reasons)",
        caller.tenant.uuid(),
        driver.uuid(),
        caller.now,
        &days,
        &versions,
        &values,
        &windows,
        &exposures,
        &trips,
        &models as &[&str],
        &model_versions as &[&str],
        &parameters as &[&str],
        &reasons,
    )
    .execute(conn)
    .await?;
    Ok(())
}
