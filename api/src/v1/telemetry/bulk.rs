//! `POST /v1/telemetry/bulk`

mod stream;
pub(super) mod take;

use std::time::Duration;

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header},
    web::{self, Bytes},
};
use odograph_domain::{
    envelope::{ContentEncoding, ContentType, Lane},
    framing::Framing,
    time::ReceivedAt,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use uuid::Uuid;

use self::take::{Batch, Taker};
use super::{
    glance::{Glance, Turned, glance},
    send::{BatchDocument, PROTOBUF, traceparent, wire_type_of},
    turned_away,
};
use crate::{
    auth::gate::Caller,
    extract::body,
    problem::{Code, Problem, shown},
    state::ApiState,
};

/// Most batches of a list. Of a stream: most that are published in one go, and most that the answer tells of one by one.
const MOST_BATCHES: usize = 1_000;

const NDJSON: &str = "application/x-ndjson";

/// Where bodies come in that have no end in sight: how long they may take is up to this file, not to what is around it.
pub(crate) const PATH: &str = "/v1/telemetry/bulk";

/// Many batches, of any vehicles.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "documents the body, whose batches are passed on as they are")]
#[schema(as = TelemetryBatches)]
pub(crate) struct BatchesDocument {
    #[schema(min_items = 1, max_items = 1000)]
    batches: Vec<BatchDocument>,
}

/// What became of the batches.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct BulkAnswer {
    #[schema(example = 1)]
    accepted: usize,
    #[schema(example = 1)]
    refused: usize,
    /// In the order they were given. Of a stream of more than 1,000 the first 1,000, and after them those refused, up to 1,000 again.
    batches: Vec<BatchOutcome>,
    /// How many outcomes `batches` leaves out.
    #[schema(example = 0)]
    omitted: usize,
    /// Null where the whole body was taken.
    stopped: Option<Stopped>,
}

/// Why a stream was not taken to its end. What is told of before it is so; nothing from `index` on has been taken for sure: send
/// that again, what was taken counts once.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Stopped {
    /// The first batch that was not taken, from 0.
    #[schema(example = 120_000)]
    index: usize,
    #[schema(example = "queue_full")]
    code: &'static str,
    detail: String,
}

/// What became of one batch.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(example = json!({
    "index": 1, "status": "refused", "message_id": "0192f0c1-2f6b-7c3a-8a55-0d9f6f4f2a10", "batch_id": "b-2", "vehicle": null, "device": null,
    "lane": null, "code": "unknown_vehicle", "detail": "no vehicle \"fleet-0043\"; register it with POST /v1/vehicles"
}))]
pub(crate) struct BatchOutcome {
    /// Its place in the request, from 0.
    index: usize,
    /// `accepted`: the queue holds it durably. `refused`: kept without its samples as a dead letter.
    #[schema(example = "accepted")]
    status: &'static str,
    message_id: Uuid,
    /// As far as it could be read.
    batch_id: Option<String>,
    /// Null where it was refused, and where the batch leaves it to its device.
    vehicle: Option<Uuid>,
    /// The device that says which vehicle it is of; null where it was refused, and where the batch names the vehicle.
    device: Option<Uuid>,
    /// `urgent` with impacts or crash flags, `bulk` where it is large (over 5,000 samples or 512 KiB), else `live`; null where it
    /// was refused.
    #[schema(value_type = Option<String>, example = "live")]
    lane: Option<Lane>,
    /// Stable name of the problem; null where it was accepted.
    code: Option<&'static str>,
    /// What was given and what was wanted; null where it was accepted.
    detail: Option<String>,
}

