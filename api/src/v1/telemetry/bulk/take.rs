//! Publishes batches in one go.

use std::time::Duration;

use actix_web::web::Bytes;
use odograph_domain::{
    envelope::{ContentEncoding, ContentType, Envelope, Header, Lane},
    id::{DeviceId, MessageId, VehicleId},
    queue::QueueError,
    time::ReceivedAt,
};
use odograph_store::Arrival;

use super::{BatchOutcome, BulkAnswer};
use crate::{
    auth::gate::Caller,
    problem::Problem,
    state::ApiState,
    v1::telemetry::{
        glance::{Glance, Turned},
        send::{Message, unknown},
        turned_away,
    },
};

/// A batch, and how it looks at the door.
pub(in crate::v1::telemetry) type Batch = (Message, Result<Glance, Turned>);

/// Takes batches in for a caller.
pub(in crate::v1::telemetry) struct Taker<'a> {
    pub(super) state: &'a ApiState,
    pub(super) caller: &'a Caller,
    traceparent: Option<String>,
    /// How long a full queue is waited for.
    patience: Duration,
}

impl<'a> Taker<'a> {
    /// One that gives up at once where the queue is full.
    pub(in crate::v1::telemetry) fn new(state: &'a ApiState, caller: &'a Caller, traceparent: Option<String>) -> Self {
        Self {
            state,
            caller,
            traceparent,
            patience: Duration::ZERO,
        }
    }

    pub(super) fn patient(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    pub(in crate::v1::telemetry) fn message(
        &self,
        body: Bytes,
        content_type: ContentType,
        received_at: ReceivedAt,
    ) -> Message {
        Message {
            id: MessageId::from(self.state.ids.uuid()),
            received_at,
            content_type,
            encoding: ContentEncoding::Identity,
            traceparent: self.traceparent.clone(),
            body,
        }
    }

    /// Publishes what can be taken in one go, then keeps what cannot. In this order: whoever is told to send all again must not
    /// make a second dead letter of each that was refused.
    pub(in crate::v1::telemetry) async fn take(
        &self,
        batches: Vec<Batch>,
        answer: &mut BulkAnswer,
    ) -> Result<(), Problem> {
        let store = self.caller.store(self.state);
        let arrivals: Vec<Arrival> = batches
            .iter()
            .filter_map(|(message, look)| Some(message.arrival(look.as_ref().ok()?)))
            .collect();
        let vehicles = store.admit(&arrivals).await?;
        let first = answer.taken();
        let (mut outcomes, mut envelopes, mut refused) = (Vec::new(), Vec::new(), Vec::new());
        for (place, (message, look)) in batches.into_iter().enumerate() {
            let looked = look.and_then(|glance| match vehicles.get(&message.id) {
                Some(of) => Ok((glance, *of)),
                None => Err(unknown(&glance)),
            });
            let (index, message_id) = (first + place, message.id.uuid());
            match looked {
                Ok((glance, of)) => {
                    let lane = Lane::of(glance.urgent, glance.samples, message.body.len());
                    outcomes.push(BatchOutcome {
                        index,
                        status: "accepted",
                        message_id,
                        batch_id: Some(glance.batch_id.to_string()),
                        vehicle: of.vehicle().map(VehicleId::uuid),
                        device: of.device().map(DeviceId::uuid),
                        lane: Some(lane),
                        code: None,
                        detail: None,
                    });
                    let header = Header {
                        lane,
                        vehicle: of.vehicle(),
                        device: of.device(),
                        vehicle_given: glance.vehicle.unwrap_or_default(),
                        ..message.header(self.caller)
                    };
                    envelopes.push(Envelope {
                        header,
                        payload: message.body.into(),
                    });
                }
                Err(turned) => {
                    outcomes.push(BatchOutcome {
                        index,
                        status: "refused",
                        message_id,
                        batch_id: turned.batch_id.clone(),
                        vehicle: None,
                        device: None,
                        lane: None,
                        code: Some(turned.code().as_str()),
                        detail: Some(turned.detail.clone()),
                    });
                    refused.push(turned_away::letter(self.caller, &message, turned));
                }
            }
        }
        self.publish(&envelopes).await?;
        if !refused.is_empty() {
            store.put_dead_letters(&refused).await?;
            refused
                .iter()
                .for_each(|(_, tally)| self.state.watch.turned_away(tally));
        }
        outcomes.into_iter().for_each(|outcome| answer.tell(outcome));
        Ok(())
    }

    /// Waits for a queue that is full, which holds up the sender in turn.
    async fn publish(&self, envelopes: &[Envelope]) -> Result<(), Problem> {
        const PAUSE: Duration = Duration::from_millis(200);
        if envelopes.is_empty() {
            return Ok(());
        }
        let mut waited = Duration::ZERO;
        loop {
            match self.state.publisher.publish(envelopes).await {
                Err(QueueError::Saturated(_)) if waited < self.patience => {
                    tokio::time::sleep(PAUSE).await;
                    waited += PAUSE;
                }
                done => return Ok(done?),
            }
        }
    }
}
