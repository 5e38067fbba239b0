//! Lists are read page by page along a stable key, so that nothing is shown twice or passed over while rows come in.

use std::{fmt, str::FromStr};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use uuid::Uuid;

/// Where the last page ended: what the list is sorted by, and an id that settles ties. Opaque to callers.
#[derive(Debug, Clone, PartialEq)]
pub struct Cursor {
    pub(crate) key: Key,
    pub(crate) id: Uuid,
}

/// The last item's value of what a list is sorted by.
#[derive(Debug, Clone, PartialEq)]
pub enum Key {
    /// Whole microseconds, as the database keeps them.
    Time(DateTime<Utc>),
    Text(String),
    Number(f64),
}

impl From<DateTime<Utc>> for Key {
    fn from(at: DateTime<Utc>) -> Self {
        Self::Time(at)
    }
}

impl From<String> for Key {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<f64> for Key {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

/// What a list is sorted by, and which way. Ties are settled by the id, the same way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order<K> {
    pub by: K,
    pub descending: bool,
}

impl<K> Order<K> {
    pub const fn ascending(by: K) -> Self {
        Self { by, descending: false }
    }

    pub const fn descending(by: K) -> Self {
        Self { by, descending: true }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the cursor is none that was given out")]
pub struct CursorError;

/// Longest text of a sort key that a cursor carries; references and names are shorter.
const LONGEST_TEXT: usize = 1024;

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.to_bytes()))
    }
}

impl Cursor {
    /// The id, then a letter for the kind of key, then the key.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.id.as_bytes().to_vec();
        match &self.key {
            Key::Time(at) => {
                bytes.push(b't');
                bytes.extend(at.timestamp_micros().to_be_bytes());
            }
            Key::Text(text) => {
                bytes.push(b's');
                bytes.extend(text.as_bytes());
            }
            Key::Number(number) => {
                bytes.push(b'n');
                bytes.extend(number.to_be_bytes());
            }
        }
        bytes
    }

    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CursorError> {
        let (id, rest) = bytes.split_first_chunk::<16>().ok_or(CursorError)?;
        let (kind, key) = rest.split_first().ok_or(CursorError)?;
        let eight = || <[u8; 8]>::try_from(key).map_err(|_| CursorError);
        let key = match kind {
            b't' => Key::Time(DateTime::from_timestamp_micros(i64::from_be_bytes(eight()?)).ok_or(CursorError)?),
            b's' if key.len() <= LONGEST_TEXT => {
                let text = std::str::from_utf8(key).map_err(|_| CursorError)?;
                if text.contains('\0') {
                    return Err(CursorError);
                }
                Key::Text(text.to_owned())
            }
            b'n' => {
                let number = f64::from_be_bytes(eight()?);
                if !number.is_finite() {
                    return Err(CursorError);
                }
                Key::Number(number)
            }
            _ => return Err(CursorError),
        };
        Ok(Self {
            key,
            id: Uuid::from_bytes(*id),
        })
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        Self::from_bytes(&URL_SAFE_NO_PAD.decode(text).map_err(|_| CursorError)?)
    }
}

/// A day as a place in a list.
pub(crate) fn midnight(day: NaiveDate) -> DateTime<Utc> {
    day.and_time(NaiveTime::MIN).and_utc()
}

#[derive(Debug, Clone, PartialEq)]
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
    /// The key of a list that is sorted by a time.
    pub(crate) fn at(&self) -> Option<DateTime<Utc>> {
        match self.after.as_ref()?.key {
            Key::Time(at) => Some(at),
            _ => None,
        }
    }

    /// The key of a list that is sorted by a text.
    pub fn text(&self) -> Option<&str> {
        match &self.after.as_ref()?.key {
            Key::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The key of a list that is sorted by a number.
    pub fn number(&self) -> Option<f64> {
        match self.after.as_ref()?.key {
            Key::Number(number) => Some(number),
            _ => None,
        }
    }

    pub(crate) fn id(&self) -> Option<Uuid> {
        self.after.as_ref().map(|cursor| cursor.id)
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
    pub(crate) fn cut<K: Into<Key>>(page: &Page, mut items: Vec<T>, key: impl Fn(&T) -> (K, Uuid)) -> Self {
        let limit = usize::from(page.limit.max(1));
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(|last| {
            let (key, id) = key(last);
            Cursor { key: key.into(), id }
        });
        Self { items, next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_its_text_and_nothing_else_reads_as_one() {
        let at = DateTime::from_timestamp_micros(1_700_000_000_123_456).unwrap();
        for key in [
            Key::Time(at),
            Key::Text("fleet-ü".into()),
            Key::Text(String::new()),
            Key::Number(-12.5),
        ] {
            let id = Uuid::from_u128(7);
            let cursor = Cursor { key, id };
            assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }
        let number = |number| {
            Cursor {
                key: Key::Number(number),
                id: Uuid::nil(),
            }
            .to_string()
        };
        let text = |text: &str| {
            Cursor {
                key: Key::Text(text.into()),
                id: Uuid::nil(),
            }
            .to_string()
        };
        for wrong in [
            "",
            "abc",
            "AAAA",
            "!!!!",
            &"A".repeat(33),
            &number(f64::NAN),
            &text("a\0"),
            &text(&"x".repeat(2000)),
        ] {
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
