//! `POST /v1/vehicles/{vehicle}/odometer-changes`

use actix_web::{HttpResponse, web::Data};
use odograph_domain::{id::IdOrRef, mileage};
use odograph_store::NewOdometerChange;
use serde::Deserialize;
use utoipa::ToSchema;

use super::OdometerChange;
use crate::{
    auth::gate::Caller,
    extract::{
        json::Json,
        path::Segment,
        query::Fields,
        value::{Instant, Text},
    },
    problem::Problem,
    state::ApiState,
    v1::{created, not_after, vehicle_id},
};

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OdometerChangeCreation {
    /// The first instant of the new figures; past.
    #[schema(value_type = DateTime<Utc>, example = "2026-05-04T14:30:00Z")]
    at: Instant,
    /// What the old one showed last, km. With `new_km` or not at all: then the odometer proves nothing across the change.
    #[schema(minimum = 0, maximum = 10_000_000, example = 120_412.3)]
    old_km: Option<f64>,
    /// What the new one showed first, km.
    #[schema(minimum = 0, maximum = 10_000_000, example = 0.0)]
    new_km: Option<f64>,
    /// In a few words.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 200, example = "instrument cluster replaced")]
    reason: Option<Text>,
}

/// Farther no car has gone, km.
const MOST_KM: f64 = 10_000_000.0;

#[utoipa::path(
    post,
    path = "/v1/vehicles/{vehicle}/odometer-changes",
    tag = "Vehicles",
    summary = "Say that the odometer was replaced",
    description = "Or set to another figure: what the readings differ by across that instant was not driven. A trip that was under way is \
        derived anew. Figures that come from the odometer are told as they came.",
    params(("vehicle" = String, Path, description = "Id or external reference", example = "fleet-0042")),
    request_body = OdometerChangeCreation,
    responses((status = 201, description = "The change", body = OdometerChange))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    vehicle: Segment,
    Json(body): Json<OdometerChangeCreation>,
) -> Result<HttpResponse, Problem> {
    let mut fields = Fields::of_body();
    not_after(&mut fields, "at", body.at.0, state.clock.now());
    for (name, given) in [("old_km", body.old_km), ("new_km", body.new_km)] {
        if let Some(km) = given.filter(|km| !(0.0..=MOST_KM).contains(km)) {
            fields.wrong(name, format!("wanted 0 to {MOST_KM} km, got {km}"));
        }
    }
    if body.old_km.is_some() != body.new_km.is_some() {
        let missing = if body.old_km.is_none() { "old_km" } else { "new_km" };
        fields.wrong(missing, "wanted both figures or neither, got one");
    }
    fields.finish()?;
    let store = caller.store(&state);
    let vehicle = vehicle_id(&store, &vehicle).await?;
    let record = store
        .change_odometer(NewOdometerChange {
            vehicle: IdOrRef::Id(vehicle),
            change: mileage::OdometerChange {
                at: body.at.0,
                readings_km: body.old_km.zip(body.new_km),
            },
            reason: body.reason.map(|reason| reason.0),
        })
        .await?;
    Ok(created(
        format!("/v1/vehicles/{vehicle}/odometer-changes"),
        &OdometerChange::from(record),
    ))
}
