//! `GET /v1/vehicles/{vehicle}/odometer-changes`

use actix_web::web::{Data, Json};
use serde::Deserialize;
use utoipa::IntoParams;

use super::OdometerChange;
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
pub(crate) struct OdometerChangeQuery {
    /// Most items to return.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200, default = 50)]
    limit: Option<String>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

#[utoipa::path(
    get,
    path = "/v1/vehicles/{vehicle}/odometer-changes",
    tag = "Vehicles",
    summary = "The changes of a vehicle's odometer",
    description = "Earliest first.",
    params(("vehicle" = String, Path, description = "Id or external reference", example = "fleet-0042"), OdometerChangeQuery),
    responses((status = 200, description = "A page of them", body = List<OdometerChange>))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    vehicle: Segment,
    Query(query): Query<OdometerChangeQuery>,
) -> Result<Json<List<OdometerChange>>, Problem> {
    let mut fields = Fields::of_query();
    let page = page::page(&mut fields, query.limit.as_deref(), query.cursor.as_deref());
    fields.finish()?;
    let name = path::id_or_ref("vehicle", &vehicle)?;
    let listed = found(
        caller.store(&state).odometer_changes(&name, page).await,
        "vehicle",
        &vehicle,
    )?;
    Ok(Json(List::of(listed, OdometerChange::from)))
}
