//! `GET /v1/drivers`

use actix_web::web::{Data, Json};
use odograph_store::DriverFilter;
use serde::Deserialize;
use utoipa::IntoParams;

use super::Driver;
use crate::{
    auth::gate::Caller,
    extract::query::{Fields, Query},
    page::{self, List},
    problem::Problem,
    state::ApiState,
    v1::Whose,
};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct DriverQuery {
    /// What the external reference begins with.
    #[param(example = "D-")]
    external_ref_prefix: Option<String>,
    /// Assigned at present to a vehicle of this fleet; id or external reference.
    fleet: Option<String>,
    /// Assigned at present to a vehicle of this group; id or external reference.
    group: Option<String>,
    /// Most items to return.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200, default = 50)]
    limit: Option<String>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

#[utoipa::path(
    get,
    path = "/v1/drivers",
    tag = "Drivers",
    summary = "The drivers",
    description = "In the order they were registered, without their identity.",
    params(DriverQuery),
    responses((status = 200, description = "A page of drivers", body = List<Driver>))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    Query(query): Query<DriverQuery>,
) -> Result<Json<List<Driver>>, Problem> {
    let mut fields = Fields::of_query();
    let page = page::page(&mut fields, query.limit.as_deref(), query.cursor.as_deref());
    fields.finish()?;
    let store = caller.store(&state);
    let whose = Whose::find(&store, &None, &None, &query.fleet, &query.group).await?;
    let filter = DriverFilter {
        reference_prefix: query.external_ref_prefix,
        fleet: whose.fleet,
        group: whose.group,
    };
    let listed = store.find_drivers(filter, page).await?;
    Ok(Json(List::of(listed, |record| Driver::new(record, None))))
}
