//! Objects that nobody needs: those of processes that died, and those whose content lies elsewhere by now.

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::LakeStore;
use crate::{error::Result, operator::OperatorStore, session::now};

/// How long a process may take from announcing an object to saying that it counts.
const WRITING: TimeDelta = TimeDelta::hours(1);
/// How long somebody may read what has moved.
const READING: TimeDelta = TimeDelta::minutes(10);

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tidied {
    /// Objects announced by a process that died.
    pub orphans: u64,
    /// Objects whose content lies elsewhere.
    pub replaced: u64,
}

struct Unsettled {
    tenant_id: Uuid,
    id: Uuid,
    path: String,
    state: String,
}

impl LakeStore {
    /// Deletes what has been of no use for long enough.
    pub async fn tidy(&self) -> Result<Tidied> {
        let now = now(self.store.clock());
        self.tidy_before(now - WRITING, now - READING).await
    }

    /// As [`LakeStore::tidy`], of what was announced and what was replaced before these times.
    pub async fn tidy_before(&self, announced: DateTime<Utc>, replaced: DateTime<Utc>) -> Result<Tidied> {
        let mut tx = self.begin().await?;
        let files = sqlx::query_as!(
            Unsettled,
            "SELECT tenant_id, id, path, state FROM lake_file
             WHERE (state = 'writing' AND changed_at < $1) OR (state = 'gone' AND changed_at < $2)",
            announced,
            replaced,
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        let mut tidied = Tidied::default();
        for file in files {
            // The row first becomes one that nobody can make count any more, and goes once the object has.
            let mut tx = self.begin().await?;
            let condemned = sqlx::query!(
                "UPDATE lake_file SET state = 'gone' WHERE tenant_id = $1 AND id = $2 AND state = $3",
                file.tenant_id,
                file.id,
                file.state,
            )
            .execute(&mut *tx)
            .await?;
            tx.commit().await?;
            if condemned.rows_affected() == 0 {
                continue;
            }
            self.lake.delete(&file.path).await?;
            let mut tx = self.begin().await?;
            sqlx::query!(
                "DELETE FROM lake_file WHERE tenant_id = $1 AND id = $2 AND state = 'gone'",
                file.tenant_id,
                file.id,
            )
            .execute(&mut *tx)
            .await?;
            tx.commit().await?;
            match file.state.as_str() {
                "writing" => tidied.orphans += 1,
                _ => tidied.replaced += 1,
            }
        }
        Ok(tidied)
    }
}

impl OperatorStore {
    /// Leaves one mark of each day of trips that wait for the lake, whether there is one or not.
    pub async fn fold_lake_marks(&self) -> Result<u64> {
        let mut tx = self.begin().await?;
        let folded = sqlx::query!(
            "DELETE FROM lake_trip_change c USING (
                 SELECT tenant_id, day, max(id) AS last FROM lake_trip_change GROUP BY tenant_id, day HAVING count(*) > 1
             ) AS k
             WHERE c.tenant_id = k.tenant_id AND c.day = k.day AND c.id < k.last"
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(folded.rows_affected())
    }
}
