//! `GET /v1/drivers/{driver}/report`

use actix_web::{HttpRequest, HttpResponse, web::Data};

use super::{ReportQuery, answer, ask};
use crate::{
    auth::gate::Caller,
    extract::{
        path::{self, Segment},
        query::Query,
    },
    problem::Problem,
    report::{driver_page, figures::DriverReport, gather},
    state::ApiState,
    v1::found,
};

#[utoipa::path(
    get,
    path = "/v1/drivers/{driver}/report",
    tag = "Reports",
    summary = "A driver's report",
    description = "Distance, score with its reasons, behaviour against the portfolio, hours, premium with its trace. A page that stands \
        alone (HTML with drawings, no scripts), or with `Accept: application/json` the figures. With the scope `tracks:read` \
        there is a sketch of the trips, and with `drivers:identity` the driver's name; that either was read is recorded.",
    params(("driver" = String, Path, description = "Id or external reference", example = "D-1007"), ReportQuery),
    responses((status = 200, description = "The report", content(
        (String = "text/html"),
        (DriverReport = "application/json")
    )))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    driver: Segment,
    Query(query): Query<ReportQuery>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let ask = ask(&query, &state, &caller)?;
    let name = path::id_or_ref("driver", &driver)?;
    let store = caller.store(&state);
    let record = found(store.driver(&name).await, "driver", &driver)?;
    let report = gather::driver(&store, record, &ask).await?;
    Ok(answer(&request, &report, driver_page))
}
