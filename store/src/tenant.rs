//! A tenant's view, for the api. Its methods are in the files of what they are about.

use odograph_domain::id::{ClientId, IdOrRef, TenantId};
use uuid::Uuid;

use crate::{
    error::{Result, StoreError},
    idempotency::Attempt,
    operator::{TenantRecord, tenant_record},
    session::{Caller, Scope, Tx, now},
    store::Store,
};

/// Each method is one short transaction. A row of another tenant is not found, as if it did not exist.
#[derive(Debug, Clone)]
pub struct TenantStore {
    store: Store,
    tenant: TenantId,
    actor: Option<ClientId>,
    tracks: bool,
    attempt: Option<Attempt>,
}

impl TenantStore {
    pub(crate) fn new(store: Store, tenant: TenantId) -> Self {
        Self {
            store,
            tenant,
            actor: None,
            tracks: false,
            attempt: None,
        }
    }

    /// Names who acts, for the audit log.
    pub fn acting_as(self, client: ClientId) -> Self {
        Self {
            actor: Some(client),
            ..self
        }
    }

    /// Opens the raw tracks, which are otherwise out of sight. Only for callers that have the right to them.
    pub fn with_tracks(self) -> Self {
        Self { tracks: true, ..self }
    }

    /// What is written from here on is part of this attempt, and fails once another attempt has taken over.
    pub fn attempting(self, attempt: Attempt) -> Self {
        Self {
            attempt: Some(attempt),
            ..self
        }
    }

    pub fn tenant_id(&self) -> TenantId {
        self.tenant
    }

    /// The tenant itself.
    pub async fn tenant(&self) -> Result<TenantRecord> {
        let mut tx = self.begin().await?;
        let record = tenant_record(&mut tx, self.tenant).await?;
        tx.commit().await?;
        record.ok_or(StoreError::NotFound { kind: "tenant" })
    }

    pub(crate) async fn begin(&self) -> Result<Tx> {
        self.store
            .begin(Scope::Api {
                tenant: Some(self.tenant),
                tracks: self.tracks,
            })
            .await
    }

    pub(crate) fn caller(&self) -> Caller<'_> {
        Caller {
            tenant: self.tenant,
            actor: self.actor,
            master: self.store.master(),
            lake: self.store.lake(),
            ids: self.store.ids(),
            now: now(self.store.clock()),
            attempt: self.attempt.as_ref(),
        }
    }
}

/// An id or a reference as two columns to compare with, one of them NULL and so equal to nothing.
pub(crate) fn given<T: Copy + Into<Uuid>>(given: &IdOrRef<T>) -> (Option<Uuid>, Option<&str>) {
    match given {
        IdOrRef::Id(id) => (Some((*id).into()), None),
        IdOrRef::Ref(reference) => (None, Some(reference.as_str())),
    }
}

/// Fails where a thing is no longer as the caller knows it. `expected`: the revisions it may have; `None` for any.
pub(crate) fn unchanged_since(kind: &'static str, revision: i32, expected: Option<&[i32]>) -> Result<()> {
    match expected {
        Some(known) if !known.contains(&revision) => Err(StoreError::Stale { kind, revision }),
        _ => Ok(()),
    }
}

/// A stored reference, checked as when it was made.
pub(crate) fn reference(text: Option<String>) -> Result<Option<odograph_domain::id::ExternalRef>> {
    text.map(|text| text.parse().map_err(StoreError::corrupt)).transpose()
}

/// A stored name of one of the domain's enumerations.
pub(crate) fn named<T>(name: &str, parse: impl Fn(&str) -> Option<T>) -> Result<T> {
    parse(name).ok_or_else(|| StoreError::corrupt(format_args!("{name:?} is no known name")))
}

pub(crate) fn from_json<T: serde::de::DeserializeOwned>(value: serde_json::Value, what: &str) -> Result<T> {
    serde_json::from_value(value).map_err(|error| StoreError::corrupt(format_args!("{what}: {error}")))
}

pub(crate) fn to_json<T: serde::Serialize>(value: &T) -> Result<serde_json::Value> {
    serde_json::to_value(value).map_err(StoreError::corrupt)
}
