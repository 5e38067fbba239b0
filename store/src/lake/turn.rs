//! Whose turn it is to look after the lake.

use chrono::TimeDelta;
use odograph_domain::id::WorkerId;

use super::LakeStore;
use crate::{error::Result, session::now};

impl LakeStore {
    /// Takes the turn, or keeps it, for a while; `false` where another has it.
    pub async fn take_turn(&self, worker: WorkerId, lasts: TimeDelta) -> Result<bool> {
        let now = now(self.store.clock());
        let mut tx = self.begin().await?;
        let taken = sqlx::query!(
            "INSERT INTO lake_turn (job, owner, until) VALUES ('lake', $1, $2)
             ON CONFLICT (job) DO UPDATE SET owner = excluded.owner, until = excluded.until
             WHERE lake_turn.owner = excluded.owner OR lake_turn.until < $3",
            worker.uuid(),
            now + lasts,
            now,
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(taken.rows_affected() > 0)
    }
}
