//! Contexts of vehicles that were read before, kept for as long as the database says that nothing of them has changed.

use std::sync::Arc;

use odograph_domain::{
    id::{TenantId, VehicleId},
    intake::VehicleContext,
};
use quick_cache::sync::Cache;
use sqlx::PgConnection;

use crate::{
    contexts::{ContextVersion, contexts},
    error::{Result, StoreError},
};

/// As many vehicles as a machine serves; a context is some hundred bytes.
const MOST: usize = 200_000;

#[derive(Debug, Clone)]
struct Known {
    version: ContextVersion,
    context: Arc<VehicleContext>,
}

#[derive(Debug)]
pub(crate) struct KnownContexts(Cache<(TenantId, VehicleId), Known>);

impl Default for KnownContexts {
    fn default() -> Self {
        Self(Cache::new(MOST))
    }
}

impl KnownContexts {
    /// The contexts of these vehicles, each where its vehicle stands; read where the version known is another. The versions
    /// must have been read before, in the same transaction: what is newer than its version is only read once more.
    pub(crate) async fn get(
        &self,
        conn: &mut PgConnection,
        wanted: &[((TenantId, VehicleId), &ContextVersion)],
    ) -> Result<Vec<Arc<VehicleContext>>> {
        let known = |(key, version): &((TenantId, VehicleId), &ContextVersion)| {
            self.0
                .get(key)
                .filter(|known| known.version == **version)
                .map(|known| known.context)
        };
        let mut found: Vec<Option<Arc<VehicleContext>>> = wanted.iter().map(known).collect();
        let unknown = wanted.iter().zip(&found).filter(|(_, found)| found.is_none());
        let unknown: Vec<(TenantId, VehicleId)> = unknown.map(|((key, _), _)| *key).collect();
        if !unknown.is_empty() {
            let mut read: std::collections::HashMap<_, _> = contexts(conn, &unknown)
                .await?
                .into_iter()
                .map(|context| ((context.tenant, context.vehicle), Arc::new(context)))
                .collect();
            for ((key, version), found) in wanted.iter().zip(&mut found) {
                if let (None, Some(context)) = (&found, read.remove(key)) {
                    let known = Known {
                        version: (*version).clone(),
                        context: context.clone(),
                    };
                    self.0.insert(*key, known);
                    *found = Some(context);
                }
            }
        }
        let gone = || StoreError::corrupt("the state of a vehicle that is not there");
        found.into_iter().map(|context| context.ok_or_else(gone)).collect()
    }
}
