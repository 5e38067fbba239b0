//! Rating plans. A version never changes once made.

use chrono::NaiveDate;
use odograph_domain::{
    id::{IdOrRef, RatingPlanId, TenantId},
    rating::{RatingPlan, RatingTerms},
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    error::{Result, StoreError},
    page::{Listed, Page},
    session::Caller,
    tenant::{TenantStore, from_json, given, to_json},
};

struct PlanRow {
    id: Uuid,
    name: String,
    version: i32,
    effective_from: NaiveDate,
    terms: serde_json::Value,
}

impl PlanRow {
    fn read(self) -> Result<RatingPlan> {
        Ok(RatingPlan {
            id: self.id.into(),
            name: self.name,
            version: self.version,
            effective_from: self.effective_from,
            terms: from_json(self.terms, "a rating plan's terms")?,
        })
    }
}

impl TenantStore {
    /// A plan with its first version.
    pub async fn create_rating_plan(
        &self,
        name: &str,
        effective_from: NaiveDate,
        terms: &RatingTerms,
    ) -> Result<RatingPlan> {
        let caller = self.caller();
        let id: RatingPlanId = caller.id();
        let mut tx = self.begin().await?;
        sqlx::query!(
            "INSERT INTO rating_plan (tenant_id, id, name, created_at) VALUES ($1, $2, $3, $4)",
            caller.tenant.uuid(),
            id.uuid(),
            name,
            caller.now,
        )
        .execute(&mut *tx)
        .await?;
        let plan = RatingPlan {
            id,
            name: name.to_owned(),
            version: 1,
            effective_from,
            terms: terms.clone(),
        };
        put_version(&mut tx, &caller, &plan).await?;
        caller.audit(&mut tx, "create", "rating_plan", id.uuid()).await?;
        tx.commit().await?;
        Ok(plan)
    }

    /// The next version of a plan. What was rated by earlier versions stays as it is.
    pub async fn add_rating_plan_version(
        &self,
        plan: &IdOrRef<RatingPlanId>,
        effective_from: NaiveDate,
        terms: &RatingTerms,
    ) -> Result<RatingPlan> {
        let caller = self.caller();
        let mut tx = self.begin().await?;
        let newest = newest_version(&mut tx, caller.tenant, plan).await?;
        if newest.terms.currency != terms.currency {
            let detail = format!(
                "the plan is in {}, its versions cannot be in {}",
                newest.terms.currency, terms.currency
            );
            return Err(StoreError::Conflict {
                kind: "rating_plan",
                detail,
            });
        }
        let next = RatingPlan {
            version: newest.version + 1,
            effective_from,
            terms: terms.clone(),
            ..newest
        };
        put_version(&mut tx, &caller, &next).await?;
        caller
            .audit(&mut tx, "create", "rating_plan_version", next.id.uuid())
            .await?;
        tx.commit().await?;
        Ok(next)
    }

    /// A plan under a name: a new one, or the next version of the one that has it. Where the last word on that day is the same
    /// already nothing is filed; then the second is `false`.
    pub async fn file_rating_plan(
        &self,
        plan: &IdOrRef<RatingPlanId>,
        effective_from: NaiveDate,
        terms: &RatingTerms,
    ) -> Result<(RatingPlan, bool)> {
        let versions = match self.rating_plan_versions(plan).await {
            Ok(versions) => versions,
            Err(StoreError::NotFound { .. }) if matches!(plan, IdOrRef::Ref(_)) => {
                let name = plan.to_string();
                match self.create_rating_plan(&name, effective_from, terms).await {
                    Ok(plan) => return Ok((plan, true)),
                    // Somebody else has just filed it.
                    Err(StoreError::Conflict { .. }) => self.rating_plan_versions(plan).await?,
                    Err(cause) => return Err(cause),
                }
            }
            Err(cause) => return Err(cause),
        };
        let last_word = versions
            .into_iter()
            .rev()
            .find(|version| version.effective_from == effective_from);
        match last_word {
            Some(filed) if filed.terms == *terms => Ok((filed, false)),
            _ => Ok((self.add_rating_plan_version(plan, effective_from, terms).await?, true)),
        }
    }

    /// The version in force on a day, if any is.
    pub async fn rating_plan_on(&self, plan: &IdOrRef<RatingPlanId>, day: NaiveDate) -> Result<Option<RatingPlan>> {
        let mut tx = self.begin().await?;
        let newest = newest_version(&mut tx, self.tenant_id(), plan).await?;
        let in_force = version_in_force(&mut tx, self.tenant_id(), newest.id, day).await?;
        tx.commit().await?;
        Ok(in_force)
    }

    /// The newest version. A plan's name serves as its reference.
    pub async fn rating_plan(&self, plan: &IdOrRef<RatingPlanId>) -> Result<RatingPlan> {
        let mut tx = self.begin().await?;
        let plan = newest_version(&mut tx, self.tenant_id(), plan).await?;
        tx.commit().await?;
        Ok(plan)
    }

    pub async fn rating_plan_version(&self, plan: RatingPlanId, version: i32) -> Result<RatingPlan> {
        let mut tx = self.begin().await?;
        let row = sqlx::query_as!(
            PlanRow,
            "SELECT p.id, p.name, v.version, v.effective_from, v.terms
             FROM rating_plan p JOIN rating_plan_version v ON v.tenant_id = p.tenant_id AND v.plan_id = p.id
             WHERE p.tenant_id = $1 AND p.id = $2 AND v.version = $3",
            self.tenant_id().uuid(),
            plan.uuid(),
            version,
        )
        .fetch_optional(&mut *tx)
        .await?;
        tx.commit().await?;
        row.ok_or(StoreError::NotFound { kind: "rating_plan" })?.read()
    }

