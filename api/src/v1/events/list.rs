//! `GET /v1/events`

use actix_web::web::{Data, Json};
use odograph_store::{EventFilter, EventOrder};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{Event, Narrowed};
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
pub(crate) struct EventQuery {
    /// Of this vehicle only; id or external reference.
    vehicle: Option<String>,
    /// Of this driver only; id or external reference.
    driver: Option<String>,
    /// Of vehicles that are in this fleet now; id or external reference.
    fleet: Option<String>,
    /// Of vehicles that are in this group now; id or external reference.
    group: Option<String>,
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
    path = "/v1/events",
    tag = "Events",
    summary = "The behaviour events",
    description = "Newest first, without positions.",
    params(EventQuery),
    responses((status = 200, description = "A page of events", body = List<Event>))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    Query(query): Query<EventQuery>,
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
    let whose = Whose::find(&store, &query.vehicle, &query.driver, &query.fleet, &query.group).await?;
    let filter = EventFilter {
        trip: None,
        vehicle: whose.vehicle,
        driver: whose.driver,
        fleet: whose.fleet,
        group: whose.group,
        kind: narrowed.kind,
        severity: narrowed.severity,
        from: narrowed.from,
        to: narrowed.to,
    };
    let listed = store.events(filter, EventOrder::StartLast, page).await?;
    Ok(Json(List::of(listed, Event::without_position)))
}
