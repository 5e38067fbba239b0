//! How the messages of one import ended.

use std::collections::BTreeMap;

use odograph_domain::{id::TenantId, outcome::Tally};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    error::{Result, StoreError},
    tenant::TenantStore,
};

impl TenantStore {
    /// The outcomes of an import's samples so far.
    pub async fn import_outcomes(&self, run: Uuid) -> Result<Tally> {
        let mut tx = self.begin().await?;
        let rows = sqlx::query!(
            r#"SELECT outcome, sum(samples)::bigint AS "samples!" FROM import_outcome
               WHERE tenant_id = $1 AND run_id = $2 GROUP BY outcome"#,
            self.tenant_id().uuid(),
            run,
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        let mut tally = Tally::default();
        for row in rows {
            let samples = u64::try_from(row.samples).map_err(StoreError::corrupt)?;
            match row.outcome.as_str() {
                "received" => tally.received = samples,
                "accepted" => tally.accepted = samples,
                "duplicate" => tally.duplicate = samples,
                reason => tally.reject(reason, samples),
            }
        }
        Ok(tally)
    }
}

/// Adds tallies of imports' messages to the counters of a shard.
pub(crate) async fn count_imports(conn: &mut PgConnection, shard: i32, runs: &[(TenantId, Uuid, Tally)]) -> Result<()> {
    let mut sums: BTreeMap<(TenantId, Uuid, &str), i64> = BTreeMap::new();
    for (tenant, run, tally) in runs {
        let ended = [
            ("received", tally.received),
            ("accepted", tally.accepted),
            ("duplicate", tally.duplicate),
        ];
        let rejected = tally
            .rejected
            .iter()
            .map(|(reason, samples)| (reason.as_str(), *samples));
        for (outcome, samples) in ended.into_iter().chain(rejected) {
            *sums.entry((*tenant, *run, outcome)).or_default() += i64::try_from(samples).unwrap_or(i64::MAX);
        }
    }
    if sums.is_empty() {
        return Ok(());
    }
    let tenants: Vec<Uuid> = sums.keys().map(|(tenant, _, _)| tenant.uuid()).collect();
    let ids: Vec<Uuid> = sums.keys().map(|(_, run, _)| *run).collect();
    let names: Vec<&str> = sums.keys().map(|(_, _, outcome)| *outcome).collect();
    let samples: Vec<i64> = sums.values().copied().collect();
    sqlx::query!(
        "INSERT INTO import_outcome AS c (tenant_id, run_id, outcome, shard, samples)
         SELECT n.tenant_id, n.run_id, n.outcome, $1, n.samples
         FROM unnest($2::uuid[], $3::uuid[], $4::text[], $5::bigint[]) AS n (tenant_id, run_id, outcome, samples)
         ON CONFLICT (tenant_id, run_id, outcome, shard) DO UPDATE SET samples = c.samples + excluded.samples",
        shard,
        &tenants,
        &ids,
        &names as &[&str],
        &samples,
    )
    .execute(conn)
    .await?;
    Ok(())
}
