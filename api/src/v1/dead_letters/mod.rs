//! Dead letters: what could not be used, kept where somebody can look at it.

pub(crate) mod discard;
pub(crate) mod discard_many;
mod filter;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod resubmission;
pub(crate) mod resubmit;
pub(crate) mod resubmit_many;

use chrono::{DateTime, Utc};
use odograph_store::DeadLetterRow;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// A message, or samples of one, that could not be used.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeadLetter {
    id: Uuid,
    message_id: Uuid,
    /// How the message came: `http`, `amqp`, `mqtt`, `import` or `resubmission`.
    #[schema(value_type = String, example = "http")]
    source: odograph_domain::envelope::Source,
    client: Option<Uuid>,
    /// Where it was known.
    vehicle: Option<Uuid>,
    /// As the sender wrote it.
    #[schema(example = "fleet-0042")]
    vehicle_given: String,
    #[schema(example = "2026-01-31T07:15-0001")]
    batch_id: Option<String>,
    /// Stable name of the reason.
    #[schema(example = "ts_in_future")]
    reason: String,
    /// What was given and what was wanted.
    detail: String,
    /// How many samples it stands for.
    #[schema(example = 1)]
    samples: u32,
    received_at: DateTime<Utc>,
    /// The dead letter its message was, if it was one.
    resubmission_of: Option<Uuid>,
    /// `open`, `resubmitted` or `discarded`.
    #[schema(example = "open")]
    status: &'static str,
    /// The message it was sent again as; once `status` says so it is in the queue, or was.
    resubmitted_as: Option<Uuid>,
    #[schema(example = json!(null))]
    discard_reason: Option<String>,
    /// When it was sent again or discarded, and by which client.
    settled_at: Option<DateTime<Utc>>,
    settled_by: Option<Uuid>,
}

impl From<DeadLetterRow> for DeadLetter {
    fn from(row: DeadLetterRow) -> Self {
        Self {
            id: row.id.uuid(),
            message_id: row.message.uuid(),
            source: row.source,
            client: row.client.map(|client| client.uuid()),
            vehicle: row.vehicle.map(|vehicle| vehicle.uuid()),
            vehicle_given: row.vehicle_given,
            batch_id: row.batch_id,
            reason: row.reason,
            detail: row.detail,
            samples: row.samples,
            received_at: row.received_at,
            resubmission_of: row.resubmission_of.map(|letter| letter.uuid()),
            status: row.status.as_str(),
            resubmitted_as: row.resubmitted_as.map(|message| message.uuid()),
            discard_reason: row.discard_reason,
            settled_at: row.settled_at,
            settled_by: row.settled_by.map(|client| client.uuid()),
        }
    }
}
