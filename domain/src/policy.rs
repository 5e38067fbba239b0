//! Policies and the periods they are charged for.

use std::{fmt, str::FromStr};

use chrono::{DateTime, Datelike, Days, LocalResult, Months, NaiveDate, NaiveTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use crate::{
    id::{DriverId, ExternalRef, PolicyId, RatingPlanId, VehicleId},
    money::Currency,
    outcome::named,
};

named! {
    Product {
        /// Pay as you drive: by distance alone. No behaviour is kept.
        Payd = "payd",
        /// Pay how you drive: by distance and behaviour.
        Phyd = "phyd",
    }
}

impl Product {
    pub fn allows_behaviour(self) -> bool {
        matches!(self, Self::Phyd)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    pub id: PolicyId,
    pub external_ref: Option<ExternalRef>,
    pub vehicle: VehicleId,
    /// Who drives when nothing else says so.
    pub main_driver: Option<DriverId>,
    pub product: Product,
    pub plan: RatingPlanId,
    pub currency: Currency,
    /// Of the insured: days, nights and months are local to it.
    pub time_zone: Tz,
    /// First insured-local day of cover.
    pub starts_on: NaiveDate,
    /// First insured-local day without cover; `None` while it runs on.
    pub ends_on: Option<NaiveDate>,
}

impl Policy {
    /// Whether the policy covers this insured-local day.
    pub fn covers(&self, day: NaiveDate) -> bool {
        self.starts_on <= day && self.ends_on.is_none_or(|end| day < end)
    }

    /// The last day of the month that the policy covers, if it covers any.
    pub fn last_covered_day(&self, month: Month) -> Option<NaiveDate> {
        let end = self.ends_on.map_or(month.end(), |end| end.min(month.end()));
        (self.starts_on.max(month.first_day()) < end).then(|| end - Days::new(1))
    }

    /// How many days of the month the policy covers.
    pub fn covered_days(&self, month: Month) -> u32 {
        let end = self.ends_on.map_or(month.end(), |end| end.min(month.end()));
        (end - self.starts_on.max(month.first_day())).num_days().max(0) as u32
    }

    pub fn covers_instant(&self, at: DateTime<Utc>) -> bool {
        self.covers(at.with_timezone(&self.time_zone).date_naive())
    }
}

/// A calendar month, insured-local: the period a premium is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Month {
    first: NaiveDate,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a period is a month written YYYY-MM, got {0:?}")]
pub struct MonthError(String);

impl Month {
    /// The month a day lies in.
    pub fn of(day: NaiveDate) -> Self {
        Self {
            first: day - Days::new(u64::from(day.day0())),
        }
    }

    pub fn first_day(self) -> NaiveDate {
        self.first
    }

    /// The first day of the next month.
    pub fn end(self) -> NaiveDate {
        self.first + Months::new(1)
    }

    pub fn days(self) -> u32 {
        (self.end() - self.first).num_days() as u32
    }
}

impl FromStr for Month {
    type Err = MonthError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let sound = text.len() == 7 && text.as_bytes()[..4].iter().all(u8::is_ascii_digit);
        sound
            .then(|| NaiveDate::parse_from_str(&format!("{text}-01"), "%Y-%m-%d").ok())
            .flatten()
            .map(|first| Self { first })
            .ok_or_else(|| MonthError(text.chars().take(40).collect()))
    }
}

impl TryFrom<String> for Month {
    type Error = MonthError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Month> for String {
    fn from(month: Month) -> Self {
        month.to_string()
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.first.format("%Y-%m"))
    }
}

/// The instant an insured-local day begins. Where the clock is put forward over midnight the day begins at the first
/// moment that exists; where it is put back, at the first of the two.
pub fn start_of_day(day: NaiveDate, zone: Tz) -> DateTime<Utc> {
    let midnight = day.and_time(NaiveTime::MIN);
    // No zone skips more than a day; the step is finer than any offset in the tz database.
    for quarter_hours in 0..=96 {
        match zone.from_local_datetime(&(midnight + TimeDelta::minutes(15 * quarter_hours))) {
            LocalResult::Single(at) | LocalResult::Ambiguous(at, _) => return at.with_timezone(&Utc),
            LocalResult::None => {}
        }
    }
    midnight.and_utc()
}

/// UTC bounds of an insured-local day, end exclusive. 23, 24 or 25 hours apart, as the clocks have it.
pub fn day_bounds(day: NaiveDate, zone: Tz) -> (DateTime<Utc>, DateTime<Utc>) {
    (start_of_day(day, zone), start_of_day(day + Days::new(1), zone))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    #[test]
    fn months() {
        let month: Month = "2024-02".parse().unwrap();
        assert_eq!(
            (month.first_day(), month.end(), month.days()),
            (day("2024-02-01"), day("2024-03-01"), 29)
        );
        assert_eq!(Month::of(day("2024-02-29")), month);
        assert_eq!(month.to_string(), "2024-02");
        for wrong in ["2024-13", "2024-2", "24-02", "2024-02-01", "+024-02", ""] {
            assert!(wrong.parse::<Month>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn days_have_the_hours_the_clocks_give_them() {
        let hours = |text: &str, zone: Tz| {
            let (from, to) = day_bounds(day(text), zone);
            (to - from).num_hours()
        };
        assert_eq!(hours("2024-03-31", Tz::Europe__Berlin), 23);
        assert_eq!(hours("2024-10-27", Tz::Europe__Berlin), 25);
        // The clocks go forward at midnight: the day begins at one o'clock.
        assert_eq!(hours("2018-11-04", Tz::America__Sao_Paulo), 23);
        assert_eq!(
            start_of_day(day("2018-11-04"), Tz::America__Sao_Paulo).to_rfc3339(),
            "2018-11-04T03:00:00+00:00"
        );
        // Samoa left out this day altogether: it has no hours.
        assert_eq!(hours("2011-12-30", Tz::Pacific__Apia), 0);
    }
}
