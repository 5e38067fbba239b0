//! `GET /v1/policies/{policy}/premiums`

use actix_web::web::{Data, Json};
use odograph_domain::policy::Month;
use serde::Deserialize;
use utoipa::IntoParams;

use super::Premium;
use crate::{
    auth::gate::Caller,
    extract::{
        path::Segment,
        query::{Fields, Query},
    },
    page::{self, List},
    problem::Problem,
    state::ApiState,
    v1,
};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PremiumQuery {
    /// Of this month only.
    #[param(example = "2026-01", pattern = r"^\d{4}-\d{2}$")]
    period: Option<String>,
    /// Every version, not only those in force.
    #[param(value_type = Option<bool>, default = false)]
    all_versions: Option<String>,
    /// Most items to return.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200, default = 50)]
    limit: Option<String>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

#[utoipa::path(
    get,
    path = "/v1/policies/{policy}/premiums",
    tag = "Premiums",
    summary = "The premiums of a policy",
    description = "Latest rated first.",
    params(("policy" = String, Path, description = "Id or external reference", example = "POL-2026-0042"), PremiumQuery),
    responses((status = 200, description = "A page of premiums", body = List<Premium>))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    policy: Segment,
    Query(query): Query<PremiumQuery>,
) -> Result<Json<List<Premium>>, Problem> {
    let mut fields = Fields::of_query();
    let period = fields.parse::<Month>("period", query.period.as_deref());
    let all_versions = fields
        .parse::<bool>("all_versions", query.all_versions.as_deref())
        .unwrap_or(false);
    let page = page::page(&mut fields, query.limit.as_deref(), query.cursor.as_deref());
    fields.finish()?;
    let store = caller.store(&state);
    let policy = v1::policy(&store, &policy).await?.policy.id;
    let listed = store.premiums(policy, period, all_versions, page).await?;
    Ok(Json(List::of(listed, Premium::from)))
}
