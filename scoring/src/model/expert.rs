//! The first score: expert weights over rates of events and shares of driving time, each drawn towards an average
//! driver's as long as little was driven. The table in [`FACTORS`] is the whole of it; `docs/science/score.md` shows it.

use chrono::{Days, NaiveDate};
use linfa::traits::{Predict, PredictInplace};
use ndarray::{Array1, Array2, ArrayView1, Axis};
use odograph_domain::{
    event::BehaviourKind,
    features::{BehaviourFeatures, TripFeatures},
    score::{ModelRef, Score, ScoreReason},
};
use rust_decimal::Decimal;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::ScoreModel;
use crate::behaviour::scoring_threshold;

#[cfg(test)]
mod tests;

const WINDOW_DAYS: u16 = 90;
/// Less than this in the window says nothing: no score.
pub const LEAST_KM: f64 = 20.0;
/// As many kilometres as an average driver's rate weighs in: at this much driving a driver's own counts for half
/// (Bühlmann credibility, Z = exposure / (exposure + K)).
const CREDIBLE_KM: f64 = 300.0;
/// The same for shares of time, hours.
const CREDIBLE_H: f64 = 5.0;

/// What a factor measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Measure {
    /// Events above the scoring threshold, per 100 km during which they could be seen.
    EventsPer100Km(BehaviourKind),
    /// Share of the moving time with a known limit.
    Speeding,
    /// Share of the moving time with a phone signal.
    Phone,
    /// Share of the moving time.
    Night,
}

/// One line of the expert table. `average` and `worst` are in the factor's own unit.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Factor {
    pub code: &'static str,
    measure: Measure,
    pub unit: &'static str,
    /// Points it can take away.
    pub weight: f64,
    /// An average driver's: what little driving is drawn towards, and what counts where it cannot be observed.
    pub average: f64,
    /// From here on all its points are gone; in proportion below.
    pub worst: f64,
    /// How it is called in a sentence.
    noun: &'static str,
}

/// The expert table. Weights sum to 100.
pub const FACTORS: [Factor; 6] = [
    Factor {
        code: "harsh_braking",
        measure: Measure::EventsPer100Km(BehaviourKind::HarshBraking),
        unit: "events/100 km",
        weight: 25.0,
        average: 4.0,
        worst: 20.0,
        noun: "harsh braking",
    },
    Factor {
        code: "speeding",
        measure: Measure::Speeding,
        unit: "share of time",
        weight: 20.0,
        average: 0.06,
        worst: 0.3,
        noun: "driving above the speed limit",
    },
    Factor {
        code: "harsh_acceleration",
        measure: Measure::EventsPer100Km(BehaviourKind::HarshAcceleration),
        unit: "events/100 km",
        weight: 15.0,
        average: 3.0,
        worst: 15.0,
        noun: "harsh acceleration",
    },
    Factor {
        code: "harsh_cornering",
        measure: Measure::EventsPer100Km(BehaviourKind::HarshCornering),
        unit: "events/100 km",
        weight: 15.0,
        average: 4.0,
        worst: 20.0,
        noun: "harsh cornering",
    },
    Factor {
        code: "phone_use",
        measure: Measure::Phone,
        unit: "share of time",
        weight: 15.0,
        average: 0.03,
        worst: 0.2,
        noun: "phone use at the wheel",
    },
    Factor {
        code: "night",
        measure: Measure::Night,
        unit: "share of time",
        weight: 10.0,
        average: 0.05,
        worst: 0.4,
        noun: "driving between 22:00 and 05:00",
    },
];

/// Points from values of the factors: a linear model with a floor, on linfa's traits. Records are drivers (or days of
/// one) × [`FACTORS`], NaN where a factor could not be observed; targets are scores from 0 to 100.
#[derive(Debug, Clone, Copy, Default)]
pub struct ExpertWeights;

