//! `GET /v1/telemetry/messages/{message_id}`

use std::collections::BTreeMap;

use actix_web::web::{Data, Json};
use chrono::{DateTime, Utc};
use odograph_domain::{
    id::{DeadLetterId, MessageId},
    outcome::Tally,
};
use odograph_store::{MessageRow, Settlement};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    auth::gate::Caller,
    extract::path::{self, Segment},
    problem::Problem,
    state::ApiState,
    v1::found,
};

/// What became of a message.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MessageStatus {
    message_id: Uuid,
    /// `pending` while it waits in the queue; then `settled`.
    #[schema(example = "settled")]
    state: &'static str,
    /// Null while it is pending. `accepted`, `accepted_in_part` (some samples were rejected), `duplicate` (the vehicle had sent
    /// the same batch before) or `rejected`.
    #[schema(example = "accepted_in_part")]
    outcome: Option<&'static str>,
    /// Null while it is pending.
    samples: Option<SampleCounts>,
    #[schema(example = "2026-01-31T07:15-0001")]
    batch_id: Option<String>,
    /// Null where it was turned away before the vehicle was known.
    vehicle: Option<Uuid>,
    received_at: DateTime<Utc>,
    settled_at: Option<DateTime<Utc>>,
    /// The dead letter it was, if it was one.
    resubmission_of: Option<Uuid>,
    /// What of it could not be used.
    dead_letters: Vec<Uuid>,
}

/// Accepted + duplicate + rejected = received.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SampleCounts {
    #[schema(example = 60)]
    received: u64,
    #[schema(example = 57)]
    accepted: u64,
    #[schema(example = 1)]
    duplicate: u64,
    /// By the name of the reason.
    #[schema(example = json!({ "ts_in_future": 2 }))]
    rejected: BTreeMap<String, u64>,
}

impl From<MessageRow> for MessageStatus {
    fn from(row: MessageRow) -> Self {
        let MessageRow {
            id,
            vehicle,
            batch_id,
            resubmission_of,
            received_at,
            settled,
            dead_letters,
        } = row;
        let settled_at = settled.as_ref().map(|settled| settled.at);
        let (outcome, samples) = settled
            .map(|Settlement { outcome, tally, .. }| (outcome.as_str(), tally.into()))
            .unzip();
        Self {
            message_id: id.uuid(),
            state: if outcome.is_some() { "settled" } else { "pending" },
            outcome,
            samples,
            batch_id,
            vehicle: vehicle.map(|vehicle| vehicle.uuid()),
            received_at,
            settled_at,
            resubmission_of: resubmission_of.map(DeadLetterId::uuid),
            dead_letters: dead_letters.into_iter().map(DeadLetterId::uuid).collect(),
        }
    }
}

impl From<Tally> for SampleCounts {
    fn from(tally: Tally) -> Self {
        let Tally {
            received,
            accepted,
            duplicate,
            rejected,
        } = tally;
        Self {
            received,
            accepted,
            duplicate,
            rejected,
        }
    }
}

#[utoipa::path(
    get,
    path = "/v1/telemetry/messages/{message_id}",
    tag = "Intake",
    summary = "What became of a message",
    description = "Of messages that came over HTTP, by the `message_id` of the answer, for 30 days.",
    params(("message_id" = Uuid, Path, description = "Id")),
    responses((status = 200, description = "Where it is, or how it ended", body = MessageStatus))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    message: Segment,
) -> Result<Json<MessageStatus>, Problem> {
    let id: MessageId = path::id("message", &message)?;
    let row = found(caller.store(&state).message(id).await, "message", &message)?;
    Ok(Json(row.into()))
}
