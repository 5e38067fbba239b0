//! Senders as devices should be: each sends its messages in order, and again and again until it has an answer that stands.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use odograph::cli::client::Credentials;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use reqwest::{Client, StatusCode};
use serde_json::Value;
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::load::Message;

/// For an answer. The API promises one sooner, or says 503.
const ANSWER: Duration = Duration::from_secs(30);
/// For the answer to one message that stands, over all attempts.
const PATIENCE: Duration = Duration::from_secs(240);

/// What all senders share.
#[derive(Debug)]
pub struct Post {
    url: String,
    credentials: Credentials,
    client: Client,
    token: Mutex<String>,
    /// Messages that may be sent by now.
    pub released: Semaphore,
    /// Whether answered messages are sent once more now and then, as by a device that did not get the answer.
    resends: bool,
    pub tally: Sent,
}

/// What came of the sending.
#[derive(Debug, Default)]
pub struct Sent {
    pub posts: AtomicU64,
    pub accepted: Mutex<Vec<Uuid>>,
    pub refused: AtomicU64,
    /// No answer at all: the connection was refused or lost.
    pub unanswered: AtomicU64,
    /// 429 and 503: told to come again.
    pub put_off: AtomicU64,
    /// Answers that should not be, such as 500.
    pub failed: AtomicU64,
    slowest_us: AtomicU64,
}

impl Sent {
    pub fn slowest(&self) -> Duration {
        Duration::from_micros(self.slowest_us.load(Ordering::Relaxed))
    }
}

impl Post {
    pub fn new(url: &str, credentials: Credentials, resends: bool) -> Result<Self> {
        odograph::tls::install();
        Ok(Self {
            url: url.to_owned(),
            credentials,
            client: Client::builder().timeout(ANSWER).build()?,
            token: Mutex::default(),
            released: Semaphore::new(0),
            resends,
            tally: Sent::default(),
        })
    }

    /// Sends a sender's messages to the end.
    pub async fn send(self: Arc<Self>, messages: Vec<Message>, seed: u64) -> Result<()> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        for message in messages {
            self.released.acquire().await.context("the senders' gate")?.forget();
            self.until_answered(&message).await?;
            if self.resends && rng.random_bool(0.1) {
                self.until_answered(&message).await?;
            }
        }
        Ok(())
    }

    async fn until_answered(&self, message: &Message) -> Result<()> {
        let began = Instant::now();
        let mut pause = Duration::from_millis(50);
        loop {
            if self.attempt(message).await? {
                return Ok(());
            }
            if began.elapsed() > PATIENCE {
                bail!("a message has no answer that stands after {PATIENCE:?}");
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    }

    /// Whether the answer stands.
    async fn attempt(&self, message: &Message) -> Result<bool> {
        let Some(token) = self.token().await else {
            return Ok(false);
        };
        self.tally.posts.fetch_add(1, Ordering::Relaxed);
        let asked = Instant::now();
        let answer = self
            .client
            .post(format!("{}/v1/telemetry/batches", self.url))
            .bearer_auth(&token)
            .header("content-type", "application/json")
            .body(message.body.clone())
            .send()
            .await;
        let took = u64::try_from(asked.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.tally.slowest_us.fetch_max(took, Ordering::Relaxed);
        let Ok(answer) = answer else {
            self.tally.unanswered.fetch_add(1, Ordering::Relaxed);
            return Ok(false);
        };
        let status = answer.status();
        let waits = answer.headers().contains_key("retry-after");
        let Ok(text) = answer.text().await else {
            self.tally.unanswered.fetch_add(1, Ordering::Relaxed);
            return Ok(false);
        };
        match status {
            StatusCode::ACCEPTED => {
                let told: Value = serde_json::from_str(&text)?;
                let id = told["message_id"].as_str().context("a message's id")?.parse()?;
                self.tally
                    .accepted
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(id);
                Ok(true)
            }
            StatusCode::UNAUTHORIZED => {
                self.token.lock().unwrap_or_else(PoisonError::into_inner).clear();
                Ok(false)
            }
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                if !waits {
                    bail!("{status} without Retry-After: {text}");
                }
                self.tally.put_off.fetch_add(1, Ordering::Relaxed);
                Ok(false)
            }
            status if status.is_client_error() => {
                if message.lands.is_some() {
                    bail!("a sound message was refused with {status}: {text}");
                }
                self.tally.refused.fetch_add(1, Ordering::Relaxed);
                Ok(true)
            }
            _ => {
                self.tally.failed.fetch_add(1, Ordering::Relaxed);
                Ok(false)
            }
        }
    }

    async fn token(&self) -> Option<String> {
        let known = self.token.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if !known.is_empty() {
            return Some(known);
        }
        let form = format!(
            "grant_type=client_credentials&client_id={}&client_secret={}",
            self.credentials.id, self.credentials.secret
        );
        let answer = self
            .client
            .post(format!("{}/v1/oauth/token", self.url))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form)
            .send()
            .await
            .ok()?;
        let told: Value = answer.json().await.ok()?;
        let token = told["access_token"].as_str()?.to_owned();
        self.token
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone_from(&token);
        Some(token)
    }
}
