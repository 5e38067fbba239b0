//! `GET /v1/quotes`

use actix_web::web::{Data, Json};
use serde::Deserialize;
use utoipa::IntoParams;

use super::Quote;
use crate::{
    auth::gate::Caller,
    extract::query::{Fields, Query},
    page::{self, List},
    problem::Problem,
    state::ApiState,
    v1,
};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct QuoteQuery {
    /// Of changes of this policy only; id or external reference.
    policy: Option<String>,
    /// Most items to return.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200, default = 50)]
    limit: Option<String>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

#[utoipa::path(
    get,
    path = "/v1/quotes",
    tag = "Premiums",
    summary = "The quotes",
    description = "Newest first.",
    params(QuoteQuery),
    responses((status = 200, description = "A page of quotes", body = List<Quote>))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    Query(query): Query<QuoteQuery>,
) -> Result<Json<List<Quote>>, Problem> {
    let mut fields = Fields::of_query();
    let page = page::page(&mut fields, query.limit.as_deref(), query.cursor.as_deref());
    fields.finish()?;
    let store = caller.store(&state);
    let policy = match &query.policy {
        Some(given) => Some(v1::policy(&store, given).await?.policy.id),
        None => None,
    };
    let listed = store.quotes(policy, page).await?;
    Ok(Json(List::of(listed, Quote::from)))
}
