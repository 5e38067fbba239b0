//! `GET /v1/quotes/{quote}`

use actix_web::web::{Data, Json};

use super::QuoteWithTrace;
use crate::{
    auth::gate::Caller,
    extract::path::{self, Segment},
    problem::Problem,
    state::ApiState,
    v1::found,
};

#[utoipa::path(
    get,
    path = "/v1/quotes/{quote}",
    tag = "Premiums",
    summary = "A quote with its trace",
    params(("quote" = Uuid, Path, description = "Id")),
    responses((status = 200, description = "The quote", body = QuoteWithTrace))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    quote: Segment,
) -> Result<Json<QuoteWithTrace>, Problem> {
    let id = path::id("quote", &quote)?;
    let record = found(caller.store(&state).quote(id).await, "quote", &quote)?;
    Ok(Json(record.into()))
}
