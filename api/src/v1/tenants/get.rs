//! `GET /v1/tenants/{tenant}`

use actix_web::{HttpResponse, web::Data};

use super::{Tenant, tenant_id};
use crate::{
    auth::gate::Operator,
    extract::{path::Segment, precondition::tagged},
    problem::Problem,
    state::ApiState,
    v1::found,
};

#[utoipa::path(
    get,
    path = "/v1/tenants/{tenant}",
    tag = "Tenants",
    summary = "A tenant",
    params(("tenant" = Uuid, Path, description = "Id")),
    responses((status = 200, description = "The tenant", body = Tenant,
        headers(("ETag" = String, description = "For `If-Match` of an update"))))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    operator: Operator,
    tenant: Segment,
) -> Result<HttpResponse, Problem> {
    let id = tenant_id(&tenant)?;
    let record = found(operator.store(&state).tenant(id).await, "tenant", &tenant)?;
    Ok(tagged(record.revision, &Tenant::from(record)))
}
