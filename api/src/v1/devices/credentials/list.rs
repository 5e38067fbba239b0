//! `GET /v1/devices/{device}/credentials`

use actix_web::web::{Data, Json};
use odograph_domain::id::{DeviceId, IdOrRef};
use serde::Deserialize;
use utoipa::IntoParams;

use super::DeviceCredential;
use crate::{
    auth::gate::Caller,
    extract::{
        path::{self, Segment},
        query::{Fields, Query},
    },
    page::{self, List},
    problem::Problem,
    state::ApiState,
    v1::found,
};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct DeviceCredentialQuery {
    /// Most items to return.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200, default = 50)]
    limit: Option<String>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

#[utoipa::path(
    get,
    path = "/v1/devices/{device}/credentials",
    tag = "Vehicles",
    summary = "A device's credentials for the broker",
    description = "In the order they were made, revoked ones too, without their secrets.",
    params(
        ("device" = String, Path, description = "Id or external reference", example = "IMEI-356938035643809"),
        DeviceCredentialQuery,
    ),
    responses((status = 200, description = "A page of credentials", body = List<DeviceCredential>))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    device: Segment,
    Query(query): Query<DeviceCredentialQuery>,
) -> Result<Json<List<DeviceCredential>>, Problem> {
    let mut fields = Fields::of_query();
    let page = page::page(&mut fields, query.limit.as_deref(), query.cursor.as_deref());
    fields.finish()?;
    let name: IdOrRef<DeviceId> = path::id_or_ref("device", &device)?;
    let listed = caller.store(&state).device_credentials(&name, page).await;
    Ok(Json(List::of(
        found(listed, "device", &device)?,
        DeviceCredential::from,
    )))
}