    /// All versions of a plan, the first first.
    pub async fn rating_plan_versions(&self, plan: &IdOrRef<RatingPlanId>) -> Result<Vec<RatingPlan>> {
        let (id, name) = given(plan);
        let mut tx = self.begin().await?;
        let rows = sqlx::query_as!(
            PlanRow,
            "SELECT p.id, p.name, v.version, v.effective_from, v.terms
             FROM rating_plan p JOIN rating_plan_version v ON v.tenant_id = p.tenant_id AND v.plan_id = p.id
             WHERE p.tenant_id = $1 AND (p.id = $2 OR p.name = $3)
             ORDER BY v.version",
            self.tenant_id().uuid(),
            id,
            name,
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        if rows.is_empty() {
            return Err(StoreError::NotFound { kind: "rating_plan" });
        }
        rows.into_iter().map(PlanRow::read).collect()
    }

    /// Plans in the order they were made, each in its newest version, with the number of the one in force on a day.
    pub async fn rating_plans(&self, day: NaiveDate, page: Page) -> Result<Listed<(RatingPlan, Option<i32>)>> {
        let mut tx = self.begin().await?;
        let rows = sqlx::query!(
            r#"SELECT p.id, p.name, v.version, v.effective_from, v.terms, p.created_at, f.version AS "in_force?"
               FROM rating_plan p
               JOIN LATERAL (SELECT * FROM rating_plan_version n WHERE n.tenant_id = p.tenant_id AND n.plan_id = p.id
                             ORDER BY n.version DESC LIMIT 1) AS v ON true
               LEFT JOIN LATERAL (SELECT n.version FROM rating_plan_version n
                                  WHERE n.tenant_id = p.tenant_id AND n.plan_id = p.id AND n.effective_from <= $2
                                  ORDER BY n.effective_from DESC, n.version DESC LIMIT 1) AS f ON true
               WHERE p.tenant_id = $1 AND ($3::timestamptz IS NULL OR (p.created_at, p.id) > ($3, $4))
               ORDER BY p.created_at, p.id LIMIT $5"#,
            self.tenant_id().uuid(),
            day,
            page.at(),
            page.id(),
            page.fetch(),
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        let mut items = Vec::with_capacity(rows.len());
        for row in rows {
            let plan = RatingPlan {
                id: row.id.into(),
                name: row.name,
                version: row.version,
                effective_from: row.effective_from,
                terms: from_json(row.terms, "a rating plan's terms")?,
            };
            items.push((row.created_at, (plan, row.in_force)));
        }
        let listed = Listed::cut(&page, items, |(created_at, (plan, _))| (*created_at, plan.id.uuid()));
        Ok(Listed {
            items: listed.items.into_iter().map(|(_, plan)| plan).collect(),
            next: listed.next,
        })
    }
}

async fn put_version(conn: &mut PgConnection, caller: &Caller<'_>, plan: &RatingPlan) -> Result<()> {
    sqlx::query!(
        "INSERT INTO rating_plan_version (tenant_id, plan_id, version, effective_from, terms, created_at)
         VALUES ($1, $2, $3, $4, $5, $6)",
        caller.tenant.uuid(),
        plan.id.uuid(),
        plan.version,
        plan.effective_from,
        to_json(&plan.terms)?,
        caller.now,
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub(crate) async fn newest_version(
    conn: &mut PgConnection,
    tenant: TenantId,
    plan: &IdOrRef<RatingPlanId>,
) -> Result<RatingPlan> {
    let (id, name) = given(plan);
    let row = sqlx::query_as!(
        PlanRow,
        "SELECT p.id, p.name, v.version, v.effective_from, v.terms
         FROM rating_plan p JOIN rating_plan_version v ON v.tenant_id = p.tenant_id AND v.plan_id = p.id
         WHERE p.tenant_id = $1 AND (p.id = $2 OR p.name = $3)
         ORDER BY v.version DESC LIMIT 1",
        tenant.uuid(),
        id,
        name,
    )
    .fetch_optional(conn)
    .await?;
    row.ok_or(StoreError::NotFound { kind: "rating_plan" })?.read()
}

/// The version in force on a day: of those effective by then, the one effective last, and of equal ones the newest.
pub(crate) async fn version_in_force(
    conn: &mut PgConnection,
    tenant: TenantId,
    plan: RatingPlanId,
    day: NaiveDate,
) -> Result<Option<RatingPlan>> {
    let row = sqlx::query_as!(
        PlanRow,
        "SELECT p.id, p.name, v.version, v.effective_from, v.terms
         FROM rating_plan p JOIN rating_plan_version v ON v.tenant_id = p.tenant_id AND v.plan_id = p.id
         WHERE p.tenant_id = $1 AND p.id = $2 AND v.effective_from <= $3
         ORDER BY v.effective_from DESC, v.version DESC LIMIT 1",
        tenant.uuid(),
        plan.uuid(),
        day,
    )
    .fetch_optional(conn)
    .await?;
    row.map(PlanRow::read).transpose()
}
