//! Who sent what came in by the broker.

use std::collections::{BTreeMap, BTreeSet};

use odograph_api::Scope;
use odograph_domain::{
    envelope::Source,
    id::{ClientId, DeviceCredentialId, DeviceId, TenantId},
};
use odograph_ingest::rabbit::Arrived;
use odograph_store::{Realm, StoreError};
use uuid::Uuid;

use super::Bridge;

/// A sender whose tenant is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sender {
    pub(super) tenant: TenantId,
    /// What it is known by: the credential of a device, or the client.
    pub(super) login: Uuid,
    pub(super) client: Option<ClientId>,
    /// Of a device that may speak for itself only.
    pub(super) device: Option<DeviceId>,
    /// Whether it may still send.
    pub(super) holds: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    Sender(Sender),
    /// And why nobody is known.
    Nobody(&'static str),
}

impl Bridge {
    /// The sender of each. The broker has seen to it that nobody sends as another.
    pub(super) async fn senders(&self, arrived: &[Arrived]) -> Result<Vec<Known>, StoreError> {
        let ids = |source| {
            let of_source = arrived.iter().filter(move |one| one.source == source);
            of_source.filter_map(id).collect::<BTreeSet<Uuid>>()
        };
        let store = &self.parts.store;
        let mut known: BTreeMap<(bool, Uuid), Sender> = BTreeMap::new();
        let credentials: Vec<DeviceCredentialId> = ids(Source::Mqtt).into_iter().map(Into::into).collect();
        for login in store.device_logins(&credentials).await? {
            let id = login.credential.uuid();
            let sender = Sender {
                tenant: login.tenant,
                login: id,
                client: None,
                device: Some(login.device),
                holds: !login.revoked,
            };
            known.insert((true, id), sender);
        }
        for id in ids(Source::Amqp) {
            let client = ClientId::from(id);
            let Some(found) = store.client_credentials(client).await? else {
                continue;
            };
            let Realm::Tenant(tenant) = found.realm else { continue };
            let sends = |scope: &String| scope == Scope::TelemetryWrite.as_str();
            let sender = Sender {
                tenant,
                login: id,
                client: Some(client),
                device: None,
                holds: !found.disabled && found.scopes.iter().any(sends),
            };
            known.insert((false, id), sender);
        }
        let sender = |one: &Arrived| match (&one.sender, id(one)) {
            (None, _) => Known::Nobody("wanted the property user_id, which says who sent it, got none"),
            (Some(_), None) => Known::Nobody("its sender is no client and no device credential"),
            (Some(_), Some(id)) => match known.get(&(one.source == Source::Mqtt, id)) {
                Some(sender) => Known::Sender(*sender),
                None => Known::Nobody("its sender is not known"),
            },
        };
        Ok(arrived.iter().map(sender).collect())
    }
}

fn id(one: &Arrived) -> Option<Uuid> {
    Uuid::try_parse(one.sender.as_deref()?).ok()
}
