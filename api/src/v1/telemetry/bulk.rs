//! `POST /v1/telemetry/bulk`

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header},
    web::{self, Bytes},
};
use odograph_domain::{
    envelope::{ContentEncoding, Envelope, Header, Lane},
    id::{DeviceId, MessageId, VehicleId},
    outcome::MessageRejection,
    time::ReceivedAt,
};
use odograph_store::Arrival;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    glance::{Glance, Turned, glance},
    send::{BatchDocument, Message, traceparent, unknown},
    turned_away,
};
use crate::{
    auth::gate::Caller,
    extract::body,
    problem::{Code, Problem, shown},
    state::ApiState,
};

/// Most batches of one request.
const MOST_BATCHES: usize = 1_000;

const NDJSON: &str = "application/x-ndjson";

/// Many batches, of any vehicles.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "documents the body, whose batches are passed on as they are")]
#[schema(as = TelemetryBatches)]
pub(crate) struct BatchesDocument {
    #[schema(min_items = 1, max_items = 1000)]
    batches: Vec<BatchDocument>,
}

/// What became of each batch, in the order they were given.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BulkAnswer {
    #[schema(example = 1)]
    accepted: usize,
    #[schema(example = 1)]
    refused: usize,
    batches: Vec<BatchOutcome>,
}

/// What became of one batch.
#[derive(Debug, Serialize, ToSchema)]
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
    /// `urgent` with impacts or crash flags, else `live`; null where it was refused.
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
    description = "An object with a list of batches, or one batch a line (`application/x-ndjson`); up to 1,000. Each is accepted or refused \
        by itself; all that are accepted are published in one go before the answer. 503 means that none is sure to be accepted: \
        send all again, what was taken counts once. `Content-Encoding: gzip` is read.",
    request_body = BatchesDocument,
    responses(
        (status = 202, description = "All accepted, durably", body = BulkAnswer),
        (status = 207, description = "Some refused, the others accepted, durably", body = BulkAnswer),
    )
)]
pub(crate) async fn handle(
    state: web::Data<ApiState>,
    caller: Caller,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let lines = is_ndjson(&request)?;
    let encoding = body::content_encoding(&request)?;
    let limits = state.limits;
    let mut payload = payload.into_inner();
    let body = body::read(&request, &mut payload, limits.batch_bytes, limits.body_timeout).await?;
    let received_at = ReceivedAt::new(state.clock.now());
    let message = |body: Bytes| Message {
        id: MessageId::from(state.ids.uuid()),
        received_at,
        encoding: ContentEncoding::Identity,
        traceparent: traceparent(request.headers()),
        body,
    };
    let looked = {
        let body = body.clone();
        let work = move || look(&body, encoding, lines, limits.inflated_bytes, limits.batch_samples);
        web::block(work).await.map_err(Problem::internal)??
    };
    let batches: Vec<Batch> = match looked {
        Ok(looked) => looked.into_iter().map(|(body, look)| (message(body), look)).collect(),
        Err(turned) => return Err(turned_away::keep(&state, &caller, &message(body), turned).await),
    };
    let (answer, status) = take(&state, &caller, batches).await?;
    Ok(HttpResponse::build(status).json(answer))
}

/// A batch, and how it looks at the door.
type Batch = (Message, Result<Glance, Turned>);

fn is_ndjson(request: &HttpRequest) -> Result<bool, Problem> {
    let given = body::header_text(request, header::CONTENT_TYPE).unwrap_or_default();
    let kind = given.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case(NDJSON) {
        return Ok(true);
    }
    if kind.eq_ignore_ascii_case("application/json") {
        return Ok(false);
    }
    let wanted = "application/json or application/x-ndjson";
    Err(Problem::new(
        Code::UnsupportedMediaType,
        format!("wanted Content-Type {wanted}, got {:?}", shown(given)),
    )
    .with_header(header::ACCEPT, "application/json, application/x-ndjson"))
}

type Looked = Vec<(Bytes, Result<Glance, Turned>)>;

/// Takes the body apart and glances at each batch. The inner error is of a body in which no batch can be told.
fn look(
    sent: &Bytes,
    encoding: ContentEncoding,
    lines: bool,
    inflated_bytes: usize,
    most_samples: usize,
) -> Result<Result<Looked, Turned>, Problem> {
    let body = match encoding {
        ContentEncoding::Identity => sent.clone(),
        _ => match body::inflate(sent, inflated_bytes)? {
            Ok(inflated) => Bytes::from(inflated),
            Err(detail) => return Ok(Err(undecodable(detail))),
        },
    };
    let parts = if lines {
        split_lines(&body)
    } else {
        match split_list(&body) {
            Ok(parts) => parts,
            Err(turned) => return Ok(Err(turned)),
        }
    };
    if !(1..=MOST_BATCHES).contains(&parts.len()) {
        let detail = format!("wanted 1 to {MOST_BATCHES} batches, got {}", parts.len());
        return Err(Problem::field(Code::InvalidBody, "batches", detail));
    }
    let glances = parts.into_iter().map(|part| {
        let look = glance(&part, most_samples);
        (part, look)
    });
    Ok(Ok(glances.collect()))
}

