//! `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header): a POST that its sender names is done once. Sent again it is
//! answered again, from what was kept; the handlers know nothing of it.
//!
//! Only success is kept. An attempt that was refused or failed did nothing, so it frees its key.

use actix_web::{
    Error, HttpMessage as _, HttpResponse,
    body::{BoxBody, MessageBody},
    dev::{Payload, ServiceRequest, ServiceResponse},
    http::{
        Method, StatusCode,
        header::{HeaderName, HeaderValue},
    },
    middleware::Next,
    web::{self, Bytes},
};
use chrono::TimeDelta;
use futures_util::stream;
use odograph_store::{Attempt, KeptAnswer, KeyClaim, KeyTimes, KeyedRequest, TenantStore};
use std::time::Duration;
use tokio::runtime::Handle;

use super::{apart, together};
use crate::{
    auth::gate::Caller,
    extract::body,
    problem::{Code, Problem},
    state::ApiState,
};

pub(crate) const KEY: &str = "idempotency-key";
pub(crate) const REPLAYED: &str = "idempotency-replayed";
pub(crate) const LONGEST_KEY: usize = 255;

/// Beyond the longest an answer may take, after which an attempt that is not over never will be.
const GRACE: Duration = Duration::from_secs(30);

pub(crate) async fn idempotent(
    state: web::Data<ApiState>,
    home: web::Data<Handle>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let caller = request.extensions().get::<Caller>().cloned();
    let named = request.method() == Method::POST && request.headers().contains_key(KEY);
    let Some(caller) = caller.filter(|_| named) else {
        return next.call(request).await.map(ServiceResponse::map_into_boxed_body);
    };
    let (http, mut payload) = request.into_parts();
    let claimed = async {
        let key = key(http.headers().get(KEY))?;
        let limits = state.limits;
        let most = limits.batch_bytes.max(limits.body_bytes);
        let body = body::read(&http, &mut payload, most, limits.body_timeout).await?;
        let target = http.uri().path_and_query().map_or("/", |target| target.as_str());
        let asked = KeyedRequest {
            client: caller.client(),
            key,
            method: http.method().as_str(),
            target,
            body: &body,
        };
        let claim = caller.store(&state).claim(asked, times(&state)).await?;
        Ok::<_, Problem>((claim, body))
    };
    let (claim, body) = match claimed.await {
        Ok(claimed) => claimed,
        Err(problem) => return Ok(ServiceRequest::from_parts(http, payload).error_response(problem)),
    };
    let request = ServiceRequest::from_parts(http, again(body));
    match claim {
        KeyClaim::Begun(attempt) => {
            let begun = Begun {
                store: caller.store(&state),
                attempt: Some(attempt.clone()),
                home: home.get_ref().clone(),
            };
            request.extensions_mut().insert(caller.attempting(attempt));
            answer(request, next, begun).await
        }
        KeyClaim::Answered(kept) => Ok(request.into_response(replay(&kept)?)),
        KeyClaim::OtherRequest => Ok(request.error_response(reused())),
        KeyClaim::UnderWay => Ok(request.error_response(under_way())),
        KeyClaim::AnswerLost { kind, id } => Ok(request.error_response(lost(&kind, &id.to_string()))),
    }
}

async fn answer(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
    mut begun: Begun,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let answered = next.call(request).await.map(ServiceResponse::map_into_boxed_body);
    let response = match answered {
        Ok(response) if response.status().is_success() => response,
        other => {
            begun.release().await;
            return other;
        }
    };
    let (head, body) = apart(response).await?;
    begun.keep(&head, &body).await;
    Ok(together(head, body))
}

/// An attempt that has to end. One that is dropped before, by a time-out or a panic, frees its key all the same.
struct Begun {
    store: TenantStore,
    attempt: Option<Attempt>,
    /// The store's connections are that runtime's.
    home: Handle,
}

impl Begun {
    async fn release(&mut self) {
        if let Some(attempt) = self.attempt.take() {
            release(self.store.clone(), attempt).await;
        }
    }

