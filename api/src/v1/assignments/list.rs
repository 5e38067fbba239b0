//! `GET /v1/vehicles/{vehicle}/assignments`

use actix_web::web::{Data, Json};
use serde::Deserialize;
use utoipa::IntoParams;

use super::Assignment;
use crate::{
    auth::gate::Caller,
    extract::{
        path::{self, Segment},
        query::{Fields, Query},
    },
    page::{self, List},
    problem::Problem,
    state::ApiState,
    v1::found,
};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AssignmentQuery {
    /// Most items to return.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200, default = 50)]
    limit: Option<String>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

#[utoipa::path(
    get,
    path = "/v1/vehicles/{vehicle}/assignments",
    tag = "Vehicles",
    summary = "The drivers assigned to a vehicle",
    description = "Earliest first.",
    params(("vehicle" = String, Path, description = "Id or external reference", example = "fleet-0042"), AssignmentQuery),
    responses((status = 200, description = "A page of assignments", body = List<Assignment>))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    vehicle: Segment,
    Query(query): Query<AssignmentQuery>,
) -> Result<Json<List<Assignment>>, Problem> {
    let mut fields = Fields::of_query();
    let page = page::page(&mut fields, query.limit.as_deref(), query.cursor.as_deref());
    fields.finish()?;
    let name = path::id_or_ref("vehicle", &vehicle)?;
    let listed = found(caller.store(&state).assignments(&name, page).await, "vehicle", &vehicle)?;
    Ok(Json(List::of(listed, Assignment::from)))
}
