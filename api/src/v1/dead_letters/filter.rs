//! Which dead letters a list shows or a bulk operation is about.

use odograph_domain::{
    envelope::Source,
    outcome::{MessageRejection, SampleRejection},
};
use odograph_store::{DeadLetterFilter, TenantStore};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::{
    extract::query::Fields,
    problem::{Code, Problem, shown},
    v1::vehicle_id,
};

/// Letters of a bulk operation when no limit is given, and at most.
const DEFAULT_LIMIT: u16 = 100;
const HIGHEST_LIMIT: u16 = 500;

/// Which dead letters; every condition that is given must hold, and at least one must be given.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LetterChoice {
    /// Of this reason.
    #[schema(example = "unknown_vehicle")]
    reason: Option<String>,
    /// Of this vehicle; id or external reference.
    #[schema(example = "fleet-0042")]
    vehicle: Option<String>,
    /// That came this way: `http`, `amqp`, `mqtt`, `import` or `resubmission`.
    #[schema(example = "http")]
    source: Option<String>,
    /// Received at or after this time.
    #[schema(value_type = Option<DateTime<Utc>>, example = "2026-01-31T00:00:00Z")]
    from: Option<String>,
    /// Received before this time.
    #[schema(value_type = Option<DateTime<Utc>>, example = "2026-02-01T00:00:00Z")]
    to: Option<String>,
}

impl LetterChoice {
    pub(super) async fn read(self, mut fields: Fields, store: &TenantStore) -> Result<DeadLetterFilter, Problem> {
        let filter = DeadLetterFilter {
            source: source(&mut fields, "filter.source", self.source.as_deref()),
            from: fields.instant("filter.from", self.from.as_deref()),
            to: fields.instant("filter.to", self.to.as_deref()),
            reason: reason(&mut fields, "filter.reason", self.reason),
            vehicle: None,
            status: None,
        };
        if filter == DeadLetterFilter::default() && self.vehicle.is_none() {
            fields.wrong(
                "filter",
                "wanted at least one of reason, vehicle, source, from, to, got none",
            );
        }
        fields.finish()?;
        let vehicle = match &self.vehicle {
            Some(given) => Some(vehicle_id(store, given).await.map_err(|problem| match problem.code() {
                Code::NotFound => {
                    let detail = format!("no vehicle {:?}", shown(given));
                    Problem::field(Code::UnknownReference, "filter.vehicle", detail)
                }
                _ => problem,
            })?),
            None => None,
        };
        Ok(DeadLetterFilter { vehicle, ..filter })
    }
}

pub(super) fn read_limit(fields: &mut Fields, given: Option<u16>) -> u16 {
    let limit = given.unwrap_or(DEFAULT_LIMIT);
    if !(1..=HIGHEST_LIMIT).contains(&limit) {
        fields.wrong(
            "limit",
            format!("wanted a whole number from 1 to {HIGHEST_LIMIT}, got {limit}"),
        );
    }
    limit
}

pub(super) fn reason(fields: &mut Fields, field: &str, given: Option<String>) -> Option<String> {
    let given = given?;
    if SampleRejection::parse(&given).is_none() && MessageRejection::parse(&given).is_none() {
        let given = shown(&given);
        fields.wrong(
            field,
            format!("wanted the name of a reason such as ts_in_future, got {given:?}"),
        );
    }
    Some(given)
}

pub(super) fn source(fields: &mut Fields, field: &str, given: Option<&str>) -> Option<Source> {
    let given = given?;
    let source = serde_json::from_value(given.into()).ok();
    if source.is_none() {
        let detail = format!(
            "wanted http, amqp, mqtt, import or resubmission, got {:?}",
            shown(given)
        );
        fields.wrong(field, detail);
    }
    source
}
