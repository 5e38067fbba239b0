//! `POST /v1/vehicles/{vehicle}/transfers`

use actix_web::{HttpResponse, web::Data};
use odograph_domain::id::{DeviceId, FleetId, IdOrRef};
use odograph_store::NewTransfer;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Transfer;
use crate::{
    auth::gate::Caller,
    extract::{
        json::Json,
        path::Segment,
        query::Fields,
        value::{Instant, Name, Text},
    },
    problem::Problem,
    state::ApiState,
    v1::{Reference, created, not_after, unwritten, vehicle_id},
};

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TransferCreation {
    /// The first instant that is the new owner's; past.
    #[schema(value_type = DateTime<Utc>, example = "2026-05-04T14:30:00Z")]
    at: Instant,
    /// In a few words.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 200, example = "sold")]
    reason: Option<Text>,
    /// The new owner's fleet. Id or external reference.
    #[schema(value_type = Option<String>, example = "north")]
    fleet: Option<Name<FleetId>>,
    /// Devices that do not stay in the vehicle, such as the former owner's phone. Ids or external references.
    #[serde(default)]
    #[schema(value_type = Vec<String>, max_items = 20, example = json!(["IMEI-356938035643809"]))]
    removed_devices: Vec<Name<DeviceId>>,
}

/// A handover, with what ended by it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TransferResult {
    transfer: Transfer,
    /// Policies that would have run on; they end with the day of the handover.
    ended_policies: Vec<Uuid>,
    ended_assignments: Vec<Uuid>,
    removed_devices: Vec<Uuid>,
    /// The fleet it left.
    left_fleet: Option<Uuid>,
}

/// Most devices named at once.
const MOST_DEVICES: usize = 20;

#[utoipa::path(
    post,
    path = "/v1/vehicles/{vehicle}/transfers",
    tag = "Vehicles",
    summary = "Hand a vehicle over to a new owner",
    description = "Histories part at the instant: trips are cut there, policies of the former owner end with that insured-local day \
        and cover it up to the handover, a policy that begins on it covers it from then on, assignments end, and the vehicle leaves \
        its fleet and groups, which keep the time before. By event time: what comes late is the former owner's still, and a handover \
        may be filed afterwards.",
    params(("vehicle" = String, Path, description = "Id or external reference", example = "fleet-0042")),
    request_body = TransferCreation,
    responses((status = 201, description = "The handover, with what ended by it", body = TransferResult))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    vehicle: Segment,
    Json(body): Json<TransferCreation>,
) -> Result<HttpResponse, Problem> {
    let mut fields = Fields::of_body();
    not_after(&mut fields, "at", body.at.0, state.clock.now());
    if body.removed_devices.len() > MOST_DEVICES {
        let got = body.removed_devices.len();
        fields.wrong("removed_devices", format!("wanted at most {MOST_DEVICES}, got {got}"));
    }
    fields.finish()?;
    let store = caller.store(&state);
    let vehicle = vehicle_id(&store, &vehicle).await?;
    let references = [
        Reference {
            kind: "fleet",
            field: "fleet",
            given: body.fleet.as_ref().map(|fleet| fleet.0.to_string()).unwrap_or_default(),
        },
        Reference {
            kind: "device",
            field: "removed_devices",
            given: body
                .removed_devices
                .iter()
                .map(|device| device.0.to_string())
                .collect::<Vec<_>>()
                .join(", "),
        },
    ];
    let new = NewTransfer {
        vehicle: IdOrRef::Id(vehicle),
        at: body.at.0,
        reason: body.reason.map(|reason| reason.0),
        fleet: body.fleet.map(|fleet| fleet.0),
        removed_devices: body.removed_devices.into_iter().map(|device| device.0).collect(),
    };
    let transferred = store
        .transfer_vehicle(new)
        .await
        .map_err(|error| unwritten(error, &references))?;
    Ok(created(
        format!("/v1/vehicles/{vehicle}/transfers"),
        &TransferResult {
            transfer: transferred.record.into(),
            ended_policies: transferred.policies.iter().map(|id| id.uuid()).collect(),
            ended_assignments: transferred.assignments.iter().map(|id| id.uuid()).collect(),
            removed_devices: transferred.devices.iter().map(|id| id.uuid()).collect(),
            left_fleet: transferred.fleet.map(FleetId::uuid),
        },
    ))
}
