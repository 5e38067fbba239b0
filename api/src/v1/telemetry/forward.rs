//! What another platform forwards, from its body to batches of ours. A forwarder repeats what is answered with an error, and holds
//! up all that comes after it: what never can be taken is refused batch by batch, and kept.

use actix_web::{
    HttpRequest, HttpResponse,
    web::{self, Bytes},
};
use odograph_domain::{
    envelope::{ContentEncoding, ContentType},
    forwarded::{Forwarded, NotForwarded},
    time::ReceivedAt,
};

use super::{
    bulk::{
        BulkAnswer,
        take::{Batch, Taker},
    },
    glance::{Turned, glance},
    send::traceparent,
    turned_away,
};
use crate::{
    auth::gate::Caller,
    extract::body,
    problem::{Code, Problem},
    state::ApiState,
};

/// Batches, and what of the body is in none of them.
type Translated = Result<(Vec<Forwarded>, Option<NotForwarded>), NotForwarded>;

pub(super) async fn take(
    state: &ApiState,
    caller: &Caller,
    request: &HttpRequest,
    payload: web::Payload,
    translate: impl Fn(&[u8]) -> Translated + Send + 'static,
) -> Result<HttpResponse, Problem> {
    body::expect_type(request, "application/json")?;
    let encoding = body::content_encoding(request)?;
    let limits = state.limits;
    let mut payload = payload.into_inner();
    let body = body::read(request, &mut payload, limits.batch_bytes, limits.body_timeout).await?;
    let received_at = ReceivedAt::new(state.clock.now());
    let taker = Taker::new(state, caller, traceparent(request.headers()));
    let work = {
        let body = body.clone();
        move || -> Result<Translated, Problem> {
            if encoding == ContentEncoding::Identity {
                return Ok(translate(&body));
            }
            match body::inflate(&body, encoding, limits.inflated_bytes)? {
                Ok(inflated) => Ok(translate(&inflated)),
                Err(detail) => Err(Problem::new(Code::MalformedBody, detail)),
            }
        }
    };
    let whole = taker.message(body, ContentType::Json, received_at);
    let (forwarded, left) = match web::block(work).await.map_err(Problem::internal)?? {
        Ok(translated) => translated,
        Err(error) => return Err(turned_away::keep(state, caller, &whole, turned(error)).await),
    };
    let mut batches: Vec<Batch> = Vec::with_capacity(forwarded.len());
    for Forwarded { batch, .. } in forwarded {
        let look = glance(&batch, ContentType::Json, limits.batch_samples);
        batches.push((taker.message(Bytes::from(batch), ContentType::Json, received_at), look));
    }
    batches.extend(left.map(|left| (whole, Err(turned(left)))));
    let mut answer = BulkAnswer::default();
    taker.take(batches, &mut answer).await?;
    Ok(answer.respond())
}

fn turned(error: NotForwarded) -> Turned {
    Turned {
        reason: error.reason,
        samples: error.samples,
        ..Turned::undecodable(error.detail)
    }
}
