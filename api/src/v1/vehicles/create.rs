//! `POST /v1/vehicles`

use actix_web::{HttpResponse, web::Data};
use odograph_domain::id::ExternalRef;
use odograph_store::NewVehicle;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{Vehicle, check_year};
use crate::{
    auth::gate::Caller,
    extract::{
        json::Json,
        value::{Text, Vin},
    },
    problem::Problem,
    state::ApiState,
    v1::created,
};

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct VehicleCreation {
    /// The tenant's own name for it, unique among its vehicles; 1 to 128 characters, not of the form of a UUID.
    #[schema(value_type = Option<String>, max_length = 128, example = "fleet-0042")]
    external_ref: Option<ExternalRef>,
    #[schema(value_type = Option<String>, min_length = 17, max_length = 17, example = "WVWZZZ1KZAW000001")]
    vin: Option<Vin>,
    #[schema(value_type = Option<String>, max_length = 200, example = "Volkswagen")]
    make: Option<Text>,
    #[schema(value_type = Option<String>, max_length = 200, example = "Golf")]
    model: Option<Text>,
    #[schema(minimum = 1886, maximum = 2200, example = 2024)]
    year: Option<i32>,
}

#[utoipa::path(
    post,
    path = "/v1/vehicles",
    tag = "Vehicles",
    summary = "Register a vehicle",
    request_body = VehicleCreation,
    responses((status = 201, description = "The vehicle", body = Vehicle))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    Json(body): Json<VehicleCreation>,
) -> Result<HttpResponse, Problem> {
    let VehicleCreation {
        external_ref,
        vin,
        make,
        model,
        year,
    } = body;
    check_year(year)?;
    let new = NewVehicle {
        external_ref,
        vin: vin.map(|vin| vin.0),
        make: make.map(|make| make.0),
        model: model.map(|model| model.0),
        year,
    };
    let record = caller.store(&state).create_vehicle(new).await?;
    Ok(created(format!("/v1/vehicles/{}", record.id), &Vehicle::from(record)))
}
