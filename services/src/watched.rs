//! What others do for us, watched: requests to the API, and what is published to the queue.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use odograph_api::Watch;
use odograph_domain::{
    envelope::Envelope,
    outcome::Tally,
    queue::{Publisher, QueueError},
};
use tracing::{Instrument as _, Span};

use crate::{
    meter::{Ended, Meter},
    traces,
};

/// Counts the API's requests, and traces them.
#[derive(Debug)]
pub(crate) struct Requests(pub(crate) Arc<Meter>);

impl Watch for Requests {
    fn arrived(&self, operation: &'static str, request_id: &str, traceparent: Option<&str>) -> Span {
        traces::request(operation, request_id, traceparent)
    }

    fn traceparent(&self, span: &Span) -> Option<String> {
        traces::traceparent(span)
    }

    fn answered(&self, operation: &'static str, span: &Span, status: u16, took: Duration) {
        traces::answered(span, status);
        self.0.counts.answered(operation, status, took);
    }

    fn turned_away(&self, tally: &Tally) {
        self.0.counts.add(&Ended::turned_away(tally));
    }
}

/// A publisher whose confirms are timed and traced.
pub(crate) struct Timed {
    pub(crate) publisher: Arc<dyn Publisher>,
    pub(crate) meter: Arc<Meter>,
}

#[async_trait]
impl Publisher for Timed {
    async fn publish(&self, envelopes: &[Envelope]) -> Result<(), QueueError> {
        let began = Instant::now();
        let publishing = self.publisher.publish(envelopes);
        let published = publishing.instrument(traces::publish(envelopes)).await;
        let counts = &self.meter.counts;
        counts.published(envelopes.len(), began.elapsed(), published.as_ref().copied());
        published
    }

    async fn ping(&self) -> Result<(), QueueError> {
        self.publisher.ping().await
    }
}
