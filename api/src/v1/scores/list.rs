//! `GET /v1/drivers/{driver}/scores`

use actix_web::web::{Data, Json};
use serde::Deserialize;
use utoipa::IntoParams;

use super::Score;
use crate::{
    auth::gate::Caller,
    extract::{
        path::Segment,
        query::{Fields, Query},
    },
    page::{self, List},
    problem::Problem,
    state::ApiState,
    v1::driver_id,
};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ScoresQuery {
    /// First day, inclusive.
    #[param(value_type = Option<NaiveDate>)]
    from: Option<String>,
    /// Last day, inclusive.
    #[param(value_type = Option<NaiveDate>)]
    to: Option<String>,
    /// Most items to return.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200, default = 50)]
    limit: Option<String>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

#[utoipa::path(
    get,
    path = "/v1/drivers/{driver}/scores",
    tag = "Scores",
    summary = "A driver's scores over time",
    description = "Newest first.",
    params(("driver" = String, Path, description = "Id or external reference", example = "D-1007"), ScoresQuery),
    responses((status = 200, description = "A page of scores", body = List<Score>))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    driver: Segment,
    Query(query): Query<ScoresQuery>,
) -> Result<Json<List<Score>>, Problem> {
    let mut fields = Fields::of_query();
    let from = fields.date("from", query.from.as_deref());
    let to = fields.date("to", query.to.as_deref());
    let page = page::page(&mut fields, query.limit.as_deref(), query.cursor.as_deref());
    fields.finish()?;
    let store = caller.store(&state);
    let driver = driver_id(&store, &driver).await?;
    let listed = store.scores(driver, from, to, page).await?;
    Ok(Json(List::of(listed, Score::from)))
}