#[utoipa::path(
    post,
    path = "/v1/telemetry/bulk",
    tag = "Intake",
    summary = "Send many batches",
    description = "An object with a list of up to 1,000 batches, which are published in one go; or a stream of any length, of which \
        batches are published as they come in: one batch a line (`application/x-ndjson`), or messages `Batch` of \
        `proto/telemetry.proto`, each after its length as a varint (`application/x-protobuf`). Each batch is accepted or refused by \
        itself. 503 and 429 mean that none is sure to be accepted: send all again, what was taken counts once. A stream that cannot be \
        taken to its end is answered with 207, and `stopped` says where to go on. `Content-Encoding: gzip` and `zstd` are read.",
    request_body(content(
        (BatchesDocument = "application/json"),
        (String = "application/x-ndjson"),
        (Vec<u8> = "application/x-protobuf"),
    )),
    responses(
        (status = 202, description = "All accepted, durably", body = BulkAnswer),
        (status = 207, description = "Some refused, or stopped; the others accepted, durably", body = BulkAnswer),
    )
)]
pub(crate) async fn handle(
    state: web::Data<ApiState>,
    caller: Caller,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let framing = framing(&request)?;
    let encoding = body::content_encoding(&request)?;
    let mut payload = payload.into_inner();
    let taker = Taker::new(&state, &caller, traceparent(request.headers()));
    if let Some(framing) = framing {
        return stream::take(taker, payload, framing, encoding).await;
    }
    let limits = state.limits;
    let body = body::read(&request, &mut payload, limits.batch_bytes, limits.body_timeout).await?;
    within(limits.request_timeout, take_list(taker, body, encoding)).await
}

/// One batch a line or message after message; `None` where the body is a list.
fn framing(request: &HttpRequest) -> Result<Option<Framing>, Problem> {
    let given = body::header_text(request, header::CONTENT_TYPE).unwrap_or_default();
    let kind = given.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case(NDJSON) {
        return Ok(Some(Framing::Lines));
    }
    match wire_type_of(given) {
        Some(ContentType::Json) => Ok(None),
        Some(ContentType::Protobuf) => Ok(Some(Framing::Delimited)),
        None => {
            let accepted = format!("application/json, {NDJSON}, {PROTOBUF}");
            let wanted = format!("application/json, {NDJSON} or {PROTOBUF}");
            let detail = format!("wanted Content-Type {wanted}, got {:?}", shown(given));
            Err(Problem::new(Code::UnsupportedMediaType, detail).with_header(header::ACCEPT, accepted))
        }
    }
}

async fn within<T>(time: Duration, work: impl Future<Output = Result<T, Problem>>) -> Result<T, Problem> {
    tokio::time::timeout(time, work).await.unwrap_or_else(|_elapsed| {
        let detail = "the batches could not be taken in time; try again later";
        Err(Problem::new(Code::Timeout, detail).retry_after(Duration::from_secs(5)))
    })
}

async fn take_list(taker: Taker<'_>, body: Bytes, encoding: ContentEncoding) -> Result<HttpResponse, Problem> {
    let limits = taker.state.limits;
    let received_at = ReceivedAt::new(taker.state.clock.now());
    let looked = {
        let body = body.clone();
        let work = move || look(&body, encoding, limits.inflated_bytes, limits.batch_samples);
        web::block(work).await.map_err(Problem::internal)??
    };
    let looked = match looked {
        Ok(looked) => looked,
        Err(turned) => {
            let message = taker.message(body, ContentType::Json, received_at);
            return Err(turned_away::keep(taker.state, taker.caller, &message, turned).await);
        }
    };
    let message = |body| taker.message(body, ContentType::Json, received_at);
    let batches: Vec<Batch> = looked.into_iter().map(|(body, look)| (message(body), look)).collect();
    let mut answer = BulkAnswer::default();
    taker.take(batches, &mut answer).await?;
    Ok(answer.respond())
}

impl BulkAnswer {
    fn taken(&self) -> usize {
        self.accepted + self.refused
    }

    pub(super) fn respond(self) -> HttpResponse {
        let status = match self.refused == 0 && self.stopped.is_none() {
            true => StatusCode::ACCEPTED,
            false => StatusCode::MULTI_STATUS,
        };
        HttpResponse::build(status).json(self)
    }

    fn tell(&mut self, outcome: BatchOutcome) {
        let accepted = outcome.code.is_none();
        match accepted {
            true => self.accepted += 1,
            false => self.refused += 1,
        }
        let told = self.batches.len();
        if told < MOST_BATCHES || (!accepted && told < 2 * MOST_BATCHES) {
            self.batches.push(outcome);
        } else {
            self.omitted += 1;
        }
    }
}

type Looked = Vec<(Bytes, Result<Glance, Turned>)>;

