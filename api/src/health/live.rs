//! `GET /healthz`

use actix_web::web::Json;
use serde::Serialize;
use utoipa::ToSchema;

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    #[schema(example = "ok")]
    pub(super) status: &'static str,
}

#[utoipa::path(
    get,
    path = "/healthz",
    tag = "Operation",
    summary = "Whether the process lives",
    description = "Asks nothing of the database or the queue: restarting the process would not mend those.",
    responses((status = 200, description = "It lives", body = Health))
)]
pub(crate) async fn handle() -> Json<Health> {
    Json(Health { status: "ok" })
}
