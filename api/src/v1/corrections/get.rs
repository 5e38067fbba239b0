//! `GET /v1/corrections/{correction}`

use actix_web::web::{Data, Json};

use super::Correction;
use crate::{
    auth::gate::Caller,
    extract::path::{self, Segment},
    problem::Problem,
    state::ApiState,
    v1::found,
};

#[utoipa::path(
    get,
    path = "/v1/corrections/{correction}",
    tag = "Corrections",
    summary = "A correction",
    description = "Figures of scores need the scope `scores:read` as well, those of premiums `premiums:read`.",
    params(("correction" = Uuid, Path, description = "Id")),
    responses((status = 200, description = "The correction", body = Correction))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    correction: Segment,
) -> Result<Json<Correction>, Problem> {
    let id = path::id("correction", &correction)?;
    let row = found(caller.store(&state).correction(id).await, "correction", &correction)?;
    Ok(Json(Correction::shown_to(&caller, row)))
}
