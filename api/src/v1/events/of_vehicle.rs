//! `GET /v1/vehicles/{vehicle}/events`

use actix_web::web::{Data, Json};
use odograph_store::{EventFilter, EventOrder};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{Event, Narrowed};
use crate::{
    auth::gate::Caller,
    extract::{
        path::Segment,
        query::{Fields, Query},
    },
    page::{self, List},
    problem::Problem,
    state::ApiState,
    v1::vehicle_id,
};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct VehicleEventQuery {
    /// Of this kind only: `harsh_braking`, `harsh_acceleration`, `harsh_cornering`, `speeding` or `phone_use`.
    #[param(example = "harsh_braking")]
    kind: Option<String>,
    /// Of this severity at least: `low`, `medium` or `high`.
    #[param(example = "medium")]
    min_severity: Option<String>,
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
    path = "/v1/vehicles/{vehicle}/events",
    tag = "Events",
    summary = "The behaviour events of a vehicle",
    description = "Newest first, without positions.",
    params(("vehicle" = String, Path, description = "Id or external reference", example = "fleet-0042"), VehicleEventQuery),
    responses((status = 200, description = "A page of events", body = List<Event>))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    vehicle: Segment,
    Query(query): Query<VehicleEventQuery>,
) -> Result<Json<List<Event>>, Problem> {
    let mut fields = Fields::of_query();
    let narrowed = Narrowed::read(
        &mut fields,
        query.kind.as_deref(),
        query.min_severity.as_deref(),
        query.from.as_deref(),
        query.to.as_deref(),
    );
    let page = page::page(&mut fields, query.limit.as_deref(), query.cursor.as_deref());
    fields.finish()?;
    let store = caller.store(&state);
    let filter = EventFilter {
        vehicle: Some(vehicle_id(&store, &vehicle).await?),
        kind: narrowed.kind,
        severity: narrowed.severity,
        from: narrowed.from,
        to: narrowed.to,
        ..EventFilter::default()
    };
    let listed = store.events(filter, EventOrder::StartLast, page).await?;
    Ok(Json(List::of(listed, Event::without_position)))
}
