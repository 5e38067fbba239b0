//! Who may do what: one table of every operation, with the scopes it needs.
//!
//! The authentication middleware, the security requirements of the OpenAPI document and the tests all read this table. An
//! operation that is not in it is not served. What else an operation has to answer is in [`checklist`].

mod checklist;
mod matrix;
mod operations;
mod scope;

use actix_web::http::Method;

pub use matrix::{audited_as, contradictions, document};
pub(crate) use operations::OPERATIONS;
pub use scope::Scope;

/// What an operation asks of whoever calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// No token: only what tells nothing of any tenant.
    Public,
    /// A token with this scope.
    Scope(Scope),
    /// A token with this scope; with the second, the answer also holds what the first alone does not show (or the body
    /// may give what it may not without).
    Widened(Scope, Scope),
    /// As `Widened`, with several more scopes, each for a part of its own.
    WidenedBy(Scope, &'static [Scope]),
}

impl Access {
    pub(crate) fn required(self) -> Option<Scope> {
        match self {
            Self::Public => None,
            Self::Scope(scope) | Self::Widened(scope, _) | Self::WidenedBy(scope, _) => Some(scope),
        }
    }

    /// Scopes that open more than the required one.
    pub(crate) fn more(&self) -> &[Scope] {
        match self {
            Self::Public | Self::Scope(_) => &[],
            Self::Widened(_, more) => std::slice::from_ref(more),
            Self::WidenedBy(_, more) => more,
        }
    }

    /// What opens the operation, then what widens it.
    pub(crate) fn scopes(self) -> Vec<Scope> {
        self.required().into_iter().chain(self.more().iter().copied()).collect()
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Operation {
    pub(crate) method: Verb,
    /// The route pattern, as in the OpenAPI document.
    pub(crate) path: &'static str,
    pub(crate) id: &'static str,
    pub(crate) access: Access,
}

/// The methods in use; `http::Method` is no `const`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

impl Verb {
    pub(crate) const fn has_body(self) -> bool {
        matches!(self, Self::Post | Self::Put | Self::Patch)
    }

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// What of the table answers at a route pattern to a method.
pub(crate) fn operation(method: &Method, pattern: &str) -> Option<&'static Operation> {
    OPERATIONS
        .iter()
        .find(|operation| operation.path == pattern && operation.method.as_str() == method.as_str())
}

/// The methods a route pattern answers to, as the `Allow` header wants them; empty where it is no route.
pub(crate) fn allowed_methods(pattern: &str) -> String {
    let mut methods: Vec<_> = OPERATIONS
        .iter()
        .filter(|operation| operation.path == pattern)
        .map(|o| o.method.as_str())
        .collect();
    if methods.contains(&"GET") {
        methods.push("HEAD");
    }
    methods.join(", ")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn scopes_read_back_and_say_what_they_are_for() {
        for scope in Scope::ALL {
            assert_eq!(Scope::parse(scope.as_str()), Some(*scope));
            assert!(scope.description().ends_with('.'));
        }
        assert_eq!(Scope::parse("everything"), None);
    }

    #[test]
    fn every_scope_opens_something_and_no_operation_is_listed_twice() {
        let mut used = BTreeSet::new();
        let mut ids = BTreeSet::new();
        let mut routes = BTreeSet::new();
        for operation in OPERATIONS {
            used.extend(operation.access.required());
            used.extend(operation.access.more());
            assert!(ids.insert(operation.id), "{}", operation.id);
            assert!(
                routes.insert((operation.path, operation.method.as_str())),
                "{}",
                operation.path
            );
        }
        assert_eq!(used, Scope::ALL.iter().copied().collect());
    }

    #[test]
    fn what_is_of_the_platform_is_under_its_own_paths_only() {
        for operation in OPERATIONS {
            let platform = operation.access.required().is_some_and(Scope::is_platform);
            assert_eq!(platform, operation.path.starts_with("/v1/tenants"), "{}", operation.id);
            if let Access::Widened(one, two) = operation.access {
                assert_eq!(one.is_platform(), two.is_platform(), "{}", operation.id);
            }
        }
    }

    #[test]
    fn public_is_what_tells_nothing_of_a_tenant() {
        let public: Vec<_> = OPERATIONS
            .iter()
            .filter(|o| o.access == Access::Public)
            .map(|o| o.id)
            .collect();
        assert_eq!(
            public,
            [
                "issue_token",
                "get_jwks",
                "get_liveness",
                "get_readiness",
                "get_openapi"
            ]
        );
    }
}
