//! Lists are read page by page along a stable key, so that nothing is shown twice or passed over while rows come in.

use std::{fmt, str::FromStr};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use uuid::Uuid;

/// Where the last page ended: a time (whole microseconds, as the database keeps them) and an id. Opaque to callers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    pub(crate) at: DateTime<Utc>,
    pub(crate) id: Uuid,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the cursor is none that was given out")]
pub struct CursorError;

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = [0; 24];
        bytes[..8].copy_from_slice(&self.at.timestamp_micros().to_be_bytes());
        bytes[8..].copy_from_slice(self.id.as_bytes());
        f.write_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let bytes: [u8; 24] = URL_SAFE_NO_PAD
            .decode(text)
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or(CursorError)?;
        let (at, id) = bytes.split_first_chunk::<8>().ok_or(CursorError)?;
        let at = DateTime::from_timestamp_micros(i64::from_be_bytes(*at)).ok_or(CursorError)?;
        let id = Uuid::from_slice(id).map_err(|_| CursorError)?;
        Ok(Self { at, id })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    pub after: Option<Cursor>,
    /// At most this many items, at least 1.
    pub limit: u16,
}

impl Default for Page {
    fn default() -> Self {
        Self { after: None, limit: 50 }
    }
}

impl Page {
    pub(crate) fn at(&self) -> Option<DateTime<Utc>> {
        self.after.map(|cursor| cursor.at)
    }

    pub(crate) fn id(&self) -> Option<Uuid> {
        self.after.map(|cursor| cursor.id)
    }

    /// One more than asked for: whether it comes tells whether there is a next page.
    pub(crate) fn fetch(&self) -> i64 {
        i64::from(self.limit.max(1)) + 1
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Listed<T> {
    pub items: Vec<T>,
    /// `None` on the last page.
    pub next: Option<Cursor>,
}

impl<T> Listed<T> {
    /// Cuts what was fetched to the page, `key` naming each item's place in the order.
    pub(crate) fn cut(page: &Page, mut items: Vec<T>, key: impl Fn(&T) -> (DateTime<Utc>, Uuid)) -> Self {
        let limit = usize::from(page.limit.max(1));
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(|last| {
            let (at, id) = key(last);
            Cursor { at, id }
        });
        Self { items, next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_its_text_and_nothing_else_reads_as_one() {
        let cursor = Cursor {
            at: DateTime::from_timestamp_micros(1_700_000_000_123_456).unwrap(),
            id: Uuid::from_u128(7),
        };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for wrong in ["", "abc", "AAAA", "!!!!", &"A".repeat(33)] {
            assert_eq!(wrong.parse::<Cursor>(), Err(CursorError), "{wrong}");
        }
    }

    #[test]
    fn the_last_page_has_no_next() {
        let key = |n: &u128| (DateTime::UNIX_EPOCH, Uuid::from_u128(*n));
        let page = Page { after: None, limit: 2 };
        assert_eq!(Listed::cut(&page, vec![1, 2], key).next, None);
        let cut = Listed::cut(&page, vec![1, 2, 3], key);
        assert_eq!((cut.items, cut.next.map(|c| c.id.as_u128())), (vec![1, 2], Some(2)));
    }
}
