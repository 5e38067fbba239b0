//! `GET /v1/drivers/{driver}/score`

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
    problem::{Code, Problem, shown},
    state::ApiState,
    v1::driver_id,
};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ScoreQuery {
    /// The newest score not after this day; the newest of all when absent.
    #[param(value_type = Option<NaiveDate>)]
    as_of: Option<String>,
    /// Without them null stands for the reasons.
    #[param(value_type = Option<bool>, default = true)]
    reasons: Option<String>,
}

#[utoipa::path(
    get,
    path = "/v1/drivers/{driver}/score",
    tag = "Scores",
    summary = "A driver's score",
    description = "404 also where the driver has no score yet: too little was driven, or nothing that may be scored. Its `code` \
        is `no_score` then.",
    params(("driver" = String, Path, description = "Id or external reference", example = "D-1007"), ScoreQuery),
    responses((status = 200, description = "The score with its reasons", body = Score))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    driver: Segment,
    Query(query): Query<ScoreQuery>,
) -> Result<Json<Score>, Problem> {
    let mut fields = Fields::of_query();
    let as_of = fields.date("as_of", query.as_of.as_deref());
    let reasons = fields
        .parse::<bool>("reasons", query.reasons.as_deref())
        .unwrap_or(true);
    fields.finish()?;
    let store = caller.store(&state);
    let id = driver_id(&store, &driver).await?;
    match store.latest_score(id, as_of).await? {
        Some(score) if reasons => Ok(Json(score.into())),
        Some(score) => Ok(Json(Score::from(score).without_reasons())),
        None => Err(Problem::new(
            Code::NoScore,
            format!(
                "driver {:?} has no score yet: too little was driven, or nothing that may be scored",
                shown(&driver)
            ),
        )),
    }
}
