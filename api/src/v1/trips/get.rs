//! `GET /v1/trips/{trip}`

use actix_web::web::{Data, Json};
use odograph_store::TripRow;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Trip, features::TripFeatures};
use crate::{
    auth::gate::Caller,
    extract::path::{self, Segment},
    problem::Problem,
    state::ApiState,
    v1::found,
};

/// A trip with what was found out about it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TripWithFeatures {
    #[serde(flatten)]
    trip: Trip,
    features: TripFeatures,
}

impl From<TripRow> for TripWithFeatures {
    fn from(row: TripRow) -> Self {
        Self {
            trip: Trip::from(&row),
            features: row.record.features.into(),
        }
    }
}

#[utoipa::path(
    get,
    path = "/v1/trips/{trip}",
    tag = "Trips",
    summary = "A trip with its features, the evidence of its mileage, and its events",
    params(("trip" = Uuid, Path, description = "Id")),
    responses((status = 200, description = "The trip", body = TripWithFeatures))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    trip: Segment,
) -> Result<Json<TripWithFeatures>, Problem> {
    let id = path::id("trip", &trip)?;
    let row = found(caller.store(&state).trip(id).await, "trip", &trip)?;
    Ok(Json(row.into()))
}
