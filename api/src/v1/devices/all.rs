//! `GET /v1/devices`

use actix_web::web::{Data, Json};
use odograph_domain::id::DeviceId;
use serde::Deserialize;
use utoipa::IntoParams;

use super::RegisteredDevice;
use crate::{
    auth::gate::Caller,
    extract::query::{Fields, Query},
    page::{self, List},
    problem::Problem,
    state::ApiState,
};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct DeviceQuery {
    /// Most items to return.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200, default = 50)]
    limit: Option<String>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

#[utoipa::path(
    get,
    path = "/v1/devices",
    tag = "Vehicles",
    summary = "All devices",
    description = "Those in no vehicle too, in the order they were registered.",
    params(DeviceQuery),
    responses((status = 200, description = "A page of devices", body = List<RegisteredDevice>))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    Query(query): Query<DeviceQuery>,
) -> Result<Json<List<RegisteredDevice>>, Problem> {
    let mut fields = Fields::of_query();
    let page = page::page(&mut fields, query.limit.as_deref(), query.cursor.as_deref());
    fields.finish()?;
    let store = caller.store(&state);
    let listed = store.devices(page).await?;
    let ids: Vec<DeviceId> = listed.items.iter().map(|device| device.id).collect();
    let pairings = store.device_pairings(&ids).await?;
    let now = state.clock.now();
    Ok(Json(List::of(listed, |device| {
        RegisteredDevice::new(device, &pairings, now)
    })))
}
