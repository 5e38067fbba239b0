//! A worker's view: the tenants of one micro-batch, and only while it holds the partition's lease.

use std::collections::{BTreeSet, HashMap, HashSet};

use odograph_domain::{
    device::PairedDevice,
    id::{DriverId, MessageId, TenantId, VehicleId},
    intake::{KnownDriver, LedgerEntry, LedgerKey, VehicleContext, VehicleState},
    lease::Lease,
    time::{EventTime, ReceivedAt},
};
use sha2::{Digest, Sha256};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    contexts::contexts,
    drivers::resolve_driver,
    error::{Result, StoreError},
    resolve,
    session::{Scope, Tx, now},
    store::Store,
    tenant::from_json,
    vehicles::resolve_vehicle,
    writes::{Writes, write},
};

#[derive(Debug, Clone)]
pub struct WorkerStore {
    pub(crate) store: Store,
}

impl WorkerStore {
    pub(crate) fn new(store: Store) -> Self {
        Self { store }
    }

    /// Opens the transaction of a micro-batch. [`StoreError::Fenced`] when the partition has gone to another; else it stays
    /// with this worker until the transaction ends.
    pub async fn begin(&self, lease: &Lease, tenants: &[TenantId]) -> Result<WorkerTx> {
        let mut tx = self.store.begin(Scope::Worker(tenants)).await?;
        let held = sqlx::query_scalar!(
            "SELECT lease_fence($1, $2, $3)",
            lease.worker.uuid(),
            i32::from(lease.partition),
            lease.epoch,
        )
        .fetch_one(&mut *tx)
        .await?;
        match held {
            Some(true) => Ok(WorkerTx {
                store: self.store.clone(),
                tx,
                partition: lease.partition,
            }),
            _ => Err(StoreError::Fenced),
        }
    }

    /// What must be known of these vehicles; those that do not exist are left out. Ordered by tenant and vehicle.
    pub async fn contexts(&self, vehicles: &[(TenantId, VehicleId)]) -> Result<Vec<VehicleContext>> {
        let tenants: BTreeSet<TenantId> = vehicles.iter().map(|(tenant, _)| *tenant).collect();
        let tenants: Vec<TenantId> = tenants.into_iter().collect();
        let mut tx = self.store.begin(Scope::Worker(&tenants)).await?;
        let found = contexts(&mut tx, vehicles).await?;
        tx.commit().await?;
        Ok(found)
    }

    pub async fn resolve_vehicle(&self, tenant: TenantId, given: &str) -> Result<Option<VehicleId>> {
        let mut tx = self.store.begin(Scope::Worker(&[tenant])).await?;
        let vehicle = resolve_vehicle(&mut tx, tenant, given).await?;
        tx.commit().await?;
        Ok(vehicle)
    }

    pub async fn resolve_driver(&self, tenant: TenantId, given: &str) -> Result<Option<DriverId>> {
        let mut tx = self.store.begin(Scope::Worker(&[tenant])).await?;
        let driver = resolve_driver(&mut tx, tenant, given).await?;
        tx.commit().await?;
        Ok(driver)
    }

    /// Puts away a message that is no envelope: whose it is cannot be known. The same bytes are kept once, however often
    /// they come.
    pub async fn quarantine(&self, bytes: &[u8], reason: &str) -> Result<()> {
        let mut id = [0; 16];
        id.copy_from_slice(&Sha256::digest(bytes)[..16]);
        let id = Uuid::from_bytes(id);
        let sealed = self.store.master().own().seal(&quarantine_context(id), bytes)?;
        let mut tx = self.store.begin(Scope::Worker(&[])).await?;
        sqlx::query!(
            "SELECT quarantine_put($1, $2, $3, $4)",
            id,
            reason,
            sealed,
            now(self.store.clock())
        )
        .fetch_one(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }
}

pub(crate) fn quarantine_context(id: Uuid) -> Vec<u8> {
    [b"quarantine".as_slice(), id.as_bytes()].concat()
}

/// The transaction of a micro-batch. Dropped without [`WorkerTx::commit`], nothing of it happened.
#[derive(Debug)]
pub struct WorkerTx {
    store: Store,
    tx: Tx,
    partition: u16,
}

impl WorkerTx {
    pub async fn contexts(&mut self, vehicles: &[(TenantId, VehicleId)]) -> Result<Vec<VehicleContext>> {
        contexts(&mut self.tx, vehicles).await
    }

    /// The vehicles of these names (id or reference), each where its name stands; `None` where there is none.
    pub async fn resolve_vehicles(&mut self, named: &[(TenantId, &str)]) -> Result<Vec<Option<VehicleId>>> {
        resolve::vehicles(&mut self.tx, named).await
    }

    /// As [`WorkerTx::resolve_vehicles`].
    pub async fn resolve_drivers(&mut self, named: &[(TenantId, &str)]) -> Result<Vec<Option<KnownDriver>>> {
        resolve::drivers(&mut self.tx, named).await
    }

    /// As [`WorkerTx::resolve_vehicles`], with everywhere each device ever was.
    pub async fn resolve_devices(&mut self, named: &[(TenantId, &str)]) -> Result<Vec<Option<PairedDevice>>> {
        resolve::devices(&mut self.tx, named).await
    }

