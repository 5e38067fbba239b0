//! `GET /v1/policies/{policy}/changes`

use actix_web::web::{Data, Json};
use serde::Deserialize;
use utoipa::IntoParams;

use super::PolicyChange;
use crate::{
    auth::gate::Caller,
    extract::{
        path::Segment,
        query::{Fields, Query},
    },
    page::{self, List},
    problem::Problem,
    state::ApiState,
    v1,
};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PolicyChangeQuery {
    /// Most items to return.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200, default = 50)]
    limit: Option<String>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

#[utoipa::path(
    get,
    path = "/v1/policies/{policy}/changes",
    tag = "Policies",
    summary = "The changes of a policy",
    description = "In the order they were filed. What they come to by date are the policy's `terms`.",
    params(("policy" = String, Path, description = "Id or external reference", example = "POL-2026-0042"), PolicyChangeQuery),
    responses((status = 200, description = "A page of changes", body = List<PolicyChange>))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    policy: Segment,
    Query(query): Query<PolicyChangeQuery>,
) -> Result<Json<List<PolicyChange>>, Problem> {
    let mut fields = Fields::of_query();
    let page = page::page(&mut fields, query.limit.as_deref(), query.cursor.as_deref());
    fields.finish()?;
    let store = caller.store(&state);
    let policy = v1::policy(&store, &policy).await?.policy.id;
    let listed = store.policy_changes(policy, page).await?;
    Ok(Json(List::of(listed, PolicyChange::from)))
}
