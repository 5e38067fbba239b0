//! `POST /v1/tenants/{tenant}/clients/{client}/secret`

use actix_web::web::{Data, Json};

use super::{ClientWithSecret, new_secret};
use crate::{
    auth::gate::Operator,
    extract::path::{self, Segments2},
    problem::Problem,
    state::ApiState,
    v1::{found, tenants::tenant_id},
};

#[utoipa::path(
    post,
    path = "/v1/tenants/{tenant}/clients/{client}/secret",
    tag = "Tenants",
    summary = "Give an API client another secret",
    description = "The old one gets no more tokens from now on. The new one is shown this once. No body.",
    params(
        ("tenant" = Uuid, Path, description = "Id"),
        ("client" = Uuid, Path, description = "Id"),
    ),
    responses((status = 200, description = "The client with its new secret", body = ClientWithSecret))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    operator: Operator,
    segments: Segments2,
) -> Result<Json<ClientWithSecret>, Problem> {
    let (tenant, client) = segments.into_inner();
    let of = tenant_id(&tenant)?;
    let id = path::id("client", &client)?;
    let (client_secret, hash) = new_secret(&state).await?;
    let record = found(
        operator.store(&state).rotate_secret(of, id, &hash).await,
        "client",
        &client,
    )?;
    Ok(Json(ClientWithSecret {
        client: record.into(),
        client_secret,
    }))
}
