//! Dead letters: messages, or samples of one, that could not be used. Their payload is encrypted with its subject's key.

use chrono::{DateTime, Utc};
use odograph_domain::{
    envelope::Source,
    id::{ClientId, DeadLetterId, IdSource, MessageId, VehicleId},
    intake::NewDeadLetter,
    outcome::Tally,
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    crypto::{SubjectRef, existing_keys},
    error::{Result, StoreError},
    page::{Listed, Page},
    tenant::TenantStore,
    writes::{Keys, key_of, source_name},
};

#[derive(Debug, Clone, PartialEq)]
pub struct DeadLetterRow {
    pub id: DeadLetterId,
    pub message: MessageId,
    pub source: Source,
    pub client: Option<ClientId>,
    pub vehicle: Option<VehicleId>,
    /// As the sender wrote it.
    pub vehicle_given: String,
    pub batch_id: Option<String>,
    pub reason: String,
    pub detail: String,
    pub samples: u32,
    pub received_at: DateTime<Utc>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct DeadLetterFilter {
    pub reason: Option<String>,
    pub vehicle: Option<VehicleId>,
}

struct LetterRow {
    id: Uuid,
    message_id: Uuid,
    source: String,
    client_id: Option<Uuid>,
    vehicle_id: Option<Uuid>,
    vehicle_given: String,
    batch_id: Option<String>,
    reason: String,
    detail: String,
    samples: i32,
    received_at: DateTime<Utc>,
}

impl LetterRow {
    fn read(self) -> Result<DeadLetterRow> {
        let source = [
            Source::Http,
            Source::Amqp,
            Source::Mqtt,
            Source::Import,
            Source::Resubmission,
        ]
        .into_iter()
        .find(|source| source_name(*source) == self.source)
        .ok_or_else(|| StoreError::corrupt("a dead letter's source"))?;
        Ok(DeadLetterRow {
            id: self.id.into(),
            message: self.message_id.into(),
            source,
            client: self.client_id.map(Into::into),
            vehicle: self.vehicle_id.map(Into::into),
            vehicle_given: self.vehicle_given,
            batch_id: self.batch_id,
            reason: self.reason,
            detail: self.detail,
            samples: u32::try_from(self.samples).map_err(StoreError::corrupt)?,
            received_at: self.received_at,
        })
    }
}

impl TenantStore {
    /// Newest first.
    pub async fn dead_letters(&self, filter: DeadLetterFilter, page: Page) -> Result<Listed<DeadLetterRow>> {
        let mut tx = self.begin().await?;
        let rows = sqlx::query_as!(
            LetterRow,
            "SELECT id, message_id, source, client_id, vehicle_id, vehicle_given, batch_id, reason, detail, samples, received_at
             FROM dead_letter
             WHERE tenant_id = $1 AND ($2::text IS NULL OR reason = $2) AND ($3::uuid IS NULL OR vehicle_id = $3)
               AND ($4::timestamptz IS NULL OR (received_at, id) < ($4, $5))
             ORDER BY received_at DESC, id DESC LIMIT $6",
            self.tenant_id().uuid(),
            filter.reason,
            filter.vehicle.map(VehicleId::uuid),
            page.at(),
            page.id(),
            page.fetch(),
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        let items = rows.into_iter().map(LetterRow::read).collect::<Result<_>>()?;
        Ok(Listed::cut(&page, items, |row: &DeadLetterRow| {
            (row.received_at, row.id.uuid())
        }))
    }

    /// One with its payload, decrypted; the reading is audited.
    pub async fn dead_letter(&self, letter: DeadLetterId) -> Result<(DeadLetterRow, Vec<u8>)> {
        let caller = self.caller();
        let mut tx = self.begin().await?;
        let row = sqlx::query_as!(
            LetterRow,
            "SELECT id, message_id, source, client_id, vehicle_id, vehicle_given, batch_id, reason, detail, samples, received_at
             FROM dead_letter WHERE tenant_id = $1 AND id = $2",
            caller.tenant.uuid(),
            letter.uuid(),
        )
        .fetch_optional(&mut *tx)
        .await?
        .ok_or(StoreError::NotFound { kind: "dead letter" })?;
        let sealed = sqlx::query!(
            "SELECT key_id, sealed FROM dead_letter WHERE tenant_id = $1 AND id = $2",
            caller.tenant.uuid(),
            letter.uuid(),
        )
        .fetch_one(&mut *tx)
        .await?;
        let mut keys = existing_keys(&mut tx, caller.master, caller.tenant, &[sealed.key_id]).await?;
        let key = keys.remove(&sealed.key_id).flatten();
        let key = key.ok_or_else(|| StoreError::Crypto("the payload was erased with its subject".into()))?;
        let payload = key.open(&context(letter.uuid()), &sealed.sealed)?;
        caller.audit(&mut tx, "read", "dead_letter", letter.uuid()).await?;
        tx.commit().await?;
        Ok((row.read()?, payload))
    }

    /// Keeps and counts what was refused before it reached the queue.
    pub async fn put_dead_letter(&self, letter: &NewDeadLetter, tally: &Tally) -> Result<()> {
        if letter.tenant != self.tenant_id() {
            return Err(StoreError::NotFound { kind: "tenant" });
        }
        let mut tx = self.begin().await?;
        self.caller().refuse(&mut tx, letter, tally).await?;
        Ok(tx.commit().await?)
    }
}

fn context(id: Uuid) -> Vec<u8> {
    [b"dead_letter".as_slice(), id.as_bytes()].concat()
}

/// One that is there already, by message, reason, detail and payload, is not written twice.
pub(crate) async fn insert_dead_letters(
    conn: &mut PgConnection,
    ids: &dyn IdSource,
    keys: &Keys,
    letters: &[NewDeadLetter],
) -> Result<()> {
    for letter in letters {
        let id = ids.uuid();
        let subject = SubjectRef::new(letter.tenant, letter.subject);
        let key = key_of(keys, subject)?;
        let told = [letter.reason.as_bytes(), letter.detail.as_bytes(), &letter.payload];
        // A vehicle that is not there (any more) must not keep its dead letter from being written.
        sqlx::query!(
            "INSERT INTO dead_letter (tenant_id, id, message_id, fingerprint, client_id, source, vehicle_id, vehicle_given,
                                      batch_id, reason, detail, samples, subject_kind, subject_id, key_id, sealed, received_at)
             VALUES ($1, $2, $3, $4, $5, $6, (SELECT v.id FROM vehicle v WHERE v.tenant_id = $1 AND v.id = $7), $8, $9, $10,
                     $11, $12, $13, $14, $15, $16, $17)
             ON CONFLICT (tenant_id, message_id, fingerprint) DO NOTHING",
            letter.tenant.uuid(),
            id,
            letter.message.uuid(),
            &key.key.fingerprint(&told)[..],
            letter.client.map(ClientId::uuid),
            source_name(letter.source),
            letter.vehicle.map(VehicleId::uuid),
            printable(&letter.vehicle_given),
            letter.batch_id.as_deref().map(printable),
            letter.reason,
            printable(&letter.detail),
            i32::try_from(letter.samples).unwrap_or(i32::MAX),
            subject.kind,
            subject.id,
            key.id,
            key.key.seal(&context(id), &letter.payload)?,
            letter.received_at.utc(),
        )
        .execute(&mut *conn)
        .await?;
    }
    Ok(())
}

/// The database's text holds no NUL; what quotes a sender may have one.
fn printable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}
