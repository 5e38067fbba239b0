//! `GET /v1/trips`

use actix_web::web::{Data, Json};
use odograph_domain::id::{DriverId, VehicleId};
use odograph_store::{TenantStore, TripFilter};
use serde::Deserialize;
use utoipa::IntoParams;

use super::Trip;
use crate::{
    auth::gate::Caller,
    extract::query::{Fields, Query},
    page::{self, List},
    problem::Problem,
    state::ApiState,
    v1::{driver_id, vehicle_id},
};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct TripQuery {
    /// Of this vehicle only; id or external reference.
    vehicle: Option<String>,
    /// Of this driver only; id or external reference.
    driver: Option<String>,
    /// Starting at or after this time.
    #[param(value_type = Option<DateTime<Utc>>)]
    from: Option<String>,
    /// Starting before this time.
    #[param(value_type = Option<DateTime<Utc>>)]
    to: Option<String>,
    /// Most items to return.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200, default = 50)]
    limit: Option<String>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

#[utoipa::path(
    get,
    path = "/v1/trips",
    tag = "Trips",
    summary = "The trips",
    description = "Newest start first.",
    params(TripQuery),
    responses((status = 200, description = "A page of trips", body = List<Trip>))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    Query(query): Query<TripQuery>,
) -> Result<Json<List<Trip>>, Problem> {
    let mut fields = Fields::of_query();
    let from = fields.instant("from", query.from.as_deref());
    let to = fields.instant("to", query.to.as_deref());
    fields.ordered(from.as_ref(), to.as_ref());
    let page = page::page(&mut fields, query.limit.as_deref(), query.cursor.as_deref());
    fields.finish()?;
    let store = caller.store(&state);
    let (vehicle, driver) = whose(&store, &query).await?;
    let listed = store
        .trips(
            TripFilter {
                vehicle,
                driver,
                from,
                to,
            },
            page,
        )
        .await?;
    Ok(Json(List::of(listed, Trip::from)))
}

async fn whose(store: &TenantStore, query: &TripQuery) -> Result<(Option<VehicleId>, Option<DriverId>), Problem> {
    let vehicle = match &query.vehicle {
        Some(given) => Some(vehicle_id(store, given).await?),
        None => None,
    };
    let driver = match &query.driver {
        Some(given) => Some(driver_id(store, given).await?),
        None => None,
    };
    Ok((vehicle, driver))
}
