//! `GET /v1/trips/{trip}/events`

use actix_web::web::{Data, Json};
use odograph_domain::id::TripId;
use odograph_store::{EventFilter, EventOrder};
use serde::Deserialize;
use utoipa::IntoParams;

use super::Event;
use crate::{
    access::Scope,
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
pub(crate) struct TripEventQuery {
    /// Most items to return.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200, default = 50)]
    limit: Option<String>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

#[utoipa::path(
    get,
    path = "/v1/trips/{trip}/events",
    tag = "Events",
    summary = "The behaviour events of a trip",
    description = "In the order they happened. With the scope `tracks:read` each says where, and that it was read is recorded.",
    params(("trip" = Uuid, Path, description = "Id"), TripEventQuery),
    responses((status = 200, description = "A page of events", body = List<Event>))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    trip: Segment,
    Query(query): Query<TripEventQuery>,
) -> Result<Json<List<Event>>, Problem> {
    let mut fields = Fields::of_query();
    let page = page::page(&mut fields, query.limit.as_deref(), query.cursor.as_deref());
    fields.finish()?;
    let id: TripId = path::id("trip", &trip)?;
    let store = caller.store(&state);
    found(store.trip(id).await, "trip", &trip)?;
    let filter = EventFilter {
        trip: Some(id),
        ..EventFilter::default()
    };
    let listed = store.events(filter, EventOrder::Start, page).await?;
    if !caller.may(Scope::TracksRead) {
        return Ok(Json(List::of(listed, Event::without_position)));
    }
    let mut positions = store.with_tracks().event_positions(&listed.items).await?.into_iter();
    Ok(Json(List::of(listed, |row| {
        Event::new(row, positions.next().flatten())
    })))
}
