//! What a channel has brought and nobody has asked for yet.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use odograph_domain::{
    carrier,
    envelope::{Lane, weight},
    queue::{Portion, Room},
};
use tokio::sync::Notify;

pub(super) struct Inbox {
    state: Mutex<State>,
    changed: Notify,
    /// Messages of the broker brought by this channel and not acknowledged.
    held: Arc<AtomicU64>,
    portion: Portion,
}

#[derive(Default)]
struct State {
    urgent: VecDeque<Message>,
    live: VecDeque<Message>,
    bulk: VecDeque<Message>,
    /// Delivery tags of what was no message for anybody, and is acknowledged already.
    dropped: Vec<u64>,
    lost: Option<String>,
    closed: bool,
}

/// An envelope, as a message of the broker brought it, alone or with others.
pub(super) struct Message {
    pub(super) lane: Lane,
    pub(super) tag: u64,
    /// Its place in the message of the broker, and how many that holds.
    pub(super) part: usize,
    pub(super) parts: usize,
    pub(super) redelivered: bool,
    pub(super) bytes: Vec<u8>,
}

impl State {
    fn lane(&mut self, lane: Lane) -> &mut VecDeque<Message> {
        match lane {
            Lane::Urgent => &mut self.urgent,
            Lane::Live => &mut self.live,
            Lane::Bulk => &mut self.bulk,
        }
    }
}

impl Inbox {
    pub(super) fn new(held: Arc<AtomicU64>, portion: Portion) -> Self {
        Self {
            state: Mutex::default(),
            changed: Notify::new(),
            held,
            portion,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn put(&self, lane: Lane, tag: u64, redelivered: bool, bytes: Vec<u8>) {
        self.held.fetch_add(1, Ordering::Relaxed);
        let message = |part, parts, bytes| Message {
            lane,
            tag,
            part,
            parts,
            redelivered,
            bytes,
        };
        let envelopes = carrier::unpack(&bytes);
        match envelopes.len() {
            1 => self.state().lane(lane).push_back(message(0, 1, bytes)),
            parts => {
                let each = envelopes.into_iter().enumerate();
                let each = each.map(|(part, envelope)| message(part, parts, envelope.to_vec()));
                self.state().lane(lane).extend(each);
            }
        }
        self.changed.notify_one();
    }

    /// The channel is gone. What it brought cannot be acknowledged any more and comes again by another.
    pub(super) fn lose(&self, why: String) {
        let mut state = self.state();
        *state = State {
            lost: Some(why),
            ..State::default()
        };
        self.held.store(0, Ordering::Relaxed);
        self.changed.notify_one();
    }

    /// From now on the end of a subscription is our own doing.
    pub(super) fn close(&self) {
        self.state().closed = true;
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state().closed
    }

    pub(super) fn lost(&self) -> Option<String> {
        self.state().lost.clone()
    }

    /// Up to `max` envelopes and a portion of bytes, or somewhat more where they travelled together: urgent, then live, then
    /// bulk, each in order.
    pub(super) fn take(&self, max: usize) -> Vec<Message> {
        let mut state = self.state();
        let mut room = Room::new(self.portion, max);
        let mut taken = Vec::new();
        for lane in Lane::ALL {
            let waiting = state.lane(lane);
            while let Some(first) = waiting.front() {
                // What travels together is taken together: whoever leaves in between gives back a message as a whole.
                let tag = first.tag;
                let together = waiting.iter().take_while(|message| message.tag == tag);
                let (count, bytes) = together.fold((0, 0), |(count, bytes), message| {
                    (count + 1, bytes + weight(&message.bytes))
                });
                if !room.admits(lane, count, bytes) {
                    break;
                }
                taken.extend(waiting.drain(..count));
            }
        }
        taken
    }

    /// Everything, whatever it weighs.
    pub(super) fn take_all(&self) -> Vec<Message> {
        let mut state = self.state();
        let mut taken = Vec::new();
        for lane in Lane::ALL {
            taken.extend(state.lane(lane).drain(..));
        }
        taken
    }

    pub(super) fn drop_tag(&self, tag: u64) {
        self.state().dropped.push(tag);
    }

    pub(super) fn dropped(&self) -> Vec<u64> {
        std::mem::take(&mut self.state().dropped)
    }

    /// Returns when something was put in, or the channel lost, since the last call.
    pub(super) async fn arrived(&self) {
        self.changed.notified().await;
    }

    pub(super) fn settled(&self, messages: usize) {
        let fewer = |held: u64| Some(held.saturating_sub(messages as u64));
        // Always some: the closure never refuses.
        let _ = self.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fewer);
    }
}
