//! A tenant's settings: how its telemetry is read.

pub(crate) mod get;
pub(crate) mod update;

use odograph_domain::settings::{AcceptSettings, RetentionSettings, SettingError, TenantSettings, TripSettings};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    extract::patch::{self, Change},
    problem::{Code, Problem},
};

/// How a tenant's telemetry is read.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Settings {
    trip: Trip,
    accept: Accept,
    retention: Retention,
}

/// When a trip starts and ends.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TripSettings)]
struct Trip {
    /// A trip ends when the vehicle has been at rest this long, s; null switches the rule off.
    #[schema(example = 300)]
    rest_s: Option<u32>,
    /// A trip ends where no sample came for this long, s.
    #[schema(example = 300)]
    gap_s: u32,
    /// At or above this a vehicle without an ignition signal is moving, km/h.
    #[schema(example = 5.0)]
    moving_kmh: f64,
    /// Movement must last this long to start a trip, s.
    #[schema(example = 10)]
    sustained_s: u32,
}

/// What is accepted, judged by the sample and its time of arrival alone.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AcceptSettings)]
struct Accept {
    /// How far a device's clock may run ahead, s.
    #[schema(example = 300)]
    clock_skew_s: u32,
    /// How old data may be when it arrives, days.
    #[schema(example = 400)]
    lateness_days: u32,
}

/// How long data is kept.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RetentionSettings)]
struct Retention {
    /// How long raw data stays in the database after it was recorded, days, but never shorter than data may be late; null: for
    /// good. What a hold names stays, and where the platform has a lake all of it stays there.
    #[schema(example = 730)]
    raw_days: Option<u32>,
}

impl From<TenantSettings> for Settings {
    fn from(settings: TenantSettings) -> Self {
        let TenantSettings {
            trip,
            accept,
            retention,
        } = settings;
        let RetentionSettings { raw_days } = retention;
        let TripSettings {
            rest_s,
            gap_s,
            moving_kmh,
            sustained_s,
        } = trip;
        let AcceptSettings {
            clock_skew_s,
            lateness_days,
        } = accept;
        Self {
            trip: Trip {
                rest_s,
                gap_s,
                moving_kmh,
                sustained_s,
            },
            accept: Accept {
                clock_skew_s,
                lateness_days,
            },
            retention: Retention { raw_days },
        }
    }
}

/// What is absent stays.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SettingsUpdate {
    #[serde(default)]
    trip: TripUpdate,
    #[serde(default)]
    accept: AcceptUpdate,
    #[serde(default)]
    retention: RetentionUpdate,
}

/// What is absent stays.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TripSettingsUpdate)]
struct TripUpdate {
    /// Null switches the rule off.
    #[serde(default)]
    #[schema(value_type = Option<u32>, minimum = 10, maximum = 86_400, example = 180)]
    rest_s: Change<u32>,
    #[serde(default, deserialize_with = "patch::not_null")]
    #[schema(value_type = u32, required = false, minimum = 10, maximum = 86_400, example = 300)]
    gap_s: Option<u32>,
    #[serde(default, deserialize_with = "patch::not_null")]
    #[schema(value_type = f64, required = false, minimum = 0.5, maximum = 50, example = 5.0)]
    moving_kmh: Option<f64>,
    #[serde(default, deserialize_with = "patch::not_null")]
    #[schema(value_type = u32, required = false, minimum = 0, maximum = 600, example = 10)]
    sustained_s: Option<u32>,
}

/// What is absent stays.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AcceptSettingsUpdate)]
struct AcceptUpdate {
    #[serde(default, deserialize_with = "patch::not_null")]
    #[schema(value_type = u32, required = false, minimum = 0, maximum = 86_400, example = 300)]
    clock_skew_s: Option<u32>,
    #[serde(default, deserialize_with = "patch::not_null")]
    #[schema(value_type = u32, required = false, minimum = 1, maximum = 3_660, example = 400)]
    lateness_days: Option<u32>,
}

/// What is absent stays.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RetentionSettingsUpdate)]
struct RetentionUpdate {
    /// Null: for good.
    #[serde(default)]
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 3_660, example = 730)]
    raw_days: Change<u32>,
}

impl SettingsUpdate {
    pub(crate) fn apply(self, settings: &mut TenantSettings) {
        let Self {
            trip,
            accept,
            retention,
        } = self;
        trip.rest_s.apply(&mut settings.trip.rest_s);
        put(trip.gap_s, &mut settings.trip.gap_s);
        put(trip.moving_kmh, &mut settings.trip.moving_kmh);
        put(trip.sustained_s, &mut settings.trip.sustained_s);
        put(accept.clock_skew_s, &mut settings.accept.clock_skew_s);
        put(accept.lateness_days, &mut settings.accept.lateness_days);
        retention.raw_days.apply(&mut settings.retention.raw_days);
    }

    /// Refuses what is out of range. What is not given cannot be, so what it is applied to does not matter.
    pub(crate) fn check(&self, within: &str) -> Result<(), Problem> {
        let mut settings = TenantSettings::default();
        self.clone().apply(&mut settings);
        settings.check().map_err(|error| {
            let SettingError { field, wanted, given } = error;
            let detail = format!("wanted {wanted}, got {given}");
            Problem::field(Code::InvalidBody, &format!("{within}{field}"), detail)
        })
    }
}

fn put<T>(given: Option<T>, field: &mut T) {
    if let Some(value) = given {
        *field = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> SettingsUpdate {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn what_is_absent_stays_and_what_is_out_of_range_is_named() {
        let mut settings = TenantSettings::default();
        settings.trip.gap_s = 600;
        read(r#"{"trip":{"rest_s":null,"moving_kmh":8}}"#).apply(&mut settings);
        assert_eq!(
            (settings.trip.rest_s, settings.trip.gap_s, settings.trip.moving_kmh),
            (None, 600, 8.0)
        );
        assert!(read("{}").check("").is_ok());
        for (given, field) in [
            (r#"{"trip":{"gap_s":1}}"#, "settings.trip.gap_s"),
            (r#"{"accept":{"lateness_days":0}}"#, "settings.accept.lateness_days"),
            (r#"{"retention":{"raw_days":4000}}"#, "settings.retention.raw_days"),
        ] {
            let problem = read(given).check("settings.").unwrap_err();
            assert_eq!(problem.errors()[0].field, field);
        }
    }
}
