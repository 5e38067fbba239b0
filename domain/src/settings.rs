//! What a tenant can set about how its telemetry is read.

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

/// When a trip starts and ends. See `docs/science/trips.md` for why these defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TripSettings {
    /// A trip ends when the vehicle has been at rest this long; `None` switches the rule off (gaps and ignition only).
    pub rest_s: Option<u32>,
    /// A trip ends where no sample came for this long.
    pub gap_s: u32,
    /// At or above this a vehicle without an ignition signal is moving, km/h.
    pub moving_kmh: f64,
    /// Movement must last this long to start a trip; shorter is parked drift or a sensor's twitch, s.
    pub sustained_s: u32,
}

impl Default for TripSettings {
    fn default() -> Self {
        Self {
            rest_s: Some(300),
            gap_s: 300,
            moving_kmh: 5.0,
            sustained_s: 10,
        }
    }
}

impl TripSettings {
    /// The longest silence or rest that leaves a trip open: beyond it the trip function has forgotten what was before.
    pub fn memory(&self) -> TimeDelta {
        TimeDelta::seconds(i64::from(self.gap_s.max(self.rest_s.unwrap_or(0))))
    }
}

/// What is accepted, judged by the sample and its time of arrival alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AcceptSettings {
    /// How far a device's clock may run ahead of ours, s.
    pub clock_skew_s: u32,
    /// How old data may be when it arrives, days. The dedup ledger is kept at least as long.
    pub lateness_days: u32,
}

impl Default for AcceptSettings {
    fn default() -> Self {
        Self {
            clock_skew_s: 300,
            lateness_days: 400,
        }
    }
}

/// How long data is kept.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetentionSettings {
    /// How long raw data stays in the database after it was recorded, days; `None` for as long as the tenant is one. Where there
    /// is a lake it stays there. As long as data may be late it stays in any case: late data is merged with what is there.
    pub raw_days: Option<u32>,
}

/// A tenant's settings. Every field has a default; unknown fields are errors.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TenantSettings {
    pub trip: TripSettings,
    pub accept: AcceptSettings,
    pub retention: RetentionSettings,
}

/// A setting that cannot be used: which, what was wanted and what was given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: wanted {wanted}, got {given}")]
pub struct SettingError {
    /// As a path, such as `trip.gap_s`.
    pub field: &'static str,
    pub wanted: String,
    pub given: String,
}

impl TenantSettings {
    /// Whether every setting lies within what the trip function and the intake can work with. What is stored was checked when
    /// it was set; bounds that are narrowed later must not make stored settings unreadable.
    pub fn check(&self) -> Result<(), SettingError> {
        let within = |field, given: Option<u32>, low: u32, high: u32| match given {
            Some(value) if !(low..=high).contains(&value) => Err(SettingError {
                field,
                wanted: format!("a whole number from {low} to {high}"),
                given: value.to_string(),
            }),
            _ => Ok(()),
        };
        let TripSettings {
            rest_s,
            gap_s,
            moving_kmh,
            sustained_s,
        } = self.trip;
        within("trip.rest_s", rest_s, 10, 86_400)?;
        within("trip.gap_s", Some(gap_s), 10, 86_400)?;
        within("trip.sustained_s", Some(sustained_s), 0, 600)?;
        if !(0.5..=50.0).contains(&moving_kmh) {
            return Err(SettingError {
                field: "trip.moving_kmh",
                wanted: "a number from 0.5 to 50".to_owned(),
                given: moving_kmh.to_string(),
            });
        }
        within("accept.clock_skew_s", Some(self.accept.clock_skew_s), 0, 86_400)?;
        within("accept.lateness_days", Some(self.accept.lateness_days), 1, 3_660)?;
        within("retention.raw_days", self.retention.raw_days, 1, 3_660)
    }

    /// How long raw data stays in the database; `None` for ever.
    pub fn raw_kept(&self) -> Option<TimeDelta> {
        let days = self.retention.raw_days?.max(self.accept.lateness_days);
        Some(TimeDelta::days(i64::from(days)))
    }

    /// As a person writes them: JSON, every value within its bounds. The error names the field.
    pub fn parse(json: &str) -> Result<Self, String> {
        let value: serde_json::Value = serde_json::from_str(json).map_err(|error| format!("not JSON: {error}"))?;
        let settings: Self = serde_json::from_value(value.clone()).map_err(|error| match blamed(&value) {
            Some(field) => format!("{field}: {error}"),
            None => error.to_string(),
        })?;
        settings.check().map_err(|error| error.to_string())?;
        Ok(settings)
    }
}

/// The path of the first setting that alone does not read.
fn blamed(settings: &serde_json::Value) -> Option<String> {
    let sections = settings.as_object()?;
    sections.iter().find_map(|(section, fields)| {
        fields.as_object()?.iter().find_map(|(field, value)| {
            let alone = serde_json::json!({ section: { field: value } });
            let read: Result<TenantSettings, _> = serde_json::from_value(alone);
            read.is_err().then(|| format!("{section}.{field}"))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_within_their_bounds() {
        assert_eq!(TenantSettings::default().check(), Ok(()));
        let parsed = TenantSettings::parse(r#"{"trip":{"rest_s":null,"gap_s":180}}"#).unwrap();
        assert_eq!((parsed.trip.rest_s, parsed.trip.gap_s), (None, 180));
        assert_eq!(parsed.raw_kept(), None);
        let short = TenantSettings::parse(r#"{"retention":{"raw_days":30}}"#).unwrap();
        assert_eq!(short.raw_kept(), Some(TimeDelta::days(400)));
    }

    #[test]
    fn a_setting_out_of_bounds_is_refused_by_its_name() {
        for (json, field, given) in [
            (r#"{"trip":{"gap_s":0}}"#, "trip.gap_s", "got 0"),
            (r#"{"trip":{"rest_s":5}}"#, "trip.rest_s", "got 5"),
            (r#"{"trip":{"gap_s":-300}}"#, "trip.gap_s", "-300"),
            (r#"{"trip":{"moving_kmh":-5.0}}"#, "trip.moving_kmh", "got -5"),
            (r#"{"trip":{"moving_kmh":"fast"}}"#, "trip.moving_kmh", "fast"),
            (r#"{"accept":{"lateness_days":0}}"#, "accept.lateness_days", "got 0"),
            (
                r#"{"accept":{"clock_skew_s":100000}}"#,
                "accept.clock_skew_s",
                "got 100000",
            ),
            (r#"{"retention":{"raw_days":0}}"#, "retention.raw_days", "got 0"),
            (r#"{"trip":{"colour":1}}"#, "trip.colour", "unknown field"),
        ] {
            let told = TenantSettings::parse(json).unwrap_err();
            assert!(told.starts_with(field) && told.contains(given), "{json}: {told}");
        }
        assert!(TenantSettings::parse("{").unwrap_err().contains("not JSON"));
        assert!(TenantSettings::parse(r#"{"trip":7}"#).is_err());
    }
}
