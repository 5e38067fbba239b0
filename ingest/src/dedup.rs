//! Whether a batch was seen before. The mark and the result are written in one transaction; here is only the decision.

use std::collections::HashMap;

use odograph_domain::intake::{LedgerKey, NewBatch};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    New,
    /// The same batch again, in whatever encoding.
    Duplicate,
    /// The same vehicle and batch id with other content.
    Conflict,
}

/// `known` is the content hash the ledger holds under the batch's key.
pub fn decide(batch: &NewBatch, known: Option<&[u8; 32]>) -> Verdict {
    match known {
        None => Verdict::New,
        Some(hash) if *hash == batch.content_hash => Verdict::Duplicate,
        Some(_) => Verdict::Conflict,
    }
}

/// The ledger as far as one micro-batch needs it. Batches judged new are remembered, so that a batch that comes twice
/// within the micro-batch is counted once; the first one to come wins, as it would have in two micro-batches.
#[derive(Debug, Default)]
pub struct Known {
    hashes: HashMap<LedgerKey, [u8; 32]>,
}

impl Known {
    /// From the rows the ledger holds for the keys of the micro-batch.
    pub fn new(ledger: HashMap<LedgerKey, [u8; 32]>) -> Self {
        Self { hashes: ledger }
    }

    pub fn judge(&mut self, batch: &NewBatch) -> Verdict {
        let verdict = decide(batch, self.hashes.get(&batch.key));
        if verdict == Verdict::New {
            self.hashes.insert(batch.key.clone(), batch.content_hash);
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

    fn batch(id: &str, content: u8) -> NewBatch {
        let one = Uuid::from_u128(1);
        NewBatch {
            key: LedgerKey {
                tenant: TenantId::from_uuid(one),
                vehicle: VehicleId::from_uuid(one),
                batch_id: BatchId::parse(id).unwrap(),
            },
            message: MessageId::from_uuid(one),
            content_hash: [content; 32],
            source: Source::Http,
            received_at: ReceivedAt::from_millis(0).unwrap(),
            samples: Vec::new(),
            impacts: Vec::new(),
        }
    }

    #[test]
    fn the_first_of_a_micro_batch_wins() {
        let mut known = Known::new(HashMap::from([(batch("old", 9).key, [9; 32])]));
        assert_eq!(known.judge(&batch("old", 9)), Verdict::Duplicate);
        assert_eq!(known.judge(&batch("old", 8)), Verdict::Conflict);
        assert_eq!(known.judge(&batch("new", 1)), Verdict::New);
        assert_eq!(known.judge(&batch("new", 1)), Verdict::Duplicate);
        assert_eq!(known.judge(&batch("new", 2)), Verdict::Conflict);
    }
}
