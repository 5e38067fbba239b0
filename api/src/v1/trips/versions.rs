//! `GET /v1/trips/{trip}/versions`

use actix_web::web::{Data, Json};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::get::TripWithFeatures;
use crate::{
    auth::gate::Caller,
    extract::path::{self, Segment},
    page::List,
    problem::Problem,
    state::ApiState,
    v1::found,
};

/// A version of a trip, as it was shown.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TripVersion {
    #[serde(flatten)]
    trip: TripWithFeatures,
    /// When the next version took its place, or the trip was withdrawn; null for the one in force.
    replaced_at: Option<DateTime<Utc>>,
}

#[utoipa::path(
    get,
    path = "/v1/trips/{trip}/versions",
    tag = "Trips",
    summary = "Every version there was of a trip",
    description = "Newest first, all on one page; also of a trip that was withdrawn since. Why it changed: \
        `GET /v1/corrections?trip=`.",
    params(("trip" = Uuid, Path, description = "Id")),
    responses((status = 200, description = "The versions", body = List<TripVersion>))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    trip: Segment,
) -> Result<Json<List<TripVersion>>, Problem> {
    let id = path::id("trip", &trip)?;
    let versions = found(caller.store(&state).trip_versions(id).await, "trip", &trip)?;
    let items = versions.into_iter().map(|version| TripVersion {
        trip: version.trip.into(),
        replaced_at: version.replaced_at,
    });
    Ok(Json(List {
        items: items.collect(),
        next_cursor: None,
    }))
}
