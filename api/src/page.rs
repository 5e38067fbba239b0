//! Lists: a page at a time, with an opaque cursor to the next.
//!
//! A cursor is bound to its list: the route, the names in its path, the filters and the order. Given to another list, or to
//! the same one with other filters, it is refused; it would name a place that means nothing there.

use actix_web::dev::ServiceRequest;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use odograph_store::{Cursor, Listed, Order, Page};
use serde::Serialize;
use sha2::{Digest, Sha256};
use utoipa::{
    ToSchema,
    openapi::{Object, ObjectBuilder, Type},
};

use crate::{extract::query::Fields, problem::shown};

const DEFAULT_LIMIT: u16 = 50;
const HIGHEST_LIMIT: u16 = 200;

/// What tells one list from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct ListMark([u8; 8]);

tokio::task_local! {
    /// The list that the request under way asks for. Handlers have no part in it: [`page`] and [`List::of`] read it.
    static ASKED_FOR: ListMark;
}

impl ListMark {
    pub(crate) fn of(request: &ServiceRequest) -> Self {
        Self::new(request.path(), request.query_string())
    }

    fn new(path: &str, query: &str) -> Self {
        let pairs = actix_web::web::Query::<Vec<(String, String)>>::from_query(query);
        // A query that does not read gets no page, so it does not matter what its mark is.
        let mut filters = pairs.map(actix_web::web::Query::into_inner).unwrap_or_default();
        filters.retain(|(name, _)| !matches!(name.as_str(), "cursor" | "limit"));
        filters.sort();
        let mut digest = Sha256::new();
        for part in [path]
            .into_iter()
            .chain(filters.iter().flat_map(|(name, value)| [name.as_str(), value]))
        {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        let digest = digest.finalize();
        Self(std::array::from_fn(|i| digest[i]))
    }

    fn current() -> Self {
        ASKED_FOR.try_with(|mark| *mark).unwrap_or_default()
    }

    /// Runs a handler as the one that answers for this list.
    pub(crate) async fn during<F: Future>(self, handler: F) -> F::Output {
        ASKED_FOR.scope(self, handler).await
    }

    fn bind(self, cursor: &Cursor) -> String {
        BASE64_URL_SAFE_NO_PAD.encode([self.0.as_slice(), &cursor.to_bytes()].concat())
    }

    fn unbind(self, text: &str) -> Result<Cursor, &'static str> {
        const MADE_UP: &str = "wanted the next_cursor of an earlier page, as it was";
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| MADE_UP)?;
        let (mark, cursor) = bytes.split_first_chunk::<8>().ok_or(MADE_UP)?;
        let cursor = Cursor::from_bytes(cursor).map_err(|_| MADE_UP)?;
        if *mark == self.0 {
            Ok(cursor)
        } else {
            Err(
                "this cursor belongs to another list, or to this one with other filters or another order: begin without it",
            )
        }
    }
}

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
            next_cursor: listed.next.map(|cursor| ListMark::current().bind(&cursor)),
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
    let after = cursor.and_then(|text| match ListMark::current().unbind(text) {
        Ok(cursor) => Some(cursor),
        Err(wanted) => {
            fields.wrong("cursor", wanted);
            None
        }
    });
    Page { after, limit }
}

/// What a list can be sorted by: the names callers use, and what the store knows them as.
pub(crate) trait SortKeys: Copy + 'static {
    const NAMES: &'static [(&'static str, Self)];
}

fn names<K: SortKeys>() -> Vec<String> {
    let both = |(name, _): &(&str, K)| [(*name).to_owned(), format!("-{name}")];
    K::NAMES.iter().flat_map(both).collect()
}

/// The schema of a `sort` parameter, with the very names that [`order`] reads. In a query's struct:
/// `#[param(schema_with = page::sort_schema::<VehicleKey>, required = false)] sort: Option<String>`.
pub(crate) fn sort_schema<K: SortKeys>() -> Object {
    let names = names::<K>();
    let example = names.last().cloned();
    ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(names))
        .examples(example)
        .build()
}

/// Reads `sort`: a key's name, with `-` before it for descending. What is not given is `usual`.
pub(crate) fn order<K: SortKeys>(fields: &mut Fields, given: Option<&str>, usual: Order<K>) -> Order<K> {
    let Some(given) = given else { return usual };
    let (name, descending) = match given.strip_prefix('-') {
        Some(name) => (name, true),
        None => (given, false),
    };
    match K::NAMES.iter().find(|(known, _)| *known == name) {
        Some((_, by)) => Order { by: *by, descending },
        None => {
            let names = names::<K>().join(", ");
            fields.wrong("sort", format!("wanted one of {names}, got {:?}", shown(given)));
            usual
        }
    }
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

    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Tree {
        Height,
        Age,
    }

    impl SortKeys for Tree {
        const NAMES: &'static [(&'static str, Self)] = &[("height", Self::Height), ("age", Self::Age)];
    }

    #[test]
    fn an_order_is_one_of_those_declared() {
        let read = |given| {
            let mut fields = Fields::of_query();
            let order = order(&mut fields, given, Order::descending(Tree::Age));
            fields.finish().map(|()| order)
        };
        assert_eq!(read(None).unwrap(), Order::descending(Tree::Age));
        assert_eq!(read(Some("height")).unwrap(), Order::ascending(Tree::Height));
        assert_eq!(read(Some("-height")).unwrap(), Order::descending(Tree::Height));
        for wrong in ["", "-", "--age", "Age", "width"] {
            let problem = read(Some(wrong)).unwrap_err();
            assert_eq!(problem.errors()[0].field, "sort", "{wrong}");
            assert!(
                problem.errors()[0].detail.contains("height, -height, age, -age"),
                "{problem:?}"
            );
        }
        let schema = serde_json::to_value(sort_schema::<Tree>()).unwrap();
        assert_eq!(schema["enum"], serde_json::json!(["height", "-height", "age", "-age"]));
    }

    #[tokio::test]
    async fn a_cursor_belongs_to_its_list_with_its_filters() {
        let given_out = Listed {
            items: vec![()],
            next: Some(Cursor::from_bytes(b"an id, 16 bytes:sfleet-0042").unwrap()),
        };
        let asked = |query: &'static str| ListMark::new("/v1/trips", query);
        let list = asked("driver=d&vehicle=v&limit=1")
            .during(async { List::of(given_out, |()| ()) })
            .await;
        let cursor = list.next_cursor.unwrap();
        let reads = async |mark: ListMark| {
            mark.during(async {
                let mut fields = Fields::of_query();
                let page = page(&mut fields, None, Some(&cursor));
                fields.finish().map(|()| page)
            })
            .await
        };
        // The same filters in another order, another limit, and the cursor itself change nothing.
        assert!(
            reads(asked("limit=50&vehicle=v&cursor=c&driver=d"))
                .await
                .unwrap()
                .after
                .is_some()
        );
        for other in [
            "",
            "driver=d",
            "driver=d&vehicle=w",
            "driver=v&vehicle=d",
            "driver=d&vehicle=v&sort=-start",
        ] {
            let problem = reads(asked(other)).await.unwrap_err();
            assert_eq!(problem.errors()[0].field, "cursor", "{other}");
        }
        assert!(
            reads(ListMark::new("/v1/vehicles", "driver=d&vehicle=v"))
                .await
                .is_err()
        );
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
