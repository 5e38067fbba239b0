//! What sending dead letters again takes, one or many: the kept payload or an edited one becomes a batch of its own, which goes
//! through the queue and all validation like any other.

use odograph_domain::{
    envelope::{ContentEncoding, ContentType, Envelope, Header, Lane, Source},
    id::{DeadLetterId, MessageId, VehicleId},
    time::ReceivedAt,
};
use odograph_store::{Admitted, Arrival, Claim, StoreError, TenantStore};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    auth::gate::Caller,
    problem::{Code, Problem},
    state::ApiState,
    v1::telemetry::{
        glance::{Glance, glance},
        send::unknown,
    },
};

/// A dead letter that is in the queue again.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Resubmitted {
    dead_letter: Uuid,
    /// What became of it: `GET /v1/telemetry/messages/{message_id}`.
    message_id: Uuid,
    /// Of its own, since the dead letter can be a part of its batch.
    #[schema(example = "resubmission-0192f0c1-2f6b-7c3a-8a55-0d9f6f4f2a10")]
    batch_id: String,
    /// Null where the batch leaves it to its device.
    vehicle: Option<Uuid>,
}

/// A dead letter that reads as a batch.
#[derive(Debug)]
pub(super) struct Ready {
    letter: DeadLetterId,
    message: MessageId,
    glance: Glance,
    payload: Vec<u8>,
}

impl Ready {
    /// `edited` goes in place of what was kept.
    pub(super) fn of(claim: Claim, edited: Option<Map<String, Value>>, most_samples: usize) -> Result<Self, Problem> {
        let Claim {
            letter,
            message,
            payload,
        } = claim;
        let (mut batch, kept) = match edited {
            Some(batch) => (batch, false),
            None => (kept(payload)?, true),
        };
        let own = batch.get("batch_id").and_then(Value::as_str);
        if kept || own.is_none() || own == letter.batch_id.as_deref() {
            batch.insert("batch_id".to_owned(), format!("resubmission-{message}").into());
        }
        let payload = serde_json::to_vec(&batch).map_err(Problem::internal)?;
        let glance = glance(&payload, ContentType::Json, most_samples).map_err(|turned| {
            if kept {
                return unusable(&turned.detail);
            }
            Problem::new(turned.code(), turned.detail)
        })?;
        Ok(Self {
            letter: letter.id,
            message,
            glance,
            payload,
        })
    }

    fn arrival(&self, received_at: ReceivedAt) -> Arrival {
        Arrival {
            message: self.message,
            vehicle_given: self.glance.vehicle.clone().unwrap_or_default(),
            device_given: self.glance.device.clone(),
            batch_id: self.glance.batch_id.to_string(),
            source: Source::Resubmission,
            received_at,
            resubmission_of: Some(self.letter),
        }
    }

    fn envelope(self, caller: &Caller, of: Admitted, received_at: ReceivedAt) -> Envelope {
        let header = Header {
            message_id: self.message,
            tenant: caller.tenant(),
            client: Some(caller.client()),
            source: Source::Resubmission,
            lane: Lane::of(self.glance.urgent, self.glance.samples, self.payload.len()),
            vehicle: of.vehicle(),
            device: of.device(),
            vehicle_given: self.glance.vehicle.unwrap_or_default(),
            received_at,
            content_type: ContentType::Json,
            content_encoding: ContentEncoding::Identity,
            traceparent: None,
            resubmission_of: Some(self.letter),
            extra: Map::new(),
        };
        Envelope {
            header,
            payload: self.payload,
        }
    }
}

/// What was kept, without the places of samples that could not be kept.
fn kept(payload: Result<Vec<u8>, StoreError>) -> Result<Map<String, Value>, Problem> {
    let payload = payload?;
    let mut batch: Map<String, Value> =
        serde_json::from_slice(&payload).map_err(|_| unusable("it is no JSON object"))?;
    for list in ["samples", "impacts"] {
        if let Some(Value::Array(items)) = batch.get_mut(list) {
            items.retain(|item| !item.is_null());
        }
    }
    Ok(batch)
}

fn unusable(why: &str) -> Problem {
    Problem::new(
        Code::NotResubmittable,
        format!("what was kept of the message is no batch to send again ({why}); give one as `payload`"),
    )
}

/// Publishes them in one go and marks them. Those of no vehicle are told with the problem, and stay as they were.
pub(super) async fn send(
    state: &ApiState,
    caller: &Caller,
    store: &TenantStore,
    ready: Vec<Ready>,
) -> Result<(Vec<Resubmitted>, Vec<(DeadLetterId, Problem)>), Problem> {
    let received_at = ReceivedAt::new(state.clock.now());
    let arrivals: Vec<Arrival> = ready.iter().map(|ready| ready.arrival(received_at)).collect();
    let admitted = store.admit(&arrivals).await?;
    let (mut sent, mut refused, mut envelopes) = (Vec::new(), Vec::new(), Vec::new());
    for ready in ready {
        let Some(of) = admitted.get(&ready.message).copied() else {
            let turned = unknown(&ready.glance);
            refused.push((ready.letter, Problem::new(turned.code(), turned.detail)));
            continue;
        };
        sent.push(Resubmitted {
            dead_letter: ready.letter.uuid(),
            message_id: ready.message.uuid(),
            batch_id: ready.glance.batch_id.to_string(),
            vehicle: of.vehicle().map(VehicleId::uuid),
        });
        envelopes.push(ready.envelope(caller, of, received_at));
    }
    if !envelopes.is_empty() {
        state.publisher.publish(&envelopes).await?;
        let letters: Vec<DeadLetterId> = sent.iter().map(|sent| sent.dead_letter.into()).collect();
        store.mark_resubmitted(&letters).await?;
    }
    Ok((sent, refused))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept_of(payload: &str) -> Result<Map<String, Value>, Problem> {
        kept(Ok(payload.as_bytes().to_vec()))
    }

    #[test]
    fn what_could_not_be_kept_is_not_sent_again() {
        let batch = kept_of(r#"{"samples":[null,{"ts":"x"},null],"impacts":[null]}"#).unwrap();
        assert_eq!(
            Value::Object(batch),
            serde_json::json!({ "samples": [{ "ts": "x" }], "impacts": [] })
        );
        for wrong in ["", "[1]", "{\"samples\":", "\u{fffd}"] {
            assert_eq!(kept_of(wrong).unwrap_err().code(), Code::NotResubmittable, "{wrong}");
        }
        let erased = kept(Err(StoreError::Erased { kind: "payload" }));
        assert_eq!(erased.unwrap_err().code(), Code::PayloadErased);
    }
}
