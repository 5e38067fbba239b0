//! `POST /v1/devices/{device}/removal`

use actix_web::web::{self, Data};
use odograph_domain::id::{DeviceId, IdOrRef};
use serde::Deserialize;
use utoipa::ToSchema;

use super::RegisteredDevice;
use crate::{
    auth::gate::Caller,
    extract::{
        json::Json,
        path::{self, Segment},
        value::Instant,
    },
    problem::Problem,
    state::ApiState,
    v1::found,
};

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeviceRemoval {
    /// Since when it is in no vehicle; may be past. Absent: now.
    #[schema(value_type = Option<DateTime<Utc>>, example = "2026-05-04T14:30:00Z")]
    at: Option<Instant>,
}

#[utoipa::path(
    post,
    path = "/v1/devices/{device}/removal",
    tag = "Vehicles",
    summary = "Take a device out of its vehicle",
    description = "What it records from then on is of no vehicle: it is kept apart as dead letters, what has come already too.",
    params(("device" = String, Path, description = "Id or external reference", example = "IMEI-356938035643809")),
    request_body = DeviceRemoval,
    responses((status = 200, description = "The device, with everywhere it ever was", body = RegisteredDevice))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    device: Segment,
    Json(body): Json<DeviceRemoval>,
) -> Result<web::Json<RegisteredDevice>, Problem> {
    let name: IdOrRef<DeviceId> = path::id_or_ref("device", &device)?;
    let store = caller.store(&state);
    let record = found(store.device(&name).await, "device", &device)?;
    let now = state.clock.now();
    let at = body.at.map_or(now, |at| at.0);
    let pairings = store.remove_device(&IdOrRef::Id(record.id), at).await?;
    Ok(web::Json(RegisteredDevice::new(record, &pairings, now)))
}
