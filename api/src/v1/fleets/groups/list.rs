//! `GET /v1/fleets/{fleet}/groups`

use actix_web::web::{Data, Json};
use serde::Deserialize;
use utoipa::IntoParams;

use super::Group;
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
pub(crate) struct GroupQuery {
    /// Most items to return.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200, default = 50)]
    limit: Option<String>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

#[utoipa::path(
    get,
    path = "/v1/fleets/{fleet}/groups",
    tag = "Fleets",
    summary = "The groups of a fleet",
    description = "In the order they were made.",
    params(("fleet" = String, Path, description = "Id or external reference", example = "acme-vans"), GroupQuery),
    responses((status = 200, description = "A page of groups", body = List<Group>))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    fleet: Segment,
    Query(query): Query<GroupQuery>,
) -> Result<Json<List<Group>>, Problem> {
    let mut fields = Fields::of_query();
    let page = page::page(&mut fields, query.limit.as_deref(), query.cursor.as_deref());
    fields.finish()?;
    let name = path::id_or_ref("fleet", &fleet)?;
    let listed = found(caller.store(&state).groups(&name, page).await, "fleet", &fleet)?;
    Ok(Json(List::of(listed, Group::from)))
}
