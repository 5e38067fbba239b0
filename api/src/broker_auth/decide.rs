//! Who may do what at the broker.
//!
//! | who | logs in with | may |
//! |---|---|---|
//! | device | the id and secret of a credential of its own; its MQTT client id begins with that id | publish to its own topic |
//! | client with `telemetry:write` | its id and secret | publish to the intake exchange |
//!
//! Nobody of them reads anything or makes anything.

use actix_web::web;
use odograph_domain::id::{ClientId, DeviceCredentialId};
use odograph_store::{Realm, StoreError};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::{access::Scope, auth::secret, state::ApiState};

/// Where the broker's MQTT plugin publishes.
const MQTT_EXCHANGE: &str = "amq.topic";

/// What things at the broker are called.
#[derive(Debug, Clone)]
pub struct BrokerNames {
    pub vhost: String,
    /// Where AMQP clients publish.
    pub intake_exchange: String,
    /// First level of the topic devices publish to, `{prefix}/{credential}/telemetry`.
    pub topic_prefix: String,
}

#[derive(Deserialize)]
pub(super) struct User {
    username: String,
    #[serde(default)]
    password: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Vhost {
    username: String,
    vhost: String,
    /// Of who comes by MQTT.
    client_id: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Resource {
    username: String,
    vhost: String,
    resource: String,
    name: String,
    permission: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Topic {
    username: String,
    vhost: String,
    name: String,
    permission: String,
    #[serde(default)]
    routing_key: String,
}

/// A sender that is known and has not been shut out since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sender {
    Device(DeviceCredentialId),
    Client,
}

pub(super) async fn user(state: &ApiState, asked: &User) -> Result<bool, StoreError> {
    let Ok(id) = Uuid::try_parse(&asked.username) else {
        // What was given may be anything, a password in the wrong field too.
        tracing::info!("the broker asked for a user whose name is no id");
        return Ok(false);
    };
    let right = match state.store.device_logins(&[id.into()]).await?.pop() {
        // Nobody can guess 256 random bits, however often: a device that others try to get in as is not shut out for it.
        Some(login) => !login.revoked && is_secret(&asked.password, &login.secret_hash),
        None => client(state, id, &asked.password).await?,
    };
    if !right {
        tracing::info!(broker.user = %id, "the broker's user is not known, shut out, or its secret is another");
    }
    Ok(right)
}

/// Compared by what differs over all of it, so in a time that tells nothing.
fn is_secret(given: &str, hash: &[u8]) -> bool {
    let given = Sha256::digest(given);
    let differing = given.iter().zip(hash).fold(0, |differing, (a, b)| differing | (a ^ b));
    hash.len() == given.len() && differing == 0
}

/// As the token endpoint does it: slowly, and ever more so for who fails.
async fn client(state: &ApiState, id: Uuid, given: &str) -> Result<bool, StoreError> {
    let now = state.clock.now();
    if state.throttle.wait(id, now).is_some() {
        return Ok(false);
    }
    let client = state.store.client_credentials(id.into()).await?;
    let hash = client.as_ref().map(|client| client.secret_hash.clone());
    let secret = given.to_owned();
    let Ok(_permit) = state.hashing.acquire().await else {
        return Ok(false);
    };
    let verified = web::block(move || match hash {
        Some(hash) => secret::verify_secret(&secret, &hash),
        None => {
            secret::verify_nothing(&secret);
            false
        }
    });
    if !verified.await.unwrap_or(false) {
        state.throttle.failed(id, now);
        return Ok(false);
    }
    state.throttle.succeeded(id);
    Ok(client.is_some_and(|client| may_send(client.realm, client.disabled, &client.scopes)))
}

fn may_send(realm: Realm, disabled: bool, scopes: &[String]) -> bool {
    let sends = scopes
        .iter()
        .any(|scope| Scope::parse(scope) == Some(Scope::TelemetryWrite));
    !disabled && sends && matches!(realm, Realm::Tenant(_))
}

/// Who a user is that was let in before.
async fn sender(state: &ApiState, username: &str) -> Result<Option<Sender>, StoreError> {
    let Ok(id) = Uuid::try_parse(username) else {
        return Ok(None);
    };
    if let Some(login) = state.store.device_logins(&[id.into()]).await?.pop() {
        return Ok((!login.revoked).then_some(Sender::Device(login.credential)));
    }
    let client = state.store.client_credentials(ClientId::from(id)).await?;
    let sends = client.is_some_and(|client| may_send(client.realm, client.disabled, &client.scopes));
    Ok(sends.then_some(Sender::Client))
}

pub(super) async fn vhost(state: &ApiState, names: &BrokerNames, asked: &Vhost) -> Result<bool, StoreError> {
    if asked.vhost != names.vhost {
        return Ok(refused(&asked.username));
    }
    Ok(match (sender(state, &asked.username).await?, &asked.client_id) {
        (None, _) => refused(&asked.username),
        (Some(_), None) => true,
        // MQTT throws out whoever else has the same client id: let nobody have that of another.
        (Some(_), Some(client)) => client.starts_with(&asked.username) || refused(&asked.username),
    })
}

pub(super) async fn resource(state: &ApiState, names: &BrokerNames, asked: &Resource) -> Result<bool, StoreError> {
    let publishes = asked.vhost == names.vhost && asked.resource == "exchange" && asked.permission == "write";
    if !publishes {
        return Ok(refused(&asked.username));
    }
    let exchange = match sender(state, &asked.username).await? {
        Some(Sender::Device(_)) => MQTT_EXCHANGE,
        Some(Sender::Client) => names.intake_exchange.as_str(),
        None => return Ok(refused(&asked.username)),
    };
    Ok(asked.name == exchange || refused(&asked.username))
}

pub(super) async fn topic(state: &ApiState, names: &BrokerNames, asked: &Topic) -> Result<bool, StoreError> {
    let publishes = asked.vhost == names.vhost && asked.name == MQTT_EXCHANGE && asked.permission == "write";
    if !publishes {
        return Ok(refused(&asked.username));
    }
    let own = match sender(state, &asked.username).await? {
        Some(Sender::Device(credential)) => format!("{}.{credential}.telemetry", names.topic_prefix),
        _ => return Ok(refused(&asked.username)),
    };
    Ok(asked.routing_key == own || refused(&asked.username))
}

/// Notes that somebody who got in reaches for what is not theirs. The name is one that the broker let in.
fn refused(username: &str) -> bool {
    match Uuid::try_parse(username) {
        Ok(id) => tracing::warn!(broker.user = %id, "the broker's user asked for more than to send its own"),
        Err(_) => tracing::warn!("a user of the broker's that is none of ours asked for something"),
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_that_of_its_hash_only() {
        let hash = Sha256::digest("right");
        assert!(is_secret("right", &hash));
        for (given, hash) in [
            ("wrong", &hash[..]),
            ("", &hash[..]),
            ("right", &hash[..31]),
            ("right", &[]),
        ] {
            assert!(!is_secret(given, hash));
        }
    }

    #[test]
    fn only_a_tenants_client_that_may_write_telemetry_sends() {
        let scopes = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let tenant = Realm::Tenant(Uuid::from_u128(1).into());
        assert!(may_send(tenant, false, &scopes(&["trips:read", "telemetry:write"])));
        assert!(!may_send(tenant, true, &scopes(&["telemetry:write"])));
        assert!(!may_send(tenant, false, &scopes(&["trips:read"])));
        assert!(!may_send(Realm::Platform, false, &scopes(&["telemetry:write"])));
    }
}
