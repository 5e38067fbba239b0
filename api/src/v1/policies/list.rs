//! `GET /v1/policies`

use actix_web::web::{Data, Json};
use odograph_store::PolicyFilter;
use serde::Deserialize;
use utoipa::IntoParams;

use super::Policy;
use crate::{
    auth::gate::Caller,
    extract::query::{Fields, Query},
    page::{self, List},
    problem::Problem,
    state::ApiState,
    v1::vehicle_id,
};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PolicyQuery {
    /// Of this vehicle only; id or external reference.
    vehicle: Option<String>,
    /// Most items to return.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200, default = 50)]
    limit: Option<String>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

#[utoipa::path(
    get,
    path = "/v1/policies",
    tag = "Policies",
    summary = "The policies",
    description = "In the order they were written.",
    params(PolicyQuery),
    responses((status = 200, description = "A page of policies", body = List<Policy>))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    Query(query): Query<PolicyQuery>,
) -> Result<Json<List<Policy>>, Problem> {
    let mut fields = Fields::of_query();
    let page = page::page(&mut fields, query.limit.as_deref(), query.cursor.as_deref());
    fields.finish()?;
    let store = caller.store(&state);
    let vehicle = match &query.vehicle {
        Some(given) => Some(vehicle_id(&store, given).await?),
        None => None,
    };
    let now = state.clock.now();
    let listed = store.policies(PolicyFilter { vehicle }, page).await?;
    Ok(Json(List::of(listed, |record| Policy::at(record, now))))
}
