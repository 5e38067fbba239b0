//! The lake: a tenant's raw blocks and its trips as files in object storage, a folder or S3, for a rebuild of what the database
//! has let go of and for engines that read Parquet. `docs/lake.md` says what lies where.
//!
//! What lies there is what `lake_file` and `lake_block` say, and both are written in the transaction that makes it true. A
//! process that dies in between leaves an object that nobody takes for data, and the next run replaces or deletes it.

mod container;
mod objects;
mod raw;
mod raw_compact;
mod status;
pub(crate) mod table;
mod tidy;
mod trip_file;
mod trips;
mod turn;
mod verify;

use chrono::NaiveDate;
use odograph_domain::id::TenantId;

pub(crate) use self::objects::Lake;
pub use self::{
    objects::LakeOptions,
    raw::{RawPut, RawSynced},
    raw_compact::RawCompacted,
    status::LakeStatus,
    tidy::Tidied,
    trips::{TripsPut, TripsSynced},
    verify::{Fault, Verified},
};
use crate::{
    error::{Result, StoreError},
    session::{Scope, Tx},
    store::Store,
};

/// The keeper's view of the lake: of all tenants, under the maintenance role.
#[derive(Debug, Clone)]
pub struct LakeStore {
    store: Store,
    lake: Lake,
}

impl LakeStore {
    /// Fails where no lake was opened ([`Store::open_lake`]).
    pub(crate) fn new(store: Store) -> Result<Self> {
        let lake = store.lake().cloned().ok_or_else(|| StoreError::Invalid {
            kind: "lake.url",
            detail: "no lake is configured: wanted file:///folder or s3://bucket/prefix".into(),
        })?;
        Ok(Self { store, lake })
    }

    async fn begin(&self) -> Result<Tx> {
        self.store.begin(Scope::Maintenance).await
    }
}

/// The folder of a day of a tenant, as engines that know Hive's partitions read it.
fn folder(data_set: &str, tenant: TenantId, day: NaiveDate) -> String {
    format!("{data_set}/tenant={tenant}/date={day}")
}
