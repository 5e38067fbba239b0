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
    /// What may change by date.
    pub terms: DatedTerms,
    pub currency: Currency,
    /// Of the insured: days, nights and months are local to it.
    pub time_zone: Tz,
    /// First insured-local day of cover.
    pub starts_on: NaiveDate,
    /// First insured-local day without cover; `None` while it runs on. On the first day of cover where the policy was
    /// cancelled from its beginning: it covers nothing.
    pub ends_on: Option<NaiveDate>,
}

impl Policy {
    /// Whether the policy covers this insured-local day.
    pub fn covers(&self, day: NaiveDate) -> bool {
        self.starts_on <= day && self.ends_on.is_none_or(|end| day < end)
    }

    /// The days of the month that the policy covers, by the terms they are under, the earliest first. Terms that say the
    /// same are one stretch, however often they were written down.
    pub fn stretches(&self, month: Month) -> Vec<Stretch<'_>> {
        let first = self.starts_on.max(month.first_day());
        let end = self.ends_on.map_or(month.end(), |end| end.min(month.end()));
        self.terms.between(first, end)
    }

    /// The last day of the month that the policy covers, if it covers any.
    pub fn last_covered_day(&self, month: Month) -> Option<NaiveDate> {
        self.stretches(month).last().map(|stretch| stretch.last)
    }

    /// How many days of the month the policy covers.
    pub fn covered_days(&self, month: Month) -> u32 {
        self.stretches(month).iter().map(Stretch::days).sum()
    }

    pub fn covers_instant(&self, at: DateTime<Utc>) -> bool {
        self.covers(at.with_timezone(&self.time_zone).date_naive())
    }

    /// The terms on a day; before the cover the first ones, after it the last.
    pub fn terms_on(&self, day: NaiveDate) -> &PolicyTerms {
        let last = self.ends_on.map_or(day, |end| end - Days::new(1));
        self.terms.on(day.min(last).max(self.starts_on))
    }
}

/// What a policy says from a day on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyTerms {
    /// First insured-local day.
    pub from: NaiveDate,
    pub product: Product,
    pub plan: RatingPlanId,
    /// Who drives when nothing else says so.
    pub main_driver: Option<DriverId>,
}

/// What a change says of a policy's terms from a day on. What it does not say stays, also through changes filed later for
/// earlier days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TermsChange {
    pub from: NaiveDate,
    pub product: Option<Product>,
    pub plan: Option<RatingPlanId>,
    /// `Some(None)`: from then on nobody.
    pub main_driver: Option<Option<DriverId>>,
}

/// The terms of a policy by date: at least those it began with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatedTerms {
    first: PolicyTerms,
    /// Each later than the one before, and different from it.
    later: Vec<PolicyTerms>,
}

/// Consecutive days under the same terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch<'a> {
    pub first: NaiveDate,
    /// Inclusive.
    pub last: NaiveDate,
    pub terms: &'a PolicyTerms,
}

impl Stretch<'_> {
    pub fn days(&self) -> u32 {
        ((self.last - self.first).num_days() + 1).max(0) as u32
    }
}

impl PolicyTerms {
    fn changed(self, change: &TermsChange) -> Self {
        Self {
            from: self.from.max(change.from),
            product: change.product.unwrap_or(self.product),
            plan: change.plan.unwrap_or(self.plan),
            main_driver: change.main_driver.unwrap_or(self.main_driver),
        }
    }

    /// Whether they say the same, whenever it is from.
    pub fn says_as(&self, other: &Self) -> bool {
        *self
            == Self {
                from: self.from,
                ..*other
            }
    }
}

impl DatedTerms {
    pub fn new(first: PolicyTerms) -> Self {
        Self {
            first,
            later: Vec::new(),
        }
    }

    /// The first terms with all changes made to them, given in the order they were filed. Of two for one day the later filed
    /// has the last word.
    pub fn of(first: PolicyTerms, changes: &[TermsChange]) -> Self {
        let mut changes: Vec<&TermsChange> = changes.iter().collect();
        changes.sort_by_key(|change| change.from);
        let mut terms = vec![first];
        for change in changes {
            let before = terms.last().copied().unwrap_or(first);
            let after = before.changed(change);
            if after.from == before.from {
                terms.pop();
            }
            terms.push(after);
        }
        terms.dedup_by(|after, before| after.says_as(before));
        let first = terms.remove(0);
        Self { first, later: terms }
    }

