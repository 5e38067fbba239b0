//! From features to a score.

use chrono::NaiveDate;
use odograph_domain::{
    features::TripFeatures,
    score::{ModelRef, Score},
};

pub mod expert;

/// A model that scores a driver's behaviour. Pure: the order in which trips are given does not matter.
pub trait ScoreModel: Send + Sync {
    fn model(&self) -> &ModelRef;

    /// Insured-local days the model looks back over, the day scored included.
    fn window_days(&self) -> u16;

    /// The score on `as_of`, from trips with the insured-local day each began. Trips outside the window, and trips whose
    /// behaviour may not be kept, are left out. `None` where too little was driven to say anything.
    fn score(&self, as_of: NaiveDate, trips: &[(NaiveDate, &TripFeatures)]) -> Option<Score>;
}
