//! The days a report is about.

use std::{fmt, str::FromStr};

use chrono::{Days, Months, NaiveDate};
use odograph_domain::policy::Month;

use crate::problem::shown;

/// Longest span of a report, days.
const MOST_DAYS: i64 = 800;

/// Insured-local days, both inclusive, under the name they were asked for by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Period {
    pub from: NaiveDate,
    pub to: NaiveDate,
    label: String,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeriodError {
    #[error("wanted a month (2026-05), a quarter (2026-Q2), a year (2026) or days (2026-05-01..2026-05-31), got {0:?}")]
    Unread(String),
    #[error("the last day {to} is before the first, {from}")]
    Backwards { from: NaiveDate, to: NaiveDate },
    #[error("a report spans {MOST_DAYS} days at most, these are {0}")]
    TooLong(i64),
}

impl Period {
    pub fn days(&self) -> i64 {
        (self.to - self.from).num_days() + 1
    }

    /// The calendar months that have a day in it, in order.
    pub fn months(&self) -> Vec<Month> {
        let mut months = Vec::new();
        let mut first = Month::of(self.from).first_day();
        while first <= self.to {
            months.push(Month::of(first));
            first = first + Months::new(1);
        }
        months
    }

    fn of(label: &str, from: NaiveDate, months: u32) -> Option<Self> {
        Some(Self {
            from,
            to: from.checked_add_months(Months::new(months))? - Days::new(1),
            label: label.to_owned(),
        })
    }
}

fn number(text: &str, digits: usize) -> Option<u32> {
    (text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| text.parse().ok())
        .flatten()
}

/// A year that calendars, databases and time zones all hold.
fn year(text: &str) -> Option<i32> {
    let year = number(text, 4)? as i32;
    (1900..=2200).contains(&year).then_some(year)
}

fn day(text: &str) -> Option<NaiveDate> {
    year(text.get(..4)?)?;
    (text.len() == 10).then(|| text.parse().ok()).flatten()
}

fn calendar(text: &str) -> Option<Period> {
    match text.split_once('-') {
        None => Period::of(text, NaiveDate::from_ymd_opt(year(text)?, 1, 1)?, 12),
        Some((of, part)) => match part.strip_prefix('Q') {
            Some(quarter) => {
                let first = number(quarter, 1)?.checked_sub(1)? * 3 + 1;
                Period::of(text, NaiveDate::from_ymd_opt(year(of)?, first, 1)?, 3)
            }
            None => Period::of(text, NaiveDate::from_ymd_opt(year(of)?, number(part, 2)?, 1)?, 1),
        },
    }
}

impl FromStr for Period {
    type Err = PeriodError;

    fn from_str(text: &str) -> Result<Self, PeriodError> {
        let unread = || PeriodError::Unread(shown(text).into_owned());
        let Some((from, to)) = text.split_once("..") else {
            return calendar(text).ok_or_else(unread);
        };
        let (from, to) = day(from).zip(day(to)).ok_or_else(unread)?;
        let period = Self {
            from,
            to,
            label: format!("{from} to {to}"),
        };
        match period.days() {
            ..=0 => Err(PeriodError::Backwards { from, to }),
            days if days > MOST_DAYS => Err(PeriodError::TooLong(days)),
            _ => Ok(period),
        }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.label)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (String, String, i64) {
        let period: Period = text.parse().unwrap();
        (period.from.to_string(), period.to.to_string(), period.days())
    }

    #[test]
    fn months_quarters_years_and_days() {
        assert_eq!(read("2024-02"), ("2024-02-01".into(), "2024-02-29".into(), 29));
        assert_eq!(read("2026-Q4"), ("2026-10-01".into(), "2026-12-31".into(), 92));
        assert_eq!(read("2026"), ("2026-01-01".into(), "2026-12-31".into(), 365));
        assert_eq!(
            read("2026-05-04..2026-05-04"),
            ("2026-05-04".into(), "2026-05-04".into(), 1)
        );
        let quarter: Period = "2026-Q1".parse().unwrap();
        let months: Vec<_> = quarter.months().iter().map(Month::to_string).collect();
        assert_eq!(months, ["2026-01", "2026-02", "2026-03"]);
        let over: Period = "2026-01-31..2026-02-01".parse().unwrap();
        assert_eq!(over.months().len(), 2);
    }

    #[test]
    fn what_is_no_period_is_told_what_one_is() {
        for wrong in [
            "",
            "26",
            "2026-13",
            "2026-Q5",
            "2026-Q0",
            "2026-5",
            "2026-Q",
            "9999",
            "2026-05-01",
            "2026-05-01..",
            "..",
            "2026-02-30..2026-03-01",
            "9999-01-01..9999-01-02",
            "é026",
            "2026-0é",
        ] {
            let error = wrong.parse::<Period>().unwrap_err().to_string();
            assert!(error.starts_with("wanted a month"), "{wrong}: {error}");
        }
        let error = "2026-05-02..2026-05-01".parse::<Period>().unwrap_err();
        assert!(matches!(error, PeriodError::Backwards { .. }));
        let error = "2020-01-01..2026-01-01".parse::<Period>().unwrap_err();
        assert!(matches!(error, PeriodError::TooLong(_)));
    }
}
