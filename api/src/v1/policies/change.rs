//! `POST /v1/policies/{policy}/changes`

use actix_web::{HttpResponse, web::Data};
use odograph_domain::{
    id::{DriverId, RatingPlanId},
    policy,
};
use odograph_store::{NewPolicyChange, TenantStore};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{PolicyChange, Product, cover};
use crate::{
    auth::gate::Caller,
    extract::{
        json::Json,
        patch::Change,
        path::{self, Segment},
        precondition::Expected,
        query::Fields,
        value::{Day, Name, Text},
    },
    problem::Problem,
    state::ApiState,
    v1::{self, Reference, created, unwritten},
};

/// What is absent stays as it is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PolicyChangeCreation {
    /// First day on which it is in force: past or to come, within the policy's cover.
    #[schema(value_type = NaiveDate, example = "2026-06-15")]
    pub(crate) effective_on: Day,
    product: Option<Product>,
    /// Id or name of a rating plan in the policy's currency with a version in force on that day.
    #[schema(value_type = Option<String>, example = "standard")]
    rating_plan: Option<Name<RatingPlanId>>,
    /// Id or external reference; null for nobody.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "D-1007")]
    main_driver: Change<Name<DriverId>>,
    /// In a few words.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 200, example = "renewal")]
    reason: Option<Text>,
}

#[utoipa::path(
    post,
    path = "/v1/policies/{policy}/changes",
    tag = "Policies",
    summary = "Change a policy from a day on",
    description = "Another product, rating plan or main driver, as at a renewal. A month in which terms change is rated in \
        segments, each by its own. A change for a day that is past has what was derived and charged since done anew; \
        behaviour that was not allowed to be kept then is not there to come back. Of two changes for one day the later filed \
        has the last word.",
    params(
        ("policy" = String, Path, description = "Id or external reference", example = "POL-2026-0042"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` the policy must still have", example = "\"1\""),
    ),
    request_body = PolicyChangeCreation,
    responses((status = 201, description = "The change", body = PolicyChange))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    policy: Segment,
    expected: Expected,
    Json(body): Json<PolicyChangeCreation>,
) -> Result<HttpResponse, Problem> {
    let store = caller.store(&state);
    let known = v1::policy(&store, &policy).await?.policy;
    let references = references(&body, &HERE);
    check(&store, &known, &body, &references, &HERE).await?;
    let name = path::id_or_ref("policy", &policy)?;
    let change = store
        .change_policy(&name, expected.revisions(), new_change(body))
        .await
        .map_err(|error| unwritten(error, &references))?;
    Ok(created(
        format!("/v1/policies/{}/changes", known.id),
        &PolicyChange::from(change),
    ))
}

pub(crate) fn new_change(body: PolicyChangeCreation) -> NewPolicyChange {
    NewPolicyChange {
        effective_on: body.effective_on.0,
        product: body.product.map(Product::into),
        plan: body.rating_plan.map(|plan| plan.0),
        main_driver: match body.main_driver {
            Change::Keep => None,
            Change::Empty => Some(None),
            Change::Set(driver) => Some(Some(driver.0)),
        },
        reason: body.reason.map(|reason| reason.0),
    }
}

/// Where the fields of a change are in a body, for messages.
#[derive(Debug)]
pub(crate) struct Places {
    pub(crate) whole: &'static str,
    pub(crate) effective_on: &'static str,
    pub(crate) rating_plan: &'static str,
    pub(crate) main_driver: &'static str,
}

const HERE: Places = Places {
    whole: "(body)",
    effective_on: "effective_on",
    rating_plan: "rating_plan",
    main_driver: "main_driver",
};

/// What it names.
pub(crate) fn references(body: &PolicyChangeCreation, places: &Places) -> Vec<Reference<'static>> {
    let driver = match &body.main_driver {
        Change::Set(driver) => Some(("driver", places.main_driver, driver.0.to_string())),
        Change::Keep | Change::Empty => None,
    };
    let plan = body
        .rating_plan
        .as_ref()
        .map(|plan| ("rating_plan", places.rating_plan, plan.0.to_string()));
    [driver, plan]
        .into_iter()
        .flatten()
        .map(|(kind, field, given)| Reference { kind, field, given })
        .collect()
}

/// Whether it can be made to the policy.
pub(crate) async fn check(
    store: &TenantStore,
    known: &policy::Policy,
    body: &PolicyChangeCreation,
    references: &[Reference<'_>],
    places: &Places,
) -> Result<(), Problem> {
    let mut fields = Fields::of_body();
    let day = body.effective_on.0;
    if !known.covers(day) {
        let detail = format!("wanted a day the policy covers, which is {}, got {day}", cover(known));
        fields.wrong(places.effective_on, detail);
    }
    if body.product.is_none() && body.rating_plan.is_none() && body.main_driver == Change::Keep {
        fields.wrong(
            places.whole,
            "wanted at least one of product, rating_plan and main_driver, got none",
        );
    }
    if let Some(plan) = &body.rating_plan {
        let versions = store
            .rating_plan_versions(&plan.0)
            .await
            .map_err(|error| unwritten(error, references))?;
        if let Some(other) = versions.iter().find(|plan| plan.terms.currency != known.currency) {
            let detail = format!(
                "wanted a plan in the currency of the policy, {}, got one in {}",
                known.currency, other.terms.currency
            );
            fields.wrong(places.rating_plan, detail);
        }
        let earliest = versions.iter().map(|plan| plan.effective_from).min();
        if let Some(earliest) = earliest.filter(|earliest| day < *earliest) {
            let detail =
                format!("wanted a plan in force on {day}, got one whose first version is effective from {earliest}");
            fields.wrong(places.rating_plan, detail);
        }
    }
    fields.finish()
}