fn undecodable(detail: String) -> Turned {
    Turned {
        reason: MessageRejection::Undecodable,
        detail,
        batch_id: None,
        vehicle: None,
        samples: 0,
    }
}

/// Lines that are not empty, each where it lies.
fn split_lines(body: &Bytes) -> Vec<Bytes> {
    body.split(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii)
        .filter(|line| !line.is_empty())
        .map(|line| body.slice_ref(line))
        .collect()
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
        return Err(undecodable(format!("{wanted}, got a list")));
    }
    let read: Batches<'_> = serde_json::from_slice(body).map_err(|error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        // What the reader says of a value may hold all of it.
        undecodable(format!("{wanted}, got what does not read as that at {place}"))
    })?;
    Ok(read
        .batches
        .into_iter()
        .map(|batch| body.slice_ref(batch.get().as_bytes()))
        .collect())
}

/// Publishes what can be taken in one go, then keeps what cannot. In this order: whoever is told to send all again must not
/// make a second dead letter of each that was refused.
async fn take(state: &ApiState, caller: &Caller, mut batches: Vec<Batch>) -> Result<(BulkAnswer, StatusCode), Problem> {
    let store = caller.store(state);
    let arrivals: Vec<Arrival> = batches
        .iter()
        .filter_map(|(message, look)| Some(message.arrival(look.as_ref().ok()?)))
        .collect();
    let vehicles = store.admit(&arrivals).await?;
    let (mut outcomes, mut envelopes, mut refused) = (Vec::new(), Vec::new(), Vec::new());
    for (index, (message, look)) in batches.drain(..).enumerate() {
        let looked = look.and_then(|glance| match vehicles.get(&message.id) {
            Some(of) => Ok((glance, *of)),
            None => Err(unknown(&glance)),
        });
        let message_id = message.id.uuid();
        match looked {
            Ok((glance, of)) => {
                let lane = if glance.urgent { Lane::Urgent } else { Lane::Live };
                outcomes.push(BatchOutcome {
                    index,
                    status: "accepted",
                    message_id,
                    batch_id: Some(glance.batch_id.to_string()),
                    vehicle: of.vehicle().map(VehicleId::uuid),
                    device: of.device().map(DeviceId::uuid),
                    lane: Some(lane),
                    code: None,
                    detail: None,
                });
                let header = Header {
                    lane,
                    vehicle: of.vehicle(),
                    device: of.device(),
                    vehicle_given: glance.vehicle.unwrap_or_default(),
                    ..message.header(caller)
                };
                envelopes.push(Envelope {
                    header,
                    payload: message.body.into(),
                });
            }
            Err(turned) => {
                outcomes.push(BatchOutcome {
                    index,
                    status: "refused",
                    message_id,
                    batch_id: turned.batch_id.clone(),
                    vehicle: None,
                    device: None,
                    lane: None,
                    code: Some(turned.code().as_str()),
                    detail: Some(turned.detail.clone()),
                });
                refused.push(turned_away::letter(caller, &message, turned));
            }
        }
    }
    if !envelopes.is_empty() {
        state.publisher.publish(&envelopes).await?;
    }
    if !refused.is_empty() {
        store.put_dead_letters(&refused).await?;
        refused.iter().for_each(|(_, tally)| state.watch.turned_away(tally));
    }
    let status = match refused.is_empty() {
        true => StatusCode::ACCEPTED,
        false => StatusCode::MULTI_STATUS,
    };
    let answer = BulkAnswer {
        accepted: envelopes.len(),
        refused: refused.len(),
        batches: outcomes,
    };
    Ok((answer, status))
}

#[cfg(test)]
mod tests {
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
    fn lines_are_batches_and_empty_ones_are_none() {
        let lines = split_lines(&Bytes::from_static(b"{\"a\":1}\r\n\n  \n{\"b\":2}"));
        assert_eq!(lines, [&b"{\"a\":1}"[..], b"{\"b\":2}"]);
        assert!(split_lines(&Bytes::new()).is_empty());
    }

    #[test]
    fn there_is_at_least_one_batch_and_not_too_many() {
        let looked =
            |text: String, lines: bool| look(&Bytes::from(text), ContentEncoding::Identity, lines, 1 << 20, 10);
        assert!(looked(r#"{"batches":[]}"#.into(), false).is_err());
        assert!(looked("1\n".repeat(MOST_BATCHES + 1), true).is_err());
        assert_eq!(
            looked("1\n".repeat(MOST_BATCHES), true).unwrap().unwrap().len(),
            MOST_BATCHES
        );
    }
}
