//! How much telemetry is let in: by tenant, so that one that floods takes nothing from the others, and altogether, so that a
//! database or a broker that is slow fills no memory here. Whoever is turned away is told at once, and when to come again.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use actix_web::{
    Error, HttpMessage,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::header::{self, HeaderName, HeaderValue},
    middleware::Next,
    web,
};
use chrono::{DateTime, Utc};
use odograph_domain::id::TenantId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    access::Scope,
    auth::gate::{Caller, asked},
    problem::{Code, Problem},
    state::ApiState,
};

/// The bytes of bodies are counted in these.
const KIB: usize = 1024;
/// What a body counts that does not say how long it is.
const UNSAID_BYTES: usize = 1 << 20;
/// Of those that send just now; a tenant that pauses is forgotten with a full bucket.
const MOST_TENANTS: usize = 10_000;
/// When to come again where nothing tells how long it takes.
const SOON: Duration = Duration::from_secs(1);

/// Bounds of the telemetry that is let in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct IntakeBounds {
    /// Requests worked on at once.
    pub at_once: usize,
    /// Bytes of their bodies, as they are sent.
    pub bytes: usize,
    /// Of one tenant.
    pub requests_per_s: f64,
    /// Of one tenant.
    pub bytes_per_s: f64,
    /// What a bucket holds: as much as comes in this time, s.
    pub burst_s: f64,
}

impl Default for IntakeBounds {
    fn default() -> Self {
        Self {
            at_once: 1024,
            bytes: 256 << 20,
            requests_per_s: 20_000.0,
            bytes_per_s: f64::from(1 << 27),
            burst_s: 10.0,
        }
    }
}

/// What is let in just now.
#[derive(Debug)]
pub(crate) struct Intake {
    bounds: IntakeBounds,
    requests: Arc<Semaphore>,
    kib: Arc<Semaphore>,
    tenants: Mutex<HashMap<TenantId, Bucket>>,
}

/// Tokens of one tenant.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Bucket {
    at: DateTime<Utc>,
    requests: f64,
    bytes: f64,
}

/// What a tenant may still send, and when there is more.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Left {
    requests: f64,
    wait: Duration,
}

impl Intake {
    pub(crate) fn new(bounds: IntakeBounds) -> Self {
        Self {
            bounds,
            requests: Arc::new(Semaphore::new(bounds.at_once.min(Semaphore::MAX_PERMITS))),
            kib: Arc::new(Semaphore::new((bounds.bytes / KIB).clamp(1, Semaphore::MAX_PERMITS))),
            tenants: Mutex::default(),
        }
    }

    /// Takes a request and its bytes out of the tenant's bucket; `Err` where there is not enough in it.
    fn charge(&self, tenant: TenantId, bytes: usize, now: DateTime<Utc>) -> Result<Left, Left> {
        let bounds = self.bounds;
        let (most_requests, most_bytes) = (
            bounds.requests_per_s * bounds.burst_s,
            bounds.bytes_per_s * bounds.burst_s,
        );
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        let full = Bucket {
            at: now,
            requests: most_requests,
            bytes: most_bytes,
        };
        if tenants.len() >= MOST_TENANTS {
            tenants.retain(|_, bucket| (now - bucket.at).as_seconds_f64() < bounds.burst_s);
        }
        let bucket = tenants.entry(tenant).or_insert(full);
        let passed_s = (now - bucket.at).as_seconds_f64().max(0.0);
        bucket.requests = (bucket.requests + passed_s * bounds.requests_per_s).min(most_requests);
        bucket.bytes = (bucket.bytes + passed_s * bounds.bytes_per_s).min(most_bytes);
        bucket.at = bucket.at.max(now);
        // One that is larger than the bucket passes when that is full.
        let bytes = (bytes as f64).min(most_bytes);
        let missing_s =
            ((1.0 - bucket.requests) / bounds.requests_per_s).max((bytes - bucket.bytes) / bounds.bytes_per_s);
        if missing_s > 0.0 {
            return Err(Left {
                requests: 0.0,
                wait: Duration::from_secs_f64(missing_s.min(bounds.burst_s)),
            });
        }
        bucket.requests -= 1.0;
        bucket.bytes -= bytes;
        Ok(Left {
            requests: bucket.requests,
            wait: Duration::from_secs_f64((most_requests - bucket.requests) / bounds.requests_per_s),
        })
    }

    /// Room for a body until the permits are dropped; `None` where there is none.
    fn room(&self, bytes: usize) -> Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)> {
        let request = Arc::clone(&self.requests).try_acquire_owned().ok()?;
        let kib = bytes.div_ceil(KIB).clamp(1, (self.bounds.bytes / KIB).max(1));
        let body = Arc::clone(&self.kib)
            .try_acquire_many_owned(u32::try_from(kib).ok()?)
            .ok()?;
        Some((request, body))
    }

    /// The fields of draft-ietf-httpapi-ratelimit-headers-10: what there is, and what is left of it.
    fn fields(&self, left: Left) -> [(HeaderName, String); 2] {
        let (quota, window) = (self.bounds.requests_per_s * self.bounds.burst_s, self.bounds.burst_s);
        let seconds = left.wait.as_secs_f64().ceil();
        [
            (
                HeaderName::from_static("ratelimit-policy"),
                format!("\"telemetry\";q={};w={}", quota as u64, window.ceil() as u64),
            ),
            (
                HeaderName::from_static("ratelimit"),
                format!("\"telemetry\";r={};t={}", left.requests.max(0.0) as u64, seconds as u64),
            ),
        ]
    }
}

