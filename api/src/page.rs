//! Lists: a page at a time, with an opaque cursor to the next.

use odograph_store::{Cursor, Listed, Page};
use serde::Serialize;
use utoipa::ToSchema;

use crate::extract::query::Fields;

const DEFAULT_LIMIT: u16 = 50;
const HIGHEST_LIMIT: u16 = 200;

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct List<T> {
    pub(crate) items: Vec<T>,
    /// Give it as `cursor` to get the next page; null on the last.
    pub(crate) next_cursor: Option<String>,
}

impl<T> List<T> {
    pub(crate) fn of<R>(listed: Listed<R>, view: impl FnMut(R) -> T) -> Self {
        Self {
            items: listed.items.into_iter().map(view).collect(),
            next_cursor: listed.next.map(|cursor| cursor.to_string()),
        }
    }
}

/// Reads `limit` and `cursor`.
pub(crate) fn page(fields: &mut Fields, limit: Option<&str>, cursor: Option<&str>) -> Page {
    let limit = match limit.map(str::parse::<u16>) {
        None => DEFAULT_LIMIT,
        Some(Ok(limit)) if (1..=HIGHEST_LIMIT).contains(&limit) => limit,
        Some(_) => {
            let given = limit.unwrap_or_default();
            fields.wrong(
                "limit",
                format!("wanted a whole number from 1 to {HIGHEST_LIMIT}, got {given:?}"),
            );
            DEFAULT_LIMIT
        }
    };
    let after = cursor.and_then(|text| match text.parse::<Cursor>() {
        Ok(cursor) => Some(cursor),
        Err(_) => {
            fields.wrong("cursor", "wanted the next_cursor of an earlier page, as it was");
            None
        }
    });
    Page { after, limit }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_has_bounds() {
        let mut fields = Fields::of_query();
        assert_eq!(page(&mut fields, None, None).limit, 50);
        assert_eq!(page(&mut fields, Some("200"), None).limit, 200);
        assert!(fields.finish().is_ok());
        for wrong in ["0", "201", "-1", "ten", ""] {
            let mut fields = Fields::of_query();
            page(&mut fields, Some(wrong), None);
            assert_eq!(fields.finish().unwrap_err().errors()[0].field, "limit");
        }
    }

    #[test]
    fn a_made_up_cursor_is_refused() {
        for wrong in ["", "abc", "AAAA", "💥"] {
            let mut fields = Fields::of_query();
            page(&mut fields, None, Some(wrong));
            assert_eq!(fields.finish().unwrap_err().errors()[0].field, "cursor", "{wrong}");
        }
    }
}
