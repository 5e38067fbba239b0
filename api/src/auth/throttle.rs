//! Failed attempts to get a token, counted by client so that guessing a secret is slow.
//!
//! In memory, by process: behind a load balancer each process allows its own. What it holds is bounded.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

const ATTEMPTS: u32 = 10;
const WINDOW: TimeDelta = TimeDelta::seconds(60);
const MOST_CLIENTS: usize = 10_000;

#[derive(Debug, Default)]
pub(crate) struct Throttle {
    failures: Mutex<HashMap<Uuid, (DateTime<Utc>, u32)>>,
}

impl Throttle {
    /// How long a client that failed too often has to wait.
    pub(crate) fn wait(&self, client: Uuid, now: DateTime<Utc>) -> Option<TimeDelta> {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, count) = failures.get(&client)?;
        let over = *since + WINDOW;
        (*count >= ATTEMPTS && now < over).then(|| over - now)
    }

    pub(crate) fn failed(&self, client: Uuid, now: DateTime<Utc>) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() >= MOST_CLIENTS {
            failures.retain(|_, (since, _)| now < *since + WINDOW);
        }
        // Full of clients that failed within the window: made-up ids, which no secret opens. Forget them all rather than grow.
        if failures.len() >= MOST_CLIENTS {
            failures.clear();
        }
        let entry = failures.entry(client).or_insert((now, 0));
        if now >= entry.0 + WINDOW {
            *entry = (now, 0);
        }
        entry.1 += 1;
    }

    pub(crate) fn succeeded(&self, client: Uuid) {
        self.failures
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&client);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_failures_a_minute() {
        let throttle = Throttle::default();
        let client = Uuid::from_u128(1);
        let start = DateTime::UNIX_EPOCH;
        for _ in 0..ATTEMPTS {
            assert_eq!(throttle.wait(client, start), None);
            throttle.failed(client, start);
        }
        assert_eq!(
            throttle.wait(client, start + TimeDelta::seconds(20)),
            Some(TimeDelta::seconds(40))
        );
        assert_eq!(throttle.wait(Uuid::from_u128(2), start), None);
        assert_eq!(throttle.wait(client, start + WINDOW), None);
        throttle.failed(client, start + WINDOW);
        assert_eq!(throttle.wait(client, start + WINDOW), None);
        throttle.succeeded(client);
        assert_eq!(throttle.wait(client, start), None);
    }
}
