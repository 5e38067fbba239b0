//! `GET /v1/vehicles`

use actix_web::web::{Data, Json};
use odograph_store::{Order, VehicleKey};
use serde::Deserialize;
use utoipa::IntoParams;

use super::Vehicle;
use crate::{
    auth::gate::Caller,
    extract::query::{Fields, Query},
    page::{self, List, SortKeys},
    problem::Problem,
    state::ApiState,
};

impl SortKeys for VehicleKey {
    const NAMES: &'static [(&'static str, Self)] =
        &[("created_at", Self::CreatedAt), ("external_ref", Self::ExternalRef)];
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct VehicleQuery {
    /// What to sort by; with `-` before it, the other way round.
    #[param(schema_with = page::sort_schema::<VehicleKey>, required = false)]
    sort: Option<String>,
    /// Most items to return.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200, default = 50)]
    limit: Option<String>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

#[utoipa::path(
    get,
    path = "/v1/vehicles",
    tag = "Vehicles",
    summary = "The vehicles",
    description = "In the order they were registered, if `sort` says nothing else.",
    params(VehicleQuery),
    responses((status = 200, description = "A page of vehicles", body = List<Vehicle>))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    Query(query): Query<VehicleQuery>,
) -> Result<Json<List<Vehicle>>, Problem> {
    let mut fields = Fields::of_query();
    let order = page::order(
        &mut fields,
        query.sort.as_deref(),
        Order::ascending(VehicleKey::CreatedAt),
    );
    let page = page::page(&mut fields, query.limit.as_deref(), query.cursor.as_deref());
    fields.finish()?;
    let listed = caller.store(&state).vehicles_by(order, page).await?;
    Ok(Json(List::of(listed, Vehicle::from)))
}
