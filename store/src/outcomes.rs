//! Counts of how every message and sample ended.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use odograph_domain::{id::TenantId, outcome::Tally};
use sqlx::PgConnection;

use crate::{error::Result, tenant::TenantStore};

/// Counted at the door, not by a worker's partition.
pub(crate) const DOOR: i32 = -1;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutcomeCount {
    /// Of arrival at the step that counted, UTC.
    pub day: NaiveDate,
    /// `received`, `accepted`, `duplicate`, or the name of a rejection.
    pub outcome: String,
    /// Messages of which something ended so (`received`: all). One may be refused without a sample to count.
    pub messages: i64,
    pub samples: i64,
}

impl TenantStore {
    /// By day and outcome; both days inclusive. Over any days, accepted + duplicate + rejected = received, in samples.
    pub async fn outcome_counts(&self, from: Option<NaiveDate>, to: Option<NaiveDate>) -> Result<Vec<OutcomeCount>> {
        let mut tx = self.begin().await?;
        let counts = sqlx::query_as!(
            OutcomeCount,
            r#"SELECT day, outcome, sum(messages)::bigint AS "messages!", sum(samples)::bigint AS "samples!"
               FROM outcome_count
               WHERE tenant_id = $1 AND ($2::date IS NULL OR day >= $2) AND ($3::date IS NULL OR day <= $3)
               GROUP BY day, outcome ORDER BY day, outcome"#,
            self.tenant_id().uuid(),
            from,
            to,
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(counts)
    }
}

/// Adds tallies, one a message, to the counters of a shard.
pub(crate) async fn count(
    conn: &mut PgConnection,
    day: NaiveDate,
    shard: i32,
    outcomes: &[(TenantId, Tally)],
) -> Result<()> {
    let mut sums: BTreeMap<(TenantId, &str), (i64, i64)> = BTreeMap::new();
    for (tenant, tally) in outcomes {
        let mut add = |outcome, samples: u64, messages: i64| {
            let sum = sums.entry((*tenant, outcome)).or_default();
            sum.0 += messages;
            sum.1 += i64::try_from(samples).unwrap_or(i64::MAX);
        };
        add("received", tally.received, 1);
        let ended = [("accepted", tally.accepted), ("duplicate", tally.duplicate)]
            .into_iter()
            .filter(|(_, n)| *n > 0);
        let rejected = tally
            .rejected
            .iter()
            .map(|(reason, samples)| (reason.as_str(), *samples));
        for (outcome, samples) in ended.chain(rejected) {
            add(outcome, samples, 1);
        }
    }
    if sums.is_empty() {
        return Ok(());
    }
    // Ordered by the map: two transactions take the counters in the same order.
    let tenants: Vec<_> = sums.keys().map(|(tenant, _)| tenant.uuid()).collect();
    let names: Vec<&str> = sums.keys().map(|(_, outcome)| *outcome).collect();
    let messages: Vec<i64> = sums.values().map(|sum| sum.0).collect();
    let samples: Vec<i64> = sums.values().map(|sum| sum.1).collect();
    sqlx::query!(
        "INSERT INTO outcome_count AS c (tenant_id, day, outcome, shard, messages, samples)
         SELECT n.tenant_id, $1, n.outcome, $2, n.messages, n.samples
         FROM unnest($3::uuid[], $4::text[], $5::bigint[], $6::bigint[]) AS n (tenant_id, outcome, messages, samples)
         ON CONFLICT (tenant_id, day, outcome, shard)
         DO UPDATE SET messages = c.messages + excluded.messages, samples = c.samples + excluded.samples",
        day,
        shard,
        &tenants,
        &names as &[&str],
        &messages,
        &samples,
    )
    .execute(conn)
    .await?;
    Ok(())
}
