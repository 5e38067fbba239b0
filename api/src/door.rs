//! Where telemetry over HTTP is admitted and published, several requests at a time.
//!
//! A transaction and a confirm cost the same for one batch as for a hundred. So requests that come while others are being
//! served wait for these and then go together; one that comes alone does not wait at all.

use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::FutureExt as _;

use odograph_domain::{
    envelope::Envelope,
    id::TenantId,
    queue::{Publisher, QueueError},
};
use odograph_store::{Admitted, Arrival, Store, StoreError};
use tokio::sync::oneshot;

use crate::problem::Problem;

/// Rounds under way at once: while one waits for the disk the next is on its way. More would be smaller, and cost more a batch.
const ROUNDS: usize = 2;
/// Batches that may wait to be served; whoever comes then is told to slow down.
const WAITING: usize = 8192;
/// What goes together at most.
const TOGETHER: usize = 256;
const BYTES: usize = 4 << 20;

/// A batch that reads, and what its sender waits for.
struct Entry {
    arrival: Arrival,
    /// As it goes into the queue, but for what admission finds out: what it is of.
    envelope: Envelope,
    answer: oneshot::Sender<Result<Option<Admitted>, Refused>>,
}

#[derive(Debug)]
enum Refused {
    Store(StoreError),
    Queue(QueueError),
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Store(error) => error.into(),
            Refused::Queue(error) => error.into(),
        }
    }
}

#[derive(Default)]
struct Waiting {
    entries: Vec<Entry>,
    rounds: usize,
}

pub(crate) struct Door {
    store: Store,
    publisher: Arc<dyn Publisher>,
    waiting: Mutex<Waiting>,
}

impl Door {
    pub(crate) fn new(store: Store, publisher: Arc<dyn Publisher>) -> Arc<Self> {
        Arc::new(Self {
            store,
            publisher,
            waiting: Mutex::default(),
        })
    }

    /// Finds what the batch is of and puts it into the queue; returns when that holds it. `None`: there is no such vehicle or
    /// device, and nothing has been done.
    pub(crate) async fn admit(
        self: &Arc<Self>,
        arrival: Arrival,
        envelope: Envelope,
    ) -> Result<Option<Admitted>, Problem> {
        let (answer, answered) = oneshot::channel();
        let entry = Entry {
            arrival,
            envelope,
            answer,
        };
        let first = {
            let mut waiting = self.waiting();
            if waiting.entries.len() >= WAITING {
                waiting.entries.retain(|entry| !entry.answer.is_closed());
            }
            if waiting.entries.len() >= WAITING {
                let why = format!("{WAITING} batches wait to be admitted");
                return Err(QueueError::Saturated(why).into());
            }
            waiting.entries.push(entry);
            let first = waiting.rounds < ROUNDS;
            waiting.rounds += usize::from(first);
            first
        };
        if first {
            // Not within this request: that may be given up while others' batches are on their way.
            tokio::spawn(Arc::clone(self).serve());
        }
        let answered = answered.await.map_err(Problem::internal)?;
        Ok(answered?)
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves round after round until nobody waits.
    async fn serve(self: Arc<Self>) {
        while let Some(round) = self.next_round() {
            // Who waited is told by the loss of their answer; the others go on.
            if AssertUnwindSafe(self.serve_round(round)).catch_unwind().await.is_err() {
                tracing::error!("admitting batches panicked");
            }
        }
    }

    fn next_round(&self) -> Option<Vec<Entry>> {
        let mut waiting = self.waiting();
        // Whoever gave up sends it again.
        waiting.entries.retain(|entry| !entry.answer.is_closed());
        let mut bytes = 0;
        let mut fits = |entry: &&Entry| {
            bytes += entry.envelope.payload.len();
            bytes <= BYTES
        };
        let count = waiting
            .entries
            .iter()
            .take(TOGETHER)
            .take_while(|entry| fits(entry))
            .count();
        // One that is longer than that goes alone.
        let count = count.max(1).min(waiting.entries.len());
        if count == 0 {
            waiting.rounds -= 1;
            return None;
        }
        Some(waiting.entries.drain(..count).collect())
    }

    async fn serve_round(&self, round: Vec<Entry>) {
        let mut by_tenant: Vec<(TenantId, Vec<Entry>)> = Vec::new();
        for entry in round {
            let tenant = entry.envelope.header.tenant;
            match by_tenant.iter_mut().find(|(of, _)| *of == tenant) {
                Some((_, entries)) => entries.push(entry),
                None => by_tenant.push((tenant, vec![entry])),
            }
        }
        let mut admitted = Vec::new();
        for (tenant, entries) in by_tenant {
            admitted.extend(self.admit_all(tenant, entries).await);
        }
        self.publish_all(admitted).await;
    }

    /// Those that may go on; the others have their answer.
    async fn admit_all(&self, tenant: TenantId, mut entries: Vec<Entry>) -> Vec<(Entry, Admitted)> {
        let arrivals: Vec<Arrival> = entries.iter().map(|entry| entry.arrival.clone()).collect();
        let store = self.store.tenant(tenant);
        let mut found = match store.admit(&arrivals).await {
            Ok(found) => found,
            Err(StoreError::Unavailable(cause)) => {
                for entry in entries {
                    entry.tell(Err(Refused::Store(StoreError::Unavailable(cause.clone()))));
                }
                return Vec::new();
            }
            Err(_) if entries.len() > 1 => {
                // What is wrong with one of them is no fault of the others.
                let mut admitted = Vec::new();
                for entry in entries {
                    admitted.extend(Box::pin(self.admit_all(tenant, vec![entry])).await);
                }
                return admitted;
            }
            Err(cause) => {
                if let Some(entry) = entries.pop() {
                    entry.tell(Err(Refused::Store(cause)));
                }
                return Vec::new();
            }
        };
        let mut admitted = Vec::with_capacity(entries.len());
        for mut entry in entries {
            match found.remove(&entry.arrival.message) {
                Some(of) => {
                    let header = &mut entry.envelope.header;
                    (header.vehicle, header.device) = (of.vehicle(), of.device());
                    admitted.push((entry, of));
                }
                None => entry.tell(Ok(None)),
            }
        }
        admitted
    }

    async fn publish_all(&self, admitted: Vec<(Entry, Admitted)>) {
        let (waiting, envelopes): (Vec<_>, Vec<_>) = admitted
            .into_iter()
            .map(|(entry, of)| ((entry.answer, of), entry.envelope))
            .unzip();
        if envelopes.is_empty() {
            return;
        }
        let published = self.publisher.publish(&envelopes).await;
        for (answer, of) in waiting {
            let told = published.clone().map(|()| Some(of)).map_err(Refused::Queue);
            // Whoever does not wait any more sends it again, and the ledger knows it.
            let _ = answer.send(told);
        }
    }
}

impl Entry {
    fn tell(self, answer: Result<Option<Admitted>, Refused>) {
        let _ = self.answer.send(answer);
    }
}
