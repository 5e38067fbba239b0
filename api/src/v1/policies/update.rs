//! `PATCH /v1/policies/{policy}`

use actix_web::{HttpResponse, web::Data};
use odograph_domain::id::ExternalRef;
use serde::Deserialize;
use utoipa::ToSchema;

use super::Policy;
use crate::{
    auth::gate::Caller,
    extract::{
        json::Json,
        patch::Change,
        path::{self, Segment},
        precondition::{Expected, tagged},
        value::Day,
    },
    problem::{Code, Problem},
    state::ApiState,
    v1::{self, found},
};

/// What is absent stays; null empties.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PolicyUpdate {
    /// The tenant's own name for it, unique among its policies; 1 to 128 characters, not of the form of a UUID.
    #[serde(default)]
    #[schema(value_type = Option<String>, max_length = 128, example = "POL-2026-0042")]
    external_ref: Change<ExternalRef>,
    /// First day without cover; null lets it run on. A later day, or none, takes a cancellation back.
    #[serde(default)]
    #[schema(value_type = Option<NaiveDate>, example = "2027-01-01")]
    ends_on: Change<Day>,
}

#[utoipa::path(
    patch,
    path = "/v1/policies/{policy}",
    tag = "Policies",
    summary = "Change the name or the end of a policy",
    description = "What is absent stays as it is; null empties (RFC 7396). Another end has the premiums of the months it touches \
        rated anew. What else a policy says changes by date: `POST /v1/policies/{policy}/changes`. With `If-Match` only as long \
        as nobody else has changed it.",
    params(
        ("policy" = String, Path, description = "Id or external reference", example = "POL-2026-0042"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` it must still have", example = "\"1\""),
    ),
    request_body = PolicyUpdate,
    responses((status = 200, description = "The policy as it is now", body = Policy,
        headers(("ETag" = String, description = "For `If-Match` of the next update"))))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    policy: Segment,
    expected: Expected,
    Json(body): Json<PolicyUpdate>,
) -> Result<HttpResponse, Problem> {
    let store = caller.store(&state);
    if let Change::Set(Day(end)) = &body.ends_on {
        let starts_on = v1::policy(&store, &policy).await?.policy.starts_on;
        if *end <= starts_on {
            let detail = format!("wanted a day after the first of cover, {starts_on}, got {end}");
            return Err(Problem::field(Code::InvalidBody, "ends_on", detail));
        }
    }
    let name = path::id_or_ref("policy", &policy)?;
    let changed = store
        .update_policy(&name, expected.revisions(), |amendment| {
            body.external_ref.apply(&mut amendment.external_ref);
            body.ends_on.map(|day| day.0).apply(&mut amendment.ends_on);
        })
        .await;
    let record = found(changed, "policy", &policy)?;
    Ok(tagged(record.revision, &Policy::at(record, state.clock.now())))
}
