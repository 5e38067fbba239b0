//! What whoever runs the platform watches: counts over all tenants, and nothing else of them.

use chrono::{DateTime, Utc};

use crate::{
    error::Result,
    session::{Scope, now},
    store::Store,
};

/// How much there is to do, and whether somebody does it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Figures {
    /// Windows whose trips are due to be derived, and since when the oldest of them is.
    pub windows_due: u64,
    pub oldest_due_at: Option<DateTime<Utc>>,
    /// Windows that wait for their time: of vehicles that drive, or fell silent a moment ago.
    pub windows_waiting: u64,
    pub dead_letters: Vec<OpenLetters>,
    /// Messages that are no envelope.
    pub quarantined: u64,
    /// Workers that have said within their lease that they are there.
    pub workers: u64,
    /// Partitions that a worker holds.
    pub partitions_held: u64,
    /// What others are still to be told: 100,000 at most are counted.
    pub outbox_pending: u64,
    /// Of the database, indexes and all, bytes; 0 where it is not told.
    pub database_bytes: u64,
}

/// Open dead letters of one reason, over all tenants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenLetters {
    pub reason: String,
    pub letters: u64,
    pub oldest_at: DateTime<Utc>,
}

/// Connections of this process to the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connections {
    pub in_use: u32,
    pub idle: u32,
    pub most: u32,
}

impl Store {
    /// Counts of the whole platform, of a queue with so many partitions.
    pub async fn figures(&self, partitions: u16) -> Result<Figures> {
        let mut tx = self
            .begin(Scope::Api {
                tenant: None,
                tracks: false,
            })
            .await?;
        let row = sqlx::query!(
            r#"SELECT windows_due AS "windows_due!", oldest_due_at, windows_waiting AS "windows_waiting!",
                      quarantined AS "quarantined!", workers AS "workers!", partitions_held AS "partitions_held!",
                      outbox_pending AS "outbox_pending!", database_bytes AS "database_bytes!"
               FROM watch_figures($1, $2)"#,
            i32::from(partitions),
            now(self.clock()),
        )
        .fetch_one(&mut *tx)
        .await?;
        let letters = sqlx::query!(
            r#"SELECT reason AS "reason!", letters AS "letters!", oldest_at AS "oldest_at!"
               FROM watch_dead_letters() ORDER BY reason"#
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(Figures {
            windows_due: counted(row.windows_due),
            oldest_due_at: row.oldest_due_at,
            windows_waiting: counted(row.windows_waiting),
            dead_letters: letters
                .into_iter()
                .map(|row| OpenLetters {
                    reason: row.reason,
                    letters: counted(row.letters),
                    oldest_at: row.oldest_at,
                })
                .collect(),
            quarantined: counted(row.quarantined),
            workers: counted(row.workers),
            partitions_held: counted(row.partitions_held),
            outbox_pending: counted(row.outbox_pending),
            database_bytes: counted(row.database_bytes),
        })
    }
}

/// A count is never negative.
fn counted(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}
