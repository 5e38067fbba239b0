//! `POST /v1/devices/{device}/credentials`

use actix_web::{HttpResponse, web::Data};
use odograph_domain::id::{DeviceId, IdOrRef};
use serde::Serialize;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use super::DeviceCredential;
use crate::{
    auth::gate::Caller,
    extract::path::{self, Segment},
    problem::Problem,
    state::ApiState,
    v1::{created, found},
};

/// What a device logs in to the broker with, and its secret.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeviceCredentialWithSecret {
    #[serde(flatten)]
    credential: DeviceCredential,
    /// The password. Shown this once.
    secret: String,
}

#[utoipa::path(
    post,
    path = "/v1/devices/{device}/credentials",
    tag = "Vehicles",
    summary = "Give a device a credential for the broker",
    description = "With it the device sends its own telemetry by MQTT, and can do nothing else. The secret is shown this once; only a hash \
        of it is kept. A device may have several, so that one can be replaced without a gap.",
    params(("device" = String, Path, description = "Id or external reference", example = "IMEI-356938035643809")),
    responses((status = 201, description = "The credential with its secret", body = DeviceCredentialWithSecret))
)]
pub(crate) async fn handle(state: Data<ApiState>, caller: Caller, device: Segment) -> Result<HttpResponse, Problem> {
    let name: IdOrRef<DeviceId> = path::id_or_ref("device", &device)?;
    let mut secret = [0; 32];
    state.randomness.fill(&mut secret).map_err(Problem::internal)?;
    let secret: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let hash = Sha256::digest(&secret).into();
    let made = caller.store(&state).create_device_credential(&name, hash).await;
    let record = found(made, "device", &device)?;
    let location = format!("/v1/devices/{}/credentials/{}", record.device, record.id);
    let credential = record.into();
    Ok(created(location, &DeviceCredentialWithSecret { credential, secret }))
}
