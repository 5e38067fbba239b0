//! `DELETE /v1/devices/{device}/credentials/{credential}`

use actix_web::{HttpResponse, web::Data};
use odograph_domain::id::{DeviceCredentialId, DeviceId, IdOrRef};

use crate::{
    auth::gate::Caller,
    extract::path::{self, Segments2},
    problem::Problem,
    state::ApiState,
    v1::found_of,
};

#[utoipa::path(
    delete,
    path = "/v1/devices/{device}/credentials/{credential}",
    tag = "Vehicles",
    summary = "Revoke a device's credential",
    description = "Nobody gets in with it any more. What is still sent over a connection that was made before, and what has not been read yet, \
        is kept apart as dead letters.",
    params(
        ("device" = String, Path, description = "Id or external reference", example = "IMEI-356938035643809"),
        ("credential" = Uuid, Path, description = "Id"),
    ),
    responses((status = 204, description = "Revoked"))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    segments: Segments2,
) -> Result<HttpResponse, Problem> {
    let (device, credential) = segments.into_inner();
    let name: IdOrRef<DeviceId> = path::id_or_ref("device", &device)?;
    let id: DeviceCredentialId = path::id("device credential", &credential)?;
    let revoked = caller.store(&state).revoke_device_credential(&name, id).await;
    found_of(revoked, &[("device", &device), ("device credential", &credential)])?;
    Ok(HttpResponse::NoContent().finish())
}
