//! `POST /v1/devices/{device}/pairings`

use actix_web::{HttpResponse, web::Data};
use odograph_domain::id::{DeviceId, IdOrRef, VehicleId};
use odograph_store::{NewPairing, StoreError};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::RegisteredDevice;
use crate::{
    auth::gate::Caller,
    extract::{
        json::Json,
        path::{self, Segment},
        value::{Instant, Name},
    },
    problem::{Code, Problem},
    state::ApiState,
    v1::{Reference, created, found, unwritten},
};

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PairingCreation {
    /// Id or external reference.
    #[schema(value_type = String, example = "fleet-0042")]
    vehicle: Name<VehicleId>,
    /// Since when it is in the vehicle; may be past. Absent: now.
    #[schema(value_type = Option<DateTime<Utc>>, example = "2026-05-04T14:30:00Z")]
    from: Option<Instant>,
    /// 0 is the vehicle's most trusted device. Absent: that of the device it replaces, else 0.
    #[schema(example = 0)]
    rank: Option<u8>,
    /// The device whose place it takes, which leaves the vehicle at the same instant. Id or external reference.
    #[schema(value_type = Option<String>, example = "IMEI-490154203237518")]
    replaces: Option<Name<DeviceId>>,
}

/// A device that was put into a vehicle.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PairingResult {
    device: RegisteredDevice,
    /// The vehicle it was in until then.
    moved_from: Option<Uuid>,
    replaced: Option<Uuid>,
}

#[utoipa::path(
    post,
    path = "/v1/devices/{device}/pairings",
    tag = "Vehicles",
    summary = "Put a device into a vehicle",
    description = "A device is in one vehicle at a time: from that instant on it leaves the one it was in. By event time, so it may be filed \
        afterwards: what the device recorded since then and came under the other vehicle follows it, trips, scores and premiums of both \
        with it. `replaces` swaps two devices.",
    params(("device" = String, Path, description = "Id or external reference", example = "IMEI-356938035643809")),
    request_body = PairingCreation,
    responses((status = 201, description = "The device, with everywhere it ever was", body = PairingResult))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    device: Segment,
    Json(body): Json<PairingCreation>,
) -> Result<HttpResponse, Problem> {
    let name: IdOrRef<DeviceId> = path::id_or_ref("device", &device)?;
    let store = caller.store(&state);
    let record = found(store.device(&name).await, "device", &device)?;
    let now = state.clock.now();
    let references = [
        Reference {
            kind: "vehicle",
            field: "vehicle",
            given: body.vehicle.0.to_string(),
        },
        Reference {
            kind: "device",
            field: "replaces",
            given: body
                .replaces
                .as_ref()
                .map(|device| device.0.to_string())
                .unwrap_or_default(),
        },
    ];
    let paired = store
        .pair_device(NewPairing {
            device: IdOrRef::Id(record.id),
            vehicle: body.vehicle.0,
            rank: body.rank,
            from: Some(body.from.map_or(now, |from| from.0)),
            replaces: body.replaces.map(|device| device.0),
        })
        .await
        .map_err(|error| match error {
            StoreError::Invalid { detail, .. } => Problem::field(Code::InvalidBody, "replaces", detail),
            other => unwritten(other, &references),
        })?;
    let pairings = store.device_pairings(&[record.id]).await?;
    let location = format!("/v1/devices/{}", record.id);
    Ok(created(
        location,
        &PairingResult {
            device: RegisteredDevice::new(record, &pairings, now),
            moved_from: paired.moved_from.map(VehicleId::uuid),
            replaced: paired.replaced.map(DeviceId::uuid),
        },
    ))
}