    async fn keep(&mut self, head: &ServiceResponse<()>, body: &Bytes) {
        let Some(attempt) = self.attempt.take() else { return };
        let text = |(name, value): (&HeaderName, &HeaderValue)| {
            let value = value.to_str().ok()?;
            Some((name.as_str().to_owned(), value.to_owned()))
        };
        let kept = KeptAnswer {
            status: head.status().as_u16(),
            headers: head.headers().iter().filter_map(text).collect(),
            body: body.to_vec(),
        };
        // The request was carried out and is answered; who sends it again is told that this answer was lost.
        if let Err(error) = self.store.keep_answer(&attempt, &kept).await {
            tracing::warn!(%error, "the answer to a request with an Idempotency-Key could not be kept");
        }
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        if let Some(attempt) = self.attempt.take() {
            self.home.spawn(release(self.store.clone(), attempt));
        }
    }
}

async fn release(store: TenantStore, attempt: Attempt) {
    if let Err(error) = store.release(&attempt).await {
        tracing::warn!(%error, "an Idempotency-Key could not be freed; it frees itself later");
    }
}

fn times(state: &ApiState) -> KeyTimes {
    let abandoned = state.limits.request_timeout + GRACE;
    KeyTimes {
        abandoned_after: TimeDelta::from_std(abandoned).unwrap_or(TimeDelta::MAX),
        kept: TimeDelta::from_std(state.idempotency_ttl).unwrap_or(TimeDelta::MAX),
    }
}

/// A structured-field string as the draft has it, or the bare text that most senders write.
fn key(given: Option<&HeaderValue>) -> Result<&str, Problem> {
    let text = given.and_then(|value| value.to_str().ok()).unwrap_or_default().trim();
    let text = match text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
        Some(quoted) => quoted,
        None => text,
    };
    let sound = (1..=LONGEST_KEY).contains(&text.len()) && text.bytes().all(|byte| matches!(byte, b'!'..=b'~'));
    if sound && !text.contains('"') {
        return Ok(text);
    }
    Err(Problem::new(
        Code::BadRequest,
        format!("Idempotency-Key: wanted 1 to {LONGEST_KEY} printable ASCII characters without spaces, such as a UUID"),
    ))
}

/// The body once more, for the handler.
fn again(body: Bytes) -> Payload {
    let once = stream::once(std::future::ready(Ok(body)));
    Payload::Stream {
        payload: Box::pin(once),
    }
}

fn replay(kept: &KeptAnswer) -> Result<HttpResponse, Problem> {
    let status = StatusCode::from_u16(kept.status).map_err(Problem::internal)?;
    let mut response = HttpResponse::build(status);
    for (name, value) in &kept.headers {
        response.append_header((name.as_str(), value.as_str()));
    }
    response.insert_header((REPLAYED, "true"));
    Ok(response.body(kept.body.clone()))
}

fn reused() -> Problem {
    Problem::new(
        Code::IdempotencyKeyReused,
        "this Idempotency-Key was given to another request (method, path and body are compared): a new request wants a new key",
    )
}

fn under_way() -> Problem {
    Problem::new(
        Code::IdempotencyInProgress,
        "the request with this Idempotency-Key is still being worked on: send it again to get its answer",
    )
    .retry_after(Duration::from_secs(1))
}

fn lost(kind: &str, id: &str) -> Problem {
    let kind = kind.replace('_', " ");
    Problem::new(
        Code::IdempotencyAnswerLost,
        format!("the request was carried out (see the {kind} {id}), but its answer was lost; it is not done again"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_may_be_quoted() {
        let read = |text: &'static str| key(Some(&HeaderValue::from_static(text))).map(str::to_owned);
        assert_eq!(read("8e03978e-40d5").unwrap(), "8e03978e-40d5");
        assert_eq!(read("\"8e03978e-40d5\"").unwrap(), "8e03978e-40d5");
        for wrong in ["", "\"\"", "a\"b", "\u{e4}"] {
            let value = HeaderValue::from_str(wrong);
            assert!(value.is_err() || key(value.ok().as_ref()).is_err(), "{wrong}");
        }
        assert!(key(HeaderValue::from_str(&"x".repeat(256)).ok().as_ref()).is_err());
        assert!(key(None).is_err());
    }
}
