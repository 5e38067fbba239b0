//! `GET /v1/drivers/{driver}`

use actix_web::{HttpResponse, web::Data};

use super::Driver;
use crate::{
    access::Scope,
    auth::gate::Caller,
    extract::{
        path::{self, Segment},
        precondition::tagged,
    },
    problem::Problem,
    state::ApiState,
    v1::found,
};

#[utoipa::path(
    get,
    path = "/v1/drivers/{driver}",
    tag = "Drivers",
    summary = "A driver",
    description = "With the scope `drivers:identity` the answer says who the driver is, and that it was read is recorded.",
    params(("driver" = String, Path, description = "Id or external reference", example = "D-1007")),
    responses((status = 200, description = "The driver", body = Driver,
        headers(("ETag" = String, description = "For `If-Match` of an update"))))
)]
pub(crate) async fn handle(state: Data<ApiState>, caller: Caller, driver: Segment) -> Result<HttpResponse, Problem> {
    let name = path::id_or_ref("driver", &driver)?;
    let store = caller.store(&state);
    let record = found(store.driver(&name).await, "driver", &driver)?;
    let identity = if caller.may(Scope::DriversIdentity) {
        store.driver_identity(record.id).await?
    } else {
        None
    };
    Ok(tagged(record.revision, &Driver::new(record, identity)))
}
