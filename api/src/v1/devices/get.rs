//! `GET /v1/devices/{device}`

use actix_web::web::{Data, Json};

use super::RegisteredDevice;
use crate::{
    auth::gate::Caller,
    extract::path::{self, Segment},
    problem::Problem,
    state::ApiState,
    v1::found,
};

#[utoipa::path(
    get,
    path = "/v1/devices/{device}",
    tag = "Vehicles",
    summary = "A device, with everywhere it ever was",
    params(("device" = String, Path, description = "Id or external reference", example = "IMEI-356938035643809")),
    responses((status = 200, description = "The device", body = RegisteredDevice))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    device: Segment,
) -> Result<Json<RegisteredDevice>, Problem> {
    let name = path::id_or_ref("device", &device)?;
    let store = caller.store(&state);
    let record = found(store.device(&name).await, "device", &device)?;
    let pairings = store.device_pairings(&[record.id]).await?;
    Ok(Json(RegisteredDevice::new(record, &pairings, state.clock.now())))
}
