//! `GET /v1/vehicles/{vehicle}/events/{event_id}`

use actix_web::web::{Data, Json};

use super::Event;
use crate::{
    access::Scope,
    auth::gate::Caller,
    extract::path::{self, Segments2},
    problem::Problem,
    state::ApiState,
    v1::{found, vehicle_id},
};

#[utoipa::path(
    get,
    path = "/v1/vehicles/{vehicle}/events/{event_id}",
    tag = "Events",
    summary = "A behaviour event",
    description = "With the scope `tracks:read` it says where, and that it was read is recorded.",
    params(
        ("vehicle" = String, Path, description = "Id or external reference", example = "fleet-0042"),
        ("event_id" = Uuid, Path, description = "Id"),
    ),
    responses((status = 200, description = "The event", body = Event))
)]
pub(crate) async fn handle(state: Data<ApiState>, caller: Caller, segments: Segments2) -> Result<Json<Event>, Problem> {
    let (vehicle, event) = segments.into_inner();
    let store = caller.store(&state);
    let of = vehicle_id(&store, &vehicle).await?;
    let id = path::id("event", &event)?;
    let row = found(store.event(of, id).await, "event", &event)?;
    let position = if caller.may(Scope::TracksRead) {
        let positions = store.with_tracks().event_positions(std::slice::from_ref(&row)).await?;
        positions.into_iter().next().flatten()
    } else {
        None
    };
    Ok(Json(Event::new(row, position)))
}
