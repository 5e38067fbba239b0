//! What the handlers work with.

use std::{fmt, sync::Arc, time::Duration};

use odograph_domain::{clock::Clock, event::BehaviourKind, id::IdSource, queue::Publisher, rating::Rater};
use odograph_store::Store;
use tokio::sync::Semaphore;

use crate::{
    auth::{
        secret::Randomness,
        throttle::Throttle,
        token::{Grant, TokenError, TokenSigner},
    },
    door::Door,
    manners::intake::{Intake, IntakeBounds},
    watch::{Unwatched, Watch},
};

/// Secrets hashed at a time.
const MOST_HASHES: usize = 4;

/// Bounds of what a request may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApiLimits {
    /// Longest body of a telemetry batch as it comes, compressed or not, bytes.
    pub batch_bytes: usize,
    /// Longest body of a telemetry batch once inflated, bytes: what a compressed bomb is stopped by.
    pub inflated_bytes: usize,
    /// Most samples of one batch.
    pub batch_samples: usize,
    /// Longest body of anything else, bytes.
    pub body_bytes: usize,
    /// How long a body may take to arrive.
    pub body_timeout: Duration,
    /// How long an answer may take altogether.
    pub request_timeout: Duration,
    /// How long requests under way are waited for when the server stops.
    pub shutdown_timeout: Duration,
    /// Threads that serve requests.
    pub workers: usize,
}

impl Default for ApiLimits {
    fn default() -> Self {
        Self {
            batch_bytes: 8 << 20,
            inflated_bytes: 16 << 20,
            batch_samples: 100_000,
            body_bytes: 1 << 20,
            body_timeout: Duration::from_secs(30),
            request_timeout: Duration::from_secs(60),
            shutdown_timeout: Duration::from_secs(20),
            workers: 2,
        }
    }
}

/// What the API is composed of; the composition root makes it.
pub struct ApiState {
    pub store: Store,
    pub publisher: Arc<dyn Publisher>,
    pub rater: Arc<dyn Rater>,
    /// From which peak on a behaviour event counts.
    pub event_threshold: fn(BehaviourKind) -> f64,
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<dyn IdSource>,
    pub randomness: Arc<dyn Randomness>,
    pub signer: TokenSigner,
    /// `iss` of the tokens: the URL the API is reached by, such as `https://api.example.com`.
    pub issuer: String,
    pub token_ttl: Duration,
    /// How long an answer is kept under the key its client gave the request.
    pub idempotency_ttl: Duration,
    pub limits: ApiLimits,
    /// Origins of web pages that may call the API from a browser; `*` for all.
    pub allowed_origins: Vec<String>,
    pub(crate) door: Arc<Door>,
    /// Who counts and traces the requests.
    pub watch: Arc<dyn Watch>,
    pub(crate) throttle: Throttle,
    pub(crate) hashing: Semaphore,
    pub(crate) intake: Intake,
}

impl fmt::Debug for ApiState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiState")
            .field("signer", &self.signer)
            .field("issuer", &self.issuer)
            .field("token_ttl", &self.token_ttl)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// The parts of an [`ApiState`] that have no default.
pub struct ApiParts {
    pub store: Store,
    pub publisher: Arc<dyn Publisher>,
    pub rater: Arc<dyn Rater>,
    pub event_threshold: fn(BehaviourKind) -> f64,
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<dyn IdSource>,
    pub randomness: Arc<dyn Randomness>,
    pub signer: TokenSigner,
    pub issuer: String,
}

impl fmt::Debug for ApiParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiParts")
            .field("issuer", &self.issuer)
            .finish_non_exhaustive()
    }
}

impl ApiState {
    /// With the default limits and tokens that hold for ten minutes.
    pub fn new(parts: ApiParts) -> Self {
        let ApiParts {
            store,
            publisher,
            rater,
            event_threshold,
            clock,
            ids,
            randomness,
            signer,
            issuer,
        } = parts;
        Self {
            door: Door::new(store.clone(), publisher.clone()),
            store,
            publisher,
            rater,
            event_threshold,
            clock,
            ids,
            randomness,
            signer,
            issuer,
            token_ttl: Duration::from_secs(600),
            idempotency_ttl: Duration::from_secs(86_400),
            limits: ApiLimits::default(),
            allowed_origins: Vec::new(),
            watch: Arc::new(Unwatched),
            throttle: Throttle::default(),
            hashing: Semaphore::new(MOST_HASHES),
            intake: Intake::new(IntakeBounds::default()),
        }
    }

    /// Lets in no more telemetry than this.
    pub fn bound_intake(&mut self, bounds: IntakeBounds) {
        self.intake = Intake::new(bounds);
    }

    /// A token, without asking for a secret: for the token endpoint once it has, and for an operator at the machine.
    pub fn issue(&self, grant: &Grant) -> Result<String, TokenError> {
        self.signer
            .sign(&self.issuer, grant, self.ids.uuid(), self.clock.now(), self.token_ttl)
    }
}
