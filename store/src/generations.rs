//! Which generation of queues is published to and which is consumed: one place that every process looks at.

use chrono::{DateTime, Utc};
use odograph_domain::{
    id::PublisherId,
    queue::{Generation, GenerationState},
};

use crate::{
    error::{Result, StoreError},
    session::{Scope, now},
    store::Store,
};

#[derive(Debug, Clone)]
pub struct Generations {
    store: Store,
}

/// What a process that publishes is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attended {
    pub current: Generation,
    /// Whether no other process publishes to an older generation.
    pub others_left: bool,
}

/// A generation that is not over and done with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GenerationRow {
    pub generation: Generation,
    pub state: GenerationState,
    pub changed_at: DateTime<Utc>,
    /// Processes that publish to it.
    pub publishers: i64,
}

impl Generations {
    pub(crate) fn new(store: Store) -> Self {
        Self { store }
    }

    /// Makes this the first generation where there is none yet.
    pub async fn begin(&self, first: Generation) -> Result<()> {
        let mut tx = self.store.begin(Scope::Worker(&[])).await?;
        sqlx::query!(
            "SELECT queue_begin($1, $2, $3)",
            number(first)?,
            i32::from(first.partitions),
            now(self.store.clock()),
        )
        .fetch_one(&mut *tx)
        .await?;
        Ok(tx.commit().await?)
    }

    /// Says until when a process publishes to which generation (`None`: to the current one from now on), and gives the current
    /// one, which it should go over to as soon as all others have left what was before.
    pub async fn attend(
        &self,
        publisher: PublisherId,
        published: Option<Generation>,
        until: DateTime<Utc>,
    ) -> Result<Attended> {
        let mut tx = self.store.begin(Scope::Worker(&[])).await?;
        let row = sqlx::query!(
            r#"SELECT generation AS "generation!", partitions AS "partitions!", others_left AS "others_left!"
               FROM queue_attend($1, $2, $3, $4)"#,
            publisher.uuid(),
            published.map(number).transpose()?,
            now(self.store.clock()),
            until,
        )
        .fetch_one(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(Attended {
            current: read(row.generation, row.partitions)?,
            others_left: row.others_left,
        })
    }

    /// The process publishes no more.
    pub async fn leave(&self, publisher: PublisherId) -> Result<()> {
        let mut tx = self.store.begin(Scope::Worker(&[])).await?;
        sqlx::query!("SELECT queue_leave($1)", publisher.uuid())
            .fetch_one(&mut *tx)
            .await?;
        Ok(tx.commit().await?)
    }

    /// All that are not removed, oldest first: the last is the current one.
    pub async fn all(&self) -> Result<Vec<GenerationRow>> {
        let mut tx = self.store.begin(Scope::Worker(&[])).await?;
        let rows = sqlx::query!(
            r#"SELECT generation AS "generation!", partitions AS "partitions!", state AS "state!",
                      changed_at AS "changed_at!", publishers AS "publishers!"
               FROM queue_generations($1) ORDER BY 1"#,
            now(self.store.clock()),
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        rows.into_iter()
            .map(|row| {
                Ok(GenerationRow {
                    generation: read(row.generation, row.partitions)?,
                    state: GenerationState::parse(&row.state)
                        .ok_or_else(|| StoreError::corrupt(format!("a generation's state {:?}", row.state)))?,
                    changed_at: row.changed_at,
                    publishers: row.publishers,
                })
            })
            .collect()
    }

    /// Begins the next generation. A conflict while the one before the current is not worked off.
    pub async fn repartition(&self, partitions: u16) -> Result<Generation> {
        let mut tx = self.store.begin(Scope::Worker(&[])).await?;
        let begun = sqlx::query_scalar!(
            "SELECT queue_repartition($1, $2)",
            i32::from(partitions),
            now(self.store.clock()),
        )
        .fetch_one(&mut *tx)
        .await?;
        tx.commit().await?;
        let begun = begun.ok_or_else(|| StoreError::Conflict {
            kind: "generation",
            detail: "the one before is still being worked off; `odograph queue status` tells how far it is".to_owned(),
        })?;
        read(begun, i32::from(partitions))
    }

    /// Whether it was in the one state and is in the other now: of several that try, one does it.
    pub async fn moves(&self, generation: Generation, was: GenerationState, becomes: GenerationState) -> Result<bool> {
        let mut tx = self.store.begin(Scope::Worker(&[])).await?;
        let moved = sqlx::query_scalar!(
            r#"SELECT queue_generation_moves($1, $2, $3, $4) AS "moved!""#,
            number(generation)?,
            was.as_str(),
            becomes.as_str(),
            now(self.store.clock()),
        )
        .fetch_one(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(moved)
    }
}

fn number(generation: Generation) -> Result<i32> {
    i32::try_from(generation.number).map_err(|_| StoreError::Invalid {
        kind: "generation",
        detail: format!("wanted at most {}, got {}", i32::MAX, generation.number),
    })
}

fn read(number: i32, partitions: i32) -> Result<Generation> {
    Ok(Generation {
        number: u32::try_from(number).map_err(StoreError::corrupt)?,
        partitions: u16::try_from(partitions).map_err(StoreError::corrupt)?,
    })
}
