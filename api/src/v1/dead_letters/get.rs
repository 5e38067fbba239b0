//! `GET /v1/dead-letters/{dead_letter}`

use actix_web::web::{Data, Json};
use base64::{Engine, prelude::BASE64_STANDARD};
use odograph_domain::id::DeadLetterId;
use serde::Serialize;
use utoipa::ToSchema;

use super::DeadLetter;
use crate::{
    access::Scope,
    auth::gate::Caller,
    extract::path::{self, Segment},
    problem::Problem,
    state::ApiState,
    v1::found,
};

/// A dead letter with its payload.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeadLetterWithPayload {
    #[serde(flatten)]
    letter: DeadLetter,
    /// Left out without the scope `tracks:read`, since it can hold positions.
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<Payload>,
}

/// What was kept of the message: less than what came where a product or a missing consent does not allow it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "encoding", content = "data", rename_all = "snake_case")]
pub(crate) enum Payload {
    /// It is JSON.
    #[schema(value_type = Object)]
    Json(serde_json::Value),
    /// It is text.
    Text(String),
    /// It is neither.
    Base64(String),
}

impl Payload {
    fn of(bytes: Vec<u8>) -> Self {
        if let Ok(value) = serde_json::from_slice(&bytes) {
            return Self::Json(value);
        }
        match String::from_utf8(bytes) {
            Ok(text) => Self::Text(text),
            Err(error) => Self::Base64(BASE64_STANDARD.encode(error.as_bytes())),
        }
    }
}

#[utoipa::path(
    get,
    path = "/v1/dead-letters/{dead_letter}",
    tag = "Intake",
    summary = "A dead letter",
    description = "With the scope `tracks:read` the answer also holds what was kept of the payload.",
    params(("dead_letter" = Uuid, Path, description = "Id")),
    responses((status = 200, description = "The dead letter", body = DeadLetterWithPayload))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    dead_letter: Segment,
) -> Result<Json<DeadLetterWithPayload>, Problem> {
    let id: DeadLetterId = path::id("dead letter", &dead_letter)?;
    let (row, payload) = found(caller.store(&state).dead_letter(id).await, "dead letter", &dead_letter)?;
    let payload = caller.may(Scope::TracksRead).then(|| Payload::of(payload));
    Ok(Json(DeadLetterWithPayload {
        letter: row.into(),
        payload,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_shown_as_what_it_is() {
        let shown = |bytes: &[u8]| serde_json::to_value(Payload::of(bytes.to_vec())).unwrap();
        assert_eq!(
            shown(br#"{"ts":5}"#),
            serde_json::json!({ "encoding": "json", "data": { "ts": 5 } })
        );
        assert_eq!(
            shown(b"{\"ts\":"),
            serde_json::json!({ "encoding": "text", "data": "{\"ts\":" })
        );
        assert_eq!(
            shown(b"\xff\xfe"),
            serde_json::json!({ "encoding": "base64", "data": "//4=" })
        );
    }
}
