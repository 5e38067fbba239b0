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

    /// Says that the worker is there for `ttl` to come, with or without partitions, and tells who is there, itself included.
    pub async fn attend(&self, worker: WorkerId, now: DateTime<Utc>, ttl: TimeDelta) -> Result<Vec<WorkerId>> {
        let mut tx = self.store.begin(Scope::Worker(&[])).await?;
        let workers = sqlx::query_scalar!(
            r#"SELECT worker_id AS "worker_id!" FROM worker_attend($1, $2, $3)"#,
            worker.uuid(),
            now,
            now + ttl,
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(workers.into_iter().map(WorkerId::from).collect())
    }

    /// The worker is there no more. What it holds is to be released beforehand.
    pub async fn leave(&self, worker: WorkerId) -> Result<()> {
        let mut tx = self.store.begin(Scope::Worker(&[])).await?;
        sqlx::query!("SELECT worker_leave($1)", worker.uuid())
            .fetch_one(&mut *tx)
            .await?;
        Ok(tx.commit().await?)
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
}
