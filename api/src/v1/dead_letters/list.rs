//! `GET /v1/dead-letters`

use actix_web::web::{Data, Json};
use odograph_store::{DeadLetterFilter, LetterStatus};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    DeadLetter,
    filter::{reason, source},
};
use crate::{
    auth::gate::Caller,
    extract::query::{Fields, Query},
    page::{self, List},
    problem::Problem,
    state::ApiState,
    v1::{events::one_of, vehicle_id},
};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct DeadLetterQuery {
    /// Of this reason only.
    #[param(example = "ts_in_future")]
    reason: Option<String>,
    /// Of this vehicle only; id or external reference.
    vehicle: Option<String>,
    /// That came this way only: `http`, `amqp`, `mqtt`, `import` or `resubmission`.
    #[param(example = "http")]
    source: Option<String>,
    /// Received at or after this time.
    #[param(value_type = Option<DateTime<Utc>>)]
    from: Option<String>,
    /// Received before this time.
    #[param(value_type = Option<DateTime<Utc>>)]
    to: Option<String>,
    /// `open`, `resubmitted` or `discarded` only.
    #[param(example = "open")]
    status: Option<String>,
    /// Most items to return.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200, default = 50)]
    limit: Option<String>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

#[utoipa::path(
    get,
    path = "/v1/dead-letters",
    tag = "Intake",
    summary = "What could not be used",
    description = "Newest first, without the payloads.",
    params(DeadLetterQuery),
    responses((status = 200, description = "A page of dead letters", body = List<DeadLetter>))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    Query(query): Query<DeadLetterQuery>,
) -> Result<Json<List<DeadLetter>>, Problem> {
    let mut fields = Fields::of_query();
    let page = page::page(&mut fields, query.limit.as_deref(), query.cursor.as_deref());
    let statuses = LetterStatus::ALL.iter().map(|status| status.as_str());
    let filter = DeadLetterFilter {
        reason: reason(&mut fields, "reason", query.reason),
        vehicle: None,
        source: source(&mut fields, "source", query.source.as_deref()),
        from: fields.instant("from", query.from.as_deref()),
        to: fields.instant("to", query.to.as_deref()),
        status: one_of(
            &mut fields,
            "status",
            query.status.as_deref(),
            LetterStatus::parse,
            statuses,
        ),
    };
    fields.ordered(filter.from.as_ref(), filter.to.as_ref());
    fields.finish()?;
    let store = caller.store(&state);
    let vehicle = match &query.vehicle {
        Some(given) => Some(vehicle_id(&store, given).await?),
        None => None,
    };
    let listed = store.dead_letters(DeadLetterFilter { vehicle, ..filter }, page).await?;
    Ok(Json(List::of(listed, DeadLetter::from)))
}
