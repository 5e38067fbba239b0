//! `POST /v1/drivers`

use actix_web::{HttpResponse, web::Data};
use odograph_domain::id::ExternalRef;
use odograph_store::NewDriver;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{Driver, DriverIdentity, GivenIdentity};
use crate::{
    access::Scope,
    auth::gate::Caller,
    extract::json::Json,
    problem::{Code, Problem},
    state::ApiState,
    v1::created,
};

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DriverCreation {
    /// The tenant's own name for the driver, unique among its drivers; 1 to 128 characters, not of the form of a UUID.
    #[schema(value_type = Option<String>, max_length = 128, example = "D-1007")]
    external_ref: Option<ExternalRef>,
    /// Needs the scope `drivers:identity`.
    #[schema(value_type = Option<DriverIdentity>)]
    identity: Option<GivenIdentity>,
}

#[utoipa::path(
    post,
    path = "/v1/drivers",
    tag = "Drivers",
    summary = "Register a driver",
    request_body = DriverCreation,
    responses((status = 201, description = "The driver", body = Driver))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    Json(body): Json<DriverCreation>,
) -> Result<HttpResponse, Problem> {
    let DriverCreation { external_ref, identity } = body;
    if identity.is_some() && !caller.may(Scope::DriversIdentity) {
        let detail = format!(
            "the field identity needs a token with the scope {}",
            Scope::DriversIdentity
        );
        return Err(Problem::new(Code::InsufficientScope, detail));
    }
    let new = NewDriver {
        external_ref,
        identity: identity.map(Into::into),
    };
    let shown = new.identity.clone();
    let record = caller.store(&state).create_driver(new).await?;
    Ok(created(
        format!("/v1/drivers/{}", record.id),
        &Driver::new(record, shown),
    ))
}
