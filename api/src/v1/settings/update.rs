//! `PATCH /v1/settings`

use actix_web::{HttpResponse, web::Data};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Settings, SettingsUpdate};
use crate::{
    auth::gate::Caller,
    extract::{
        json::Json,
        precondition::{Expected, tagged},
    },
    problem::Problem,
    state::ApiState,
};

/// The settings as they are now, and what that means for what is there already.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChangedSettings {
    #[serde(flatten)]
    settings: Settings,
    /// They hold for what arrives and what is derived from this time on.
    applies_from: DateTime<Utc>,
    /// Whether trips that were derived before would come out otherwise now.
    #[schema(example = true)]
    rebuild_needed: bool,
    #[schema(
        example = "trips that were derived before stay as they are until late data or a rebuild derives them anew"
    )]
    note: &'static str,
}

#[utoipa::path(
    patch,
    path = "/v1/settings",
    tag = "Settings",
    summary = "Change the settings",
    description = "What is absent stays as it is. A change holds for what arrives and what is derived from then on: trips that were \
        derived before stay as they are until they are derived anew.",
    params(("If-Match" = Option<String>, Header, description = "The `ETag` they must still have", example = "\"1\"")),
    request_body = SettingsUpdate,
    responses((status = 200, description = "The settings as they are now", body = ChangedSettings,
        headers(("ETag" = String, description = "For `If-Match` of the next update"))))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    expected: Expected,
    Json(body): Json<SettingsUpdate>,
) -> Result<HttpResponse, Problem> {
    body.check("")?;
    let mut before = None;
    let tenant = caller
        .store(&state)
        .update_settings(expected.revisions(), |settings| {
            before = Some(settings.trip.clone());
            body.apply(settings);
        })
        .await?;
    let rebuild_needed = before.is_some_and(|before| before != tenant.settings.trip);
    let note = match rebuild_needed {
        true => "trips that were derived before stay as they are until late data or a rebuild derives them anew",
        false => "nothing that was derived before depends on what was changed",
    };
    let answer = ChangedSettings {
        settings: tenant.settings.into(),
        applies_from: state.clock.now(),
        rebuild_needed,
        note,
    };
    Ok(tagged(tenant.revision, &answer))
}
