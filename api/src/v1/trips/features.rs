//! A trip's features as the API shows them.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use odograph_domain::{event, features, mileage};
use serde::Serialize;
use utoipa::ToSchema;

/// What a trip's samples amount to. Shares are from 0 to 1, of moving time unless said otherwise.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TripFeatures {
    /// Version of the plan that computed them.
    plan_version: u16,
    samples: u32,
    duration_s: f64,
    moving_s: f64,
    idle_s: f64,
    /// Share of samples with a usable fix; null where the device sends no position.
    fix_share: Option<f64>,
    hdop_median: Option<f64>,
    /// What was found odd about the data, in samples.
    #[schema(example = json!({ "hole": 2, "poor_fix": 14 }))]
    marks: BTreeMap<&'static str, u32>,
    mileage: Mileage,
    /// Null where the product or the consent does not allow behaviour to be kept.
    behaviour: Option<Behaviour>,
}

/// One distance, with its evidence. Metres; null where a source is absent or unusable.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Mileage {
    odometer_m: Option<f64>,
    speed_m: Option<f64>,
    gps_m: Option<f64>,
    #[schema(example = 12_431.7)]
    billable_m: f64,
    /// `odometer`, `speed` or `gps`; null with grade D.
    #[schema(example = "odometer")]
    source: Option<&'static str>,
    /// A: sources agree. B: one sound source. C: sources disagree or parts were left out. D: too little evidence.
    #[schema(example = "A")]
    grade: &'static str,
    #[schema(example = json!(["sources_agree"]))]
    reasons: Vec<&'static str>,
    /// Unrounded, by insured-local day.
    by_day: Vec<DayMetres>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DayMetres {
    day: NaiveDate,
    metres: f64,
}

/// How the car was driven.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Behaviour {
    mean_speed_kmh: f64,
    top_speed_kmh: f64,
    /// Between 22:00 and 05:00 insured-local.
    night_share: f64,
    weekend_share: f64,
    /// Of the moving time with a known limit; null where none was known.
    speeding_share: Option<f64>,
    limit_known_s: f64,
    /// Of the moving time with a phone signal; null without one.
    phone_share: Option<f64>,
    phone_known_s: f64,
    /// Whether braking and cornering could be seen at all.
    braking_seen: bool,
    cornering_seen: bool,
    events: Vec<Event>,
}

/// A behaviour event. Where it happened is in the track only.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Event {
    #[schema(example = "harsh_braking")]
    kind: &'static str,
    /// Start of the event.
    ts: DateTime<Utc>,
    #[schema(example = 1.4)]
    duration_s: f64,
    /// m/s² for braking, acceleration and cornering; km/h above the limit for speeding; 1 for phone use.
    #[schema(example = 4.2)]
    peak: f64,
    speed_kmh: Option<f64>,
}

impl From<features::TripFeatures> for TripFeatures {
    fn from(features: features::TripFeatures) -> Self {
        let features::TripFeatures {
            plan_version,
            samples,
            duration_s,
            moving_s,
            idle_s,
            fix_share,
            hdop_median,
            marks,
            mileage,
            behaviour,
        } = features;
        Self {
            plan_version,
            samples,
            duration_s,
            moving_s,
            idle_s,
            fix_share,
            hdop_median,
            marks: marks
                .into_iter()
                .map(|(mark, samples)| (mark.as_str(), samples))
                .collect(),
            mileage: mileage.into(),
            behaviour: behaviour.map(Behaviour::from),
        }
    }
}

impl From<mileage::Mileage> for Mileage {
    fn from(mileage: mileage::Mileage) -> Self {
        let mileage::Mileage {
            odometer_m,
            speed_m,
            gps_m,
            billable_m,
            source,
            grade,
            reasons,
            by_day,
        } = mileage;
        Self {
            odometer_m,
            speed_m,
            gps_m,
            billable_m,
            source: source.map(mileage::DistanceSource::as_str),
            grade: grade.as_str(),
            reasons: reasons.into_iter().map(mileage::MileageReason::as_str).collect(),
            by_day: by_day
                .into_iter()
                .map(|share| DayMetres {
                    day: share.day,
                    metres: share.metres,
                })
                .collect(),
        }
    }
}

impl From<features::BehaviourFeatures> for Behaviour {
    fn from(behaviour: features::BehaviourFeatures) -> Self {
        let features::BehaviourFeatures {
            mean_speed_kmh,
            top_speed_kmh,
            night_share,
            weekend_share,
            speeding_share,
            limit_known_s,
            phone_share,
            phone_known_s,
            braking_seen,
            cornering_seen,
            events,
        } = behaviour;
        Self {
            mean_speed_kmh,
            top_speed_kmh,
            night_share,
            weekend_share,
            speeding_share,
            limit_known_s,
            phone_share,
            phone_known_s,
            braking_seen,
            cornering_seen,
            events: events.into_iter().map(Event::from).collect(),
        }
    }
}

impl From<event::BehaviourEvent> for Event {
    fn from(event: event::BehaviourEvent) -> Self {
        let event::BehaviourEvent {
            kind,
            ts,
            duration_s,
            peak,
            speed_kmh,
        } = event;
        Self {
            kind: kind.as_str(),
            ts: ts.utc(),
            duration_s,
            peak,
            speed_kmh,
        }
    }
}
