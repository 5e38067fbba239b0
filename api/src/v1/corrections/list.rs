//! `GET /v1/corrections`

use actix_web::web::{Data, Json};
use odograph_domain::{
    correction::{CorrectionKind, Why},
    id::TripId,
};
use odograph_store::{CorrectionFilter, TenantStore};
use serde::Deserialize;
use utoipa::IntoParams;

use super::Correction;
use crate::{
    auth::gate::Caller,
    extract::query::{Fields, Query},
    page::{self, List},
    problem::Problem,
    state::ApiState,
    v1::{self, driver_id, vehicle_id},
};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct CorrectionQuery {
    /// That come of this vehicle's data; id or external reference.
    vehicle: Option<String>,
    /// Of this driver only; id or external reference.
    driver: Option<String>,
    /// Of this policy's premiums only; id or external reference.
    policy: Option<String>,
    /// Of this trip only.
    #[param(value_type = Option<Uuid>)]
    trip: Option<String>,
    /// Of this kind only.
    #[param(example = "premium_changed")]
    kind: Option<String>,
    /// Those that this is a reason of.
    #[param(example = "late_data")]
    why: Option<String>,
    /// Made at or after this time.
    #[param(value_type = Option<DateTime<Utc>>)]
    from: Option<String>,
    /// Made before this time.
    #[param(value_type = Option<DateTime<Utc>>)]
    to: Option<String>,
    /// Most items to return.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200, default = 50)]
    limit: Option<String>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

#[utoipa::path(
    get,
    path = "/v1/corrections",
    tag = "Corrections",
    summary = "What was shown and is something else now",
    description = "Newest first. Figures of scores need the scope `scores:read` as well, those of premiums `premiums:read`. \
        New driving that makes a running month dearer is no correction.",
    params(CorrectionQuery),
    responses((status = 200, description = "A page of corrections", body = List<Correction>))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    Query(query): Query<CorrectionQuery>,
) -> Result<Json<List<Correction>>, Problem> {
    let mut fields = Fields::of_query();
    let filter = CorrectionFilter {
        trip: fields.parse::<TripId>("trip", query.trip.as_deref()),
        kind: name(
            &mut fields,
            "kind",
            query.kind.as_deref(),
            CorrectionKind::parse,
            &kinds(),
        ),
        why: name(&mut fields, "why", query.why.as_deref(), Why::parse, &whys()),
        from: fields.instant("from", query.from.as_deref()),
        to: fields.instant("to", query.to.as_deref()),
        ..CorrectionFilter::default()
    };
    let page = page::page(&mut fields, query.limit.as_deref(), query.cursor.as_deref());
    fields.finish()?;
    let store = caller.store(&state);
    let filter = whose(&store, &query, filter).await?;
    let listed = store.corrections(&filter, page).await?;
    Ok(Json(List::of(listed, |row| Correction::shown_to(&caller, row))))
}

fn kinds() -> Vec<&'static str> {
    CorrectionKind::ALL.iter().map(|kind| kind.as_str()).collect()
}

fn whys() -> Vec<&'static str> {
    Why::ALL.iter().map(|why| why.as_str()).collect()
}

fn name<T>(
    fields: &mut Fields,
    field: &str,
    given: Option<&str>,
    parse: fn(&str) -> Option<T>,
    known: &[&str],
) -> Option<T> {
    let given = given?;
    let found = parse(given);
    if found.is_none() {
        fields.wrong(field, format!("wanted one of {}, got {given:?}", known.join(", ")));
    }
    found
}

async fn whose(
    store: &TenantStore,
    query: &CorrectionQuery,
    filter: CorrectionFilter,
) -> Result<CorrectionFilter, Problem> {
    let vehicle = match &query.vehicle {
        Some(given) => Some(vehicle_id(store, given).await?),
        None => None,
    };
    let driver = match &query.driver {
        Some(given) => Some(driver_id(store, given).await?),
        None => None,
    };
    let policy = match &query.policy {
        Some(given) => Some(v1::policy(store, given).await?.policy.id),
        None => None,
    };
    Ok(CorrectionFilter {
        vehicle,
        driver,
        policy,
        ..filter
    })
}
