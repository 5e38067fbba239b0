//! The pause between attempts to reach a broker that does not answer.

use std::time::{Duration, Instant};

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(10);

/// Doubles with every failure, up to ten seconds; forgotten at the first success.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
    not_before: Option<Instant>,
}

impl Backoff {
    /// Waits until the next attempt may be made; `false` (after waiting until `deadline`) if that is too late.
    pub(super) async fn ready(&self, deadline: Instant) -> bool {
        let Some(not_before) = self.not_before else { return true };
        let in_time = not_before <= deadline.max(Instant::now());
        tokio::time::sleep_until(not_before.min(deadline).into()).await;
        in_time
    }

    pub(super) fn failed(&mut self, now: Instant) {
        let pause = FIRST.saturating_mul(1 << self.failures.min(16)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(now + pause);
    }

    pub(super) fn succeeded(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_pause_doubles_up_to_its_bound_and_a_success_ends_it() {
        let start = Instant::now();
        let mut backoff = Backoff::default();
        assert!(backoff.ready(start).await);
        let mut pauses = Vec::new();
        for _ in 0..10 {
            backoff.failed(start);
            pauses.push(backoff.not_before.unwrap().duration_since(start).as_millis());
        }
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000, 10_000]);
        assert!(!backoff.ready(start).await);
        backoff.succeeded();
        assert!(backoff.ready(start).await);
    }
}
