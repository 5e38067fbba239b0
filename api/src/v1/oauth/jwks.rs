//! `GET /.well-known/jwks.json`

use actix_web::{HttpResponse, http::header, web};

use crate::state::ApiState;

#[utoipa::path(
    get,
    path = "/.well-known/jwks.json",
    tag = "Access",
    summary = "The public keys that tokens verify with",
    description = "A JSON Web Key Set (RFC 7517) with Ed25519 keys (RFC 8037).",
    responses((status = 200, description = "The keys", content_type = "application/json", body = serde_json::Value, example = json!({
        "keys": [{ "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA",
                   "kid": "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" }]
    })))
)]
pub(crate) async fn handle(state: web::Data<ApiState>) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "public, max-age=300"))
        .json(state.signer.jwks())
}
