//! `GET /v1/vehicles/{vehicle}/devices`

use actix_web::web::{Data, Json};
use odograph_domain::id::IdOrRef;

use super::Device;
use crate::{
    auth::gate::Caller,
    extract::path::{self, Segment},
    page::List,
    problem::Problem,
    state::ApiState,
    v1::found,
};

#[utoipa::path(
    get,
    path = "/v1/vehicles/{vehicle}/devices",
    tag = "Vehicles",
    summary = "The devices paired with a vehicle",
    params(("vehicle" = String, Path, description = "Id or external reference", example = "fleet-0042")),
    responses((status = 200, description = "All of them, the most trusted first", body = List<Device>))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    vehicle: Segment,
) -> Result<Json<List<Device>>, Problem> {
    let name = path::id_or_ref("vehicle", &vehicle)?;
    let store = caller.store(&state);
    let pairings = found(store.pairings(&name).await, "vehicle", &vehicle)?;
    let mut items = Vec::with_capacity(pairings.len());
    for pairing in &pairings {
        items.push(Device::new(store.device(&IdOrRef::Id(pairing.device)).await?, pairing));
    }
    Ok(Json(List {
        items,
        next_cursor: None,
    }))
}
