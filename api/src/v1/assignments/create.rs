//! `POST /v1/vehicles/{vehicle}/assignments`

use actix_web::{HttpResponse, web::Data};
use odograph_domain::id::{DriverId, IdOrRef};
use odograph_store::NewAssignment;
use serde::Deserialize;
use utoipa::ToSchema;

use super::Assignment;
use crate::{
    auth::gate::Caller,
    extract::{
        json::Json,
        path::Segment,
        query::Fields,
        value::{Instant, Name},
    },
    problem::Problem,
    state::ApiState,
    v1::{Reference, created, unwritten, vehicle_id},
};

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AssignmentCreation {
    /// Id or external reference.
    #[schema(value_type = String, example = "D-1007")]
    driver: Name<DriverId>,
    #[schema(value_type = DateTime<Utc>, example = "2026-01-01T00:00:00Z")]
    from: Instant,
    /// Exclusive; absent while it lasts.
    #[schema(value_type = Option<DateTime<Utc>>, example = "2026-07-01T00:00:00Z")]
    to: Option<Instant>,
}

#[utoipa::path(
    post,
    path = "/v1/vehicles/{vehicle}/assignments",
    tag = "Vehicles",
    summary = "Assign a driver",
    description = "Assignments of a vehicle do not overlap. They are judged by event time, so one may be written afterwards.",
    params(("vehicle" = String, Path, description = "Id or external reference", example = "fleet-0042")),
    request_body = AssignmentCreation,
    responses((status = 201, description = "The assignment", body = Assignment))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    vehicle: Segment,
    Json(body): Json<AssignmentCreation>,
) -> Result<HttpResponse, Problem> {
    let mut fields = Fields::of_body();
    if body.to.as_ref().is_some_and(|to| to.0 <= body.from.0) {
        fields.wrong("to", "wanted a time after `from`");
    }
    fields.finish()?;
    let store = caller.store(&state);
    let vehicle = vehicle_id(&store, &vehicle).await?;
    let references = [Reference {
        kind: "driver",
        field: "driver",
        given: body.driver.0.to_string(),
    }];
    let new = NewAssignment {
        vehicle: IdOrRef::Id(vehicle),
        driver: body.driver.0,
        from: body.from.0,
        to: body.to.map(|to| to.0),
    };
    let record = store
        .create_assignment(new)
        .await
        .map_err(|error| unwritten(error, &references))?;
    Ok(created(
        format!("/v1/vehicles/{vehicle}/assignments"),
        &Assignment::from(record),
    ))
}
