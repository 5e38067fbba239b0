//! `GET /v1/fleets/{fleet}/groups/{group}/vehicles`

use actix_web::web::{Data, Json};
use odograph_store::{Order, VehicleFilter, VehicleKey};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::{
    auth::gate::Caller,
    extract::{
        path::{self, Segments2},
        query::{Fields, Query},
    },
    page::{self, List},
    problem::Problem,
    state::ApiState,
    v1::{found_of, vehicles::Vehicle},
};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct GroupVehicleQuery {
    /// Most items to return.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200, default = 50)]
    limit: Option<String>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

#[utoipa::path(
    get,
    path = "/v1/fleets/{fleet}/groups/{group}/vehicles",
    tag = "Fleets",
    summary = "The vehicles of a group",
    description = "In the order they were registered.",
    params(
        ("fleet" = String, Path, description = "Id or external reference", example = "acme-vans"),
        ("group" = String, Path, description = "Id or external reference", example = "acme-vans-north"),
        GroupVehicleQuery,
    ),
    responses((status = 200, description = "A page of vehicles", body = List<Vehicle>))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    segments: Segments2,
    Query(query): Query<GroupVehicleQuery>,
) -> Result<Json<List<Vehicle>>, Problem> {
    let mut fields = Fields::of_query();
    let page = page::page(&mut fields, query.limit.as_deref(), query.cursor.as_deref());
    fields.finish()?;
    let (fleet, group) = segments.into_inner();
    let of = path::id_or_ref("fleet", &fleet)?;
    let name = path::id_or_ref("group", &group)?;
    let store = caller.store(&state);
    let record = found_of(
        store.group(Some(&of), &name).await,
        &[("fleet", &fleet), ("group", &group)],
    )?;
    let filter = VehicleFilter {
        group: Some(record.id),
        ..VehicleFilter::default()
    };
    let order = Order::ascending(VehicleKey::CreatedAt);
    let listed = store.find_vehicles(filter, order, page).await?;
    Ok(Json(List::of(listed, Vehicle::from)))
}
