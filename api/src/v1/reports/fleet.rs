//! `GET /v1/fleets/{fleet}/report`

use actix_web::{HttpRequest, HttpResponse, web::Data};

use super::{ReportQuery, answer, ask};
use crate::{
    auth::gate::Caller,
    extract::{
        path::{self, Segment},
        query::Query,
    },
    problem::Problem,
    report::{figures::FleetReport, fleet_page, gather},
    state::ApiState,
    v1::found,
};

#[utoipa::path(
    get,
    path = "/v1/fleets/{fleet}/report",
    tag = "Reports",
    summary = "A fleet's report",
    description = "Totals, ranking of drivers and vehicles, who is far from the others, behaviour against the portfolio, hours. A page \
        that stands alone (HTML with drawings, no scripts), or with `Accept: application/json` the figures.",
    params(("fleet" = String, Path, description = "Id or external reference", example = "north"), ReportQuery),
    responses((status = 200, description = "The report", content(
        (String = "text/html"),
        (FleetReport = "application/json")
    )))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    fleet: Segment,
    Query(query): Query<ReportQuery>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let ask = ask(&query, &state, &caller)?;
    let name = path::id_or_ref("fleet", &fleet)?;
    let store = caller.store(&state);
    let record = found(store.fleet(&name).await, "fleet", &fleet)?;
    let report = gather::fleet(&store, Some(record), &ask).await?;
    Ok(answer(&request, &report, fleet_page))
}
