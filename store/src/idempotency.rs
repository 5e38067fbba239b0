//! Requests under a key of the client's own: done once, and answered the same for a day.
//!
//! Three short transactions, none of which is held while the request is worked on: *claim* the key, do the work, *keep* the
//! answer. The work's own transaction marks the key as well ([`Attempt`] travels in the store's view), so that it commits
//! together with what it did: after a crash in between, the request is neither done twice nor taken for done when it was not.

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use odograph_domain::id::{ClientId, TenantId};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    crypto::Key,
    error::{Result, StoreError},
    operator::OperatorStore,
    tenant::TenantStore,
};

/// One try at a request that a client has put under a key.
#[derive(Clone)]
pub struct Attempt {
    client: ClientId,
    key_hash: [u8; 32],
    id: Uuid,
    /// Made of the master key and the client's key: neither alone opens the answer.
    seal: Key,
}

impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempt").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A request, as far as it tells one from another.
#[derive(Debug, Clone, Copy)]
pub struct KeyedRequest<'a> {
    pub client: ClientId,
    /// What the client calls it.
    pub key: &'a str,
    pub method: &'a str,
    /// Path and query.
    pub target: &'a str,
    pub body: &'a [u8],
}

/// How long things are waited for and kept.
#[derive(Debug, Clone, Copy)]
pub struct KeyTimes {
    /// An attempt that has not ended by then never will: its process is gone.
    pub abandoned_after: TimeDelta,
    pub kept: TimeDelta,
}

/// An answer to a request that succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptAnswer {
    /// 200 to 299.
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// What stands under a key.
#[derive(Debug)]
pub enum KeyClaim {
    /// Nothing yet: it is the caller's to do, and to end by [`TenantStore::keep_answer`] or [`TenantStore::release`].
    Begun(Attempt),
    Answered(KeptAnswer),
    /// Another request has the key.
    OtherRequest,
    UnderWay,
    /// It was carried out, but the answer was lost with the process that made it.
    AnswerLost {
        kind: String,
        id: Uuid,
    },
}

#[derive(Serialize, Deserialize)]
struct Head {
    headers: Vec<(String, String)>,
    length: usize,
}

impl KeptAnswer {
    /// The headers as one line of JSON, then the body.
    fn to_bytes(&self) -> Result<Vec<u8>> {
        let head = Head {
            headers: self.headers.clone(),
            length: self.body.len(),
        };
        let mut bytes = serde_json::to_vec(&head).map_err(StoreError::corrupt)?;
        bytes.push(b'\n');
        bytes.extend_from_slice(&self.body);
        Ok(bytes)
    }

    fn read(status: i16, bytes: &[u8]) -> Result<Self> {
        let broken = || StoreError::corrupt("a kept answer");
        let end = bytes.iter().position(|byte| *byte == b'\n').ok_or_else(broken)?;
        let (head, body) = (&bytes[..end], &bytes[end + 1..]);
        let head: Head = serde_json::from_slice(head).map_err(StoreError::corrupt)?;
        if head.length != body.len() {
            return Err(broken());
        }
        Ok(Self {
            status: u16::try_from(status).map_err(|_| broken())?,
            headers: head.headers,
            body: body.to_vec(),
        })
    }
}

impl Attempt {
    fn context(&self, tenant: TenantId) -> Vec<u8> {
        [
            b"kept answer".as_slice(),
            tenant.uuid().as_bytes(),
            self.client.uuid().as_bytes(),
            &self.key_hash,
        ]
        .concat()
    }

    /// Marks, in the transaction that does the work, that it is done. Fails where another attempt has taken over.
    pub(crate) async fn took_effect(
        &self,
        conn: &mut PgConnection,
        tenant: TenantId,
        kind: &str,
        id: Uuid,
    ) -> Result<()> {
        let marked = sqlx::query!(
            "UPDATE idempotency_key SET effect_kind = coalesce(effect_kind, $5), effect_id = coalesce(effect_id, $6)
             WHERE tenant_id = $1 AND client_id = $2 AND key_hash = $3 AND attempt = $4 AND status IS NULL",
            tenant.uuid(),
            self.client.uuid(),
            &self.key_hash,
            self.id,
            kind,
            id,
        )
        .execute(conn)
        .await?;
        if marked.rows_affected() == 1 {
            return Ok(());
        }
        Err(StoreError::Conflict {
            kind: "request",
            detail: "it took so long that another attempt under its Idempotency-Key took over".into(),
        })
    }
}

