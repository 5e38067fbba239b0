//! `PATCH /v1/vehicles/{vehicle}`

use actix_web::{HttpResponse, web::Data};
use odograph_domain::id::ExternalRef;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{Vehicle, check_year};
use crate::{
    auth::gate::Caller,
    extract::{
        json::Json,
        patch::Change,
        path::{self, Segment},
        precondition::{Expected, tagged},
        value::{Text, Vin},
    },
    problem::Problem,
    state::ApiState,
    v1::found,
};

/// What is absent stays; null empties.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct VehicleUpdate {
    /// The tenant's own name for it, unique among its vehicles; 1 to 128 characters, not of the form of a UUID.
    #[serde(default)]
    #[schema(value_type = Option<String>, max_length = 128, example = "fleet-0042")]
    external_ref: Change<ExternalRef>,
    #[serde(default)]
    #[schema(value_type = Option<String>, min_length = 17, max_length = 17, example = "WVWZZZ1KZAW000001")]
    vin: Change<Vin>,
    #[serde(default)]
    #[schema(value_type = Option<String>, max_length = 200, example = "Volkswagen")]
    make: Change<Text>,
    #[serde(default)]
    #[schema(value_type = Option<String>, max_length = 200, example = "Golf")]
    model: Change<Text>,
    #[serde(default)]
    #[schema(value_type = Option<i32>, minimum = 1886, maximum = 2200, example = 2024)]
    year: Change<i32>,
}

#[utoipa::path(
    patch,
    path = "/v1/vehicles/{vehicle}",
    tag = "Vehicles",
    summary = "Change a vehicle",
    description = "What is absent stays as it is; null empties (RFC 7396). With `If-Match` only as long as nobody else has changed it.",
    params(
        ("vehicle" = String, Path, description = "Id or external reference", example = "fleet-0042"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` it must still have", example = "\"1\""),
    ),
    request_body = VehicleUpdate,
    responses((status = 200, description = "The vehicle as it is now", body = Vehicle,
        headers(("ETag" = String, description = "For `If-Match` of the next update"))))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    vehicle: Segment,
    expected: Expected,
    Json(body): Json<VehicleUpdate>,
) -> Result<HttpResponse, Problem> {
    if let Change::Set(year) = body.year {
        check_year(Some(year))?;
    }
    let name = path::id_or_ref("vehicle", &vehicle)?;
    let changed = caller
        .store(&state)
        .update_vehicle(&name, expected.revisions(), |record| {
            body.external_ref.apply(&mut record.external_ref);
            body.vin.map(|vin| vin.0).apply(&mut record.vin);
            body.make.map(|make| make.0).apply(&mut record.make);
            body.model.map(|model| model.0).apply(&mut record.model);
            body.year.apply(&mut record.year);
        })
        .await;
    let record = found(changed, "vehicle", &vehicle)?;
    Ok(tagged(record.revision, &Vehicle::from(record)))
}