impl ExpertWeights {
    /// Tenths of a point that one factor takes away. Rounded here, so that the reasons add up to the score.
    fn tenths(factor: &Factor, value: f64) -> i64 {
        let value = if value.is_nan() { factor.average } else { value };
        (factor.weight * (value / factor.worst).clamp(0.0, 1.0) * 10.0).round() as i64
    }

    fn score_tenths(values: ArrayView1<'_, f64>) -> i64 {
        1000 - FACTORS
            .iter()
            .zip(values)
            .map(|(factor, &value)| Self::tenths(factor, value))
            .sum::<i64>()
    }
}

impl PredictInplace<Array2<f64>, Array1<f64>> for ExpertWeights {
    fn predict_inplace(&self, records: &Array2<f64>, scores: &mut Array1<f64>) {
        for (score, values) in scores.iter_mut().zip(records.axis_iter(Axis(0))) {
            *score = Self::score_tenths(values) as f64 / 10.0;
        }
    }

    fn default_target(&self, records: &Array2<f64>) -> Array1<f64> {
        Array1::zeros(records.nrows())
    }
}

/// The behaviour score by expert weights.
#[derive(Debug, Clone)]
pub struct ExpertScore {
    model: ModelRef,
    weights: ExpertWeights,
}

impl ExpertScore {
    pub fn new() -> Self {
        let parameters = serde_json::json!({
            "factors": FACTORS,
            "window_days": WINDOW_DAYS,
            "least_km": LEAST_KM,
            "credible_km": CREDIBLE_KM,
            "credible_h": CREDIBLE_H,
            "thresholds": BehaviourKind::ALL.iter().map(|&kind| scoring_threshold(kind)).collect::<Vec<_>>(),
        });
        let sha256 = Sha256::digest(parameters.to_string());
        let hex: String = sha256.iter().map(|byte| format!("{byte:02x}")).collect();
        let model = ModelRef {
            name: "expert".to_owned(),
            version: "1".to_owned(),
            parameters_sha256: hex,
        };
        Self {
            model,
            weights: ExpertWeights,
        }
    }
}

impl Default for ExpertScore {
    fn default() -> Self {
        Self::new()
    }
}

impl ScoreModel for ExpertScore {
    fn model(&self) -> &ModelRef {
        &self.model
    }

    fn window_days(&self) -> u16 {
        WINDOW_DAYS
    }

    fn score(&self, as_of: NaiveDate, trips: &[(NaiveDate, &TripFeatures)]) -> Option<Score> {
        let first = as_of.checked_sub_days(Days::new(u64::from(WINDOW_DAYS) - 1))?;
        let driven: Vec<Driven<'_>> = trips
            .iter()
            .filter(|(day, _)| (first..=as_of).contains(day))
            .filter_map(|(_, trip)| {
                Some(Driven {
                    trip,
                    behaviour: trip.behaviour.as_ref()?,
                })
            })
            .collect();
        let exposure_km = sum(driven.iter().map(Driven::km));
        if exposure_km < LEAST_KM {
            return None;
        }
        let observed: Vec<Observed> = FACTORS.iter().map(|factor| observe(factor, &driven)).collect();
        let values: Vec<f64> = FACTORS
            .iter()
            .zip(&observed)
            .map(|(factor, o)| o.drawn(factor))
            .collect();
        let records = Array2::from_shape_vec((1, FACTORS.len()), values).ok()?;
        let scores: Array1<f64> = self.weights.predict(&records);
        Some(Score {
            value: Decimal::new((scores.first()? * 10.0).round() as i64, 1),
            as_of,
            window_days: WINDOW_DAYS,
            exposure_km,
            trips: driven.len() as u32,
            model: self.model.clone(),
            reasons: reasons(&observed, records.row(0)),
        })
    }
}

/// A trip that counts.
struct Driven<'a> {
    trip: &'a TripFeatures,
    behaviour: &'a BehaviourFeatures,
}

impl Driven<'_> {
    fn km(&self) -> f64 {
        self.trip.mileage.billable_m / 1000.0
    }
}

