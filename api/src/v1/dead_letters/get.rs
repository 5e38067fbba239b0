//! `GET /v1/dead-letters/{dead_letter}`

use actix_web::web::{Data, Json};
use base64::{Engine, prelude::BASE64_STANDARD};
use odograph_domain::id::DeadLetterId;
use odograph_store::{LetterStatus, StoreError};
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
    /// `kept`, `discarded` with the dead letter, or `erased` with its subject. Left out without the scope `tracks:read`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "kept")]
    payload_state: Option<&'static str>,
}

/// What was kept of the message: less than what came where a product or a missing consent does not allow it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "encoding", content = "data", rename_all = "snake_case")]
pub(crate) enum Payload {
    /// It is JSON.
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
    description = "With the scope `tracks:read` the answer also holds what was kept of the payload, and that it was read is recorded.",
    params(("dead_letter" = Uuid, Path, description = "Id")),
    responses((status = 200, description = "The dead letter", body = DeadLetterWithPayload))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    dead_letter: Segment,
) -> Result<Json<DeadLetterWithPayload>, Problem> {
    let id: DeadLetterId = path::id("dead letter", &dead_letter)?;
    let store = caller.store(&state);
    let row = found(store.dead_letter_row(id).await, "dead letter", &dead_letter)?;
    let (payload, payload_state) = if !caller.may(Scope::TracksRead) {
        (None, None)
    } else if row.status == LetterStatus::Discarded {
        (None, Some("discarded"))
    } else {
        match store.dead_letter(id).await {
            Ok((_, payload)) => (Some(Payload::of(payload)), Some("kept")),
            Err(StoreError::Erased { .. }) => (None, Some("erased")),
            Err(error) => return Err(error.into()),
        }
    };
    Ok(Json(DeadLetterWithPayload {
        letter: row.into(),
        payload,
        payload_state,
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
