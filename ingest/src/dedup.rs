//! Whether a batch was seen before. The mark and the result are written in one transaction; here is only the decision.

use std::collections::HashMap;

use odograph_domain::intake::{LedgerEntry, LedgerKey, NewBatch};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    New,
    /// The same batch again, in whatever encoding, from its sender.
    Duplicate,
    /// The same message again, from the queue.
    Redelivered,
    /// The same vehicle and batch id with other content.
    Conflict,
}

/// `known` is what the ledger holds under the batch's key.
pub fn decide(batch: &NewBatch, known: Option<&LedgerEntry>) -> Verdict {
    match known {
        None => Verdict::New,
        Some(entry) if entry.content_hash == batch.content_hash && entry.message == batch.message => {
            Verdict::Redelivered
        }
        Some(entry) if entry.content_hash == batch.content_hash => Verdict::Duplicate,
        Some(_) => Verdict::Conflict,
    }
}

/// The ledger as far as one micro-batch needs it. Batches judged new are remembered, so that a batch that comes twice
/// within the micro-batch is counted once; the first one to come wins, as it would have in two micro-batches.
#[derive(Debug, Default)]
pub struct Known {
    entries: HashMap<LedgerKey, LedgerEntry>,
}

impl Known {
    /// From the rows the ledger holds for the keys of the micro-batch.
    pub fn new(ledger: HashMap<LedgerKey, LedgerEntry>) -> Self {
        Self { entries: ledger }
    }

    pub fn judge(&mut self, batch: &NewBatch) -> Verdict {
        let verdict = decide(batch, self.entries.get(&batch.key));
        if verdict == Verdict::New {
            let entry = LedgerEntry {
                content_hash: batch.content_hash,
                message: batch.message,
            };
            self.entries.insert(batch.key.clone(), entry);
        }
        verdict
    }
}

#[cfg(test)]
mod tests {
    use odograph_domain::{
        batch::BatchId,
        envelope::Source,
        id::{MessageId, TenantId, VehicleId},
        time::ReceivedAt,
    };
    use uuid::Uuid;

    use super::*;

    fn batch(id: &str, content: u8, message: u128) -> NewBatch {
        let one = Uuid::from_u128(1);
        NewBatch {
            key: LedgerKey {
                tenant: TenantId::from_uuid(one),
                vehicle: VehicleId::from_uuid(one),
                batch_id: BatchId::parse(id).unwrap(),
            },
            message: MessageId::from_uuid(Uuid::from_u128(message)),
            content_hash: [content; 32],
            source: Source::Http,
            received_at: ReceivedAt::from_millis(0).unwrap(),
            device: None,
            samples: Vec::new(),
            impacts: Vec::new(),
        }
    }

    #[test]
    fn the_first_of_a_micro_batch_wins() {
        let old = batch("old", 9, 1);
        let entry = LedgerEntry {
            content_hash: old.content_hash,
            message: old.message,
        };
        let mut known = Known::new(HashMap::from([(old.key.clone(), entry)]));
        assert_eq!(known.judge(&batch("old", 9, 2)), Verdict::Duplicate);
        assert_eq!(known.judge(&batch("old", 8, 3)), Verdict::Conflict);
        assert_eq!(known.judge(&batch("new", 1, 4)), Verdict::New);
        assert_eq!(known.judge(&batch("new", 1, 5)), Verdict::Duplicate);
        assert_eq!(known.judge(&batch("new", 2, 6)), Verdict::Conflict);
        // The queue gives a message again whose commit was not acknowledged.
        assert_eq!(known.judge(&old), Verdict::Redelivered);
        assert_eq!(known.judge(&batch("new", 1, 4)), Verdict::Redelivered);
    }
}
