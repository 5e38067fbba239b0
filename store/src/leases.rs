//! Leases of partitions. Times come from the caller.

use chrono::{DateTime, TimeDelta, Utc};
use odograph_domain::{id::WorkerId, lease::Lease};

use crate::{
    error::{Result, StoreError},
    session::Scope,
    store::Store,
};

#[derive(Debug, Clone)]
pub struct Leases {
    store: Store,
}

struct Row {
    partition: i32,
    epoch: i64,
    lease_until: DateTime<Utc>,
}

impl Row {
    fn read(self, worker: WorkerId) -> Result<Lease> {
        let partition = u16::try_from(self.partition).map_err(StoreError::corrupt)?;
        Ok(Lease {
            partition,
            epoch: self.epoch,
            worker,
            until: self.lease_until,
        })
    }
}

impl Leases {
    pub(crate) fn new(store: Store) -> Self {
        Self { store }
    }

    /// Takes up to `want` partitions that nobody holds or whose lease has run out; gives back those newly taken. One that
    /// is being committed to at this moment is passed by.
    pub async fn acquire(
        &self,
        worker: WorkerId,
        partitions: u16,
        want: u16,
        now: DateTime<Utc>,
        ttl: TimeDelta,
    ) -> Result<Vec<Lease>> {
        let mut tx = self.store.begin(Scope::Worker(&[])).await?;
        let rows = sqlx::query_as!(
            Row,
            r#"SELECT partition AS "partition!", epoch AS "epoch!", lease_until AS "lease_until!"
               FROM lease_acquire($1, $2, $3, $4, $5) ORDER BY 1"#,
            worker.uuid(),
            i32::from(partitions),
            i32::from(want),
            now,
            now + ttl,
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        rows.into_iter().map(|row| row.read(worker)).collect()
    }

    /// Prolongs all that the worker still holds and gives them back: what is missing has gone to another.
    pub async fn renew(&self, worker: WorkerId, now: DateTime<Utc>, ttl: TimeDelta) -> Result<Vec<Lease>> {
        let mut tx = self.store.begin(Scope::Worker(&[])).await?;
        let rows = sqlx::query_as!(
            Row,
            r#"SELECT partition AS "partition!", epoch AS "epoch!", lease_until AS "lease_until!"
               FROM lease_renew($1, $2) ORDER BY 1"#,
            worker.uuid(),
            now + ttl,
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        rows.into_iter().map(|row| row.read(worker)).collect()
    }

    /// Gives leases back, so that others need not wait for them to run out.
    pub async fn release(&self, leases: &[Lease]) -> Result<()> {
        let mut tx = self.store.begin(Scope::Worker(&[])).await?;
        for lease in leases {
            sqlx::query!(
                "SELECT lease_release($1, $2, $3)",
                lease.worker.uuid(),
                &[i32::from(lease.partition)],
                &[lease.epoch],
            )
            .fetch_one(&mut *tx)
            .await?;
        }
        Ok(tx.commit().await?)
    }

    /// Who holds which partition now: for a fair share.
    pub async fn owners(&self, now: DateTime<Utc>) -> Result<Vec<(u16, WorkerId)>> {
        let mut tx = self.store.begin(Scope::Worker(&[])).await?;
        let rows = sqlx::query!(
            r#"SELECT partition AS "partition!", worker_id AS "worker_id!" FROM lease_owners($1)"#,
            now
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        let read = |partition: i32| u16::try_from(partition).map_err(StoreError::corrupt);
        rows.into_iter()
            .map(|row| Ok((read(row.partition)?, row.worker_id.into())))
            .collect()
    }
}
