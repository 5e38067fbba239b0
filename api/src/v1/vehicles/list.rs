//! `GET /v1/vehicles`

use actix_web::web::{Data, Json};
use odograph_store::{Order, VehicleFilter, VehicleKey};
use serde::Deserialize;
use utoipa::IntoParams;

use super::Vehicle;
use crate::{
    auth::gate::Caller,
    extract::{
        query::{Fields, Query},
        value::Vin,
    },
    page::{self, List, SortKeys},
    problem::Problem,
    state::ApiState,
    v1::Whose,
};

impl SortKeys for VehicleKey {
    const NAMES: &'static [(&'static str, Self)] =
        &[("created_at", Self::CreatedAt), ("external_ref", Self::ExternalRef)];
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct VehicleQuery {
    /// What the external reference begins with.
    #[param(example = "fleet-")]
    external_ref_prefix: Option<String>,
    #[param(min_length = 17, max_length = 17, example = "WVWZZZ1KZAW000001")]
    vin: Option<String>,
    /// In this fleet now; id or external reference.
    fleet: Option<String>,
    /// In this group now; id or external reference.
    group: Option<String>,
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
    let page = page::page(&mut fields, query.limit.as_deref(), query.cursor.as_deref());
    let vin = fields.parse::<Vin>("vin", query.vin.as_deref());
    let usual = Order::ascending(VehicleKey::CreatedAt);
    let order = page::order(&mut fields, query.sort.as_deref(), usual);
    fields.finish()?;
    let store = caller.store(&state);
    let whose = Whose::find(&store, &None, &None, &query.fleet, &query.group).await?;
    let filter = VehicleFilter {
        reference_prefix: query.external_ref_prefix,
        vin: vin.map(|vin| vin.0),
        fleet: whose.fleet,
        group: whose.group,
    };
    let listed = store.find_vehicles(filter, order, page).await?;
    Ok(Json(List::of(listed, Vehicle::from)))
}