/// Takes the body apart and glances at each batch. The inner error is of a body in which no batch can be told.
fn look(
    sent: &Bytes,
    encoding: ContentEncoding,
    inflated_bytes: usize,
    most_samples: usize,
) -> Result<Result<Looked, Turned>, Problem> {
    let body = match encoding {
        ContentEncoding::Identity => sent.clone(),
        _ => match body::inflate(sent, encoding, inflated_bytes)? {
            Ok(inflated) => Bytes::from(inflated.into_owned()),
            Err(detail) => return Ok(Err(Turned::undecodable(detail))),
        },
    };
    let parts = match split_list(&body) {
        Ok(parts) => parts,
        Err(turned) => return Ok(Err(turned)),
    };
    if !(1..=MOST_BATCHES).contains(&parts.len()) {
        let detail = format!("wanted 1 to {MOST_BATCHES} batches, got {}", parts.len());
        return Err(Problem::field(Code::InvalidBody, "batches", detail));
    }
    let glances = parts.into_iter().map(|part| {
        let look = glance(&part, ContentType::Json, most_samples);
        (part, look)
    });
    Ok(Ok(glances.collect()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Batches<'a> {
    #[serde(borrow)]
    batches: Vec<&'a RawValue>,
}

fn split_list(body: &Bytes) -> Result<Vec<Bytes>, Turned> {
    // A list would read as the struct's fields in order.
    let wanted = "wanted one JSON object with a list of batches as `batches`";
    if body.trim_ascii_start().first() == Some(&b'[') {
        return Err(Turned::undecodable(format!("{wanted}, got a list")));
    }
    let read: Batches<'_> = serde_json::from_slice(body).map_err(|error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        // What the reader says of a value may hold all of it.
        Turned::undecodable(format!("{wanted}, got what does not read as that at {place}"))
    })?;
    Ok(read
        .batches
        .into_iter()
        .map(|batch| body.slice_ref(batch.get().as_bytes()))
        .collect())
}

#[cfg(test)]
mod tests {
    use odograph_domain::outcome::MessageRejection;

    use super::*;

    fn parts(text: &str) -> Result<Vec<String>, Turned> {
        let body = Bytes::copy_from_slice(text.as_bytes());
        let parts = split_list(&body)?;
        Ok(parts
            .iter()
            .map(|part| String::from_utf8(part.to_vec()).unwrap())
            .collect())
    }

    #[test]
    fn batches_are_cut_out_of_a_list_as_they_are() {
        assert_eq!(
            parts(r#"{"batches": [ {"a": 1}, 5,"x" ]}"#).unwrap(),
            [r#"{"a": 1}"#, "5", "\"x\""]
        );
        assert!(parts("[]").unwrap_err().detail.ends_with("got a list"));
        for wrong in [
            "",
            "{}",
            r#"{"batches":{}}"#,
            r#"{"batches":[1],"more":2}"#,
            r#"{"batches":[1"#,
        ] {
            assert_eq!(
                parts(wrong).unwrap_err().reason,
                MessageRejection::Undecodable,
                "{wrong}"
            );
        }
    }

    #[test]
    fn there_is_at_least_one_batch_and_not_too_many() {
        let looked = |batches: usize| {
            let text = format!(r#"{{"batches":[{}]}}"#, vec!["1"; batches].join(","));
            look(&Bytes::from(text), ContentEncoding::Identity, 1 << 20, 10)
        };
        assert!(looked(0).is_err());
        assert!(looked(MOST_BATCHES + 1).is_err());
        assert_eq!(looked(MOST_BATCHES).unwrap().unwrap().len(), MOST_BATCHES);
    }

    #[test]
    fn of_a_long_stream_the_first_and_the_refused_are_told() {
        let mut answer = BulkAnswer::default();
        for index in 0..10_000 {
            answer.tell(BatchOutcome {
                index,
                code: (index % 5 == 4).then_some("bad_batch"),
                ..BatchOutcome::default()
            });
        }
        assert_eq!((answer.accepted, answer.refused), (8_000, 2_000));
        assert_eq!((answer.batches.len(), answer.omitted), (2 * MOST_BATCHES, 8_000));
        assert!(
            answer.batches[MOST_BATCHES..]
                .iter()
                .all(|outcome| outcome.code.is_some())
        );
    }
}
