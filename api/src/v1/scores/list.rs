//! `GET /v1/drivers/{driver}/scores`

use actix_web::web::{Data, Json};
use chrono::NaiveDate;
use odograph_store::{Listed, ScorePeriod};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Score;
use crate::{
    auth::gate::Caller,
    extract::{
        path::Segment,
        query::{Fields, Query},
        value::choice,
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
    /// `day` (every score; the default), `week` (from Monday) or `month`: the newest score of each, up to the last day driven.
    #[param(inline, value_type = Option<ScoreGranularity>)]
    granularity: Option<String>,
    /// Without them null stands for the reasons.
    #[param(value_type = Option<bool>, default = true)]
    reasons: Option<String>,
    /// Every version, not only those in force; of days only.
    #[param(value_type = Option<bool>, default = false)]
    all_versions: Option<String>,
    /// Most items to return.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200, default = 50)]
    limit: Option<String>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

choice! {
    /// What scores are gathered by.
    ScoreGranularity, "day, week or month" {
        Day = "day",
        Week = "week",
        Month = "month",
    }
}

/// A score, and the day, week or month it is the newest of.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PeriodScore {
    /// First day of the period.
    period_start: NaiveDate,
    #[serde(flatten)]
    score: Score,
}

#[utoipa::path(
    get,
    path = "/v1/drivers/{driver}/scores",
    tag = "Scores",
    summary = "A driver's scores over time",
    description = "Newest first, and of a day the newest version. Empty as long as too little was driven, or nothing that may be scored.",
    params(("driver" = String, Path, description = "Id or external reference", example = "D-1007"), ScoresQuery),
    responses((status = 200, description = "A page of scores", body = List<PeriodScore>))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    driver: Segment,
    Query(query): Query<ScoresQuery>,
) -> Result<Json<List<PeriodScore>>, Problem> {
    let mut fields = Fields::of_query();
    let from = fields.date("from", query.from.as_deref());
    let to = fields.date("to", query.to.as_deref());
    fields.ordered(from.as_ref(), to.as_ref());
    let granularity = fields
        .parse::<ScoreGranularity>("granularity", query.granularity.as_deref())
        .unwrap_or(ScoreGranularity::Day);
    let reasons = fields
        .parse::<bool>("reasons", query.reasons.as_deref())
        .unwrap_or(true);
    let all_versions = fields
        .parse::<bool>("all_versions", query.all_versions.as_deref())
        .unwrap_or(false);
    if all_versions && granularity != ScoreGranularity::Day {
        fields.wrong("all_versions", "wanted the granularity day with it");
    }
    let page = page::page(&mut fields, query.limit.as_deref(), query.cursor.as_deref());
    fields.finish()?;
    let store = caller.store(&state);
    let driver = driver_id(&store, &driver).await?;
    let listed = match granularity {
        ScoreGranularity::Day => {
            let Listed { items, next } = store.scores(driver, (from, to), all_versions, page).await?;
            let items = items.into_iter().map(|row| (row.score.as_of, row)).collect();
            Listed { items, next }
        }
        ScoreGranularity::Week => {
            store
                .scores_by_period(driver, ScorePeriod::Week, from, to, page)
                .await?
        }
        ScoreGranularity::Month => {
            store
                .scores_by_period(driver, ScorePeriod::Month, from, to, page)
                .await?
        }
    };
    Ok(Json(List::of(listed, |(period_start, score)| {
        let score = Score::from(score);
        PeriodScore {
            period_start,
            score: if reasons { score } else { score.without_reasons() },
        }
    })))
}
