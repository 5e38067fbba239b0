//! `POST /v1/policies`

use actix_web::{HttpResponse, web::Data};
use odograph_domain::{
    id::{DriverId, ExternalRef, RatingPlanId, VehicleId},
    money::Currency,
};
use odograph_store::{NewPolicy, TenantStore};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{Policy, Product};
use crate::{
    auth::gate::Caller,
    extract::{
        json::Json,
        query::Fields,
        value::{Day, Name, Zone},
    },
    problem::Problem,
    state::ApiState,
    v1::{Reference, created, unwritten},
};

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PolicyCreation {
    /// The tenant's own name for it, unique among its policies; 1 to 128 characters, not of the form of a UUID.
    #[schema(value_type = Option<String>, max_length = 128, example = "POL-2026-0042")]
    external_ref: Option<ExternalRef>,
    /// Id or external reference.
    #[schema(value_type = String, example = "fleet-0042")]
    vehicle: Name<VehicleId>,
    /// Id or external reference. Who drives when no sample, batch or assignment says.
    #[schema(value_type = Option<String>, example = "D-1007")]
    main_driver: Option<Name<DriverId>>,
    product: Product,
    /// Id or name of the rating plan.
    #[schema(value_type = String, example = "standard")]
    rating_plan: Name<RatingPlanId>,
    /// ISO 4217; the one of the rating plan.
    #[schema(value_type = String, pattern = "^[A-Z]{3}$", example = "EUR")]
    currency: Currency,
    /// IANA name. Of the insured: days, nights and months are local to it.
    #[schema(value_type = String, example = "Europe/Berlin")]
    time_zone: Zone,
    /// First day of cover.
    #[schema(value_type = NaiveDate, example = "2026-01-01")]
    starts_on: Day,
    /// First day without cover; absent while it runs on.
    #[schema(value_type = Option<NaiveDate>, example = "2027-01-01")]
    ends_on: Option<Day>,
}

#[utoipa::path(
    post,
    path = "/v1/policies",
    tag = "Policies",
    summary = "Write a policy",
    description = "Policies of a vehicle do not overlap.",
    request_body = PolicyCreation,
    responses((status = 201, description = "The policy", body = Policy))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    Json(body): Json<PolicyCreation>,
) -> Result<HttpResponse, Problem> {
    let store = caller.store(&state);
    let references = references(&body);
    check(&store, &body, &references).await?;
    let new = NewPolicy {
        external_ref: body.external_ref,
        vehicle: body.vehicle.0,
        main_driver: body.main_driver.map(|driver| driver.0),
        product: body.product.into(),
        plan: body.rating_plan.0,
        currency: body.currency,
        time_zone: body.time_zone.0,
        starts_on: body.starts_on.0,
        ends_on: body.ends_on.map(|day| day.0),
    };
    let record = store
        .create_policy(new)
        .await
        .map_err(|error| unwritten(error, &references))?;
    Ok(created(
        format!("/v1/policies/{}", record.policy.id),
        &Policy::at(record, state.clock.now()),
    ))
}

fn references(body: &PolicyCreation) -> Vec<Reference<'static>> {
    let driver = body
        .main_driver
        .as_ref()
        .map(|driver| driver.0.to_string())
        .unwrap_or_default();
    vec![
        Reference {
            kind: "vehicle",
            field: "vehicle",
            given: body.vehicle.0.to_string(),
        },
        Reference {
            kind: "driver",
            field: "main_driver",
            given: driver,
        },
        Reference {
            kind: "rating_plan",
            field: "rating_plan",
            given: body.rating_plan.0.to_string(),
        },
    ]
}

async fn check(store: &TenantStore, body: &PolicyCreation, references: &[Reference<'_>]) -> Result<(), Problem> {
    let plan = store
        .rating_plan(&body.rating_plan.0)
        .await
        .map_err(|error| unwritten(error, references))?;
    let mut fields = Fields::of_body();
    if plan.terms.currency != body.currency {
        let detail = format!(
            "wanted the currency of the rating plan, {}, got {}",
            plan.terms.currency, body.currency
        );
        fields.wrong("currency", detail);
    }
    if body.ends_on.as_ref().is_some_and(|end| end.0 <= body.starts_on.0) {
        fields.wrong("ends_on", "wanted a day after `starts_on`");
    }
    fields.finish()
}
