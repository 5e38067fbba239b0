//! An open-loop load: requests leave when they are due, whether those before have been answered or not, and each answer is
//! timed from when its request was due. So a service that stalls cannot slow down the clock it is measured by.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use reqwest::Client;
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

use crate::meter::Histogram;

/// Requests of one kind, asked for in turn.
#[derive(Debug)]
pub struct Kind {
    pub name: &'static str,
    /// Of all requests, as parts of the sum over the kinds.
    pub parts: u32,
    /// Address, and what its answer must contain.
    pub asked: Vec<(String, String)>,
}

/// How the requests of a kind were answered.
#[derive(Debug)]
pub struct Answered {
    pub name: &'static str,
    /// From when the request was due to the last byte of its answer.
    pub latency_us: Histogram,
    pub errors: AtomicU64,
    /// The first thing that went wrong.
    pub first_error: std::sync::Mutex<Option<String>>,
}

/// How often the requests that are due are sent off.
const TICK: Duration = Duration::from_millis(1);

/// Sends `rate` requests a second for so long, the kinds mixed evenly, and waits for the last answer. Returns what came back
/// and how far behind its own plan the sender was at most.
pub async fn run(kinds: Vec<Kind>, token: &str, rate: f64, lasts: Duration) -> Result<(Vec<Arc<Answered>>, Duration)> {
    ensure!(
        kinds.iter().all(|kind| !kind.asked.is_empty()),
        "a kind without requests"
    );
    let client = Client::builder().no_proxy().pool_max_idle_per_host(512).build()?;
    let answered: Vec<Arc<Answered>> = kinds.iter().map(|kind| Arc::new(Answered::new(kind.name))).collect();
    let order = order(&kinds);
    let kinds: Vec<Arc<Kind>> = kinds.into_iter().map(Arc::new).collect();
    let bearer: Arc<str> = format!("Bearer {token}").into();
    let total = (rate * lasts.as_secs_f64()) as u64;
    let mut running = JoinSet::new();
    let mut asked = vec![0_usize; kinds.len()];
    let (mut sent, mut behind) = (0_u64, Duration::ZERO);
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let start = Instant::now() + Duration::from_millis(50);
    while sent < total {
        tick.tick().await;
        while sent < total {
            let due = start + Duration::from_secs_f64(sent as f64 / rate);
            let now = Instant::now();
            if due > now {
                break;
            }
            behind = behind.max(now - due);
            let kind = order[sent as usize % order.len()];
            let (kinds, answered) = (kinds[kind].clone(), answered[kind].clone());
            let place = asked[order[sent as usize % order.len()]];
            asked[order[sent as usize % order.len()]] += 1;
            let (client, bearer) = (client.clone(), bearer.clone());
            running.spawn(async move {
                let (address, wanted) = &kinds.asked[place % kinds.asked.len()];
                let done = ask(&client, address, &bearer, wanted).await;
                answered.note(due.elapsed(), done);
            });
            sent += 1;
        }
        while running.try_join_next().is_some() {}
    }
    while running.join_next().await.is_some() {}
    Ok((answered, behind))
}

/// The kinds in a round, as evenly mixed as their parts allow.
fn order(kinds: &[Kind]) -> Vec<usize> {
    let parts: u32 = kinds.iter().map(|kind| kind.parts).sum();
    let mut owed = vec![0_i64; kinds.len()];
    (0..parts)
        .map(|_| {
            for (owed, kind) in owed.iter_mut().zip(kinds) {
                *owed += i64::from(kind.parts);
            }
            let next = (0..kinds.len()).max_by_key(|&place| (owed[place], std::cmp::Reverse(place)));
            let next = next.unwrap_or_default();
            owed[next] -= i64::from(parts);
            next
        })
        .collect()
}

async fn ask(client: &Client, address: &str, bearer: &str, wanted: &str) -> Result<(), String> {
    let asked = client.get(address).header("authorization", bearer).send().await;
    let answer = asked.map_err(|error| error.to_string())?;
    let status = answer.status();
    let body = answer.text().await.map_err(|error| error.to_string())?;
    match (status.is_success(), body.contains(wanted)) {
        (true, true) => Ok(()),
        (true, false) => Err(format!("{address} answered without {wanted}")),
        (false, _) => Err(format!("{address} answered {status}: {body}")),
    }
}

impl Answered {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            latency_us: Histogram::default(),
            errors: AtomicU64::new(0),
            first_error: std::sync::Mutex::new(None),
        }
    }

    fn note(&self, took: Duration, done: Result<(), String>) {
        self.latency_us.add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        if let Err(error) = done {
            self.errors.fetch_add(1, Ordering::Relaxed);
            let mut first = self
                .first_error
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            first.get_or_insert(error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_mixed_by_their_parts() {
        let kind = |parts| Kind {
            name: "",
            parts,
            asked: Vec::new(),
        };
        assert_eq!(order(&[kind(2), kind(1), kind(1)]), [0, 1, 2, 0]);
        let order = order(&[kind(5), kind(3)]);
        assert_eq!(order.iter().filter(|&&place| place == 0).count(), 5);
        assert!(order.windows(3).all(|three| three != [0, 0, 0]));
    }
}
