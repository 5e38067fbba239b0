//! What becomes of dead letters: sent again, or given up.

use odograph_domain::id::{ClientId, DeadLetterId, MessageId, VehicleId};
use uuid::Uuid;

use crate::{
    dead_letters::{DeadLetterFilter, DeadLetterRow, LetterStatus, payload_of, select_letters},
    error::{Result, StoreError},
    tenant::TenantStore,
    writes::source_name,
};

/// Which dead letters something is to be done with.
#[derive(Debug, Clone, PartialEq)]
pub enum Letters {
    /// This one; it must be open.
    One(DeadLetterId),
    /// The oldest open ones, at most so many. A status in the filter is disregarded.
    Oldest(DeadLetterFilter, u16),
}

/// A dead letter on its way to be sent again.
#[derive(Debug)]
pub struct Claim {
    pub letter: DeadLetterRow,
    /// What to send it as: the same each time it is tried.
    pub message: MessageId,
    /// [`StoreError::Erased`] where it is no more.
    pub payload: Result<Vec<u8>>,
}

impl TenantStore {
    /// Reads dead letters to send them again, and settles what messages they will be. The reading is audited. They stay open
    /// until [`TenantStore::mark_resubmitted`].
    pub async fn claim_letters(&self, which: &Letters) -> Result<Vec<Claim>> {
        let caller = self.caller();
        let mut tx = self.begin().await?;
        let rows = match which {
            Letters::One(letter) => {
                select_letters!(["AND id = $2 FOR UPDATE"], caller.tenant.uuid(), letter.uuid())
                    .fetch_all(&mut *tx)
                    .await?
            }
            Letters::Oldest(filter, most) => {
                select_letters!(
                    ["AND status = 'open' AND ($2::text IS NULL OR reason = $2) AND ($3::uuid IS NULL OR vehicle_id = $3)
                      AND ($4::text IS NULL OR source = $4) AND ($5::timestamptz IS NULL OR received_at >= $5)
                      AND ($6::timestamptz IS NULL OR received_at < $6)
                      ORDER BY received_at, id LIMIT $7 FOR UPDATE"],
                    caller.tenant.uuid(),
                    filter.reason,
                    filter.vehicle.map(VehicleId::uuid),
                    filter.source.map(source_name),
                    filter.from,
                    filter.to,
                    i64::from(*most),
                )
                .fetch_all(&mut *tx)
                .await?
            }
        };
        let mut claims = Vec::with_capacity(rows.len());
        for row in rows {
            let letter = row.read()?;
            must_be_open(&letter)?;
            let payload = match payload_of(&mut tx, &caller, letter.id).await {
                Err(error) if !matches!(error, StoreError::Erased { .. }) => return Err(error),
                payload => payload,
            };
            let message = match letter.resubmitted_as {
                Some(message) => message,
                None => caller.id(),
            };
            caller.audit(&mut tx, "read", "dead_letter", letter.id.uuid()).await?;
            claims.push(Claim {
                letter,
                message,
                payload,
            });
        }
        if let (Letters::One(_), []) = (which, claims.as_slice()) {
            return Err(StoreError::NotFound { kind: "dead letter" });
        }
        let letters: Vec<Uuid> = claims.iter().map(|claim| claim.letter.id.uuid()).collect();
        let messages: Vec<Uuid> = claims.iter().map(|claim| claim.message.uuid()).collect();
        sqlx::query!(
            "UPDATE dead_letter d SET resubmitted_as = n.message
             FROM unnest($2::uuid[], $3::uuid[]) AS n (id, message) WHERE d.tenant_id = $1 AND d.id = n.id",
            caller.tenant.uuid(),
            &letters,
            &messages,
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(claims)
    }

    /// They are in the queue again.
    pub async fn mark_resubmitted(&self, letters: &[DeadLetterId]) -> Result<()> {
        let caller = self.caller();
        let ids: Vec<Uuid> = letters.iter().copied().map(DeadLetterId::uuid).collect();
        let mut tx = self.begin().await?;
        let marked = sqlx::query_scalar!(
            "UPDATE dead_letter SET status = 'resubmitted', settled_at = $3, settled_by = $4
             WHERE tenant_id = $1 AND id = ANY ($2) AND status = 'open' RETURNING id",
            caller.tenant.uuid(),
            &ids,
            caller.now,
            caller.actor.map(ClientId::uuid),
        )
        .fetch_all(&mut *tx)
        .await?;
        for letter in marked {
            caller.audit(&mut tx, "resubmit", "dead_letter", letter).await?;
        }
        Ok(tx.commit().await?)
    }

    /// Gives dead letters up for a reason: their payload goes, what they were and why stays. Returns which.
    pub async fn discard_letters(&self, which: &Letters, reason: &str) -> Result<Vec<DeadLetterId>> {
        let caller = self.caller();
        let mut tx = self.begin().await?;
        let ids = match which {
            Letters::One(letter) => {
                let row = select_letters!(["AND id = $2 FOR UPDATE"], caller.tenant.uuid(), letter.uuid())
                    .fetch_optional(&mut *tx)
                    .await?;
                let row = row.ok_or(StoreError::NotFound { kind: "dead letter" })?.read()?;
                must_be_open(&row)?;
                vec![letter.uuid()]
            }
            Letters::Oldest(filter, most) => {
                sqlx::query_scalar!(
                    "SELECT id FROM dead_letter
                     WHERE tenant_id = $1 AND status = 'open' AND ($2::text IS NULL OR reason = $2)
                       AND ($3::uuid IS NULL OR vehicle_id = $3) AND ($4::text IS NULL OR source = $4)
                       AND ($5::timestamptz IS NULL OR received_at >= $5)
                       AND ($6::timestamptz IS NULL OR received_at < $6)
                     ORDER BY received_at, id LIMIT $7 FOR UPDATE",
                    caller.tenant.uuid(),
                    filter.reason,
                    filter.vehicle.map(VehicleId::uuid),
                    filter.source.map(source_name),
                    filter.from,
                    filter.to,
                    i64::from(*most),
                )
                .fetch_all(&mut *tx)
                .await?
            }
        };
        sqlx::query!(
            "UPDATE dead_letter SET status = 'discarded', sealed = NULL, discard_reason = $3, settled_at = $4, settled_by = $5
             WHERE tenant_id = $1 AND id = ANY ($2)",
            caller.tenant.uuid(),
            &ids,
            reason,
            caller.now,
            caller.actor.map(ClientId::uuid),
        )
        .execute(&mut *tx)
        .await?;
        for letter in &ids {
            caller.audit(&mut tx, "discard", "dead_letter", *letter).await?;
        }
        tx.commit().await?;
        Ok(ids.into_iter().map(Into::into).collect())
    }
}

fn must_be_open(letter: &DeadLetterRow) -> Result<()> {
    let detail = match letter.status {
        LetterStatus::Open => return Ok(()),
        LetterStatus::Resubmitted => "it has been sent again already",
        LetterStatus::Discarded => "it has been discarded, its payload with it",
    };
    Err(StoreError::Conflict {
        kind: "dead letter",
        detail: detail.into(),
    })
}