/// What was seen of a factor.
#[derive(Debug, Clone, Copy)]
struct Observed {
    /// Events, or hours.
    amount: f64,
    /// Hundreds of km, or hours, during which it could be seen.
    exposure: f64,
    /// Exposure at which it counts for half.
    credible: f64,
}

impl Observed {
    /// As measured.
    fn plain(&self) -> f64 {
        self.amount / self.exposure
    }

    /// Drawn towards the average as long as little was seen; NaN where nothing was.
    fn drawn(&self, factor: &Factor) -> f64 {
        if self.exposure <= 0.0 {
            return f64::NAN;
        }
        (self.amount + self.credible * factor.average) / (self.exposure + self.credible)
    }
}

fn observe(factor: &Factor, driven: &[Driven<'_>]) -> Observed {
    let hours = |seconds: f64| seconds / 3600.0;
    // Each trip's amount and exposure, where the factor could be seen.
    let seen = |d: &Driven<'_>| -> Option<(f64, f64)> {
        let b = d.behaviour;
        match factor.measure {
            Measure::EventsPer100Km(kind) => {
                let visible = if kind == BehaviourKind::HarshCornering {
                    b.cornering_seen
                } else {
                    b.braking_seen
                };
                let counts = b
                    .events
                    .iter()
                    .filter(|e| e.kind == kind && e.peak >= scoring_threshold(kind))
                    .count();
                visible.then(|| (counts as f64, d.km() / 100.0))
            }
            Measure::Speeding => b
                .speeding_share
                .map(|share| (share * hours(b.limit_known_s), hours(b.limit_known_s))),
            Measure::Phone => b
                .phone_share
                .map(|share| (share * hours(b.phone_known_s), hours(b.phone_known_s))),
            Measure::Night => Some((b.night_share * hours(d.trip.moving_s), hours(d.trip.moving_s))),
        }
    };
    let pairs: Vec<(f64, f64)> = driven.iter().filter_map(seen).collect();
    let credible = match factor.measure {
        Measure::EventsPer100Km(_) => CREDIBLE_KM / 100.0,
        _ => CREDIBLE_H,
    };
    Observed {
        amount: sum(pairs.iter().map(|p| p.0)),
        exposure: sum(pairs.iter().map(|p| p.1)),
        credible,
    }
}

/// A sum that is the same in any order of its terms.
fn sum(terms: impl Iterator<Item = f64>) -> f64 {
    let mut terms: Vec<f64> = terms.collect();
    terms.sort_by(f64::total_cmp);
    terms.into_iter().sum()
}

/// Most costly first; factors that cost the same in the order of the table.
fn reasons(observed: &[Observed], values: ArrayView1<'_, f64>) -> Vec<ScoreReason> {
    let reason = |((factor, seen), &value): ((&Factor, &Observed), &f64)| ScoreReason {
        code: factor.code.to_owned(),
        text: sentence(factor, seen),
        points: Decimal::new(-ExpertWeights::tenths(factor, value), 1),
        value: if seen.exposure > 0.0 {
            seen.plain()
        } else {
            factor.average
        },
        unit: factor.unit.to_owned(),
    };
    let mut reasons: Vec<ScoreReason> = FACTORS.iter().zip(observed).zip(values).map(reason).collect();
    reasons.sort_by_key(|reason| reason.points);
    reasons
}

fn sentence(factor: &Factor, seen: &Observed) -> String {
    if seen.exposure <= 0.0 {
        return format!(
            "Your device could not observe {}, so an average driver's figure counts.",
            factor.noun
        );
    }
    match factor.measure {
        Measure::EventsPer100Km(_) => format!(
            "{} events of {} over {:.0} km, that is {:.1} per 100 km; an average driver has {:.1}.",
            seen.amount,
            factor.noun,
            seen.exposure * 100.0,
            seen.plain(),
            factor.average
        ),
        _ => format!(
            "{:.1} % of {:.1} hours were {}; an average driver has {:.1} %.",
            seen.plain() * 100.0,
            seen.exposure,
            factor.noun,
            factor.average * 100.0
        ),
    }
}
