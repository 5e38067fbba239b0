//! The HTTP API: the only crate that knows actix-web, utoipa and jsonwebtoken.
//!
//! A request passes [`observe`] (its id, the shape of errors, the access log), then the [`auth::gate`] (the operation is looked
//! up in the one table of [`access`], the token and its scopes are checked, before the body is read), and then its handler: one
//! endpoint a file under [`v1`]. What a tenant may see is bounded by the type the store gives out for it.

pub mod access;
pub mod auth;
mod broker_auth;
pub mod contract;
mod door;
mod extract;
mod health;
mod home;
mod manners;
mod metrics;
mod observe;
mod openapi;
mod page;
mod problem;
pub mod report;
mod routes;
mod server;
mod state;
mod v1;
mod watch;

pub use access::Scope;
pub use auth::{
    secret::{Randomness, RandomnessError, SecretError, hash_secret},
    token::{Grant, TokenError, TokenSigner},
};
pub use broker_auth::{BrokerAuth, BrokerNames, serve_broker_auth};
pub use manners::intake::IntakeBounds;
pub use metrics::{Render, serve_metrics};
pub use openapi::{openapi, openapi_json};
pub use server::serve;
pub use state::{ApiLimits, ApiParts, ApiState};
pub use watch::{Unwatched, Watch};