    /// The states of these vehicles, locked until the transaction ends and made where there are none. Ordered by vehicle.
    pub async fn lock_states(&mut self, vehicles: &[(TenantId, VehicleId)]) -> Result<Vec<VehicleState>> {
        lock_states(&mut self.tx, vehicles).await
    }

    /// The entries of those batches that are in the ledger already.
    pub async fn ledger(&mut self, keys: &[LedgerKey]) -> Result<HashMap<LedgerKey, LedgerEntry>> {
        let tenants: Vec<Uuid> = keys.iter().map(|key| key.tenant.uuid()).collect();
        let vehicles: Vec<Uuid> = keys.iter().map(|key| key.vehicle.uuid()).collect();
        let batches: Vec<&str> = keys.iter().map(|key| key.batch_id.as_str()).collect();
        let rows = sqlx::query!(
            r#"SELECT w.place AS "place!", l.content_hash, l.message_id
               FROM unnest($1::uuid[], $2::uuid[], $3::text[]) WITH ORDINALITY AS w (tenant_id, vehicle_id, batch_id, place)
               JOIN batch_ledger l
                 ON l.tenant_id = w.tenant_id AND l.vehicle_id = w.vehicle_id AND l.batch_id = w.batch_id"#,
            &tenants,
            &vehicles,
            &batches as &[&str],
        )
        .fetch_all(&mut *self.tx)
        .await?;
        rows.into_iter()
            .map(|row| {
                let key = usize::try_from(row.place - 1).ok().and_then(|place| keys.get(place));
                let key = key.ok_or_else(|| StoreError::corrupt("the ledger's answer"))?;
                let content_hash = row
                    .content_hash
                    .try_into()
                    .map_err(|_| StoreError::corrupt("a hash in the ledger"))?;
                let message = row.message_id.into();
                Ok((key.clone(), LedgerEntry { content_hash, message }))
            })
            .collect()
    }

    /// Those of the messages that have dead letters already.
    pub async fn buried(&mut self, messages: &[(TenantId, MessageId)]) -> Result<HashSet<MessageId>> {
        let tenants: Vec<Uuid> = messages.iter().map(|(tenant, _)| tenant.uuid()).collect();
        let ids: Vec<Uuid> = messages.iter().map(|(_, message)| message.uuid()).collect();
        let found = sqlx::query_scalar!(
            "SELECT DISTINCT d.message_id FROM unnest($1::uuid[], $2::uuid[]) AS w (tenant_id, message_id)
             JOIN dead_letter d ON d.tenant_id = w.tenant_id AND d.message_id = w.message_id",
            &tenants,
            &ids,
        )
        .fetch_all(&mut *self.tx)
        .await?;
        Ok(found.into_iter().map(MessageId::from).collect())
    }

    /// Writes all that a micro-batch amounts to. Call it as often as need be; nothing counts before the commit.
    pub async fn write(&mut self, writes: &Writes) -> Result<()> {
        write(&mut self.tx, &self.store, i32::from(self.partition), writes).await
    }

    pub async fn commit(self) -> Result<()> {
        Ok(self.tx.commit().await?)
    }
}

/// In order of the vehicles, so that two transactions cannot wait for each other in a circle.
pub(crate) async fn lock_states(
    conn: &mut PgConnection,
    vehicles: &[(TenantId, VehicleId)],
) -> Result<Vec<VehicleState>> {
    let wanted: BTreeSet<(VehicleId, TenantId)> =
        vehicles.iter().map(|(tenant, vehicle)| (*vehicle, *tenant)).collect();
    let ids: Vec<Uuid> = wanted.iter().map(|(vehicle, _)| vehicle.uuid()).collect();
    let tenants: Vec<Uuid> = wanted.iter().map(|(_, tenant)| tenant.uuid()).collect();
    sqlx::query!(
        "INSERT INTO vehicle_state (tenant_id, vehicle_id)
         SELECT v.tenant_id, v.id FROM unnest($1::uuid[], $2::uuid[]) AS w (tenant_id, vehicle_id)
         JOIN vehicle v ON v.tenant_id = w.tenant_id AND v.id = w.vehicle_id
         ORDER BY v.id
         ON CONFLICT (tenant_id, vehicle_id) DO NOTHING",
        &tenants,
        &ids,
    )
    .execute(&mut *conn)
    .await?;
    // Not FOR UPDATE: a foreign key to the row, checked by another, must not wait.
    let rows = sqlx::query!(
        "SELECT s.vehicle_id, s.watermark, s.last_received_at, s.detectors
         FROM vehicle_state s
         WHERE (s.tenant_id, s.vehicle_id) IN (SELECT * FROM unnest($1::uuid[], $2::uuid[]))
         ORDER BY s.vehicle_id
         FOR NO KEY UPDATE",
        &tenants,
        &ids,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(VehicleState {
                vehicle: row.vehicle_id.into(),
                watermark: row.watermark.map(EventTime::new),
                last_received_at: row.last_received_at.map(ReceivedAt::new),
                detectors: from_json(row.detectors, "the detectors' states")?,
            })
        })
        .collect()
}
