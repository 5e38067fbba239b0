//! Who may do what: one table of every operation, with the scopes it needs.
//!
//! The authentication middleware, the security requirements of the OpenAPI document and the tests all read this table. An
//! operation that is not in it is not served. What else an operation has to answer is in [`checklist`].

mod checklist;
mod matrix;

use std::fmt;

use actix_web::http::Method;

pub use matrix::{audited_as, contradictions, document};

macro_rules! scopes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $says:literal;)*) => {
        /// What a token may be used for.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Scope {
            $($(#[$doc])* $variant,)*
        }

        impl Scope {
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// One sentence for the documentation.
            pub const fn description(self) -> &'static str {
                match self { $(Self::$variant => $says,)* }
            }

            pub fn parse(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

scopes! {
    TelemetryWrite = "telemetry:write", "Send telemetry batches.";
    VehiclesRead = "vehicles:read", "Read vehicles, their devices and who is assigned to them.";
    VehiclesWrite = "vehicles:write", "Register vehicles and devices, assign drivers.";
    DriversRead = "drivers:read", "Read drivers, without their identity.";
    DriversWrite = "drivers:write", "Register drivers.";
    /// Apart from `drivers:read`: most who look at driving have no need to know whose it is.
    DriversIdentity = "drivers:identity", "Give and read names, e-mail addresses and telephone numbers of drivers.";
    PoliciesRead = "policies:read", "Read policies.";
    PoliciesWrite = "policies:write", "Write policies.";
    PlansRead = "plans:read", "Read rating plans.";
    PlansWrite = "plans:write", "File rating plans and new versions of them.";
    TripsRead = "trips:read", "Read trips, their features and events, without the track.";
    /// Where somebody was, second by second: a class of its own.
    TracksRead = "tracks:read", "Read raw tracks: positions and every other sample.";
    ScoresRead = "scores:read", "Read scores with their reasons.";
    PremiumsRead = "premiums:read", "Read usage days and premiums with their traces.";
    PremiumsWrite = "premiums:write", "Rate a period on demand, and quote.";
    DeadLettersRead = "deadletters:read", "Read what could not be used, and the counts of outcomes.";
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

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
}

impl Access {
    pub(crate) fn required(self) -> Option<Scope> {
        match self {
            Self::Public => None,
            Self::Scope(scope) | Self::Widened(scope, _) => Some(scope),
        }
    }

    /// What opens the operation, then what widens it.
    pub(crate) fn scopes(self) -> Vec<Scope> {
        match self {
            Self::Public => Vec::new(),
            Self::Scope(scope) => vec![scope],
            Self::Widened(scope, more) => vec![scope, more],
        }
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

const fn operation_of(method: Verb, path: &'static str, id: &'static str, access: Access) -> Operation {
    Operation {
        method,
        path,
        id,
        access,
    }
}

const fn get(path: &'static str, id: &'static str, access: Access) -> Operation {
    operation_of(Verb::Get, path, id, access)
}

const fn post(path: &'static str, id: &'static str, access: Access) -> Operation {
    operation_of(Verb::Post, path, id, access)
}

#[allow(dead_code)]
const fn put(path: &'static str, id: &'static str, access: Access) -> Operation {
    operation_of(Verb::Put, path, id, access)
}

const fn patch(path: &'static str, id: &'static str, access: Access) -> Operation {
    operation_of(Verb::Patch, path, id, access)
}

#[allow(dead_code)]
const fn delete(path: &'static str, id: &'static str, access: Access) -> Operation {
    operation_of(Verb::Delete, path, id, access)
}

use Access::{Public, Widened};

const fn needs(scope: Scope) -> Access {
    Access::Scope(scope)
}

/// Every operation of the API.
pub(crate) const OPERATIONS: &[Operation] = &[
    post("/v1/oauth/token", "issue_token", Public),
    get("/.well-known/jwks.json", "get_jwks", Public),
    get("/healthz", "get_liveness", Public),
    get("/readyz", "get_readiness", Public),
    get("/openapi.json", "get_openapi", Public),
    post("/v1/telemetry/batches", "send_batch", needs(Scope::TelemetryWrite)),
    post("/v1/vehicles", "create_vehicle", needs(Scope::VehiclesWrite)),
    get("/v1/vehicles", "list_vehicles", needs(Scope::VehiclesRead)),
    get("/v1/vehicles/{vehicle}", "get_vehicle", needs(Scope::VehiclesRead)),
    patch("/v1/vehicles/{vehicle}", "update_vehicle", needs(Scope::VehiclesWrite)),
    post(
        "/v1/vehicles/{vehicle}/assignments",
        "create_assignment",
        needs(Scope::VehiclesWrite),
    ),
    get(
        "/v1/vehicles/{vehicle}/assignments",
        "list_assignments",
        needs(Scope::VehiclesRead),
    ),
    post(
        "/v1/vehicles/{vehicle}/devices",
        "create_device",
        needs(Scope::VehiclesWrite),
    ),
    get(
        "/v1/vehicles/{vehicle}/devices",
        "list_devices",
        needs(Scope::VehiclesRead),
    ),
    post(
        "/v1/drivers",
        "create_driver",
        Widened(Scope::DriversWrite, Scope::DriversIdentity),
    ),
    get("/v1/drivers", "list_drivers", needs(Scope::DriversRead)),
    get(
        "/v1/drivers/{driver}",
        "get_driver",
        Widened(Scope::DriversRead, Scope::DriversIdentity),
    ),
    get("/v1/drivers/{driver}/score", "get_score", needs(Scope::ScoresRead)),
    get("/v1/drivers/{driver}/scores", "list_scores", needs(Scope::ScoresRead)),
    post("/v1/policies", "create_policy", needs(Scope::PoliciesWrite)),
    get("/v1/policies", "list_policies", needs(Scope::PoliciesRead)),
    get("/v1/policies/{policy}", "get_policy", needs(Scope::PoliciesRead)),
    patch("/v1/policies/{policy}", "update_policy", needs(Scope::PoliciesWrite)),
    post(
        "/v1/policies/{policy}/changes",
        "change_policy",
        needs(Scope::PoliciesWrite),
    ),
    get(
        "/v1/policies/{policy}/changes",
        "list_policy_changes",
        needs(Scope::PoliciesRead),
    ),
    post(
        "/v1/policies/{policy}/cancellation",
        "cancel_policy",
        needs(Scope::PoliciesWrite),
    ),
    get("/v1/policies/{policy}/usage", "list_usage", needs(Scope::PremiumsRead)),
    get(
        "/v1/policies/{policy}/premiums",
        "list_premiums",
        needs(Scope::PremiumsRead),
    ),
    post(
        "/v1/policies/{policy}/premiums",
        "rate_premium",
        needs(Scope::PremiumsWrite),
    ),
    get(
        "/v1/policies/{policy}/score",
        "get_policy_score",
        needs(Scope::ScoresRead),
    ),
    post(
        "/v1/policies/{policy}/quotes",
        "quote_policy_change",
        needs(Scope::PremiumsWrite),
    ),
    post("/v1/quotes", "create_quote", needs(Scope::PremiumsWrite)),
    get("/v1/quotes", "list_quotes", needs(Scope::PremiumsRead)),
    get("/v1/quotes/{quote}", "get_quote", needs(Scope::PremiumsRead)),
    get("/v1/usage", "list_all_usage", needs(Scope::PremiumsRead)),
    get("/v1/premiums", "list_all_premiums", needs(Scope::PremiumsRead)),
    get("/v1/premiums/{premium}", "get_premium", needs(Scope::PremiumsRead)),
    post("/v1/rating-plans", "create_rating_plan", needs(Scope::PlansWrite)),
    get("/v1/rating-plans", "list_rating_plans", needs(Scope::PlansRead)),
    get("/v1/rating-plans/{plan}", "get_rating_plan", needs(Scope::PlansRead)),
    post(
        "/v1/rating-plans/{plan}/versions",
        "add_rating_plan_version",
        needs(Scope::PlansWrite),
    ),
    get("/v1/trips", "list_trips", needs(Scope::TripsRead)),
    get("/v1/trips/{trip}", "get_trip", needs(Scope::TripsRead)),
    get("/v1/trips/{trip}/track", "get_track", needs(Scope::TracksRead)),
    get("/v1/dead-letters", "list_dead_letters", needs(Scope::DeadLettersRead)),
    get(
        "/v1/dead-letters/{dead_letter}",
        "get_dead_letter",
        // The payload can hold positions.
        Widened(Scope::DeadLettersRead, Scope::TracksRead),
    ),
    get("/v1/outcomes", "get_outcomes", needs(Scope::DeadLettersRead)),
];

/// What of the table answers at a route pattern to a method.
pub(crate) fn operation(method: &Method, pattern: &str) -> Option<&'static Operation> {
    OPERATIONS
        .iter()
        .find(|operation| operation.path == pattern && operation.method.as_str() == method.as_str())
}

/// The methods a route pattern answers to, as the `Allow` header wants them; empty where it is no route.
pub(crate) fn allowed_methods(pattern: &str) -> String {
    let methods: Vec<_> = OPERATIONS
        .iter()
        .filter(|operation| operation.path == pattern)
        .map(|o| o.method.as_str())
        .collect();
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
            match operation.access {
                Access::Public => {}
                Access::Scope(scope) => drop(used.insert(scope)),
                Access::Widened(one, two) => used.extend([one, two]),
            }
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
    fn public_is_what_tells_nothing_of_a_tenant() {
        let public: Vec<_> = OPERATIONS.iter().filter(|o| o.access == Public).map(|o| o.id).collect();
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
