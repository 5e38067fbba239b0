//! `POST /v1/telemetry/batches`

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{self, HeaderMap},
    web,
};
use chrono::{DateTime, Utc};
use odograph_domain::{
    batch::BatchId,
    envelope::{ContentEncoding, ContentType, Envelope, Header, Lane, Source},
    id::{DeviceId, MessageId, VehicleId},
    outcome::MessageRejection,
    time::ReceivedAt,
};
use odograph_store::Arrival;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    glance::{Glance, Turned, glance},
    sample_schema::SampleSchema,
    turned_away,
};
use crate::{
    auth::gate::Caller,
    extract::body,
    problem::{Code, Problem, shown},
    state::ApiState,
};

/// Bodies longer than this once inflated are looked at on a thread of their own.
const INLINE_BYTES: usize = 256 << 10;

/// The platform has the batch, durably.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Accepted {
    message_id: Uuid,
    #[schema(example = "2026-01-31T07:15-0001")]
    batch_id: String,
    /// Null where the batch leaves it to its device.
    vehicle: Option<Uuid>,
    /// The device that says which vehicle it is of; null where the batch names the vehicle.
    device: Option<Uuid>,
    /// `urgent` with impacts or crash flags, `bulk` where it is large (over 5,000 samples or 512 KiB), else `live`.
    #[schema(value_type = String, example = "live")]
    lane: Lane,
    received_at: DateTime<Utc>,
}

/// A vehicle's samples under one id, in the canonical form.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "documents the body, which is passed on as it is")]
#[schema(as = TelemetryBatch)]
pub(crate) struct BatchDocument {
    /// 1.
    #[schema(example = 1)]
    schema: u32,
    /// The sender's name for the batch, unique by vehicle: the same batch sent again counts once. 1 to 128 characters.
    #[schema(max_length = 128, example = "2026-01-31T07:15-0001")]
    batch_id: String,
    /// Id or external reference. Absent beside a `device`: each sample is of the vehicle that the device was in at its time.
    #[schema(example = "fleet-0042")]
    vehicle: Option<String>,
    /// Id or external reference. One that is known to be elsewhere at a sample's time makes the sample none of this vehicle's.
    device: Option<String>,
    /// Id or external reference.
    driver: Option<String>,
    /// `vehicle` (x forward, y left, z up, ISO 8855; the default), `device` (as mounted) or `earth` (east, north, up).
    #[schema(example = "vehicle")]
    accel_frame: Option<String>,
    /// `included` (the default) or `removed`.
    #[schema(example = "included")]
    gravity: Option<String>,
    #[schema(value_type = Vec<SampleSchema>)]
    samples: Vec<serde_json::Value>,
    /// High-rate windows around a shock.
    impacts: Option<Vec<ImpactDocument>>,
}

/// A high-rate window around a shock.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "documents the body, which is passed on as it is")]
#[schema(as = Impact)]
pub(crate) struct ImpactDocument {
    trigger_ts: DateTime<Utc>,
    #[schema(example = 400.0)]
    rate_hz: f64,
    /// Time of the first row relative to `trigger_ts`, ms.
    #[schema(example = -100.0)]
    t0_ms: f64,
    /// Rows of x, y, z in the batch's frame, m/s².
    #[schema(example = json!([[-0.2, 0.1, 9.8], [-62.4, 3.0, 11.2]]))]
    accel_ms2: Vec<[f64; 3]>,
    /// Rows of x, y, z in the batch's frame, rad/s.
    gyro_rads: Option<Vec<[f64; 3]>>,
}

#[utoipa::path(
    post,
    path = "/v1/telemetry/batches",
    tag = "Intake",
    summary = "Send a batch",
    description = "202 once the queue holds it durably; `/v1/telemetry/messages/{message_id}` tells what became of it. A batch that is \
        turned away is kept, without its samples, under `/v1/dead-letters`. As JSON, or as a message `Batch` of `proto/telemetry.proto`; \
        `Content-Encoding: gzip` and `zstd` are read.",
    request_body(content((BatchDocument = "application/json"), (Vec<u8> = "application/x-protobuf"))),
    responses((status = 202, description = "Accepted, durably", body = Accepted))
)]
pub(crate) async fn handle(
    state: web::Data<ApiState>,
    caller: Caller,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let content_type = wire_type(&request)?;
    let encoding = body::content_encoding(&request)?;
    let limits = state.limits;
    let body = body::read(
        &request,
        &mut payload.into_inner(),
        limits.batch_bytes,
        limits.body_timeout,
    )
    .await?;
    let message = Message {
        id: MessageId::from(state.ids.uuid()),
        received_at: ReceivedAt::new(state.clock.now()),
        content_type,
        encoding,
        traceparent: traceparent(request.headers()),
        body,
    };
    accept(&state, &caller, message).await
}

/// Publishes a message that can be taken; keeps one that cannot.
async fn accept(state: &ApiState, caller: &Caller, message: Message) -> Result<HttpResponse, Problem> {
    let glance = match look(state, &message).await? {
        Ok(glance) => glance,
        Err(turned) => return Err(turned_away::keep(state, caller, &message, turned).await),
    };
    let lane = Lane::of(glance.urgent, glance.samples, message.body.len());
    let envelope = Envelope {
        header: Header {
            lane,
            vehicle_given: glance.vehicle.clone().unwrap_or_default(),
            ..message.header(caller)
        },
        payload: message.body.to_vec(),
    };
    let Some(of) = state.door.admit(message.arrival(&glance), envelope).await? else {
        let turned = unknown(&glance);
        return Err(turned_away::keep(state, caller, &message, turned).await);
    };
    Ok(HttpResponse::Accepted().json(Accepted {
        message_id: message.id.uuid(),
        batch_id: BatchId::into(glance.batch_id),
        vehicle: of.vehicle().map(VehicleId::uuid),
        device: of.device().map(DeviceId::uuid),
        lane,
        received_at: message.received_at.utc(),
    }))
}

