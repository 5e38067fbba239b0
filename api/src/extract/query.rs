//! Query parameters. Each endpoint's struct takes them as text and denies unknown ones; the reader here turns text into values
//! and gathers what is wrong with all of them, so that a caller sees every error at once.

use std::{
    fmt,
    future::{Ready, ready},
    str::FromStr,
};

use actix_web::{FromRequest, HttpRequest, dev::Payload, error::QueryPayloadError};
use chrono::{DateTime, NaiveDate, Utc};
use serde::de::DeserializeOwned;

use super::value::{Day, Instant};
use crate::problem::{Code, FieldProblem, Problem};

#[derive(Debug)]
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest for Query<T> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let parsed = actix_web::web::Query::<T>::from_query(request.query_string());
        ready(match parsed {
            Ok(query) => Ok(Self(query.into_inner())),
            Err(QueryPayloadError::Deserialize(error)) => Err(Problem::new(Code::InvalidQuery, error.to_string())),
            Err(error) => Err(Problem::new(Code::InvalidQuery, "the query cannot be read").because(error)),
        })
    }
}

/// Reads the fields of a request, gathering the errors.
#[derive(Debug)]
pub(crate) struct Fields {
    code: Code,
    errors: Vec<FieldProblem>,
}

impl Fields {
    pub(crate) fn of_query() -> Self {
        Self {
            code: Code::InvalidQuery,
            errors: Vec::new(),
        }
    }

    pub(crate) fn of_body() -> Self {
        Self {
            code: Code::InvalidBody,
            errors: Vec::new(),
        }
    }

    pub(crate) fn wrong(&mut self, field: &str, detail: impl Into<String>) {
        self.errors.push(FieldProblem {
            field: field.to_owned(),
            detail: detail.into(),
        });
    }

    /// The value as its type reads it, whose error says what was wanted.
    pub(crate) fn parse<T>(&mut self, field: &str, given: Option<&str>) -> Option<T>
    where
        T: FromStr,
        T::Err: fmt::Display,
    {
        match given?.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.wrong(field, error.to_string());
                None
            }
        }
    }

    pub(crate) fn date(&mut self, field: &str, given: Option<&str>) -> Option<NaiveDate> {
        self.parse::<Day>(field, given).map(|day| day.0)
    }

    pub(crate) fn instant(&mut self, field: &str, given: Option<&str>) -> Option<DateTime<Utc>> {
        self.parse::<Instant>(field, given).map(|at| at.0)
    }

    /// A range must not end before it begins.
    pub(crate) fn ordered<T: PartialOrd + fmt::Display>(&mut self, from: Option<&T>, to: Option<&T>) {
        if let (Some(from), Some(to)) = (from, to)
            && to < from
        {
            self.wrong("to", format!("wanted `to` not before `from`, got from {from} to {to}"));
        }
    }

    pub(crate) fn finish(self) -> Result<(), Problem> {
        if self.errors.is_empty() {
            Ok(())
        } else {
            Err(Problem::invalid(self.code, self.errors))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_that_ends_before_it_begins_is_refused_by_both_its_ends() {
        let mut fields = Fields::of_query();
        let (early, late) = (
            fields.date("from", Some("2026-01-30")),
            fields.date("to", Some("2026-01-31")),
        );
        for (from, to) in [(&early, &late), (&early, &early), (&None, &late), (&late, &None)] {
            fields.ordered(from.as_ref(), to.as_ref());
        }
        assert!(fields.errors.is_empty(), "{fields:?}");
        fields.ordered(late.as_ref(), early.as_ref());
        let told = &fields.errors[0].detail;
        assert!(told.contains("from 2026-01-31 to 2026-01-30"), "{told}");
    }

    #[test]
    fn all_errors_are_gathered() {
        let mut fields = Fields::of_query();
        assert_eq!(
            fields.date("from", Some("2026-01-31")).unwrap().to_string(),
            "2026-01-31"
        );
        assert_eq!(fields.date("none", None), None);
        assert_eq!(fields.date("to", Some("2026-02-30")), None);
        assert_eq!(fields.instant("at", Some("2026-01-31 07:15")), None);
        let problem = fields.finish().unwrap_err();
        let wrong: Vec<_> = problem.errors().iter().map(|error| error.field.as_str()).collect();
        assert_eq!((problem.code(), wrong), (Code::InvalidQuery, vec!["to", "at"]));
    }
}