impl TenantStore {
    /// Takes a key for a request, or says what stands under it.
    pub async fn claim(&self, request: KeyedRequest<'_>, times: KeyTimes) -> Result<KeyClaim> {
        let caller = self.caller();
        let (tenant, client) = (caller.tenant.uuid(), request.client.uuid());
        let secret = caller.master.own();
        let attempt = Attempt {
            client: request.client,
            key_hash: secret.fingerprint(&[
                b"idempotency key",
                tenant.as_bytes(),
                client.as_bytes(),
                request.key.as_bytes(),
            ]),
            id: caller.id(),
            seal: Key::new(secret.fingerprint(&[b"kept answer key", request.key.as_bytes()])),
        };
        let request_hash = secret.fingerprint(&[
            b"request",
            request.method.as_bytes(),
            request.target.as_bytes(),
            request.body,
        ]);
        let mut tx = self.begin().await?;
        let taken = sqlx::query_scalar!(
            "INSERT INTO idempotency_key AS k (tenant_id, client_id, key_hash, request_hash, attempt, started_at, expires_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7)
             ON CONFLICT (tenant_id, client_id, key_hash) DO UPDATE
             SET request_hash = excluded.request_hash, attempt = excluded.attempt, started_at = excluded.started_at,
                 effect_kind = NULL, effect_id = NULL, status = NULL, sealed = NULL, expires_at = excluded.expires_at
             WHERE k.expires_at <= $6
                OR (k.status IS NULL AND k.effect_id IS NULL AND k.request_hash = excluded.request_hash AND k.started_at <= $8)
             RETURNING attempt",
            tenant,
            client,
            &attempt.key_hash,
            &request_hash,
            attempt.id,
            caller.now,
            caller.now + times.kept,
            caller.now - times.abandoned_after,
        )
        .fetch_optional(&mut *tx)
        .await?;
        let claim = match taken {
            Some(_) => KeyClaim::Begun(attempt),
            None => {
                standing(
                    &mut tx,
                    caller.tenant,
                    &attempt,
                    &request_hash,
                    caller.now - times.abandoned_after,
                )
                .await?
            }
        };
        tx.commit().await?;
        Ok(claim)
    }

    /// Keeps the answer to a request that succeeded.
    pub async fn keep_answer(&self, attempt: &Attempt, answer: &KeptAnswer) -> Result<()> {
        let caller = self.caller();
        let sealed = attempt
            .seal
            .seal(&attempt.context(caller.tenant), &answer.to_bytes()?)?;
        let status = i16::try_from(answer.status).map_err(StoreError::corrupt)?;
        let mut tx = self.begin().await?;
        sqlx::query!(
            "UPDATE idempotency_key SET status = $5, sealed = $6
             WHERE tenant_id = $1 AND client_id = $2 AND key_hash = $3 AND attempt = $4",
            caller.tenant.uuid(),
            attempt.client.uuid(),
            &attempt.key_hash,
            attempt.id,
            status,
            sealed,
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await.map_err(StoreError::from)
    }

    /// Frees the key of a request that came to nothing. What took effect all the same stays marked.
    pub async fn release(&self, attempt: &Attempt) -> Result<()> {
        let mut tx = self.begin().await?;
        sqlx::query!(
            "DELETE FROM idempotency_key
             WHERE tenant_id = $1 AND client_id = $2 AND key_hash = $3 AND attempt = $4 AND status IS NULL AND effect_id IS NULL",
            self.tenant_id().uuid(),
            attempt.client.uuid(),
            &attempt.key_hash,
            attempt.id,
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }
}

async fn standing(
    conn: &mut PgConnection,
    tenant: TenantId,
    attempt: &Attempt,
    request_hash: &[u8; 32],
    abandoned_before: DateTime<Utc>,
) -> Result<KeyClaim> {
    let row = sqlx::query!(
        "SELECT request_hash, started_at, effect_kind, effect_id, status, sealed FROM idempotency_key
         WHERE tenant_id = $1 AND client_id = $2 AND key_hash = $3",
        tenant.uuid(),
        attempt.client.uuid(),
        &attempt.key_hash,
    )
    .fetch_optional(conn)
    .await?;
    // Freed in this very moment: whoever asks again gets it.
    let Some(row) = row else { return Ok(KeyClaim::UnderWay) };
    if row.request_hash != request_hash {
        return Ok(KeyClaim::OtherRequest);
    }
    if let (Some(status), Some(sealed)) = (row.status, row.sealed) {
        let opened = attempt.seal.open(&attempt.context(tenant), &sealed)?;
        return KeptAnswer::read(status, &opened).map(KeyClaim::Answered);
    }
    Ok(match (row.effect_kind, row.effect_id) {
        (Some(kind), Some(id)) if row.started_at <= abandoned_before => KeyClaim::AnswerLost { kind, id },
        _ => KeyClaim::UnderWay,
    })
}

impl OperatorStore {
    /// Forgets what has been kept long enough, of all tenants. Returns how many.
    pub async fn forget_answers(&self) -> Result<u64> {
        let mut tx = self.begin().await?;
        let gone = sqlx::query!("DELETE FROM idempotency_key WHERE expires_at <= $1", self.now())
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(gone.rows_affected())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_reads_back_whatever_is_in_it() {
        let answer = KeptAnswer {
            status: 201,
            headers: vec![("location".into(), "/v1/vehicles/1\n".into())],
            body: b"{\"a\":\n1}".to_vec(),
        };
        let bytes = answer.to_bytes().unwrap();
        assert_eq!(KeptAnswer::read(201, &bytes).unwrap(), answer);
        assert!(KeptAnswer::read(201, &bytes[..bytes.len() - 1]).is_err());
        assert!(KeptAnswer::read(201, b"{}").is_err());
    }
}
