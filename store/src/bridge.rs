//! What the bridge needs, which takes telemetry from the intake queues to the partitions.

use std::collections::BTreeSet;

use odograph_domain::{
    device::PairedDevice,
    id::{TenantId, VehicleId},
    intake::NewDeadLetter,
    outcome::Tally,
};

use crate::{error::Result, resolve, session::Scope, tenant::TenantStore, worker::WorkerStore};

impl WorkerStore {
    /// The vehicles of these names (id or reference) and the devices of these, each where its name stands; `None` where there
    /// is none.
    pub async fn resolve(
        &self,
        vehicles: &[(TenantId, &str)],
        devices: &[(TenantId, &str)],
    ) -> Result<(Vec<Option<VehicleId>>, Vec<Option<PairedDevice>>)> {
        let named = vehicles.iter().chain(devices);
        let tenants: BTreeSet<TenantId> = named.map(|(tenant, _)| *tenant).collect();
        if tenants.is_empty() {
            return Ok((Vec::new(), Vec::new()));
        }
        let tenants: Vec<TenantId> = tenants.into_iter().collect();
        let mut tx = self.store.begin(Scope::Worker(&tenants)).await?;
        let vehicles = resolve::vehicles(&mut tx, vehicles).await?;
        let devices = resolve::devices(&mut tx, devices).await?;
        tx.commit().await?;
        Ok((vehicles, devices))
    }
}

impl TenantStore {
    /// Keeps and counts a message that was refused before it reached a partition; once, however often it comes. Whether this was
    /// the first time.
    pub async fn put_refused(&self, letter: &NewDeadLetter, tally: &Tally) -> Result<bool> {
        let mut tx = self.begin().await?;
        let kept = sqlx::query_scalar!(
            r#"SELECT EXISTS (SELECT FROM dead_letter WHERE tenant_id = $1 AND message_id = $2) AS "kept!""#,
            self.tenant_id().uuid(),
            letter.message.uuid(),
        )
        .fetch_one(&mut *tx)
        .await?;
        if !kept {
            self.caller().refuse(&mut tx, letter, tally).await?;
        }
        tx.commit().await?;
        Ok(!kept)
    }
}