pub(super) const PROTOBUF: &str = "application/x-protobuf";

/// What the body says it is.
fn wire_type(request: &HttpRequest) -> Result<ContentType, Problem> {
    let given = body::header_text(request, header::CONTENT_TYPE).unwrap_or_default();
    wire_type_of(given).ok_or_else(|| {
        let wanted = format!("application/json, {PROTOBUF}");
        let detail = format!(
            "wanted Content-Type application/json or {PROTOBUF}, got {:?}",
            shown(given)
        );
        Problem::new(Code::UnsupportedMediaType, detail).with_header(header::ACCEPT, wanted)
    })
}

/// Parameters such as `charset` are let pass.
pub(super) fn wire_type_of(given: &str) -> Option<ContentType> {
    let kind = given.split(';').next().unwrap_or_default().trim();
    let is = |name: &str| kind.eq_ignore_ascii_case(name);
    if is("application/json") {
        Some(ContentType::Json)
    } else if is(PROTOBUF) || is("application/protobuf") {
        Some(ContentType::Protobuf)
    } else {
        None
    }
}

/// A message that came in, before anything is known of it.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) id: MessageId,
    pub(super) received_at: ReceivedAt,
    pub(super) body: web::Bytes,
    pub(super) content_type: ContentType,
    pub(super) encoding: ContentEncoding,
    pub(super) traceparent: Option<String>,
}

impl Message {
    pub(super) fn arrival(&self, glance: &Glance) -> Arrival {
        Arrival {
            message: self.id,
            vehicle_given: glance.vehicle.clone().unwrap_or_default(),
            device_given: glance.device.clone(),
            batch_id: glance.batch_id.to_string(),
            source: Source::Http,
            received_at: self.received_at,
            resubmission_of: None,
        }
    }

    pub(super) fn header(&self, caller: &Caller) -> Header {
        Header {
            message_id: self.id,
            tenant: caller.tenant(),
            client: Some(caller.client()),
            source: Source::Http,
            lane: Lane::Live,
            vehicle: None,
            vehicle_given: String::new(),
            device: None,
            received_at: self.received_at,
            content_type: self.content_type,
            content_encoding: self.encoding,
            traceparent: self.traceparent.clone(),
            resubmission_of: None,
            extra: serde_json::Map::new(),
        }
    }
}

/// Long and compressed bodies are looked at where they hold up nobody else.
async fn look(state: &ApiState, message: &Message) -> Result<Result<Glance, Turned>, Problem> {
    let limits = state.limits;
    let (body, encoding, content_type) = (message.body.clone(), message.encoding, message.content_type);
    let work = move || -> Result<Result<Glance, Turned>, Problem> {
        if encoding == ContentEncoding::Identity {
            return Ok(glance(&body, content_type, limits.batch_samples));
        }
        match body::inflate(&body, encoding, limits.inflated_bytes)? {
            Ok(inflated) => Ok(glance(&inflated, content_type, limits.batch_samples)),
            Err(detail) => Ok(Err(Turned::undecodable(detail))),
        }
    };
    if encoding == ContentEncoding::Identity && message.body.len() <= INLINE_BYTES {
        return work();
    }
    web::block(work).await.map_err(Problem::internal)?
}

/// That nothing has the name by which a batch says what it is of.
pub(in crate::v1) fn unknown(glance: &Glance) -> Turned {
    let (reason, detail) = match (&glance.vehicle, &glance.device) {
        (None, Some(device)) => (
            MessageRejection::UnknownDevice,
            format!(
                "no device {:?}; register it with POST /v1/vehicles/{{vehicle}}/devices",
                shown(device)
            ),
        ),
        (vehicle, _) => (
            MessageRejection::UnknownVehicle,
            format!(
                "no vehicle {:?}; register it with POST /v1/vehicles",
                shown(vehicle.as_deref().unwrap_or_default())
            ),
        ),
    };
    Turned {
        reason,
        detail,
        batch_id: Some(glance.batch_id.to_string()),
        vehicle: glance.vehicle.as_deref().map(|name| shown(name).into_owned()),
        samples: glance.samples,
    }
}

/// The trace context of the request (W3C Trace Context, version 00), where it has a sound one.
pub(super) fn traceparent(headers: &HeaderMap) -> Option<String> {
    let given = headers.get("traceparent")?.to_str().ok()?;
    let parts: Vec<_> = given.split('-').collect();
    let lengths: Vec<_> = parts.iter().map(|part| part.len()).collect();
    let hex = parts
        .iter()
        .all(|part| part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')));
    (hex && lengths == [2, 32, 16, 2] && parts[0] == "00").then(|| given.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::{HeaderName, HeaderValue};

    #[test]
    fn a_trace_context_is_passed_on_when_it_is_sound() {
        let with = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(HeaderName::from_static("traceparent"), HeaderValue::from_static(value));
            traceparent(&headers)
        };
        let sound = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(with(sound).as_deref(), Some(sound));
        assert_eq!(with("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7"), None);
        assert_eq!(with("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01"), None);
    }
}
