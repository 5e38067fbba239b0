//! `GET /v1/vehicles/{vehicle}/devices`

use actix_web::web::{Data, Json};
use serde::Deserialize;
use utoipa::IntoParams;

use super::Device;
use crate::{
    auth::gate::Caller,
    extract::{
        path::{self, Segment},
        query::{Fields, Query},
    },
    page::List,
    problem::Problem,
    state::ApiState,
    v1::found,
};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct VehicleDeviceQuery {
    /// With those that were in it before, and those still to come.
    #[param(value_type = Option<bool>, default = false)]
    history: Option<String>,
}

#[utoipa::path(
    get,
    path = "/v1/vehicles/{vehicle}/devices",
    tag = "Vehicles",
    summary = "The devices in a vehicle",
    params(("vehicle" = String, Path, description = "Id or external reference", example = "fleet-0042"), VehicleDeviceQuery),
    responses((status = 200, description = "All of them, the most trusted first", body = List<Device>))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    vehicle: Segment,
    Query(query): Query<VehicleDeviceQuery>,
) -> Result<Json<List<Device>>, Problem> {
    let mut fields = Fields::of_query();
    let history = fields.parse("history", query.history.as_deref()).unwrap_or(false);
    fields.finish()?;
    let name = path::id_or_ref("vehicle", &vehicle)?;
    let at = (!history).then(|| state.clock.now());
    let pairings = found(
        caller.store(&state).vehicle_pairings(&name, at).await,
        "vehicle",
        &vehicle,
    )?;
    let items = pairings
        .into_iter()
        .map(|(device, record)| Device::new(device, &record))
        .collect();
    Ok(Json(List {
        items,
        next_cursor: None,
    }))
}
