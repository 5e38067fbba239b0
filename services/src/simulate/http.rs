//! Sending over HTTP as a device's gateway would: with a token that is renewed, waiting when told to, trying again when
//! nothing is heard. A batch that is sent twice by that counts once: the platform knows it by its id.

use std::{
    collections::BTreeMap,
    io::Write as _,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use flate2::{Compression, write::GzEncoder};
use reqwest::{StatusCode, header};
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::render::Sendable;

/// Who sends.
#[derive(Clone)]
pub struct Credentials {
    pub client_id: String,
    pub client_secret: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

/// Tries before a batch is given up, some minutes in all.
const TRIES: u32 = 12;
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// Of a token's life, after which a new one is asked for.
const RENEWED_AFTER: f64 = 0.8;

#[derive(Debug)]
pub(super) struct Http {
    client: reqwest::Client,
    url: String,
    credentials: Credentials,
    token: Mutex<Option<Token>>,
    accepted: AtomicU64,
    refused: Mutex<BTreeMap<String, u64>>,
}

#[derive(Debug, Clone)]
struct Token {
    bearer: String,
    renew_at: Instant,
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    expires_in: f64,
}

/// What the platform said to one attempt.
enum Answer {
    Accepted,
    /// For good: sending it again changes nothing.
    Refused(String),
    /// The token is not good any more.
    Unauthorised,
    Later(Duration),
}

impl Http {
    pub(super) fn new(url: &str, credentials: Credentials) -> Result<Self> {
        ensure!(
            url.starts_with("http://"),
            "wanted an address that begins with http://, got {url:?}"
        );
        let client = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(10))
            .timeout(Duration::from_secs(60))
            .build()
            .context("no HTTP client could be made")?;
        Ok(Self {
            client,
            url: url.trim_end_matches('/').to_owned(),
            credentials,
            token: Mutex::new(None),
            accepted: AtomicU64::new(0),
            refused: Mutex::default(),
        })
    }

    /// Sends one batch until the platform has answered for good.
    pub(super) async fn send(&self, batch: &Sendable, interrupted: &CancellationToken) -> Result<()> {
        let body = gzipped(&batch.body)?;
        let mut wait = FIRST_WAIT;
        for attempt in 1..=TRIES {
            let answer = match self.attempt(body.clone()).await {
                Ok(answer) => answer,
                // Nobody there, or nothing heard.
                Err(error) if error.is::<reqwest::Error>() => Answer::Later(wait),
                Err(error) => return Err(error),
            };
            match answer {
                Answer::Accepted => {
                    self.accepted.fetch_add(1, Ordering::Relaxed);
                    return Ok(());
                }
                Answer::Refused(code) => {
                    *self.refused.lock().await.entry(code).or_default() += 1;
                    return Ok(());
                }
                Answer::Unauthorised => *self.token.lock().await = None,
                Answer::Later(asked) => {
                    let asked = asked.max(wait);
                    tokio::select! {
                        () = tokio::time::sleep(asked) => {}
                        () = interrupted.cancelled() => bail!("interrupted while waiting for {}", self.url),
                    }
                    wait = (wait * 2).min(LONGEST_WAIT);
                }
            }
            if attempt == TRIES {
                bail!("{} did not take a batch in {TRIES} tries", self.url);
            }
        }
        Ok(())
    }

    async fn attempt(&self, body: Vec<u8>) -> Result<Answer> {
        let request = self
            .client
            .post(format!("{}/v1/telemetry/batches", self.url))
            .bearer_auth(self.bearer().await?)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::CONTENT_ENCODING, "gzip")
            .body(body);
        let response = request.send().await?;
        let status = response.status();
        let asked = response
            .headers()
            .get(header::RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.parse().ok())
            .map_or(Duration::ZERO, Duration::from_secs);
        Ok(match status {
            _ if status.is_success() => Answer::Accepted,
            StatusCode::UNAUTHORIZED => Answer::Unauthorised,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => Answer::Later(asked),
            _ if status.is_server_error() => Answer::Later(asked),
            _ => Answer::Refused(told(status, &response.text().await.unwrap_or_default())),
        })
    }

    /// A token that is good for a while.
    async fn bearer(&self) -> Result<String> {
        let mut token = self.token.lock().await;
        if let Some(token) = token.as_ref().filter(|token| Instant::now() < token.renew_at) {
            return Ok(token.bearer.clone());
        }
        let request = self
            .client
            .post(format!("{}/v1/oauth/token", self.url))
            .basic_auth(&self.credentials.client_id, Some(&self.credentials.client_secret))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body("grant_type=client_credentials");
        let response = request.send().await?;
        let status = response.status();
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            response.error_for_status()?;
            bail!("{} gave no token", self.url);
        }
        if !status.is_success() {
            let text = response.text().await.unwrap_or_default();
            bail!(
                "{} gave no token to client {}: {}",
                self.url,
                self.credentials.client_id,
                told(status, &text)
            );
        }
        let answer: TokenAnswer = response.json().await.context("the answer holds no token")?;
        let fresh = Token {
            bearer: answer.access_token,
            renew_at: Instant::now() + Duration::from_secs_f64(answer.expires_in.max(0.0) * RENEWED_AFTER),
        };
        Ok(token.insert(fresh).bearer.clone())
    }

    /// Batches the platform has, and those it refused by reason.
    pub(super) async fn counts(&self) -> (u64, BTreeMap<String, u64>) {
        (self.accepted.load(Ordering::Relaxed), self.refused.lock().await.clone())
    }
}

/// The stable code of a problem (RFC 9457), or of an OAuth error.
fn told(status: StatusCode, body: &str) -> String {
    let problem: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    let code = ["code", "error", "title"]
        .into_iter()
        .find_map(|name| problem[name].as_str());
    format!("{} {}", status.as_u16(), code.unwrap_or("without a reason"))
}

fn gzipped(body: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 6), Compression::fast());
    encoder.write_all(body)?;
    encoder.finish()
}
