//! API clients of a tenant: machines that hold its credentials.

pub(crate) mod create;
pub(crate) mod list;
pub(crate) mod rotate;
pub(crate) mod update;

use chrono::{DateTime, Utc};
use odograph_store::ClientRecord;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    access::Scope,
    auth::secret,
    extract::query::Fields,
    problem::{Problem, shown},
    state::ApiState,
};

/// An API client.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Client {
    id: Uuid,
    tenant: Uuid,
    /// Unique within the tenant.
    #[schema(example = "pricing")]
    name: String,
    /// What it may ask tokens for.
    #[schema(example = json!(["premiums:read", "scores:read"]))]
    scopes: Vec<String>,
    created_at: DateTime<Utc>,
    /// It gets no tokens since; null while it is in use.
    disabled_at: Option<DateTime<Utc>>,
}

/// An API client with its secret, which is shown this once.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ClientWithSecret {
    #[serde(flatten)]
    client: Client,
    #[schema(example = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")]
    client_secret: String,
}

impl From<ClientRecord> for Client {
    fn from(record: ClientRecord) -> Self {
        let ClientRecord {
            id,
            tenant,
            name,
            scopes,
            created_at,
            disabled_at,
        } = record;
        Self {
            id: id.uuid(),
            tenant: tenant.uuid(),
            name,
            scopes,
            created_at,
            disabled_at,
        }
    }
}

/// Scopes that a tenant's client can have.
fn check_scopes(given: &[String]) -> Result<(), Problem> {
    let mut fields = Fields::of_body();
    if given.is_empty() {
        fields.wrong("scopes", "wanted at least one scope, got none");
    }
    for (place, name) in given.iter().enumerate() {
        if Scope::parse(name).is_none_or(Scope::is_platform) {
            let known: Vec<_> = Scope::of_tenants().map(Scope::as_str).collect();
            let detail = format!("wanted one of {}, got {:?}", known.join(", "), shown(name));
            fields.wrong(&format!("scopes[{place}]"), detail);
        }
    }
    fields.finish()
}

/// A new secret and its hash. Hashing takes long: a few at a time, and never on a thread that serves requests.
async fn new_secret(state: &ApiState) -> Result<(String, String), Problem> {
    let mut bytes = [0; 48];
    state.randomness.fill(&mut bytes).map_err(Problem::internal)?;
    let (secret, salt) = bytes.split_at(32);
    let secret: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut own = [0; 16];
    own.copy_from_slice(salt);
    let _permit = state.hashing.acquire().await.map_err(Problem::internal)?;
    let hashed = secret.clone();
    let hash = actix_web::web::block(move || secret::hash_secret(&hashed, own))
        .await
        .map_err(Problem::internal)?
        .map_err(Problem::internal)?;
    Ok((secret, hash))
}
