//! What the API tells whoever watches it: requests and their answers, and what was turned away at the door.

use std::time::Duration;

use odograph_domain::outcome::Tally;
use tracing::Span;

/// Somebody who watches. Called on the way of every request: it must not wait for anything.
pub trait Watch: Send + Sync {
    /// A request came for the operation of this id, or for `none` that there is, with the trace context that its caller sent. What
    /// serves it runs in the span.
    fn arrived(&self, operation: &'static str, request_id: &str, traceparent: Option<&str>) -> Span;

    /// The trace context to hand on with what comes of the request, where it is not the caller's own.
    fn traceparent(&self, span: &Span) -> Option<String>;

    fn answered(&self, operation: &'static str, span: &Span, status: u16, took: Duration);

    /// A batch, or a message, was turned away and kept as a dead letter: how its samples ended.
    fn turned_away(&self, tally: &Tally);
}

/// Nobody.
#[derive(Debug, Clone, Copy)]
pub struct Unwatched;

impl Watch for Unwatched {
    fn arrived(&self, _: &'static str, _: &str, _: Option<&str>) -> Span {
        Span::none()
    }

    fn traceparent(&self, _: &Span) -> Option<String> {
        None
    }

    fn answered(&self, _: &'static str, _: &Span, _: u16, _: Duration) {}

    fn turned_away(&self, _: &Tally) {}
}
