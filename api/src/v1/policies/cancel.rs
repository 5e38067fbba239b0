//! `POST /v1/policies/{policy}/cancellation`

use actix_web::{HttpResponse, web::Data};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{Policy, cover};
use crate::{
    auth::gate::Caller,
    extract::{
        json::Json,
        path::{self, Segment},
        precondition::{Expected, tagged},
        value::{Day, Text},
    },
    problem::{Code, Problem},
    state::ApiState,
    v1::{self, found},
};

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PolicyCancellation {
    /// First day without cover; may be past. The first day of cover: it never came into force.
    #[schema(value_type = NaiveDate, example = "2026-07-15")]
    ends_on: Day,
    /// In a few words.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 200, example = "vehicle sold")]
    reason: Option<Text>,
}

#[utoipa::path(
    post,
    path = "/v1/policies/{policy}/cancellation",
    tag = "Policies",
    summary = "Cancel a policy",
    description = "It ends sooner than it would. The month it ends in is charged for the days covered, months after it for \
        nothing: what was charged for them already is rated anew. `PATCH` with a later `ends_on`, or null, takes it back.",
    params(
        ("policy" = String, Path, description = "Id or external reference", example = "POL-2026-0042"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` it must still have", example = "\"1\""),
    ),
    request_body = PolicyCancellation,
    responses((status = 200, description = "The policy as it is now", body = Policy,
        headers(("ETag" = String, description = "For `If-Match` of the next update"))))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    policy: Segment,
    expected: Expected,
    Json(body): Json<PolicyCancellation>,
) -> Result<HttpResponse, Problem> {
    let store = caller.store(&state);
    let known = v1::policy(&store, &policy).await?.policy;
    let end = body.ends_on.0;
    if end < known.starts_on || known.ends_on.is_some_and(|ends| ends <= end) {
        let detail = format!("wanted a day within its cover, which is {}, got {end}", cover(&known));
        return Err(Problem::field(Code::InvalidBody, "ends_on", detail));
    }
    let name = path::id_or_ref("policy", &policy)?;
    let reason = body.reason.map(|reason| reason.0);
    let cancelled = store.cancel_policy(&name, expected.revisions(), end, reason).await;
    let record = found(cancelled, "policy", &policy)?;
    Ok(tagged(record.revision, &Policy::at(record, state.clock.now())))
}
