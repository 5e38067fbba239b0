//! Ids in paths. What cannot be an id or an external reference names nothing, so it answers as what does not exist.

use actix_web::web;
use odograph_domain::id::IdOrRef;
use uuid::Uuid;

use crate::problem::Problem;

pub(crate) type Segment = web::Path<String>;
pub(crate) type Segments2 = web::Path<(String, String)>;
pub(crate) type Segments3 = web::Path<(String, String, String)>;

/// An id or an external reference.
pub(crate) fn id_or_ref<T: From<Uuid>>(kind: &str, given: &str) -> Result<IdOrRef<T>, Problem> {
    given.parse().map_err(|_| Problem::not_found(kind, given))
}

/// An id of what has no external reference.
pub(crate) fn id<T: From<Uuid>>(kind: &str, given: &str) -> Result<T, Problem> {
    Uuid::try_parse(given)
        .map(T::from)
        .map_err(|_| Problem::not_found(kind, given))
}
