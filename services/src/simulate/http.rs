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
use odograph_domain::policy::Month;
use reqwest::{StatusCode, header};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::render::{Insured, Sendable};
use crate::fleet::FleetSpec;

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
    /// Of the rating plan that vehicles are registered on.
    currency: Mutex<Option<String>>,
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

/// What is asked with: nothing (GET), or JSON (POST), as it is or compressed.
enum Content {
    None,
    Plain(Vec<u8>),
    Packed(Vec<u8>),
}

/// What the platform said for good.
struct Reply {
    status: StatusCode,
    text: String,
}

/// What came of one attempt.
enum Attempt {
    Answered(Reply),
    /// The token is not good any more.
    Unauthorised,
    /// Asked to wait so long, if said.
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
            currency: Mutex::new(None),
            accepted: AtomicU64::new(0),
            refused: Mutex::default(),
        })
    }

    /// Sends one batch until the platform has answered for good.
    pub(super) async fn send(&self, batch: &Sendable, interrupted: &CancellationToken) -> Result<()> {
        let reply = self
            .exchange(
                "/v1/telemetry/batches",
                &Content::Packed(gzipped(&batch.body)?),
                interrupted,
            )
            .await?;
        if reply.status.is_success() {
            self.accepted.fetch_add(1, Ordering::Relaxed);
        } else {
            let code = told(reply.status, &reply.text);
            *self.refused.lock().await.entry(code).or_default() += 1;
        }
        Ok(())
    }

    /// Makes a vehicle, its driver and its policy known, where they are not. The rating plan must be there.
    pub(super) async fn register(
        &self,
        insured: &Insured,
        plan: &str,
        fleet: &FleetSpec,
        interrupted: &CancellationToken,
    ) -> Result<()> {
        let currency = self.currency(plan, interrupted).await?;
        let driver = json!({ "external_ref": insured.driver });
        let vehicle = json!({ "external_ref": insured.vehicle });
        let policy = json!({
            "external_ref": format!("{}-policy", insured.vehicle),
            "vehicle": insured.vehicle,
            "main_driver": insured.driver,
            "product": insured.product.as_str(),
            "rating_plan": plan,
            "currency": currency,
            "time_zone": fleet.time_zone.name(),
            "starts_on": Month::of(fleet.first_day()).first_day(),
        });
        for (path, body) in [
            ("/v1/drivers", driver),
            ("/v1/vehicles", vehicle),
            ("/v1/policies", policy),
        ] {
            let reply = self
                .exchange(path, &Content::Plain(serde_json::to_vec(&body)?), interrupted)
                .await?;
            // There already: from an earlier run, or this one before it was stopped.
            if !reply.status.is_success() && reply.status != StatusCode::CONFLICT {
                bail!(
                    "{path} did not take {}: {}",
                    insured.vehicle,
                    told(reply.status, &reply.text)
                );
            }
        }
        Ok(())
    }

    /// Of the plan, asked for once.
    async fn currency(&self, plan: &str, interrupted: &CancellationToken) -> Result<String> {
        let mut known = self.currency.lock().await;
        if let Some(currency) = known.as_ref() {
            return Ok(currency.clone());
        }
        let path = format!("/v1/rating-plans/{plan}");
        let reply = self.exchange(&path, &Content::None, interrupted).await?;
        let answer: serde_json::Value = serde_json::from_str(&reply.text).unwrap_or_default();
        let currency = answer["versions"][0]["terms"]["currency"].as_str();
        let currency = currency.with_context(|| {
            let told = told(reply.status, &reply.text);
            format!("{path}: {told}; --register over HTTP needs a rating plan that is there (--plan NAME)")
        })?;
        Ok(known.insert(currency.to_owned()).clone())
    }

    /// Asks until the platform has answered for good.
    async fn exchange(&self, path: &str, content: &Content, interrupted: &CancellationToken) -> Result<Reply> {
        let mut wait = FIRST_WAIT;
        for _ in 0..TRIES {
            let attempt = match self.attempt(path, content).await {
                Ok(attempt) => attempt,
                // Nobody there, or nothing heard.
                Err(error) if error.is::<reqwest::Error>() => Attempt::Later(wait),
                Err(error) => return Err(error),
            };
            match attempt {
                Attempt::Answered(reply) => return Ok(reply),
                Attempt::Unauthorised => *self.token.lock().await = None,
                Attempt::Later(asked) => {
                    tokio::select! {
                        () = tokio::time::sleep(asked.max(wait)) => {}
                        () = interrupted.cancelled() => bail!("interrupted while waiting for {}", self.url),
                    }
                    wait = (wait * 2).min(LONGEST_WAIT);
                }
            }
        }
        bail!("{}{path} gave no answer in {TRIES} tries", self.url)
    }

    async fn attempt(&self, path: &str, content: &Content) -> Result<Attempt> {
        let url = format!("{}{path}", self.url);
        let request = match content {
            Content::None => self.client.get(url),
            Content::Plain(body) => self.client.post(url).body(body.clone()),
            Content::Packed(body) => {
                let request = self.client.post(url).body(body.clone());
                request.header(header::CONTENT_ENCODING, "gzip")
            }
        };
        let request = request
            .header(header::CONTENT_TYPE, "application/json")
            .bearer_auth(self.bearer().await?);
        let response = request.send().await?;
        let status = response.status();
        let asked = response
            .headers()
            .get(header::RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.parse().ok())
            .map_or(Duration::ZERO, Duration::from_secs);
        Ok(match status {
            StatusCode::UNAUTHORIZED => Attempt::Unauthorised,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => Attempt::Later(asked),
            _ if status.is_server_error() => Attempt::Later(asked),
            _ => Attempt::Answered(Reply {
                status,
                text: response.text().await?,
            }),
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
