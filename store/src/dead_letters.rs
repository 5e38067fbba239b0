//! Dead letters: messages, or samples of one, that could not be used. Their payload is encrypted with its subject's key.
//! What becomes of them is in [`crate::resubmissions`].

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
    session::Caller,
    tenant::{TenantStore, named},
    writes::{Keys, key_of, source_name},
};

/// What became of a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LetterStatus {
    Open,
    Resubmitted,
    Discarded,
}

impl LetterStatus {
    pub const ALL: [Self; 3] = [Self::Open, Self::Resubmitted, Self::Discarded];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Resubmitted => "resubmitted",
            Self::Discarded => "discarded",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }
}

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
    /// The dead letter that its message was, if it was one.
    pub resubmission_of: Option<DeadLetterId>,
    pub status: LetterStatus,
    /// The message it was sent again as.
    pub resubmitted_as: Option<MessageId>,
    pub discard_reason: Option<String>,
    /// When it was sent again or discarded, and by whom.
    pub settled_at: Option<DateTime<Utc>>,
    pub settled_by: Option<ClientId>,
}

/// Which dead letters; every condition that is given must hold.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DeadLetterFilter {
    pub reason: Option<String>,
    pub vehicle: Option<VehicleId>,
    pub source: Option<Source>,
    /// Received at or after this.
    pub from: Option<DateTime<Utc>>,
    /// Received before this.
    pub to: Option<DateTime<Utc>>,
    pub status: Option<LetterStatus>,
}

pub(crate) struct LetterRow {
    pub(crate) id: Uuid,
    pub(crate) message_id: Uuid,
    pub(crate) source: String,
    pub(crate) client_id: Option<Uuid>,
    pub(crate) vehicle_id: Option<Uuid>,
    pub(crate) vehicle_given: String,
    pub(crate) batch_id: Option<String>,
    pub(crate) reason: String,
    pub(crate) detail: String,
    pub(crate) samples: i32,
    pub(crate) received_at: DateTime<Utc>,
    pub(crate) resubmission_of: Option<Uuid>,
    pub(crate) status: String,
    pub(crate) resubmitted_as: Option<Uuid>,
    pub(crate) discard_reason: Option<String>,
    pub(crate) settled_at: Option<DateTime<Utc>>,
    pub(crate) settled_by: Option<Uuid>,
}

/// Every way a message can have come.
const SOURCES: [Source; 5] = [
    Source::Http,
    Source::Amqp,
    Source::Mqtt,
    Source::Import,
    Source::Resubmission,
];

impl LetterRow {
    pub(crate) fn read(self) -> Result<DeadLetterRow> {
        let source = SOURCES
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
            resubmission_of: self.resubmission_of.map(Into::into),
            status: named(&self.status, LetterStatus::parse)?,
            resubmitted_as: self.resubmitted_as.map(Into::into),
            discard_reason: self.discard_reason,
            settled_at: self.settled_at,
            settled_by: self.settled_by.map(Into::into),
        })
    }
}

/// A query for dead letters: the rest of the `WHERE` and what follows it, and its parameters.
macro_rules! select_letters {
    ([$($rest:tt)+], $($parameter:expr),* $(,)?) => {
        sqlx::query_as!(
            crate::dead_letters::LetterRow,
            "SELECT id, message_id, source, client_id, vehicle_id, vehicle_given, batch_id, reason, detail, samples,
                    received_at, resubmission_of, status, resubmitted_as, discard_reason, settled_at, settled_by
             FROM dead_letter WHERE tenant_id = $1 " $(+ $rest)+,
            $($parameter),*
        )
    };
}
pub(crate) use select_letters;

