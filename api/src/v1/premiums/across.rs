//! `GET /v1/premiums`

use actix_web::web::{Data, Json};
use odograph_domain::policy::Month;
use odograph_store::{PremiumFilter, PremiumRow};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Premium, PremiumInputs, PremiumStep, PremiumWithTrace};
use crate::{
    auth::gate::Caller,
    extract::query::{Fields, Query},
    page::{self, List},
    problem::Problem,
    state::ApiState,
    v1::{self, vehicle_id},
};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AllPremiumsQuery {
    /// Of this month only.
    #[param(example = "2026-01", pattern = r"^\d{4}-\d{2}$")]
    period: Option<String>,
    /// First month, inclusive.
    #[param(example = "2026-01", pattern = r"^\d{4}-\d{2}$")]
    from: Option<String>,
    /// Last month, inclusive.
    #[param(example = "2026-06", pattern = r"^\d{4}-\d{2}$")]
    to: Option<String>,
    /// Of this policy only; id or external reference.
    policy: Option<String>,
    /// Of this vehicle's policies only; id or external reference.
    vehicle: Option<String>,
    /// Rated at or after this time only.
    #[param(value_type = Option<DateTime<Utc>>)]
    changed_since: Option<String>,
    /// Every version, not only those in force.
    #[param(value_type = Option<bool>, default = false)]
    all_versions: Option<String>,
    /// With inputs and trace.
    #[param(value_type = Option<bool>, default = false)]
    trace: Option<String>,
    /// Most items to return.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200, default = 50)]
    limit: Option<String>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// A premium; with `trace=true` also how it came about.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ListedPremium {
    #[serde(flatten)]
    summary: Premium,
    /// Version of the interpreter that took the steps.
    #[schema(example = 1)]
    interpreter: u16,
    /// Null without `trace=true`.
    inputs: Option<PremiumInputs>,
    /// Null without `trace=true`.
    trace: Option<Vec<PremiumStep>>,
}

impl ListedPremium {
    fn of(row: PremiumRow, with_trace: bool) -> Self {
        let PremiumWithTrace {
            summary,
            interpreter,
            inputs,
            trace,
        } = row.into();
        Self {
            summary,
            interpreter,
            inputs: with_trace.then_some(inputs),
            trace: with_trace.then_some(trace),
        }
    }
}

#[utoipa::path(
    get,
    path = "/v1/premiums",
    tag = "Premiums",
    summary = "The premiums across policies",
    description = "In the order they were rated, so that who has read them to some time reads on with `changed_since`.",
    params(AllPremiumsQuery),
    responses((status = 200, description = "A page of premiums", body = List<ListedPremium>))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    Query(query): Query<AllPremiumsQuery>,
) -> Result<Json<List<ListedPremium>>, Problem> {
    let mut fields = Fields::of_query();
    let period = fields.parse::<Month>("period", query.period.as_deref());
    let from = fields.parse::<Month>("from", query.from.as_deref());
    let to = fields.parse::<Month>("to", query.to.as_deref());
    fields.ordered(from.as_ref(), to.as_ref());
    if period.is_some() && (from.is_some() || to.is_some()) {
        fields.wrong("period", "wanted either `period` or `from` and `to`, got both");
    }
    let rated_since = fields.instant("changed_since", query.changed_since.as_deref());
    let flag = |fields: &mut Fields, name: &str, given: &Option<String>| {
        fields.parse::<bool>(name, given.as_deref()).unwrap_or(false)
    };
    let all_versions = flag(&mut fields, "all_versions", &query.all_versions);
    let with_trace = flag(&mut fields, "trace", &query.trace);
    let page = page::page(&mut fields, query.limit.as_deref(), query.cursor.as_deref());
    fields.finish()?;
    let store = caller.store(&state);
    let policy = match &query.policy {
        Some(given) => Some(v1::policy(&store, given).await?.policy.id),
        None => None,
    };
    let vehicle = match &query.vehicle {
        Some(given) => Some(vehicle_id(&store, given).await?),
        None => None,
    };
    let filter = PremiumFilter {
        policy,
        vehicle,
        from: period.or(from),
        to: period.or(to),
        all_versions,
        rated_since,
    };
    let listed = store.all_premiums(filter, page).await?;
    Ok(Json(List::of(listed, |row| ListedPremium::of(row, with_trace))))
}