/// Lets a request with telemetry in, or turns it away before its body is read. Within the gate, which says whose it is.
pub(crate) async fn intake(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let Some((state, tenant)) = telemetry_of(&request) else {
        return Ok(next.call(request).await?.map_into_boxed_body());
    };
    let bytes = length(&request);
    let intake = &state.intake;
    let left = match intake.charge(tenant, bytes, state.clock.now()) {
        Ok(left) => left,
        Err(left) => {
            let detail =
                "the tenant sends more than it may; nothing was accepted, send it again when Retry-After has passed";
            let mut problem = Problem::new(Code::RateLimited, detail).retry_after(round_up(left.wait));
            for (name, value) in intake.fields(left) {
                problem = problem.with_header(name, value);
            }
            return Ok(request.error_response(problem));
        }
    };
    // Of a long upload that is taken lot by lot no more is held at a time than of the longest batch.
    let Some(_room) = intake.room(bytes.min(state.limits.batch_bytes)) else {
        let detail = "too much telemetry is being taken in at once; nothing was accepted, send it again";
        return Ok(request.error_response(Problem::new(Code::Overloaded, detail).retry_after(SOON)));
    };
    let mut response = next.call(request).await?.map_into_boxed_body();
    for (name, value) in intake.fields(left) {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    }
    Ok(response)
}

fn round_up(wait: Duration) -> Duration {
    Duration::from_secs_f64(wait.as_secs_f64().ceil())
}

/// The tenant, if the request brings telemetry.
fn telemetry_of(request: &ServiceRequest) -> Option<(web::Data<ApiState>, TenantId)> {
    let operation = asked(request)?;
    let brings =
        request.method() == actix_web::http::Method::POST && operation.access.required() == Some(Scope::TelemetryWrite);
    let tenant = request.extensions().get::<Caller>().map(Caller::tenant);
    let state = request.app_data::<web::Data<ApiState>>().cloned();
    state.zip(tenant).filter(|_| brings)
}

fn length(request: &ServiceRequest) -> usize {
    let said = request.headers().get(header::CONTENT_LENGTH);
    said.and_then(|value| value.to_str().ok()?.parse().ok())
        .unwrap_or(UNSAID_BYTES)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use uuid::Uuid;

    use super::*;

    fn intake() -> Intake {
        Intake::new(IntakeBounds {
            at_once: 2,
            bytes: 10 * KIB,
            requests_per_s: 2.0,
            bytes_per_s: 1000.0,
            burst_s: 2.0,
        })
    }

    #[test]
    fn a_tenant_that_floods_waits_and_the_others_do_not() {
        let intake = intake();
        let (one, other) = (TenantId::from(Uuid::from_u128(1)), TenantId::from(Uuid::from_u128(2)));
        let start = DateTime::UNIX_EPOCH;
        for left in [3.0, 2.0, 1.0, 0.0] {
            assert_eq!(intake.charge(one, 10, start).unwrap().requests, left);
        }
        let refused = intake.charge(one, 10, start).unwrap_err();
        assert_eq!(refused.wait, Duration::from_millis(500));
        assert!(intake.charge(other, 10, start).is_ok());
        assert!(intake.charge(one, 10, start + TimeDelta::milliseconds(500)).is_ok());
        assert!(intake.charge(one, 10, start + TimeDelta::milliseconds(500)).is_err());
    }

    #[test]
    fn bytes_are_bounded_too_and_one_large_body_passes_a_full_bucket() {
        let intake = intake();
        let tenant = TenantId::from(Uuid::from_u128(1));
        let start = DateTime::UNIX_EPOCH;
        assert!(intake.charge(tenant, 1_000_000, start).is_ok());
        let refused = intake.charge(tenant, 500, start).unwrap_err();
        assert_eq!(refused.wait, Duration::from_millis(500));
        // A clock that goes back gives nothing, and takes nothing.
        assert!(intake.charge(tenant, 500, start - TimeDelta::seconds(100)).is_err());
        assert!(intake.charge(tenant, 500, start + TimeDelta::milliseconds(500)).is_ok());
    }

    #[test]
    fn what_is_under_way_is_bounded_by_number_and_by_bytes() {
        let intake = intake();
        let first = intake.room(8 * KIB).unwrap();
        assert!(intake.room(3 * KIB).is_none());
        let second = intake.room(KIB).unwrap();
        assert!(intake.room(1).is_none(), "two are under way");
        drop((first, second));
        assert!(
            intake.room(1_000_000).is_some(),
            "one that is larger than all the room has it alone"
        );
    }

    #[test]
    fn the_fields_say_what_is_left() {
        let left = Left {
            requests: 3.2,
            wait: Duration::from_millis(400),
        };
        let fields = intake().fields(left).map(|(_, value)| value);
        assert_eq!(fields, ["\"telemetry\";q=4;w=2", "\"telemetry\";r=3;t=1"]);
    }
}