    /// All of them, the earliest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &PolicyTerms> {
        std::iter::once(&self.first).chain(&self.later)
    }

    pub fn last(&self) -> &PolicyTerms {
        self.later.last().unwrap_or(&self.first)
    }

    pub fn on(&self, day: NaiveDate) -> &PolicyTerms {
        self.iter().rfind(|terms| terms.from <= day).unwrap_or(&self.first)
    }

    /// The days from one until another (exclusive) by the terms they are under.
    pub fn between(&self, first: NaiveDate, end: NaiveDate) -> Vec<Stretch<'_>> {
        let ends = self.later.iter().map(|terms| terms.from).chain([end]);
        self.iter()
            .zip(ends)
            .enumerate()
            .map(|(at, (terms, until))| {
                let from = if at == 0 { first } else { terms.from.max(first) };
                (from, until.min(end), terms)
            })
            .filter(|(from, until, _)| from < until)
            .map(|(first, until, terms)| Stretch {
                first,
                last: until - Days::new(1),
                terms,
            })
            .collect()
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

    fn terms(from: &str, product: Product, driver: u128) -> PolicyTerms {
        PolicyTerms {
            from: day(from),
            product,
            plan: uuid::Uuid::from_u128(1).into(),
            main_driver: Some(uuid::Uuid::from_u128(driver).into()),
        }
    }

    fn change(from: &str) -> TermsChange {
        TermsChange {
            from: day(from),
            product: None,
            plan: None,
            main_driver: None,
        }
    }

    #[test]
    fn terms_change_by_date_whatever_the_order_they_were_filed_in() {
        let first = terms("2026-01-10", Product::Payd, 1);
        let to_phyd = TermsChange {
            product: Some(Product::Phyd),
            ..change("2026-03-15")
        };
        let to_nobody = TermsChange {
            main_driver: Some(None),
            ..change("2026-02-01")
        };
        for filed in [[to_phyd, to_nobody], [to_nobody, to_phyd]] {
            let dated = DatedTerms::of(first, &filed);
            let seen: Vec<_> = dated
                .iter()
                .map(|terms| (terms.from.to_string(), terms.product, terms.main_driver.is_some()))
                .collect();
            assert_eq!(
                seen,
                [
                    ("2026-01-10".to_owned(), Product::Payd, true),
                    ("2026-02-01".to_owned(), Product::Payd, false),
                    ("2026-03-15".to_owned(), Product::Phyd, false),
                ]
            );
            assert_eq!(dated.on(day("2026-03-14")).product, Product::Payd);
            assert_eq!(dated.on(day("2020-01-01")).from, day("2026-01-10"));
        }
        // The last word on a day counts; a change to what is there already is none.
        let back = TermsChange {
            product: Some(Product::Payd),
            ..change("2026-03-15")
        };
        assert_eq!(DatedTerms::of(first, &[to_phyd, back]), DatedTerms::new(first));
        // From the first day: the policy never was otherwise.
        let at_first = TermsChange {
            product: Some(Product::Phyd),
            ..change("2026-01-10")
        };
        assert_eq!(
            DatedTerms::of(first, &[at_first]),
            DatedTerms::new(terms("2026-01-10", Product::Phyd, 1))
        );
    }

    #[test]
    fn a_month_falls_into_stretches() {
        let phyd = TermsChange {
            product: Some(Product::Phyd),
            ..change("2026-06-15")
        };
        let policy = Policy {
            id: uuid::Uuid::from_u128(9).into(),
            external_ref: None,
            vehicle: uuid::Uuid::from_u128(8).into(),
            terms: DatedTerms::of(terms("2026-06-03", Product::Payd, 1), &[phyd, change("2026-06-20")]),
            currency: Currency::parse("EUR").unwrap(),
            time_zone: Tz::Europe__Berlin,
            starts_on: day("2026-06-03"),
            ends_on: Some(day("2026-07-11")),
        };
        let days = |month: &str| -> Vec<(String, String, Product)> {
            let stretches = policy.stretches(month.parse().unwrap());
            let told = stretches
                .iter()
                .map(|s| (s.first.to_string(), s.last.to_string(), s.terms.product));
            told.collect()
        };
        let stretch = |first: &str, last: &str, product| (first.to_owned(), last.to_owned(), product);
        assert_eq!(
            days("2026-06"),
            [
                stretch("2026-06-03", "2026-06-14", Product::Payd),
                stretch("2026-06-15", "2026-06-30", Product::Phyd)
            ]
        );
        assert_eq!(days("2026-07"), [stretch("2026-07-01", "2026-07-10", Product::Phyd)]);
        assert_eq!((days("2026-05"), days("2026-08")), (vec![], vec![]));
        assert_eq!(policy.covered_days("2026-06".parse().unwrap()), 28);
        let never = Policy {
            ends_on: Some(policy.starts_on),
            ..policy.clone()
        };
        assert!(never.stretches("2026-06".parse().unwrap()).is_empty() && !never.covers(policy.starts_on));
        assert_eq!(never.terms_on(day("2026-06-10")).product, Product::Payd);
    }
}
