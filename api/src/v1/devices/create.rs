//! `POST /v1/vehicles/{vehicle}/devices`

use actix_web::{HttpResponse, web::Data};
use odograph_domain::id::{ExternalRef, IdOrRef};
use odograph_store::{NewDevice, NewPairing};
use serde::Deserialize;
use utoipa::ToSchema;

use super::Device;
use crate::{
    auth::gate::Caller,
    extract::{
        json::Json,
        path::Segment,
        value::{Instant, Text},
    },
    problem::Problem,
    state::ApiState,
    v1::{created, vehicle_id},
};

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeviceCreation {
    /// The tenant's own name for it, unique among its devices; 1 to 128 characters, not of the form of a UUID.
    #[schema(value_type = Option<String>, max_length = 128, example = "IMEI-356938035643809")]
    external_ref: Option<ExternalRef>,
    /// What kind of device it is.
    #[schema(value_type = String, max_length = 200, example = "obd_dongle")]
    kind: Text,
    /// 0 is the most trusted.
    #[serde(default)]
    #[schema(default = 0)]
    rank: u8,
    /// Since when it is in the vehicle. Absent: as long as anybody knows.
    #[schema(value_type = Option<DateTime<Utc>>, example = "2026-01-01T00:00:00Z")]
    from: Option<Instant>,
}

#[utoipa::path(
    post,
    path = "/v1/vehicles/{vehicle}/devices",
    tag = "Vehicles",
    summary = "Register a device and pair it with a vehicle",
    params(("vehicle" = String, Path, description = "Id or external reference", example = "fleet-0042")),
    request_body = DeviceCreation,
    responses((status = 201, description = "The device", body = Device))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    vehicle: Segment,
    Json(body): Json<DeviceCreation>,
) -> Result<HttpResponse, Problem> {
    let store = caller.store(&state);
    // Before anything is written: a device of no vehicle would stay behind.
    let vehicle = vehicle_id(&store, &vehicle).await?;
    let device = store
        .create_device(NewDevice {
            external_ref: body.external_ref,
            kind: body.kind.0,
        })
        .await?;
    let paired = store
        .pair_device(NewPairing {
            device: IdOrRef::Id(device.id),
            vehicle: IdOrRef::Id(vehicle),
            rank: Some(body.rank),
            from: body.from.map(|from| from.0),
            replaces: None,
        })
        .await?;
    Ok(created(
        format!("/v1/vehicles/{vehicle}/devices"),
        &Device::new(device, &paired.record),
    ))
}
