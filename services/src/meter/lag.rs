//! How far each partition that this process works on is behind.
//!
//! A lane of a partition is behind by the age of the oldest message in hand; with none in hand and some waiting, by the age of the
//! last one committed, which the next in line cannot be older than by much; with none at all, by nothing.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use chrono::{DateTime, Utc};
use odograph_domain::{
    envelope::{Header, Lane},
    time::EventTime,
};

/// Of the partitions that this process holds.
#[derive(Debug, Default)]
pub struct Lag(Mutex<BTreeMap<u16, Partition>>);

#[derive(Debug)]
struct Partition {
    since: DateTime<Utc>,
    lanes: [Line; Lane::ALL.len()],
    /// Latest time of a sample that was committed, of what comes live.
    newest: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Line {
    /// Arrival of the oldest message that is being worked on.
    in_hand: Option<DateTime<Utc>>,
    /// Arrival of the last message that was committed.
    committed: Option<DateTime<Utc>>,
    /// Messages seen waiting in the queue.
    waiting: u64,
}

/// How far one partition is behind, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lags {
    pub partition: u16,
    /// Since the arrival of the oldest message that is not committed, by lane.
    pub arrival_s: [f64; Lane::ALL.len()],
    /// Since the latest sample that was committed, of what comes live; 0 where none is waiting.
    pub event_s: f64,
}

impl Lag {
    fn partitions(&self) -> MutexGuard<'_, BTreeMap<u16, Partition>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Work on the partition begins.
    pub fn holds(&self, partition: u16, now: DateTime<Utc>) {
        let new = Partition {
            since: now,
            lanes: Default::default(),
            newest: None,
        };
        self.partitions().insert(partition, new);
    }

    /// The partition is another's now.
    pub fn leaves(&self, partition: u16) {
        self.partitions().remove(&partition);
    }

    /// Messages are in hand.
    pub fn takes<'a>(&self, partition: u16, messages: impl Iterator<Item = &'a Header>) {
        if let Some(held) = self.partitions().get_mut(&partition) {
            for header in messages {
                let (line, at) = (&mut held.lanes[header.lane as usize], header.received_at.utc());
                line.in_hand = Some(line.in_hand.map_or(at, |oldest| oldest.min(at)));
            }
        }
    }

    /// These have been committed; a clock that is ahead does not count for more than now.
    pub(super) fn committed<'a>(
        &self,
        partition: u16,
        messages: impl Iterator<Item = (&'a Header, Option<EventTime>)>,
        now: DateTime<Utc>,
    ) {
        let mut partitions = self.partitions();
        let mut held = partitions.get_mut(&partition);
        // The messages are looked at whether or not it is held: who passes them counts them on the way.
        for (header, last) in messages {
            let Some(held) = &mut held else { continue };
            let line = &mut held.lanes[header.lane as usize];
            line.committed = line.committed.max(Some(header.received_at.utc()));
            if header.lane != Lane::Bulk {
                held.newest = held.newest.max(last.map(|last| last.utc().min(now)));
            }
        }
    }

    /// Nothing is in hand any more.
    pub fn done(&self, partition: u16) {
        if let Some(held) = self.partitions().get_mut(&partition) {
            held.lanes.iter_mut().for_each(|line| line.in_hand = None);
        }
    }

    /// The queue had nothing for it.
    pub fn idle(&self, partition: u16) {
        if let Some(held) = self.partitions().get_mut(&partition) {
            held.lanes.iter_mut().for_each(|line| line.waiting = 0);
        }
    }

    /// So many messages were seen waiting in the queue.
    pub fn waits(&self, partition: u16, lane: Lane, messages: u64) {
        if let Some(held) = self.partitions().get_mut(&partition) {
            held.lanes[lane as usize].waiting = messages;
        }
    }

    pub fn read(&self, now: DateTime<Utc>) -> Vec<Lags> {
        let age = |at: DateTime<Utc>| ((now - at).num_milliseconds() as f64 / 1000.0).max(0.0);
        let partitions = self.partitions();
        let lags = partitions.iter().map(|(number, held)| {
            let arrival = |line: &Line| match (line.in_hand, line.waiting) {
                (Some(oldest), _) => age(oldest),
                (None, 0) => 0.0,
                (None, _) => age(line.committed.unwrap_or(held.since)),
            };
            let arrival_s = [0, 1, 2].map(|lane| arrival(&held.lanes[lane]));
            let live_waits = [Lane::Urgent, Lane::Live].iter().any(|lane| {
                let line = &held.lanes[*lane as usize];
                line.in_hand.is_some() || line.waiting > 0
            });
            Lags {
                partition: *number,
                arrival_s,
                event_s: if live_waits {
                    age(held.newest.unwrap_or(held.since))
                } else {
                    0.0
                },
            }
        });
        lags.collect()
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use odograph_domain::{
        envelope::{ContentEncoding, ContentType, Source},
        id::{MessageId, TenantId},
        time::ReceivedAt,
    };
    use uuid::Uuid;

    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(second)
    }

    fn header(lane: Lane, second: i64) -> Header {
        Header {
            message_id: MessageId::from_uuid(Uuid::nil()),
            tenant: TenantId::from_uuid(Uuid::nil()),
            client: None,
            source: Source::Http,
            lane,
            vehicle: None,
            vehicle_given: String::new(),
            device: None,
            received_at: ReceivedAt::new(at(second)),
            content_type: ContentType::Json,
            content_encoding: ContentEncoding::Identity,
            traceparent: None,
            resubmission_of: None,
            extra: serde_json::Map::new(),
        }
    }

    #[test]
    fn a_partition_is_behind_by_what_it_has_not_committed() {
        let lag = Lag::default();
        let read = |second| lag.read(at(second))[0];
        lag.takes(3, [header(Lane::Live, 0)].iter());
        assert!(lag.read(at(9)).is_empty(), "not held");
        lag.holds(3, at(100));
        assert_eq!((read(105).arrival_s, read(105).event_s), ([0.0; 3], 0.0));

        // Seen in the queue, and nothing committed yet: since the partition is held.
        lag.waits(3, Lane::Bulk, 7);
        assert_eq!((read(105).arrival_s, read(105).event_s), ([0.0, 0.0, 5.0], 0.0));
        lag.idle(3);
        assert_eq!(read(105).arrival_s, [0.0; 3]);

        // The oldest in hand counts, in its own lane.
        lag.takes(
            3,
            [
                header(Lane::Live, 102),
                header(Lane::Live, 101),
                header(Lane::Urgent, 104),
            ]
            .iter(),
        );
        assert_eq!(read(110).arrival_s, [6.0, 9.0, 0.0]);
        let committed = header(Lane::Live, 102);
        lag.committed(3, [(&committed, Some(EventTime::new(at(95))))].into_iter(), at(111));
        assert_eq!(read(111).event_s, 16.0);
        lag.done(3);
        assert_eq!((read(120).arrival_s, read(120).event_s), ([0.0; 3], 0.0));

        // With more of it waiting, since the last that was committed. A clock ahead of ours is no lead.
        lag.waits(3, Lane::Live, 1);
        assert_eq!((read(122).arrival_s, read(122).event_s), ([0.0, 20.0, 0.0], 27.0));
        lag.committed(3, [(&committed, Some(EventTime::new(at(500))))].into_iter(), at(122));
        assert_eq!(read(124).event_s, 2.0);
        lag.leaves(3);
        assert!(lag.read(at(124)).is_empty());
    }
}
