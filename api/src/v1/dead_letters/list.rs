//! `GET /v1/dead-letters`

use actix_web::web::{Data, Json};
use odograph_domain::outcome::{MessageRejection, SampleRejection};
use odograph_store::DeadLetterFilter;
use serde::Deserialize;
use utoipa::IntoParams;

use super::DeadLetter;
use crate::{
    auth::gate::Caller,
    extract::query::{Fields, Query},
    page::{self, List},
    problem::{Problem, shown},
    state::ApiState,
    v1::vehicle_id,
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
    if let Some(given) = query.reason.as_deref().filter(|given| !is_reason(given)) {
        fields.wrong(
            "reason",
            format!(
                "wanted the name of a reason such as ts_in_future, got {:?}",
                shown(given)
            ),
        );
    }
    fields.finish()?;
    let store = caller.store(&state);
    let vehicle = match &query.vehicle {
        Some(given) => Some(vehicle_id(&store, given).await?),
        None => None,
    };
    let listed = store
        .dead_letters(
            DeadLetterFilter {
                reason: query.reason,
                vehicle,
            },
            page,
        )
        .await?;
    Ok(Json(List::of(listed, DeadLetter::from)))
}

fn is_reason(name: &str) -> bool {
    SampleRejection::parse(name).is_some() || MessageRejection::parse(name).is_some()
}
