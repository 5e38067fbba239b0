//! `GET /v1/trips`

use actix_web::web::{Data, Json};
use odograph_store::{Order, TripFilter, TripKey};
use serde::Deserialize;
use utoipa::IntoParams;

use super::Trip;
use crate::{
    auth::gate::Caller,
    extract::query::{Fields, Query},
    page::{self, List, SortKeys},
    problem::{Problem, shown},
    state::ApiState,
    v1::{Whose, events::one_of, policy},
};

impl SortKeys for TripKey {
    const NAMES: &'static [(&'static str, Self)] = &[("start", Self::Start), ("derived_at", Self::DerivedAt)];
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct TripQuery {
    /// Of this vehicle only; id or external reference.
    vehicle: Option<String>,
    /// Of this driver only; id or external reference.
    driver: Option<String>,
    /// Of vehicles that are in this fleet now; id or external reference.
    fleet: Option<String>,
    /// Of vehicles that are in this group now; id or external reference.
    group: Option<String>,
    /// Of the vehicle of this policy, on days that it covers; id or external reference. Not together with `vehicle`.
    policy: Option<String>,
    /// Ending at or after this time.
    #[param(value_type = Option<DateTime<Utc>>)]
    from: Option<String>,
    /// Starting before this time.
    #[param(value_type = Option<DateTime<Utc>>)]
    to: Option<String>,
    /// `closed` or `provisional` only.
    #[param(example = "closed")]
    state: Option<String>,
    /// Of this billable distance at least, m.
    #[param(value_type = Option<f64>, minimum = 0, example = 500)]
    min_distance_m: Option<String>,
    /// Derived, or derived anew with another result, at or after this time.
    #[param(value_type = Option<DateTime<Utc>>)]
    changed_since: Option<String>,
    /// What to sort by: the start, or when they were derived as they are; with `-` before it, the other way round.
    #[param(schema_with = page::sort_schema::<TripKey>, required = false)]
    sort: Option<String>,
    /// Most items to return.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200, default = 50)]
    limit: Option<String>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

#[utoipa::path(
    get,
    path = "/v1/trips",
    tag = "Trips",
    summary = "The trips",
    description = "Newest start first, if `sort` says nothing else.",
    params(TripQuery),
    responses((status = 200, description = "A page of trips", body = List<Trip>))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    Query(query): Query<TripQuery>,
) -> Result<Json<List<Trip>>, Problem> {
    let mut fields = Fields::of_query();
    let from = fields.instant("from", query.from.as_deref());
    let to = fields.instant("to", query.to.as_deref());
    fields.ordered(from.as_ref(), to.as_ref());
    let changed_since = fields.instant("changed_since", query.changed_since.as_deref());
    let min_distance_m = metres(&mut fields, query.min_distance_m.as_deref());
    let states = |name: &str| STATES.contains(&name).then(|| name.to_owned());
    let trip_state = one_of(
        &mut fields,
        "state",
        query.state.as_deref(),
        states,
        STATES.iter().copied(),
    );
    let order = page::order(&mut fields, query.sort.as_deref(), Order::descending(TripKey::Start));
    if query.vehicle.is_some() && query.policy.is_some() {
        fields.wrong("policy", "wanted either vehicle or policy, got both");
    }
    let page = page::page(&mut fields, query.limit.as_deref(), query.cursor.as_deref());
    fields.finish()?;
    let store = caller.store(&state);
    let whose = Whose::find(&store, &query.vehicle, &query.driver, &query.fleet, &query.group).await?;
    let mut filter = TripFilter {
        vehicle: whose.vehicle,
        driver: whose.driver,
        from,
        to,
        fleet: whose.fleet,
        group: whose.group,
        days: (None, None),
        state: trip_state,
        min_distance_m,
        changed_since,
    };
    if let Some(given) = &query.policy {
        let policy = policy(&store, given).await?.policy;
        filter.vehicle = Some(policy.vehicle);
        filter.days = (Some(policy.starts_on), policy.ends_on);
    }
    let listed = store.find_trips(filter, order, page).await?;
    Ok(Json(List::of(listed, Trip::from)))
}

const STATES: [&str; 2] = ["closed", "provisional"];

fn metres(fields: &mut Fields, given: Option<&str>) -> Option<f64> {
    let given = given?;
    let metres = given
        .parse()
        .ok()
        .filter(|metres: &f64| metres.is_finite() && *metres >= 0.0);
    if metres.is_none() {
        let detail = format!("wanted a number of metres from 0, got {:?}", shown(given));
        fields.wrong("min_distance_m", detail);
    }
    metres
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distance_is_a_number_of_metres() {
        let mut fields = Fields::of_query();
        assert_eq!(metres(&mut fields, Some("12.5")), Some(12.5));
        assert_eq!(metres(&mut fields, None), None);
        assert!(fields.finish().is_ok());
        for wrong in ["-1", "NaN", "inf", "far", ""] {
            let mut fields = Fields::of_query();
            metres(&mut fields, Some(wrong));
            assert!(fields.finish().is_err(), "{wrong}");
        }
    }
}
