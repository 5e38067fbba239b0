//! `GET /v1/premiums/{premium}`

use actix_web::web::{Data, Json};

use super::PremiumWithTrace;
use crate::{
    auth::gate::Caller,
    extract::path::{self, Segment},
    problem::Problem,
    state::ApiState,
    v1::found,
};

#[utoipa::path(
    get,
    path = "/v1/premiums/{premium}",
    tag = "Premiums",
    summary = "A premium with its inputs and its trace",
    params(("premium" = Uuid, Path, description = "Id")),
    responses((status = 200, description = "The premium", body = PremiumWithTrace))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    premium: Segment,
) -> Result<Json<PremiumWithTrace>, Problem> {
    let id = path::id("premium", &premium)?;
    let row = found(caller.store(&state).premium(id).await, "premium", &premium)?;
    Ok(Json(row.into()))
}