impl TenantStore {
    /// Newest first.
    pub async fn dead_letters(&self, filter: DeadLetterFilter, page: Page) -> Result<Listed<DeadLetterRow>> {
        let mut tx = self.begin().await?;
        let rows = select_letters!(
            [
                "AND ($2::text IS NULL OR reason = $2) AND ($3::uuid IS NULL OR vehicle_id = $3)
              AND ($4::timestamptz IS NULL OR (received_at, id) < ($4, $5)) AND ($7::text IS NULL OR source = $7)
              AND ($8::timestamptz IS NULL OR received_at >= $8) AND ($9::timestamptz IS NULL OR received_at < $9)
              AND ($10::text IS NULL OR status = $10)
              ORDER BY received_at DESC, id DESC LIMIT $6"
            ],
            self.tenant_id().uuid(),
            filter.reason,
            filter.vehicle.map(VehicleId::uuid),
            page.at(),
            page.id(),
            page.fetch(),
            filter.source.map(source_name),
            filter.from,
            filter.to,
            filter.status.map(LetterStatus::as_str),
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        let items = rows.into_iter().map(LetterRow::read).collect::<Result<_>>()?;
        Ok(Listed::cut(&page, items, |row: &DeadLetterRow| {
            (row.received_at, row.id.uuid())
        }))
    }

    /// One without its payload.
    pub async fn dead_letter_row(&self, letter: DeadLetterId) -> Result<DeadLetterRow> {
        let mut tx = self.begin().await?;
        let row = select_letters!(["AND id = $2"], self.tenant_id().uuid(), letter.uuid())
            .fetch_optional(&mut *tx)
            .await?;
        tx.commit().await?;
        row.ok_or(StoreError::NotFound { kind: "dead letter" })?.read()
    }

    /// One with its payload, decrypted; the reading is audited. [`StoreError::Erased`] where the payload is no more.
    pub async fn dead_letter(&self, letter: DeadLetterId) -> Result<(DeadLetterRow, Vec<u8>)> {
        let caller = self.caller();
        let mut tx = self.begin().await?;
        let row = select_letters!(["AND id = $2"], caller.tenant.uuid(), letter.uuid())
            .fetch_optional(&mut *tx)
            .await?
            .ok_or(StoreError::NotFound { kind: "dead letter" })?;
        let payload = payload_of(&mut tx, &caller, letter).await?;
        caller.audit(&mut tx, "read", "dead_letter", letter.uuid()).await?;
        tx.commit().await?;
        Ok((row.read()?, payload))
    }

    /// Keeps and counts what was refused before it reached the queue.
    pub async fn put_dead_letter(&self, letter: &NewDeadLetter, tally: &Tally) -> Result<()> {
        self.put_dead_letters(&[(letter.clone(), tally.clone())]).await
    }

    /// All of them or none.
    pub async fn put_dead_letters(&self, letters: &[(NewDeadLetter, Tally)]) -> Result<()> {
        if letters.iter().any(|(letter, _)| letter.tenant != self.tenant_id()) {
            return Err(StoreError::NotFound { kind: "tenant" });
        }
        let mut tx = self.begin().await?;
        let caller = self.caller();
        for (letter, tally) in letters {
            caller.refuse(&mut tx, letter, tally).await?;
            caller.turn_away(&mut tx, letter, tally).await?;
        }
        Ok(tx.commit().await?)
    }
}

/// The payload of a dead letter that there is.
pub(crate) async fn payload_of(conn: &mut PgConnection, caller: &Caller<'_>, letter: DeadLetterId) -> Result<Vec<u8>> {
    let row = sqlx::query!(
        "SELECT key_id, sealed FROM dead_letter WHERE tenant_id = $1 AND id = $2",
        caller.tenant.uuid(),
        letter.uuid(),
    )
    .fetch_one(&mut *conn)
    .await?;
    let erased = || StoreError::Erased {
        kind: "payload of the dead letter",
    };
    let sealed = row.sealed.ok_or_else(erased)?;
    let mut keys = existing_keys(conn, caller.master, caller.tenant, &[row.key_id]).await?;
    let key = keys.remove(&row.key_id).flatten().ok_or_else(erased)?;
    key.open(&context(letter.uuid()), &sealed)
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
                                      batch_id, reason, detail, samples, subject_kind, subject_id, key_id, sealed, received_at,
                                      resubmission_of)
             VALUES ($1, $2, $3, $4, $5, $6, (SELECT v.id FROM vehicle v WHERE v.tenant_id = $1 AND v.id = $7), $8, $9, $10,
                     $11, $12, $13, $14, $15, $16, $17, $18)
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
            letter.resubmission_of.map(DeadLetterId::uuid),
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
