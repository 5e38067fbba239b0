//! `GET /v1/usage`

use actix_web::web::{Data, Json};
use odograph_domain::{
    id::{ExternalRef, IdOrRef, RatingPlanId},
    policy::{self, Month},
};
use odograph_store::{UsageFilter, UsageMonth};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::{
    auth::gate::Caller,
    extract::{
        path,
        query::{Fields, Query},
    },
    page::{self, List},
    problem::Problem,
    state::ApiState,
    v1::{self, found, policies::Product},
};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct TenantUsageQuery {
    /// First month, inclusive.
    #[param(example = "2026-01", pattern = r"^\d{4}-\d{2}$")]
    from: Option<String>,
    /// Last month, inclusive.
    #[param(example = "2026-06", pattern = r"^\d{4}-\d{2}$")]
    to: Option<String>,
    /// Of this policy only; id or external reference.
    policy: Option<String>,
    /// Rated by this product only.
    #[param(inline, value_type = Option<Product>)]
    product: Option<String>,
    /// Rated by this rating plan only; id or name.
    rating_plan: Option<String>,
    /// Most items to return.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200, default = 50)]
    limit: Option<String>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// What was driven in a month under a policy.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PolicyUsage {
    policy: Uuid,
    #[schema(example = "POL-2026-0042")]
    policy_ref: Option<String>,
    vehicle: Uuid,
    /// Insured-local.
    #[schema(example = "2026-01")]
    period: String,
    /// Whole metres.
    #[schema(example = 812_500)]
    metres: i64,
    /// On how many days anything was driven.
    #[schema(example = 22)]
    days_driven: i64,
    /// By which the month is rated, at its end; null where it cannot be.
    product: Option<Product>,
    rating_plan: Option<Uuid>,
}

#[utoipa::path(
    get,
    path = "/v1/usage",
    tag = "Premiums",
    summary = "What was driven, by month and policy",
    description = "Across all policies, the earliest month first; months in which a policy's vehicle did not drive are left out.",
    params(TenantUsageQuery),
    responses((status = 200, description = "A page of months", body = List<PolicyUsage>))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    Query(query): Query<TenantUsageQuery>,
) -> Result<Json<List<PolicyUsage>>, Problem> {
    let mut fields = Fields::of_query();
    let from = fields.parse::<Month>("from", query.from.as_deref());
    let to = fields.parse::<Month>("to", query.to.as_deref());
    fields.ordered(from.as_ref(), to.as_ref());
    let product = query.product.as_deref().and_then(|given| {
        let known = policy::Product::parse(given);
        if known.is_none() {
            fields.wrong("product", format!("wanted payd or phyd, got {given:?}"));
        }
        known
    });
    let page = page::page(&mut fields, query.limit.as_deref(), query.cursor.as_deref());
    fields.finish()?;
    let store = caller.store(&state);
    let policy = match &query.policy {
        Some(given) => Some(v1::policy(&store, given).await?.policy.id),
        None => None,
    };
    let plan = match &query.rating_plan {
        Some(given) => {
            let name: IdOrRef<RatingPlanId> = path::id_or_ref("rating plan", given)?;
            Some(found(store.rating_plan(&name).await, "rating plan", given)?.id)
        }
        None => None,
    };
    let filter = UsageFilter {
        policy,
        product,
        plan,
        from,
        to,
    };
    let listed = store.usage_months(filter, page).await?;
    Ok(Json(List::of(listed, PolicyUsage::from)))
}

impl From<UsageMonth> for PolicyUsage {
    fn from(month: UsageMonth) -> Self {
        let (product, plan) = month.rated_by.unzip();
        Self {
            policy: month.policy.uuid(),
            policy_ref: month.external_ref.map(ExternalRef::into),
            vehicle: month.vehicle.uuid(),
            period: month.period.to_string(),
            metres: month.metres,
            days_driven: month.days,
            product: product.map(Product::from),
            rating_plan: plan.map(|plan| plan.uuid()),
        }
    }
}
