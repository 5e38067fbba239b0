//! `PATCH /v1/drivers/{driver}`

use actix_web::{HttpResponse, web::Data};
use odograph_domain::id::ExternalRef;
use odograph_store::Identity;
use serde::Deserialize;
use utoipa::ToSchema;

use super::Driver;
use crate::{
    access::Scope,
    auth::gate::Caller,
    extract::{
        json::Json,
        patch::Change,
        path::{self, Segment},
        precondition::{Expected, tagged},
        value::Text,
    },
    problem::{Code, Problem},
    state::ApiState,
    v1::found,
};

/// What is absent stays; null empties.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DriverUpdate {
    /// The tenant's own name for the driver, unique among its drivers; 1 to 128 characters, not of the form of a UUID.
    #[serde(default)]
    #[schema(value_type = Option<String>, max_length = 128, example = "D-1007")]
    external_ref: Change<ExternalRef>,
    /// Needs the scope `drivers:identity`.
    #[serde(default)]
    #[schema(value_type = Option<IdentityUpdate>)]
    identity: Change<IdentityUpdate>,
}

/// What is absent stays; null empties.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct IdentityUpdate {
    #[serde(default)]
    #[schema(value_type = Option<String>, max_length = 200, example = "Ada Lovelace")]
    name: Change<Text>,
    #[serde(default)]
    #[schema(value_type = Option<String>, max_length = 200, example = "ada@example.com")]
    email: Change<Text>,
    #[serde(default)]
    #[schema(value_type = Option<String>, max_length = 200, example = "+44 20 7946 0000")]
    phone: Change<Text>,
}

#[utoipa::path(
    patch,
    path = "/v1/drivers/{driver}",
    tag = "Drivers",
    summary = "Change a driver",
    description = "What is absent stays as it is; null empties (RFC 7396), at every depth. With `If-Match` only as long as nobody \
        else has changed it.",
    params(
        ("driver" = String, Path, description = "Id or external reference", example = "D-1007"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` it must still have", example = "\"1\""),
    ),
    request_body = DriverUpdate,
    responses((status = 200, description = "The driver as it is now", body = Driver,
        headers(("ETag" = String, description = "For `If-Match` of the next update"))))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    driver: Segment,
    expected: Expected,
    Json(body): Json<DriverUpdate>,
) -> Result<HttpResponse, Problem> {
    let DriverUpdate { external_ref, identity } = body;
    let identity = match identity {
        Change::Keep => None,
        change if caller.may(Scope::DriversIdentity) => Some(|known: &mut Option<Identity>| apply(change, known)),
        _ => {
            let detail = format!(
                "the field identity needs a token with the scope {}",
                Scope::DriversIdentity
            );
            return Err(Problem::new(Code::InsufficientScope, detail));
        }
    };
    let name = path::id_or_ref("driver", &driver)?;
    let store = caller.store(&state);
    let changed = store
        .update_driver(
            &name,
            expected.revisions(),
            |record| external_ref.apply(&mut record.external_ref),
            identity,
        )
        .await;
    let record = found(changed, "driver", &driver)?;
    let identity = if caller.may(Scope::DriversIdentity) {
        store.driver_identity(record.id).await?
    } else {
        None
    };
    Ok(tagged(record.revision, &Driver::new(record, identity)))
}

fn apply(change: Change<IdentityUpdate>, known: &mut Option<Identity>) {
    match change {
        Change::Keep => {}
        Change::Empty => *known = None,
        Change::Set(IdentityUpdate { name, email, phone }) => {
            let mut identity = known.take().unwrap_or_default();
            name.map(|text| text.0).apply(&mut identity.name);
            email.map(|text| text.0).apply(&mut identity.email);
            phone.map(|text| text.0).apply(&mut identity.phone);
            *known = Some(identity);
        }
    }
}
